"""What is said of a batch whose command breaks off: it is kept, and goes on."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from types import FrameType
from typing import NoReturn

from paybatch.cli.opening import batch_name
from paybatch.cli.output import err, fail
from paybatch.cli.progress import Progress
from paybatch.flow.engine import Engine
from paybatch.flow.working.replies import ConnectorError
from paybatch.store.database import DatabaseBusyError, DatabaseGoneError

INTERRUPTED = 130  # what shells use for Ctrl-C


@contextmanager
def kept(engine: Engine, progress: Progress) -> Iterator[None]:
    """Say how a batch goes on, when it is interrupted or something outside of us breaks off."""
    try:
        with _answered(progress):
            yield
    except (ConnectorError, DatabaseBusyError, DatabaseGoneError, KeyboardInterrupt) as error:
        if progress.batch_id is None:
            raise
        name = batch_name(engine, progress.batch_id)
        hint = f"Batch {name} is kept: `paybatch batch resume {name}` takes it on."
        if isinstance(error, DatabaseGoneError):
            raise DatabaseGoneError(f"{error} {hint}") from error  # why it is gone is said outside
        if isinstance(error, KeyboardInterrupt):
            fail(f"Interrupted. {hint}", INTERRUPTED)
        fail(f"{error} {hint}")


@contextmanager
def _answered(progress: Progress) -> Iterator[None]:
    """Answer a Ctrl-C at once: rows under way finish before the command ends."""

    def interrupted(_number: int, _frame: FrameType | None) -> NoReturn:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if progress.batch_id is not None:
            # By another thread: this one may be in the middle of printing.
            words = "Interrupted: what is under way is finished first."
            Thread(target=err.print, args=(words,)).start()
        raise KeyboardInterrupt

    usual = signal.default_int_handler
    if signal.getsignal(signal.SIGINT) is not usual:  # shells let work in the background go on
        yield
        return
    signal.signal(signal.SIGINT, interrupted)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)
