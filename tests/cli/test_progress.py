"""The progress bar: rows, rows per second, time left."""

import io

import pytest

from cli_support import GOOD
from paybatch.cli import progress as bars
from paybatch.cli.output import Screen
from paybatch.cli.progress import Progress
from paybatch.cli.steps import Steps
from paybatch.flow import batch as batches
from paybatch.flow.engine import Engine
from paybatch.flow.intake.receive import Request
from paybatch.flow.place import Place


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """Give what a terminal is told in place of standard error."""
    told = io.StringIO()
    screen = Screen(file=told, force_terminal=True, width=120, color_system=None)
    monkeypatch.setattr(bars, "err", screen)
    return told


def test_every_step_knows_how_much_is_before_it(
    engine: Engine, place: Place, terminal: io.StringIO
) -> None:
    source = [GOOD.encode()]
    with Progress(engine, Steps(), is_shown=True) as progress:
        batches.run(engine, place, source, Request(file_name="f"), progress.listener)
        progress.began("report")
        progress.reported(3)
        tasks = {task.description: task for task in progress._bar.tasks}
    assert list(tasks) == ["reading", "working", "writing"]
    assert [task.total for task in tasks.values()] == [len(GOOD), 3, 3]
    assert all(task.completed == task.total for task in tasks.values())
    assert [task.fields["rows"] for task in tasks.values()] == [3, 3, 3]
    assert all(task.fields["rate"].endswith(" rows/s") for task in tasks.values())
    assert progress.rows == 3
    assert "reading" in terminal.getvalue()
    assert "0:00:00" in terminal.getvalue()


def test_nothing_is_shown_or_asked_in_a_pipe(engine: Engine, place: Place) -> None:
    with Progress(engine, Steps(), is_shown=True) as progress:
        batches.run(engine, place, [GOOD.encode()], Request(file_name="f"), progress.listener)
        assert {task.total for task in progress._bar.tasks} == {None}
    assert progress.rows == 3
