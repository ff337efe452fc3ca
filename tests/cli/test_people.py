"""``paybatch merchant``, ``gate``, ``card`` and ``customer``."""

import polars as pl
import psycopg
import pytest
from psycopg import sql

from cli_support import Cli, File
from paybatch.flow.engine import Engine

NUMBER = "4111111111111111"


def test_a_merchant_with_its_gate_can_be_used(cli: Cli, file: File) -> None:
    assert cli("merchant", "add", "shop", "--title", "The shop").code == 0
    assert "already" in cli("merchant", "add", "shop").out
    listed = {each["id"]: each for each in cli("merchant", "list", "--json").json}
    assert (listed["shop"]["state"], listed["shop"]["title"]) == ("active", "The shop")
    text = "kind,amount,currency,card_number,card_expiry\nsale,1.00,EUR,4111111111111111,12/39\n"
    assert "no default gate" in cli("run", file(text), "--merchant", "shop").err
    assert cli("gate", "add", "shop", "main", "--currency", "EUR", "--currency", "JPY").code == 0
    assert cli("run", file(text), "--merchant", "shop", "--strict").code == 0
    balance = cli("ledger", "balance", "--json").json
    assert {each["merchant"] for each in balance} == {"shop"}


def test_another_sender_may_be_let_in(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    cli("merchant", "add", "demo", "--sender", "partner")
    monkeypatch.setenv("PAYBATCH_SENDER", "partner")
    assert "Customers: none." in cli("customer", "list").out
    monkeypatch.setenv("PAYBATCH_SENDER", "stranger")
    done = cli("card", "add", "--expiry", "12/39", stdin=NUMBER)
    assert (done.code, "acts for no merchant yet" in done.err) == (1, True)


def test_a_gate_has_what_was_said(cli: Cli) -> None:
    words = ["--capability", "partial_void=false", "--capability", "refund_excess_percent=5"]
    words += ["--capability", "zero_authorization_brands=visa", "--zone", "Europe/Berlin"]
    words += ["--cut-off", "22:30", "--default", "--mode", "live"]
    assert cli("gate", "add", "demo", "third", *words).code == 0
    gates = {each["id"]: each for each in cli("gate", "list", "demo", "--json").json}
    third = gates["demo/third"]
    assert (third["mode"], third["zone"], third["cut_off"]) == ("live", "Europe/Berlin", "22:30")
    assert third["capabilities"]["refund_excess_percent"] == 5
    assert third["capabilities"]["partial_void"] is False
    assert third["capabilities"]["zero_authorization_brands"] == ["visa"]
    assert [name for name, each in gates.items() if each["default"]] == ["demo/third"]
    assert "partial_void=false" in cli("gate", "list").out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["demo", "sandbox"], 1, "has a gate sandbox already"),
        (["nobody", "main"], 1, "There is no merchant 'nobody'"),
        (["demo", "x", "--connector", "none"], 1, "There is no connector 'none'"),
        (["demo", "x", "--mode", "real"], 1, "test or live"),
        (["demo", "x", "--currency", "XXX"], 1, "XXX"),
        (["demo", "x", "--zone", "Nowhere"], 1, "'Nowhere' is not a time zone"),
        (["demo", "x", "--cut-off", "late"], 2, "HH:MM"),
        (["demo", "x", "--capability", "flying=true"], 1, "several_captures"),
        (["demo", "x", "--capability", "refund_excess_percent=101"], 1, "less than or equal"),
        (["demo", "a b"], 1, "cannot be the name of a gate"),
        (["demo", NUMBER], 1, "'411111******1111' cannot be the name of a gate"),
        (["demo", "x", "--zone", "Europe"], 1, "'Europe' is not a time zone"),
    ],
)
def test_a_wrong_gate_is_a_sentence(cli: Cli, words: list[str], code: int, said: str) -> None:
    done = cli("gate", "add", *words)
    assert (done.code, done.out) == (code, "")
    assert said in done.err
    assert len(cli("gate", "list", "--json").json) == 2


