"""``paybatch sandbox``: a processor in a process of its own, for trying out and for tests."""

import time
from pathlib import Path
from typing import Annotated

import typer

from paybatch.cli.output import fail, say
from paybatch.settings import Settings

Rates = Annotated[
    list[str] | None, typer.Option("--rate", help="How often a fault happens, as KIND=0.01; again.")
]


def sandbox(
    *,
    port: Annotated[int, typer.Option(help="Where it listens; 0 = any free port.")] = 8085,
    home: Annotated[Path | None, typer.Option(help="Folder of its books.")] = None,
    seed: Annotated[int, typer.Option(help="What faults are drawn from.")] = 0,
    rate: Rates = None,
    latency_ms: Annotated[float, typer.Option(help="How long an answer takes.")] = 0.0,
    jitter_ms: Annotated[float, typer.Option(help="Up to so much longer.")] = 0.0,
) -> None:
    """Be a processor outside, on a port of this machine, until it is stopped.

    Gates with the connector sandbox_http speak to it. How it fails is told at the start or, while
    it runs, by POST to /control; see docs/sandbox.md.
    """
    import msgspec  # noqa: PLC0415 - what follows is for this command only

    from paybatch.sandbox.faults import Control, Fault  # noqa: PLC0415
    from paybatch.sandbox.serve import Start, serve  # noqa: PLC0415

    told = {"latency_ms": latency_ms, "jitter_ms": jitter_ms, "rates": _pairs(rate or [])}
    try:
        control = msgspec.convert(told, Control, strict=False)
    except msgspec.ValidationError as error:
        fail(f"--rate takes KIND=RATE, 0 to 1: {error}. The kinds: {', '.join(Fault)}.", 2)
    start = Start(
        home=home or Settings().home.expanduser() / "sandbox",
        port=port,
        clock=time.time,
        seed=seed,
        control=control,
    )
    try:
        serve(start, lambda url: say(f"The sandbox listens on {url}."))
    except OSError as error:
        fail(f"The sandbox cannot start: {error}.")


def _pairs(rates: list[str]) -> dict[str, str]:
    return {name: share for name, _, share in (each.partition("=") for each in rates)}
