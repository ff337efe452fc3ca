"""Writes docs/triggers.md from what the connectors declare of their test values and triggers."""

from collections.abc import Iterator
from pathlib import Path

from paybatch import registry
from paybatch.domain.connector import Connector

ROUTING_DIGITS = 9
TARGET = Path(__file__).with_name("triggers.md")
_HEAD = """\
# Triggers

What makes a connector answer otherwise than with an approval, on gates in test mode. This page is
made from what the connectors in `src/paybatch/connectors/` declare, by `make docs`; do not change
it by hand. Test numbers skip the check digits there, and no live gate takes them.
"""


def page() -> str:
    """Give the text of the page."""
    named = sorted(registry.connectors().items())
    told = [each for _, each in named if each.test_values or each.triggers]
    return "\n".join([_HEAD, *(line for each in told for line in _section(each))])


def _section(connector: Connector) -> Iterator[str]:
    yield f"## {connector.name}\n"
    routing = {v: m for v, m in connector.test_values.items() if len(v) == ROUTING_DIGITS}
    cards = {v: m for v, m in connector.test_values.items() if v not in routing}
    tables = {"card_number": cards, "routing_number": routing, **connector.triggers}
    for column, meanings in tables.items():
        if meanings:
            yield f"| {column} | what comes of it |\n| --- | --- |"
            yield from (f"| `{value}` | {meaning} |" for value, meaning in meanings.items())
            yield ""


if __name__ == "__main__":
    TARGET.write_text(page(), "utf-8")
