"""A progress bar for people: rows, rows per second, time left. None in a pipe."""

from threading import Lock
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from paybatch.cli.output import err
from paybatch.cli.steps import Steps
from paybatch.flow.batch import Listener
from paybatch.flow.engine import Engine, load_batch
from paybatch.flow.summary import summarize

READING, WORKING, WRITING = "reading", "working", "writing"
BARS = {"accept": READING, "work": WORKING, "report": WRITING}


class Progress:
    """Shows how far the steps of a batch are, and takes their time."""

    def __init__(self, engine: Engine, steps: Steps, *, is_shown: bool) -> None:
        self._engine = engine
        self._steps = steps
        self._bar = Bar(
            TextColumn("{task.description:<8}"),
            BarColumn(),
            TextColumn("{task.fields[rows]:,} rows"),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=err,
            disable=not (is_shown and err.is_terminal),
            transient=True,
        )
        self._tasks: dict[str, TaskID] = {}
        self._lock = Lock()
        self.batch_id: int | None = None
        self.listener = Listener(
            began=self.began,
            received=self._received,
            read=self._read,
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

    @property
    def rows(self) -> int:
        """How many rows this process has read, or worked if those are more."""
        done = [self._tasks[name] for name in (READING, WORKING) if name in self._tasks]
        return max((self._bar.tasks[task].fields["rows"] for task in done), default=0)

    def began(self, step: str) -> None:
        """Note that a step begins, and begin its bar."""
        self._steps.begin(step)
        name = BARS.get(step)
        if name is not None and name not in self._tasks:
            total = None if self._bar.disable else self._total(name)
            self._tasks[name] = self._bar.add_task(name, total=total, rows=0, rate="")

    def reported(self, rows: int) -> None:
        """Rows were written to the result."""
        self._advance(WRITING, rows=rows, done=rows)

    def _received(self, batch_id: int) -> None:
        self.batch_id = batch_id

    def _read(self, count: int) -> None:
        """So many bytes were read: how many rows there are is not known before the end."""
        self._advance(READING, rows=0, done=count)

    def _accepted(self, rows: int) -> None:
        self._advance(READING, rows=rows, done=0)

    def _settled(self, rows: int) -> None:
        self._advance(WORKING, rows=rows, done=rows)

    def _advance(self, name: str, *, rows: int, done: int) -> None:
        """Move a bar on; rows are worked by several threads."""
        with self._lock:
            task = self._bar.tasks[self._tasks[name]]
            rows += task.fields["rows"]
            rate = f"{rows / task.elapsed:,.0f} rows/s" if rows and task.elapsed else ""
            self._bar.update(task.id, advance=done, rows=rows, rate=rate)

    def _total(self, name: str) -> int | None:
        """Give how much a bar has before it: bytes to read, or rows; None = nobody knows."""
        if self.batch_id is None:
            return None
        batch = load_batch(self._engine, self.batch_id)
        if name == READING:
            return batch.byte_count
        if name == WRITING:
            return batch.row_count
        queued = summarize(self._engine, batch).get("queued")
        return queued.count if queued else 0
