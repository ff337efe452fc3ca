"""``paybatch worker``: shares the work of every batch of this database."""

from typing import Annotated

import typer

from paybatch.cli.opening import opened
from paybatch.cli.output import err
from paybatch.flow.worker import run_worker


def worker(
    *,
    once: Annotated[bool, typer.Option(help="End when no job is left.")] = False,
) -> None:
    """Work batches until it is told to stop; any number of workers share the work."""
    with opened() as engine:
        run_worker(engine, wait=not once, told=err.print)
