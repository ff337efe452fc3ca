"""``paybatch check``: the dry run says what would happen and writes nothing."""

from pathlib import Path

import psycopg
from psycopg import sql

from cli_support import GOOD, MIXED, Cli, File
from paybatch.flow.engine import Engine

CHAIN = (
    "kind,amount_minor,currency,card_number,card_expiry,reference,payment\n"
    "authorize,1000,USD,4111111111111111,12/39,first,\n"
    "capture,400,USD,,,,first\n"
    "capture,,USD,,,,first\n"
    "capture,1,USD,,,,first\n"
    "refund,1,,,,,nobody\n"
)


def stored(engine: Engine) -> dict[str, int]:
    """Count the rows of every table, the values of sequences and the blobs."""
    with psycopg.connect(str(engine.settings.database_url)) as connection:
        tables = connection.execute(
            "SELECT table_name FROM information_schema.tables "
            "WHERE table_schema = 'public' AND table_type = 'BASE TABLE'"
        ).fetchall()
        found = {}
        for (name,) in tables:
            count = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(name))
            found[name] = int(connection.execute(count).fetchall()[0][0])
        numbers = connection.execute("SELECT sequencename, last_value FROM pg_sequences").fetchall()
        found |= {f"sequence {name}": value for name, value in numbers}
    blobs = engine.settings.home / "blobs"
    found["blobs"] = len([path for path in blobs.rglob("*") if path.is_file()])
    return found


def test_it_writes_nothing(cli: Cli, file: File, engine: Engine) -> None:
    before = stored(engine)
    for text in (GOOD, MIXED, CHAIN, "a,b\n"):
        cli("check", file(text))
        cli("check", file(text), "--json")
    assert stored(engine) == before
    assert [path.name for path in Path().iterdir()] == ["file.csv"]


def test_totals_say_what_would_be_sent(cli: Cli, file: File) -> None:
    done = cli("check", file(MIXED))
    lines = [" ".join(line.split()) for line in done.out.splitlines()]
    assert done.code == 0
    assert "Gates demo/sandbox (test mode): 3 rows" in lines
    assert "sent credit 1 USD 0.70" in lines
    assert "sent sale 2 USD 3.50" in lines
    assert "rejected sale amount_malformed 1 USD 0.00" in lines
    assert "total 4" in lines
    assert done.err == "Nothing was written or sent.\n"


def test_all_errors_are_listed(cli: Cli, file: File) -> None:
    header = "kind,amount_minor,currency,card_number,card_expiry\n"
    rows = ["sale,-1,XXX,4111111111111112,13/25\n"] * 30
    done = cli("check", file(header + "".join(rows)), "--json")
    reasons = {"amount_malformed", "currency_unknown", "number_check_digit", "expiry_malformed"}
    for line in range(2, 32):
        assert {e["reason"] for e in done.json["errors"] if e["line"] == line} == reasons
    assert done.json["error_count"] == 120
    shown = cli("check", file(header + "".join(rows))).out
    assert shown.count("number_check_digit") == 30


def test_what_payments_would_refuse_is_foreseen_within_one_file(cli: Cli, file: File) -> None:
    found = cli("check", file(CHAIN), "--json").json
    assert [(each["line"], each["reason"]) for each in found["refused"]] == [
        (5, "status_not_allowed"),
        (6, "payment_unknown"),
    ]
    totals = {(each["state"], each["kind"]): each for each in found["totals"]}
    assert totals["queued", "authorize"]["requested_minor"] == 1000
    assert totals["queued", "capture"]["requested_minor"] == 1000, "400 and all that is left"
    assert totals["queued", "capture"]["row_count"] == 2
    assert sum(each["row_count"] for each in found["totals"]) == found["rows"] == 5


def test_what_payments_would_refuse_is_foreseen_from_their_state(cli: Cli, file: File) -> None:
    cli("run", file(GOOD))
    text = "kind,payment,amount_minor\nrefund,A,60\nrefund,A,60\nrefund,B,\n"
    found = cli("check", file(text), "--json").json
    assert [(each["line"], each["reason"]) for each in found["refused"]] == [
        (3, "amount_above_left")
    ]
    sent = [each for each in found["totals"] if each["state"] == "queued"]
    assert [(each["currency"], each["requested_minor"]) for each in sent] == [("USD", 260)]
    done = cli("run", file(text), "--json").json
    assert done["outcomes"]["approved"]["approved"] == {"USD": 260}


def test_overlaps_with_earlier_batches_are_named(cli: Cli, file: File) -> None:
    first = cli("run", file(GOOD), "--json").json["id"]
    found = cli("check", file(GOOD), "--json").json
    assert found["same_file"] == [first]
    assert found["seen"] == [{"batch": first, "rows": 3}]
    other = GOOD.replace(",A,", ",Z,")
    found = cli("check", file(other), "--json").json
    assert found["same_file"] == []
    assert found["seen"] == [{"batch": first, "rows": 2}]
    assert f"2 references stand in batch {first}" in cli("check", file(other)).out


def test_largest_amounts_are_shown(cli: Cli, file: File) -> None:
    header = "kind,amount_minor,currency,card_number,card_expiry\n"
    rows = [f"sale,{amount},USD,4111111111111111,12/39\n" for amount in (1, 2, 99_999_900, 3, 4, 5)]
    found = cli("check", file(header + "".join(rows)), "--json").json
    assert found["largest"][0] == {
        "line": 4,
        "kind": "sale",
        "currency": "USD",
        "requested_minor": 99_999_900,
    }
    assert "999,999.00" in cli("check", file(header + "".join(rows))).out


def test_a_file_that_cannot_be_read_ends_with_3(cli: Cli, file: File) -> None:
    done = cli("check", file("a,b\n1,2\n"), "--json")
    assert (done.code, done.json["state"]) == (3, "refused")
