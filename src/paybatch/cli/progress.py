"""A progress bar for people: rows, rows per second, time left. None in a pipe."""

from types import TracebackType
from typing import Self

from rich.progress import BarColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from paybatch.cli.output import err
from paybatch.cli.steps import Steps
from paybatch.flow.batch import Listener


class Progress:
    """Shows how far the steps of a batch are, and takes their time."""

    def __init__(self, steps: Steps, *, is_shown: bool) -> None:
        self._steps = steps
        self._bar = Bar(
            TextColumn("{task.description:<8}"),
            BarColumn(),
            TextColumn("{task.completed:,.0f} rows"),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=err,
            disable=not (is_shown and err.is_terminal),
            transient=True,
        )
        self._tasks: dict[str, TaskID] = {}
        self._rows = 0
        self.batch_id: int | None = None
        self.listener = Listener(
            began=steps.begin,
            received=self._received,
            accepted=self._accepted,
            settled=self._settled,
        )

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def _received(self, batch_id: int) -> None:
        self.batch_id = batch_id

    def _accepted(self, rows: int) -> None:
        self._rows += rows
        self._advance("reading", rows, None)

    def _settled(self, rows: int) -> None:
        self._advance("working", rows, self._rows or None)

    def began(self, step: str) -> None:
        """Note that a step begins."""
        self._steps.begin(step)

    def reported(self, rows: int) -> None:
        """Rows were written to the result."""
        self._advance("writing", rows, self._rows or None)

    def _advance(self, step: str, rows: int, total: int | None) -> None:
        if step not in self._tasks:
            self._tasks[step] = self._bar.add_task(step, total=total, rate="")
        task = self._tasks[step]
        self._bar.advance(task, rows)
        speed = self._bar.tasks[task].finished_speed or self._bar.tasks[task].speed
        self._bar.update(task, rate=f"{speed:,.0f} rows/s" if speed else "")
