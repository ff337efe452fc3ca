"""``paybatch demo``: a demonstration merchant with a sandbox gate."""

from paybatch.cli.opening import opened
from paybatch.cli.output import say, show_json
from paybatch.cli.run import Json
from paybatch.flow.people import DEMO_CURRENCIES, make_demo, merchant_of
from paybatch.flow.wallet import DEMO_CUSTOMER, make_demo_customer
from paybatch.settings import Settings


def demo(*, as_json: Json = False) -> None:
    """Make merchant `demo` with sandbox gates in test mode and a customer, if absent."""
    settings = Settings()
    with opened(settings) as engine:
        made = make_demo(engine, settings.sender)
        owner = merchant_of(engine, settings.sender, "demo")
        make_demo_customer(engine, owner, settings.sender)
    if as_json:
        show_json({"id": "demo", "state": "active", "made": made})
        return
    said = "Made" if made else "There is already"
    gates = f"sandbox (USD) and several ({', '.join(DEMO_CURRENCIES)})"
    say(f"{said} merchant demo with gates {gates}, both in test mode.")
    say(f"Its customer {DEMO_CUSTOMER} has a test card in its wallet.")
