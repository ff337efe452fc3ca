"""``paybatch worker``: shares the work of every batch of this database."""

import sys
from contextlib import ExitStack
from typing import Annotated

import typer

from paybatch.cli.opening import opened
from paybatch.cli.output import err, fail


def worker(
    *,
    once: Annotated[bool, typer.Option(help="End when no job is left.")] = False,
    port: Annotated[
        int | None, typer.Option(help="Answer /health, /ready and /metrics there; 0 = any.")
    ] = None,
    host: Annotated[str, typer.Option(help="The address of that port.")] = "127.0.0.1",
    log_json: Annotated[
        bool | None, typer.Option(help="Log lines of JSON; by default unless a person looks on.")
    ] = None,
) -> None:
    """Work batches until it is told to stop; any number of workers share the work.

    At SIGTERM or Ctrl-C it claims nothing more, and ends when the calls under way are settled. A
    second signal ends it at once; nothing is lost then either.
    """
    from paybatch.flow import logs  # noqa: PLC0415 - for this command only, as what follows
    from paybatch.flow.watch import watched  # noqa: PLC0415
    from paybatch.flow.worker import run_worker  # noqa: PLC0415

    with opened() as engine, ExitStack() as stack:
        logs.tell_all(as_json=not sys.stderr.isatty() if log_json is None else log_json)
        if port is not None:
            try:
                found = stack.enter_context(watched(engine, host, port))
            except OSError as error:
                fail(f"The port {port} cannot be had ({error.strerror}).")
            err.print(f"Watch it at http://{host}:{found}/metrics.")
        run_worker(engine, wait=not once, told=err.print)
