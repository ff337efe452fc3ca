"""What the tests of the command line share."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

GOOD = (
    "kind,amount_minor,currency,card_number,card_expiry,reference,gate\n"
    "sale,100,USD,4111111111111111,12/39,A,\n"
    "sale,200,USD,5555555555554444,12/39,B,\n"
    "sale,300,JPY,4111111111111111,12/39,C,many\n"
)
MIXED = (
    "kind,amount_minor,currency,card_number,card_expiry,reference\n"
    "sale,100,USD,4111111111111111,12/39,A\n"
    "sale,250,USD,4000000000000002,12/39,B\n"
    "sale,1.00,USD,4111111111111111,12/39,C\n"
    "credit,70,USD,4111111111111111,12/39,D\n"
)


@dataclass(frozen=True)
class Done:
    """What a command did: its exit code and its words."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed, as JSON."""
        return json.loads(self.out)


Cli = Callable[..., Done]
File = Callable[..., str]
