"""``paybatch run``: what it prints and with which code it ends."""

import re
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
    assert "4 rows in" in done.out
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


def test_stop_after_says_why_it_stopped(cli: Cli, file: File) -> None:
    done = cli("run", file(MIXED), "--policy", "stop-after=1", "--json")
    why = "One row was rejected, declined or failed, and the policy is stop-after=1."
    assert done.json["reason"] == why
    assert f"{why} The rest is cancelled." in cli("batch", "show", done.json["id"]).out


def test_every_fault_of_a_row_is_told(cli: Cli, file: File) -> None:
    header = "kind,amount_minor,currency,card_number,card_expiry\n"
    done = cli("run", file(f"{header}sale,-1,XXX,4111111111111112,13/25\nsale,1.00,USD,,\n"))
    rows = [line.split()[:2] for line in done.out.splitlines() if line.startswith("   ")]
    reasons = ["currency_unknown", "amount_malformed", "number_check_digit", "expiry_malformed"]
    told = [["2", each] for each in reasons]
    assert rows == [*told, ["3", "amount_malformed"], ["3", "means_missing"]]
    result = pl.read_csv("file.results.csv", infer_schema=False)
    assert result["reason"].to_list() == ["currency_unknown", "amount_malformed"]
    message = result["message"][0]
    assert [part.split()[1] for part in message.split("; column ")] == ["currency", *["is"] * 3]
    assert message.endswith("13/25: write the expiry as MM/YY, for example 09/29")


def test_of_very_many_faults_the_first_are_told(cli: Cli, file: File) -> None:
    names = [*("tax_minor", "surcharge_minor", "tip_minor", "shipping_minor", "amount_minor")]
    names += ["currency", "card_number", "card_expiry", "card_cvv", "email", "final", "means_rank"]
    done = cli("run", file(f"kind,{','.join(names)}\nsale{',x' * len(names)}\n"))
    told = re.search(r"and \d+ more", done.out)
    assert told is not None
    assert done.out.count("\n   2  ") == 11
    assert pl.read_csv("file.results.csv")["message"][0].endswith(f"; {told[0]}")


def test_a_short_line_is_told_what_is_allowed(cli: Cli, file: File) -> None:
    done = cli("run", file("kind,amount_minor,currency\nsale,1\n"))
    assert "fewer fields than the header (2 found, 3 in the header)" in done.out
    assert "unknown" not in done.out, "that is an outcome; the row has no kind"


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
        (["run", "file.csv", "--policy", "stop-after=\u00b2"], "is not one of all-or-none"),
        (["run", "file.csv", "--policy", f"stop-after={'9' * 5000}"], "is not one of all-or-none"),
        (["run", f"{'x' * 300}.csv"], "cannot be read (File name too long)."),
        (["check", f"{'x' * 300}.csv"], "cannot be read (File name too long)."),
        (["run", "file.csv", "--results", "x" * 300], "cannot be written to"),
        (["run", "file.csv", "--results", "/dev/null"], "/dev/null is not a file"),
        (["batch", "resume", "x", "--results", "no/such.csv"], "There is no folder no"),
        (["batch", "list", "--limit", "-1"], "--limit"),
        (["batch", "list", "--limit", "9" * 20], "--limit"),
        (["card", "list", "--limit", "9" * 20], "--limit"),
        (["card", "add", "4111111111111111", "--expiry", "12/39"], "extra argument"),
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
    assert done.err.startswith("paybatch: ")
    assert "4111111111111111" not in done.err


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
    for command in ("run", "check"):
        done = cli(command, file(GOOD), "--merchant", "x")
        assert (done.code, "no merchant 'x'" in done.err) == (2, True)
        done = cli(command, file(GOOD), "--gate", "x")
        assert (done.code, "sandbox, many" in done.err) == (2, True)


def test_a_sender_without_a_merchant_is_no_wrong_usage(
    cli: Cli, file: File, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAYBATCH_SENDER", "stranger")
    done = cli("run", file(GOOD))
    assert (done.code, "There is no sender 'stranger'" in done.err) == (1, True)


def test_a_result_never_takes_the_place_of_its_file(cli: Cli, file: File) -> None:
    name = file(GOOD, "day.1.results.csv")
    done = cli("run", name, "--json")
    assert done.json["results"] == "day.1.results.results.csv"
    assert Path(name).read_text(encoding="utf-8") == GOOD


def test_card_numbers_that_a_person_typed_are_not_repeated(cli: Cli, file: File) -> None:
    number = "4111111111111111"
    name = file(GOOD, f"day-{number}.csv.gz")
    ran = cli("run", name, "--json")
    assert ran.json["results"] == "day-411111xxxxxx1111.results.csv"
    assert Path(ran.json["results"]).exists()
    done = [
        *(cli("run", name, "--again"), cli("run", f"{number}.csv"), cli("payment", "show", number)),
        *(cli("run", name, "--gate", number), cli("run", name, "--dialect", number)),
        *(cli("run", name, "--policy", number), cli("batch", "show", number)),
        *(cli("kinds", number), cli("sample", number), cli(number)),
        cli("batch", "results", ran.json["id"], "--results", f"{number}.csv"),
    ]
    assert all("411111******1111" in each.out + each.err for each in done)
    assert all(number not in each.out + each.err for each in done)


def test_a_word_that_is_not_text_is_a_sentence(cli: Cli) -> None:
    for words in (["payment", "show"], ["customer", "add", "ada", "--card"]):
        done = cli(*words, "a\udcff")
        assert (done.code, "not text" in done.err) == (1, True)


def test_control_characters_do_not_reach_the_terminal(cli: Cli, file: File) -> None:
    done = cli("run", file("kind,amount_minor\n\x1b[2Jsell,1\n"))
    assert "\x1b" not in done.out
    assert "\x1b" not in cli("run", "\x1b[2J.csv").err
