"""Wallet: cards go into the vault, customers get means in the order of their rank; audited."""

from collections.abc import Mapping, Sequence

import polars as pl

from paybatch import registry
from paybatch.domain import cards, fields
from paybatch.domain.masking import mask_number
from paybatch.domain.reasons import Reason
from paybatch.flow import vault
from paybatch.flow.engine import Engine
from paybatch.flow.intake.means import BANK, CARD
from paybatch.flow.people import WrongError, check_name
from paybatch.store import directory, numbers

DEMO_CUSTOMER = "customer-1001"
_DEMO_NUMBER = "4111111111111111"
CARD_COLUMNS = ("number", "expiry")
ABSENT = ("routing_number", "account_number", "iban", "number_id")


def add_card(
    engine: Engine, merchant: tuple[str, int], card: Mapping[str, str], sender: str
) -> str:
    """Put a card (``number, expiry``) into a merchant's vault and give its reference.

    The same card is kept once; its reference is the same each time.

    Raises:
        WrongError: The number or the expiry is wrong, or the card has expired.
    """
    absent = [pl.lit(None, pl.String).alias(name) for name in ABSENT]
    frame = pl.DataFrame(
        {"merchant_id": [merchant[1]], **{f"card_{name}": [card[name]] for name in CARD_COLUMNS}},
        schema_overrides={"merchant_id": pl.Int32},
    ).with_columns_seq(absent)
    wrong = _card_fault(engine, merchant[1], frame)
    if wrong is not None:
        raise WrongError(f"The card is not kept: {wrong.sentence}.")
    number = pl.col("card_number")
    kept = vault.keep_numbers(
        engine,
        frame.with_columns_seq(
            brand=cards.brands_of(frame["card_number"]),
            masked=mask_number(number),
            expiry=fields.EXPIRY.read(pl.col("card_expiry")),
        ),
    )
    with engine.database.transaction() as connection:
        subject = f"number:{kept['masked'].item()}"
        detail = {"merchant": merchant[0], "brand": kept["brand"].item()}
        directory.record(
            connection, engine.clock(), f"sender:{sender}", "card.added", subject, **detail
        )
    reference = engine.public_ids.encode_reference(kept["number_id"], kept["expiry"], CARD)
    return str(reference.item())


def _card_fault(engine: Engine, merchant_id: int, frame: pl.DataFrame) -> Reason | None:
    """Give the first thing that is wrong with a card, by the rules for a file's columns."""
    for name, kind in (("card_number", fields.CARD_NUMBER), ("card_expiry", fields.EXPIRY)):
        for reason, test in kind.faults:
            if frame.select_seq(test(pl.col(name))).item():
                return reason
    expiry = frame.select_seq(fields.EXPIRY.read(pl.col("card_expiry"))).item()
    if expiry < cards.oldest_good_expiry(engine.clock()):
        return Reason.EXPIRY_PAST
    with engine.database.transaction() as connection:
        gates = directory.gates_of_merchants(connection, [merchant_id])
    testing = {each.connector for each in gates if each.mode == "test"}
    installed = [registry.connectors()[name] for name in testing & registry.connectors().keys()]
    tests = {value for each in installed for value in each.test_values}
    number = frame["card_number"]
    if cards.luhn_fails(number).item() and number.item() not in tests:
        return Reason.NUMBER_CHECK_DIGIT
    return None


def add_customer(
    engine: Engine, merchant: tuple[str, int], reference: str, means: Sequence[str], sender: str
) -> list[int]:
    """Make a customer, or find it, and add means by their references; give their ranks.

    Raises:
        WrongError: The merchant's vault has no such means, or the customer has it already.
    """
    check_name("customer", reference)
    values = [_means(engine, merchant[1], each) for each in means]
    with engine.database.transaction() as connection:
        directory.add_customer(connection, merchant[1], reference)
        wallet = directory.means_of_customers(connection, merchant[1], [reference])
        held = set(wallet.select_seq("number_id", "expiry").iter_rows())
        ranks = []
        for text, each in zip(means, values, strict=True):
            if (each["number_id"], each["expiry"]) in held:
                raise WrongError(f"Customer {reference!r} has {text} already.")
            held.add((each["number_id"], each["expiry"]))
            told = {"merchant_id": merchant[1], "reference": reference, **each}
            ranks.append(directory.add_customer_means(connection, told))
        subject = f"customer:{merchant[0]}/{reference}"
        actor, added = f"sender:{sender}", len(ranks)
        directory.record(connection, engine.clock(), actor, "customer.added", subject, means=added)
    return ranks


def make_demo_customer(engine: Engine, merchant: tuple[str, int], sender: str) -> None:
    """Make the customer of the samples, with a test card, if it is not there."""
    with engine.database.transaction() as connection:
        wallet = directory.means_of_customers(connection, merchant[1], [DEMO_CUSTOMER])
    if wallet.is_empty():
        card = {"number": _DEMO_NUMBER, "expiry": "12/39"}
        reference = add_card(engine, merchant, card, sender)
        add_customer(engine, merchant, DEMO_CUSTOMER, [reference], sender)


def _means(engine: Engine, merchant_id: int, text: str) -> dict[str, object]:
    """Read a reference of a card or bank account that the merchant's vault has."""
    noun = BANK if text.startswith(f"{BANK}_") else CARD
    found = engine.public_ids.decode_reference(pl.Series([text]), noun).row(0, named=True)
    number_id, expiry = found["number_id"], found["expiry"]
    with engine.database.transaction() as connection:
        known = numbers.known_numbers(connection, merchant_id, [number_id] if number_id else [])
    if known.is_empty():
        raise WrongError(f"The merchant's vault has no card or account {text!r}.")
    if noun == CARD and expiry is None:
        raise WrongError(f"{text} carries no expiry; use the reference that `card add` gave.")
    return {"number_id": number_id, "means": noun, "expiry": expiry, "account_type": None}
