"""``paybatch run``: what it prints and with which code it ends."""

from pathlib import Path

import polars as pl
import pytest

from cli_support import GOOD, MIXED, Cli, File


def test_a_person_sees_counts_sums_and_the_first_rejected_rows(cli: Cli, file: File) -> None:
    done = cli("run", file(MIXED))
    assert done.code == 0
    lines = [" ".join(line.split()) for line in done.out.splitlines()]
    assert "gate sandbox (test mode)" in lines[0]
    assert lines[1:7] == [
        "outcome kind rows currency requested approved",
        "approved credit 1 USD 0.70 0.70",
        "approved sale 1 USD 1.00 1.00",
        "declined sale 1 USD 2.50 0.00",
        "rejected sale 1 USD 0.00 0.00",
        "total 4",
    ]
    assert any(line.startswith("4 amount_malformed column amount_minor is 1.00") for line in lines)
    assert "Result: file.results.csv" in lines
    assert Path("file.results.csv").exists()


def test_a_program_gets_one_object(cli: Cli, file: File) -> None:
    done = cli("run", file(GOOD), "--json", "--results", "out.csv")
    found = done.json
    assert done.code == 0
    assert found["id"].startswith("bat_")
    assert found["seconds"] > 0
    assert {name: found[name] for name in ("state", "reason", "file", "dialect", "rows")} == {
        "state": "completed",
        "reason": None,
        "file": "file.csv",
        "dialect": "native",
        "rows": 3,
    }
    assert {name: found[name] for name in ("merchant", "gate", "mode", "policy", "results")} == {
        "merchant": "demo",
        "gate": "sandbox",
        "mode": "test",
        "policy": "valid-rows",
        "results": "out.csv",
    }
    approved = found["outcomes"]["approved"]
    assert set(found["outcomes"]) == {"approved"}
    assert approved["count"] == 3
    assert approved["requested"] == approved["approved"] == {"USD": 300, "JPY": 300}
    assert approved["kinds"][0]["kind"] == "sale"
    assert pl.read_csv("out.csv", infer_schema=False)["outcome"].to_list() == ["approved"] * 3


def test_no_bar_and_no_colour_in_a_pipe(cli: Cli, file: File) -> None:
    done = cli("run", file(GOOD))
    assert "\x1b" not in done.out + done.err
    assert done.err == ""


def test_standard_input_is_read(cli: Cli) -> None:
    done = cli("run", "-", "--json", stdin=GOOD)
    assert (done.code, done.json["file"], done.json["rows"]) == (0, "standard input", 3)
    assert Path(f"{done.json['id']}.results.csv").exists()


def test_valid_rows_are_carried_out_and_strict_says_so(cli: Cli, file: File) -> None:
    done = cli("run", file(MIXED), "--policy", "valid-rows", "--strict", "--json")
    counts = {state: each["count"] for state, each in done.json["outcomes"].items()}
    assert (done.code, counts) == (4, {"approved": 2, "declined": 1, "rejected": 1})
    assert done.json["outcomes"]["rejected"]["reasons"] == {"amount_malformed": 1}
    assert cli("run", file(GOOD, "good.csv"), "--strict").code == 0


@pytest.mark.parametrize(
    "row",
    ["sale,1.00,USD,4111111111111111,12/39,C,", "refund,301,USD,,,,A"],
    ids=["row", "payment"],
)
def test_all_or_none_refuses_and_does_nothing(cli: Cli, file: File, row: str) -> None:
    text = (
        "kind,amount_minor,currency,card_number,card_expiry,reference,payment\n"
        f"sale,300,USD,4111111111111111,12/39,A,\n{row}\n"
    )
    done = cli("run", file(text), "--policy", "all-or-none", "--json")
    assert (done.code, done.json["state"]) == (3, "refused")
    assert done.json["reason"] == "One row fails a check, and the policy is all-or-none."
    counts = {state: each["count"] for state, each in done.json["outcomes"].items()}
    assert counts == {"cancelled": 1, "rejected": 1}
    result = pl.read_csv("file.results.csv", infer_schema=False)
    assert result["outcome"].to_list() == ["cancelled", "rejected"]
    assert result["message"][1] is not None
    assert cli("ledger", "balance", "--json").json == []
    assert "No payment" in cli("payment", "show", "A").err
    again = cli("run", file(text))
    assert again.code == 0, "a refused file does not count as handed in"