def test_no_name_holds_a_card_number(
    cli: Cli, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    spaced = "4111 1111 1111 1111"
    for words in (
        *(["merchant", "add", NUMBER], ["merchant", "add", f"shop-{NUMBER}"]),
        *(["merchant", "add", "shop", "--title", spaced], ["customer", "add", NUMBER]),
        *(["merchant", "add", "shop", "--sender", NUMBER], ["gate", "add", "demo", NUMBER]),
    ):
        done = cli(*words)
        assert (done.code, done.out) == (1, "")
        assert "it holds a card number" in done.err
        assert "1111 1111" not in done.err
        assert NUMBER not in done.err
    monkeypatch.setenv("PAYBATCH_SENDER", NUMBER)  # it would stand in the audit
    done = cli("gate", "add", "demo", "new")
    assert (done.code, "PAYBATCH_SENDER is wrong: it holds a card" in done.err) == (1, True)
    with psycopg.connect(str(engine.settings.database_url)) as connection:
        for table in ("merchant", "sender", "gate", "customer", "audit"):
            rows = connection.execute(
                sql.SQL("SELECT * FROM {}").format(sql.Identifier(table))
            ).fetchall()
            assert not {"new", "shop", NUMBER, spaced} & set(str(rows).split("'"))


@pytest.mark.parametrize("title", ["x" * 256, "two\nlines", "a\udcff"])
def test_a_title_stands_on_one_line(cli: Cli, title: str) -> None:
    done = cli("merchant", "add", "shop", "--title", title)
    assert (done.code, "cannot be the title of a merchant" in done.err) == (1, True)


def test_a_card_is_kept_and_pays(cli: Cli, file: File, engine: Engine) -> None:
    added = cli("card", "add", "--expiry", "12/39", stdin=f"{NUMBER}\n")
    reference = added.out.strip()
    assert reference.startswith("card_")
    assert NUMBER not in added.out + added.err
    assert cli("card", "add", "--expiry", "12/39", "--json", stdin=NUMBER).json["id"] == reference
    listed = cli("card", "list", "--json").json
    assert [(each["brand"], each["masked"]) for each in listed] == [("visa", "411111******1111")]
    short = listed[0]["id"]
    text = (
        "kind,amount_minor,card_reference,card_expiry\n"
        f"sale,100,{reference},\nsale,100,{short},12/39\n"
    )
    assert cli("run", file(text), "--strict").code == 0
    with psycopg.connect(str(engine.settings.database_url)) as connection:
        events = connection.execute("SELECT action, subject, detail::text FROM audit").fetchall()
    assert ("card.added", "number:411111******1111") in [event[:2] for event in events]
    assert NUMBER not in str(events)


@pytest.mark.parametrize(
    ("number", "expiry", "said"),
    [
        ("4111111111111112", "12/39", "check digit"),
        ("4111 1111 1111 1111", "12/39", "digits"),
        ("4.11E+15", "12/39", "spreadsheet"),
        ("", "12/39", "digits"),
        (NUMBER, "13/39", "MM/YY"),
        (NUMBER, "12/19", "expired"),
    ],
)
def test_a_wrong_card_is_not_kept(cli: Cli, number: str, expiry: str, said: str) -> None:
    done = cli("card", "add", "--expiry", expiry, stdin=number)
    assert (done.code, said in done.err) == (1, True)
    assert not number or number not in done.err
    assert cli("card", "list", "--json").json == []


def test_test_values_are_kept_where_a_gate_is_in_test_mode(cli: Cli) -> None:
    assert cli("card", "add", "--expiry", "12/39", stdin="4000000000000069").code == 0


def test_a_customer_pays_by_its_first_means(cli: Cli, file: File) -> None:
    cards = [
        cli("card", "add", "--expiry", "12/39", stdin=number).out.strip()
        for number in (NUMBER, "4000000000000002")
    ]
    added = cli("customer", "add", "ada", "--card", cards[0], "--card", cards[1], "--json")
    assert added.json == {"id": "ada", "state": "active", "merchant": "demo", "ranks": [1, 2]}
    listed = cli("customer", "list", "--json").json
    assert listed == [{"id": "ada", "state": "active", "merchant": "demo", "means": 2}]
    text = "kind,amount_minor,customer,means_rank\nsale,100,ada,\nsale,100,ada,2\n"
    cli("run", file(text))
    result = pl.read_csv("file.results.csv", infer_schema=False)
    assert result["outcome"].to_list() == ["approved", "declined"]


def test_wrong_means_leave_a_customer_as_it_was(cli: Cli) -> None:
    card = cli("card", "add", "--expiry", "12/39", stdin=NUMBER).out.strip()
    short = cli("card", "list", "--json").json[0]["id"]
    assert "already" in cli("customer", "add", "ada", "--card", card, "--card", card).err
    assert "vault has no card" in cli("customer", "add", "ada", "--card", "card_x").err
    assert "no expiry" in cli("customer", "add", "ada", "--card", short).err
    assert "name of a customer" in cli("customer", "add", "a b").err
    assert cli("customer", "list", "--json").json == []
    assert cli("customer", "add", "ada", "--merchant", "other").code == 1
