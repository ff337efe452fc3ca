"""``paybatch payment`` and ``ledger``: what became of a payment; whether the books are right."""

import polars as pl
import psycopg
import pytest

from cli_support import GOOD, Cli, File
from paybatch.flow.engine import Engine

CHAIN = (
    "kind,amount_minor,currency,card_number,card_expiry,reference,payment\n"
    "authorize,1000,USD,4111111111111111,12/39,first,\n"
    "capture,400,USD,,,,first\n"
    "capture,700,USD,,,,first\n"
    "refund,150,USD,,,,first\n"
)


def test_a_payment_is_shown_with_all_that_was_done(cli: Cli, file: File) -> None:
    batch = cli("run", file(CHAIN), "--json").json["id"]
    told = cli("payment", "show", "first", "--json").json
    assert told["state"] == "partially_refunded"
    assert (told["masked"], told["batch"], told["line"]) == ("411111******1111", batch, 2)
    amounts = {name: value for name, value in told["amounts"].items() if value}
    assert amounts == {"authorized": 1000, "captured": 400, "refunded": 150}
    done = [(each["kind"], each["state"], each["line"]) for each in told["operations"]]
    assert done == [
        ("authorize", "approved", 2),
        ("capture", "approved", 3),
        ("capture", "rejected", 4),
        ("refund", "approved", 5),
    ]
    shown = cli("payment", "show", told["id"]).out
    assert "partially_refunded" in shown
    assert "more than what is left" in shown
    assert "10.00" in shown


def test_a_payment_is_found_by_the_id_of_any_dialect(cli: Cli, file: File) -> None:
    header = "transaction_type,amount,cc_number,cc_expiration,order_id\n"
    cli("run", file(f"{header}sale,100,4111111111111111,12/39,A\n"))
    name = pl.read_csv("file.results.csv", infer_schema=False)["id"][0]
    assert cli("payment", "show", name, "--json").json["reference"] == "A"


def test_several_payments_with_one_reference_are_listed(cli: Cli, file: File) -> None:
    cli("run", file(GOOD))
    cli("run", file(GOOD), "--again")
    done = cli("payment", "show", "A", "--json")
    assert done.code == 1
    assert len(done.json) == 2
    assert len({each["id"] for each in done.json}) == 2
    assert "2 payments have the reference 'A'" in done.err
    assert all(each["id"] in cli("payment", "show", "A").out for each in done.json)


@pytest.mark.parametrize("name", ["nobody", "pay_00000000000000000000", ""])
def test_an_unknown_payment_is_a_sentence(cli: Cli, name: str) -> None:
    done = cli("payment", "show", name)
    assert (done.code, "No payment" in done.err) == (1, True)


def test_the_trial_balance_sums_to_zero(cli: Cli, file: File) -> None:
    cli("run", file(CHAIN))
    cli("run", file(GOOD, "good.csv"))
    done = cli("ledger", "balance", "--json")
    assert done.code == 0
    assert {each["state"] for each in done.json} == {"balanced"}
    balances = {each["id"]: each["balance_minor"] for each in done.json}
    assert balances["demo/sandbox/USD/receivable"] == 400 - 150 + 300
    assert balances["demo/sandbox/USD/hold"] == 600
    assert balances["demo/many/JPY/merchant"] == -300
    assert sum(balances.values()) == 0
    out = cli("ledger", "balance").out
    assert "Every law holds." in out
    assert "5.50" in out
    assert "disputed" not in out
    assert "disputed" in cli("ledger", "balance", "--all").out


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (
            "UPDATE balance_delta SET debit_minor = debit_minor + 1 WHERE debit_minor > 0",
            "its transfers sum to",
        ),
        (
            "UPDATE balance_delta SET debit_minor = debit_minor + 1 WHERE debit_minor > 0",
            "all accounts sum to 4 minor units and not to zero",
        ),
        ("UPDATE payment SET captured = captured - 1 WHERE captured > 0", "its payments say 249"),
        ("UPDATE payment SET released = 1 WHERE origin = 'authorize'", "its payments say 599"),
        ("DELETE FROM balance_delta; DELETE FROM transfer; DELETE FROM account", "no accounts"),
    ],
)
def test_a_broken_law_ends_with_1(
    cli: Cli, file: File, engine: Engine, harm: str, said: str
) -> None:
    cli("run", file(CHAIN))
    with psycopg.connect(str(engine.settings.database_url)) as connection:
        connection.execute(harm)
    done = cli("ledger", "balance")
    assert done.code == 1
    assert "The books are broken." in done.err
    assert said in done.err
    assert "Every law holds." not in done.out


FACTS = (
    "kind,amount_minor,currency,card_number,card_expiry,reference,payment,comment,arn,reason_code,"
    "due_on,document,stage\n"
    "sale,1000,USD,4111111111111111,12/39,first,,,,,,,\n"
    "comment,,,,,,first,the payer called,,,,,\n"
    "retrieval,,,,,,first,,,30,,ticket-1.pdf,\n"
    "chargeback_info,,,,,,first,,,,2026-12-15,,inquiry\n"
    "chargeback,400,USD,,,,first,not received,A1,10.4,,,\n"
    "acknowledge,,,,,,first,,,,,,\n"
    "scoring,,,,,,first,,,,,,\n"
    "blacklist,,,,,,first,,,,,,\n"
)


def test_a_payment_s_facts_are_shown(cli: Cli, file: File) -> None:
    cli("run", file(FACTS))
    told = cli("payment", "show", "first", "--json").json["facts"]
    assert [(each["fact"], each["name"]) for each in told] == [
        ("note", "comment"),
        ("dispute", "retrieval"),
        ("note", "document"),
        ("dispute", "inquiry"),
        ("dispute", "chargeback"),
        ("note", "acknowledged"),
        ("score", "low"),
        ("listing", "listed"),
    ]
    assert told[0]["text"] == "the payer called"
    assert told[4]["detail"] == {
        "dispute": "1",
        "amount_minor": 400,
        "currency": "USD",
        "arn": "A1",
        "reason_code": "10.4",
    }
    assert all(each["operation"].startswith("op_") for each in told)
    shown = cli("payment", "show", "first").out
    for words in (
        *("the payer called", "ticket-1.pdf", "amount 4.00 USD, arn A1", "due on 2026-12-15"),
        *("reason code 10.4", "dispute 1", "score 5", "what number, level merchant"),
    ):
        assert words in shown