def test_stop_after_cancels_the_rest(cli: Cli, file: File, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYBATCH_STOP_CHUNK_ROWS", "2")
    monkeypatch.setenv("PAYBATCH_THREADS", "1")
    rows = ["sale,100,USD,4000000000000002,12/39,"] * 3
    rows += ["sale,100,USD,4111111111111111,12/39,"] * 4
    header = "kind,amount_minor,currency,card_number,card_expiry,reference\n"
    text = header + "".join(f"{row}r{number}\n" for number, row in enumerate(rows))
    done = cli("run", file(text), "--policy", "stop-after=3", "--json")
    counts = {state: each["count"] for state, each in done.json["outcomes"].items()}
    assert (done.code, done.json["state"]) == (1, "cancelled")
    assert counts == {"cancelled": 4, "declined": 3}


def test_stop_after_counts_rows_that_fail_a_check(cli: Cli, file: File) -> None:
    done = cli("run", file(MIXED), "--policy", "stop-after=1", "--json")
    counts = {state: each["count"] for state, each in done.json["outcomes"].items()}
    assert counts == {"cancelled": 3, "rejected": 1}


def test_the_same_file_is_refused_and_again_carries_it_out(cli: Cli, file: File) -> None:
    first = cli("run", file(GOOD), "--json").json["id"]
    second = cli("run", file(GOOD), "--json")
    assert (second.code, second.json["state"]) == (3, "refused")
    assert first in second.json["reason"]
    assert cli("run", file(GOOD), "--again").code == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "nothing.csv"], "There is no file nothing.csv."),
        (["run", "file.csv", "--policy", "stop-after=0"], "is not one of all-or-none"),
        (["run", "file.csv", "--policy", "some"], "is not one of all-or-none"),
        (["run", "file.csv", "--results", "no/such.csv"], "There is no folder no"),
        (["run", "file.csv", "--results", "."], "is a folder"),
        (["run", "file.csv", "--results", "file.csv"], "take the place of the file"),
        (["check", "nothing.csv"], "There is no file nothing.csv."),
        (["batch", "results", "x", "--only", "good"], "--only takes one of"),
        (["run"], "Missing argument"),
        (["nonsense"], "No such command"),
    ],
)
def test_wrong_usage_ends_with_2(bare: Cli, file: File, words: list[str], said: str) -> None:
    file(GOOD)
    done = bare(*words)
    assert (done.code, said in done.err) == (2, True), done.err


def test_an_unknown_kind_or_dialect_ends_with_2(cli: Cli, file: File) -> None:
    for command in ("run", "check"):
        done = cli(command, file(GOOD), "--kind", "pay")
        assert (done.code, "There is no kind 'pay'" in done.err) == (2, True)
        done = cli(command, file(GOOD), "--dialect", "none")
        assert (done.code, "There is no dialect 'none'" in done.err) == (2, True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        ("a,b\n1,2\n", "no dialect knows"),
        ("kind,kind,amount_minor\nsale,sale,1\n", "repeated"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(cli: Cli, file: File, text: str, said: str) -> None:
    done = cli("run", file(text))
    assert done.code == 3
    assert said in done.err
    assert "Nothing was done." in done.err
    assert cli("batch", "list", "--json").json == []


def test_an_unknown_merchant_or_gate_is_a_sentence(cli: Cli, file: File) -> None:
    assert "no merchant 'x'" in cli("run", file(GOOD), "--merchant", "x").err
    done = cli("run", file(GOOD), "--gate", "x")
    assert (done.code, "sandbox, many" in done.err) == (1, True)


def test_a_result_never_takes_the_place_of_its_file(cli: Cli, file: File) -> None:
    name = file(GOOD, "day.1.results.csv")
    done = cli("run", name, "--json")
    assert done.json["results"] == "day.1.results.results.csv"
    assert Path(name).read_text(encoding="utf-8") == GOOD


def test_control_characters_do_not_reach_the_terminal(cli: Cli, file: File) -> None:
    done = cli("run", file("kind,amount_minor\n\x1b[2Jsell,1\n"))
    assert "\x1b" not in done.out
    assert "\x1b" not in cli("run", "\x1b[2J.csv").err
