"""What a call may say: text under names that the native dialect knows.

Checked before the call is queued: what stands under a name that nobody knows would be passed over,
and a refund whose amount is passed over is a refund of all that is left.
"""

from collections.abc import Mapping

from paybatch import registry
from paybatch.flow.texts import meant, told


class CallWrongError(ValueError):
    """A call is not text under known names; the sentence says what is allowed. Nothing is done."""


def readable(values: Mapping[str, str]) -> dict[str, str]:
    """Give a call's values as they are now.

    Raises:
        CallWrongError: A name is not known, a value is not text, or there are none.
    """
    columns = registry.dialects()["native"].columns
    known = [name for name, field in columns.items() if field]
    if not values:
        raise CallWrongError(f"The call is empty. It may have: {', '.join(known)}.")
    unknown = [str(name) for name in values if name not in columns]
    if unknown:
        raise CallWrongError(
            f"A call knows no {told(unknown)}{meant(unknown, known)}. "
            f"It may have: {', '.join(known)}."
        )
    for name, value in values.items():
        if not isinstance(value, str):
            kind = type(value).__name__
            raise CallWrongError(
                f"{name} is of type {kind}: every value of a call is text, such as '1000'; "
                "leave out what there is not."
            )
    broken = [name for name, value in values.items() if not value.isascii() and _is_broken(value)]
    if broken:
        raise CallWrongError(f"{told(broken)} has half a character (a surrogate): that is no text.")
    return dict(values)


def _is_broken(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return True
    return False
