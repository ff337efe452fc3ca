"""Makes filebatch files for the benchmarks: sales, authorizations and credits, seeded."""

import random
import sys
from pathlib import Path

HEADER = (
    '"transaction_type","amount","cc_number","cc_expiration","order_id",'
    '"billing_first_name","billing_last_name","billing_postal_code"\n'
)
KINDS = ("sale", "sale", "sale", "sale", "authorize", "authorize", "credit")


def luhn_digit(body: str) -> str:
    """Give the check digit of a card number without one."""
    total = 0
    for place, letter in enumerate(reversed(body)):
        digit = int(letter) * (2 if place % 2 == 0 else 1)
        total += digit - 9 if digit > 9 else digit  # noqa: PLR2004 - two digits are added up
    return str(-total % 10)


def card(number: int) -> str:
    """Give the card number with this serial number."""
    body = f"42{number:013d}"
    return body + luhn_digit(body)


def make_file(path: Path, rows: int, cards: int, seed: int = 1) -> None:
    """Write a file of ``rows`` operations over ``cards`` distinct cards."""
    rng = random.Random(seed)
    numbers = [card(n) for n in range(cards)]
    with path.open("w", encoding="utf-8", newline="") as target:
        target.write(HEADER)
        for row in range(rows):
            kind = KINDS[rng.randrange(7)]
            number = numbers[row if cards >= rows else rng.randrange(cards)]
            amount = rng.randrange(100, 50_000)
            target.write(
                f'"{kind}","{amount}","{number}","12/39","ORD{seed}{row:09d}",'
                f'"First{row % 977}","Last{row % 3121}","{10_000 + row % 9_000}"\n'
            )


if __name__ == "__main__":
    make_file(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
