"""``paybatch batch``: looking at batches, taking them on and stopping them."""

from pathlib import Path

import polars as pl
import pytest

from cli_support import GOOD, MIXED, Cli, File
from paybatch.domain.lifecycle import BatchState
from paybatch.flow.engine import Engine, move
from paybatch.flow.intake.receive import Request, receive
from paybatch.flow.place import find_place
from paybatch.store.public_ids import Shape


def received(engine: Engine, text: str = GOOD) -> str:
    """Hand a file in as if its process had been killed right after."""
    place = find_place(engine, "local")
    number = receive(engine, place, [text.encode()], Request(file_name="killed.csv"))
    return engine.public_ids.encode_one(number, "bat", Shape.NATIVE)


def released(engine: Engine, cli: Cli) -> str:
    """Give a batch that is released and has no worker."""
    name = received(engine)
    number = engine.public_ids.decode_one(name, "bat", Shape.NATIVE)
    assert number is not None
    cli("batch", "pause", name)  # it is not running yet: nothing happens
    for state in (BatchState.CHECKING, BatchState.READY, BatchState.RUNNING):
        move(engine, number, state)
    return name


def test_list_is_newest_first(cli: Cli, file: File) -> None:
    names = [cli("run", file(text), "--json").json["id"] for text in (GOOD, MIXED)]
    listed = cli("batch", "list", "--json").json
    assert [each["id"] for each in listed] == names[::-1]
    assert [each["state"] for each in listed] == ["completed"] * 2
    assert len(cli("batch", "list", "--limit", "1", "--json").json) == 1
    shown = cli("batch", "list").out
    assert all(name in shown for name in names), "ids are never folded"


def test_list_of_nothing(cli: Cli) -> None:
    assert cli("batch", "list", "--json").json == []
    assert cli("batch", "list").out == "Batches: none.\n"


def test_show_says_what_run_said(cli: Cli, file: File) -> None:
    ran = cli("run", file(MIXED), "--json").json
    shown = cli("batch", "show", ran["id"], "--json").json
    assert shown == {
        name: value for name, value in ran.items() if name not in {"seconds", "steps", "results"}
    }
    out = cli("batch", "show", ran["id"]).out
    assert "valid-rows" in out
    assert "Finished (UTC)" in out
    assert "amount_malformed" in out


@pytest.mark.parametrize("name", ["bat_00000000000000000000", "nonsense", ""])
def test_an_unknown_id_is_a_sentence(cli: Cli, name: str) -> None:
    for command in ("show", "results", "resume", "pause", "cancel"):
        done = cli("batch", command, name)
        assert (done.code, done.out) == (1, "")
        assert "`paybatch batch list`" in done.err


def test_results_of_one_outcome(cli: Cli, file: File) -> None:
    name = cli("run", file(MIXED), "--json").json["id"]
    done = cli("batch", "results", name, "--only", "declined", "--results", "d.csv", "--json")
    assert done.json == {"id": name, "state": "completed", "results": "d.csv"}
    result = pl.read_csv("d.csv", infer_schema=False)
    assert result["reference"].to_list() == ["B"]
    cli("batch", "results", name, "--results", "all.csv")
    assert Path("all.csv").read_bytes() == Path("file.results.csv").read_bytes()


def test_a_result_that_cannot_be_written_says_what_to_do(cli: Cli, file: File) -> None:
    name = cli("run", file(GOOD), "--json").json["id"]
    done = cli("batch", "results", name, "--results", "no/such.csv")
    assert done.code == 1
    assert "No such file" in done.err
    assert f"paybatch batch results {name} --results PATH" in done.err
    done = cli("batch", "results", name, "--results", "x" * 300)
    assert (done.code, "File name too long" in done.err) == (1, True)


def test_resume_takes_on_what_was_only_received(cli: Cli, engine: Engine) -> None:
    name = received(engine)
    assert cli("batch", "show", name, "--json").json["state"] == "received"
    assert "No rows have been read yet." in cli("batch", "show", name).out
    done = cli("batch", "resume", name, "--json", "--results", "r.csv")
    assert (done.code, done.json["state"], done.json["rows"]) == (0, "completed", 3)
    again = cli("batch", "resume", name, "--results", "r.csv")
    assert again.code == 0, "a batch that has ended is shown as it is"


def test_the_same_file_names_the_unfinished_batch(cli: Cli, engine: Engine, file: File) -> None:
    name = received(engine)
    done = cli("run", file(GOOD))
    assert done.code == 3
    assert f"paybatch batch resume {name}" in done.err


def test_pause_and_resume(cli: Cli, engine: Engine) -> None:
    name = released(engine, cli)
    paused = cli("batch", "pause", name, "--json")
    assert (paused.code, paused.json["state"]) == (0, "paused")
    assert cli("batch", "resume", name, "--json").json["state"] == "completed"


def test_only_unknown_rows_left_ends_with_5(cli: Cli, engine: Engine) -> None:
    name = released(engine, cli)
    number = engine.public_ids.decode_one(name, "bat", Shape.NATIVE)
    assert number is not None
    move(engine, number, BatchState.WAITING)
    done = cli("batch", "resume", name, "--json")
    assert (done.code, done.json["state"]) == (5, "waiting")


def test_resume_tells_the_rows_that_it_did(cli: Cli, engine: Engine, file: File) -> None:
    name = received(engine)
    assert "3 rows in" in cli("batch", "resume", name).out
    assert "rows in" not in cli("batch", "resume", name).out, "only the result was written"


def test_cancel_sends_nothing_more_and_frees_the_file(cli: Cli, engine: Engine, file: File) -> None:
    name = released(engine, cli)
    done = cli("batch", "cancel", name)
    assert (done.code, "cancelled" in done.out) == (0, True)
    assert cli("batch", "show", name, "--json").json["state"] == "cancelled"
    assert cli("run", file(GOOD)).code == 0


def test_a_file_that_was_not_read_yet_can_be_cancelled(
    cli: Cli, engine: Engine, file: File
) -> None:
    name = received(engine)
    assert cli("batch", "cancel", name, "--json").json["state"] == "cancelled"
    assert cli("batch", "resume", name, "--json").json["state"] == "cancelled"
    assert cli("run", file(GOOD)).code == 0


def test_what_has_ended_cannot_be_stopped(cli: Cli, file: File) -> None:
    name = cli("run", file(GOOD), "--json").json["id"]
    for command, word in (("pause", "paused"), ("cancel", "cancelled")):
        done = cli("batch", command, name)
        assert done.code == 1
        assert f"The batch is completed; it cannot be {word} now." in done.err
