"""``paybatch demo``: a demonstration merchant with a sandbox gate."""

from paybatch.cli.opening import opened
from paybatch.cli.output import out
from paybatch.flow.people import make_demo
from paybatch.settings import Settings


def demo() -> None:
    """Make merchant `demo` with sandbox gates in test mode, if they are not there."""
    settings = Settings()
    with opened(settings) as engine:
        made = make_demo(engine, settings.sender)
    said = "Made" if made else "There is already"
    out.print(f"{said} merchant demo with gate sandbox (test mode, USD).")
