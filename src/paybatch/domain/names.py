"""Names of merchants, gates, customers and senders, as they stand in files and in the audit."""

import re

from paybatch.domain.masking import mask_text

NAME = re.compile(r"[0-9A-Za-z._:#-]{1,64}")  # as in a file, without the slash of ``gate list``
TITLE_CHARACTERS_MAX = 255


def name_fault(name: str) -> str | None:
    """Say what is allowed where a text cannot be a name; None where it can."""
    if mask_text(name) != name:
        return "it holds a card number"
    if not NAME.fullmatch(name):
        return "use at most 64 letters, digits and . _ : # -"
    return None


def title_fault(title: str) -> str | None:
    """Say what is allowed where a text cannot be a title, a name for people; None where it can."""
    if mask_text(title) != title:
        return "it holds a card number"
    if not title.isprintable() or not 0 < len(title) <= TITLE_CHARACTERS_MAX:
        return f"use at most {TITLE_CHARACTERS_MAX} characters, on one line"
    return None
