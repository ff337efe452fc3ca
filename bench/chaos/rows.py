"""Rows: files of operations in chains, and single calls on the same payments."""

import random
from collections.abc import Iterator

HEADER = "kind,amount_minor,currency,card_number,card_expiry,card_cvv,reference,payment,final"
PARTS = ",partial_approval"
_GOOD = ("4111111111111111", "5555555555554444")
_HALF = "4000000000000051"
# Declines, half approvals, refunds that decline, and what is pending for a while.
_ODD = ("4000000000000002", _HALF, "4000000000000010", "4000000000000259")
_KINDS = ("sale", "authorize", "capture", "refund", "void")
_OF_FILES = (30, 25, 20, 17, 8)
_OF_CALLS = (15, 10, 25, 40, 10)
_RARELY, _SOMETIMES, _OFTEN = 0.1, 0.3, 0.7
_NEAR = 12  # follow-ups act on payments of the last rows, so that chains are long


def file_lines(seed: int, number: int, rows: int, *, parts: bool) -> list[str]:
    """Give the lines of a file with its header; ``parts``: some rows allow no part."""
    if not parts:
        return [HEADER, *row_lines(seed, number, rows), ""]
    chance = random.Random(f"{seed}/parts/{number}")
    told = [
        f"{line},{'not_allowed' if _HALF in line and chance.random() < _OFTEN else ''}"
        for line in row_lines(seed, number, rows)
    ]
    return [HEADER + PARTS, *told, ""]


def row_lines(seed: int, number: int, rows: int) -> Iterator[str]:
    """Give the lines of a file: payments, and what is done to them in the order of lines."""
    chance = random.Random(f"{seed}/file/{number}")
    makers: list[int] = []
    for line in range(rows):
        (kind,) = chance.choices(_KINDS, _OF_FILES) if makers else ("authorize",)
        if kind in ("sale", "authorize"):
            makers.append(line)
            yield f"{kind},{chance.randint(50, 900)},USD,{_card(chance)},{name(number, line)},,"
        else:
            line_of = chance.choice(makers[-_NEAR:])
            amount, final = _part(chance), "true" if chance.random() < _RARELY else ""
            final = final if kind == "capture" else ""
            yield f"{kind},{amount},USD,,,,,{name(number, line_of)},{final}"


def name(number: int, line: int) -> str:
    """Give the reference of the payment that a line of a file makes."""
    return f"f{number}-{line}"


def _card(chance: random.Random) -> str:
    number = chance.choice(_ODD if chance.random() < _RARELY else _GOOD)
    return f"{number},12/39,{chance.choice(('', '123', '200'))}"


def _part(chance: random.Random) -> str:
    return "" if chance.random() < _SOMETIMES else str(chance.randint(1, 250))


def call_values(seed: int, number: int, files: int, rows: int) -> dict[str, str]:
    """Give the values of a single call: on payments of the files, while those are worked."""
    chance = random.Random(f"{seed}/call/{number}")
    (kind,) = chance.choices(_KINDS, _OF_CALLS)
    told = {"kind": kind, "idempotency_key": f"call-{seed}-{number}", "currency": "USD"}
    if kind in ("sale", "authorize"):
        card, expiry, cvv = _card(chance).split(",")
        told |= {"amount_minor": str(chance.randint(50, 900)), "reference": f"c{number}"}
        told |= {"card_number": card, "card_expiry": expiry, "card_cvv": cvv}
    else:
        payment = name(chance.randrange(files), chance.randrange(rows))
        told |= {"payment": payment, "amount_minor": _part(chance)}
    return {key: value for key, value in told.items() if value}
