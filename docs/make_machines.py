"""Writes the table of settings in docs/machines.md from paybatch.settings."""

import re
from pathlib import Path

from paybatch.settings import Settings

TARGET = Path(__file__).with_name("machines.md")
_TABLE = re.compile(r"(?<=<!-- settings -->\n).*?(?=<!-- end -->)", re.DOTALL)


def page() -> str:
    """Give the text of the page, with the table as it must be."""
    return _TABLE.sub(lambda _: table(), TARGET.read_text("utf-8"))


def table() -> str:
    """List every setting: its variable, what it is without it, and what it is for."""
    lines = ["| variable | default | what it is |", "| --- | --- | --- |"]
    for name, field in Settings.model_fields.items():
        usual = "" if field.default_factory or field.default is None else str(field.default)
        shown = f"`{usual}`" if usual else ""
        lines.append(f"| `PAYBATCH_{name.upper()}` | {shown} | {field.description} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    TARGET.write_text(page(), "utf-8")
