"""Names of merchants, gates, customers and senders, as they stand in files and in the audit."""

import re

from paybatch.domain.masking import mask_text

SIGNS = "._:#"  # as in a file, without the slash of ``gate list``
CUSTOMER_SIGNS = f"{SIGNS}^"
TITLE_CHARACTERS_MAX = 255


def name_fault(name: str, signs: str = SIGNS) -> str | None:
    """Say what is allowed where a text cannot be a name; None where it can."""
    if mask_text(name) != name:
        return "it holds a card number"
    if not re.fullmatch(f"[0-9A-Za-z{signs}-]{{1,64}}", name):
        return f"use at most 64 letters, digits and {' '.join(signs)} -"
    return None


def title_fault(title: str) -> str | None:
    """Say what is allowed where a text cannot be a title, a name for people; None where it can."""
    if mask_text(title) != title:
        return "it holds a card number"
    if not title.isprintable() or not 0 < len(title) <= TITLE_CHARACTERS_MAX:
        return f"use at most {TITLE_CHARACTERS_MAX} characters, on one line"
    return None
