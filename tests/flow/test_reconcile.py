"""A processor's settlement file against our books: differences are named, nothing is changed."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from closing_support import HEADER as NATIVE
from closing_support import act, close, row, sale, settled
from outside_support import CARD, LOST, Clock, Processor
from paybatch import registry
from paybatch.connectors.sandbox_http import CONNECTOR as OUTSIDE
from paybatch.domain.capabilities import Capabilities
from paybatch.flow import batch as batches
from paybatch.flow.engine import Engine
from paybatch.flow.intake.receive import Request
from paybatch.flow.people import WrongError
from paybatch.flow.place import find_place
from paybatch.flow.reconcile import Reconciled, reconcile
from paybatch.flow.sending.close_day import carry_on_all
from paybatch.flow.sending.recover import recover
from paybatch.flow.settled_sums import Sums

HEADER = "settlement,key,verb,payment,amount_minor,currency,at\n"
MONEY = {"sale", "capture", "refund", "credit", "debit", "void"}
pytestmark = pytest.mark.usefixtures("reads")


@pytest.fixture
def reads(outside: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the model write files as the sandbox does."""
    own = replace(registry.connectors()["sandbox"], read_settlement=OUTSIDE.read_settlement)
    monkeypatch.setitem(registry.connectors(), "sandbox", own)


def run(engine: Engine, *rows: str) -> None:
    text = NATIVE + "".join(f"{each}\n" for each in rows)
    request = Request(file_name="rec.csv", dialect="native", again=True)
    batches.run(engine, find_place(engine, "local"), [text.encode()], request)
    carry_on_all(engine)


def lines(processor: Processor) -> dict[str, tuple[str, int]]:
    """Give what a true settlement file lists, by key."""
    return {
        key: (verb, processor.replies[key]["approved_minor"])
        for key, (verb, _) in processor.effects.items()
        if verb in MONEY and processor.replies[key]["approved_minor"]
    }


def held(
    engine: Engine, listed: dict[str, tuple[str, int]], tmp_path: Path, number: int | None = None
) -> Reconciled:
    path = tmp_path / "settlement.csv"
    rows = [f"1,{key},{verb},p,{amount},USD,now" for key, (verb, amount) in listed.items()]
    path.write_text(HEADER + "".join(f"{each}\n" for each in rows))
    place = find_place(engine, "local")
    return reconcile(engine, place, place.gate(place.gate_id), path, number)


def told(found: Reconciled) -> list[tuple[str, int | None, int | None]]:
    return found.differences.select("difference", "here_minor", "there_minor").rows()


def test_a_true_file_agrees(engine: Engine, processor: Processor, tmp_path: Path) -> None:
    run(
        engine,
        *(sale("a", 1000), sale("h", 300, "authorize"), act("capture", "h", "200")),
        *(act("refund", "a", "50"), sale("v", 70), act("void", "v"), act("void", "h", "100")),
        *(sale("d", 10, card_number="4000000000000002"), close()),
    )
    listed = lines(processor)
    held_only = [key for key, (verb, amount) in listed.items() if (verb, amount) == ("void", 100)]
    found = held(engine, listed, tmp_path)
    assert (told(found), found.number) == ([], 1)
    assert (found.matched, len(held_only)) == (len(listed), 1)
    del listed[held_only[0]]  # a void of a hold moved no money: a file may leave it out
    assert told(held(engine, listed, tmp_path)) == []


def test_every_difference_is_named(
    clocked: tuple[Engine, Clock], processor: Processor, tmp_path: Path
) -> None:
    engine, clock = clocked
    run(engine, sale("a", 1000), sale("b", 500), sale("c", 20), sale("t", 30), sale("u", LOST))
    clock.now += timedelta(seconds=1)
    run(engine, sale("d", 9, card_number="4000000000000002"), close())
    listed = lines(processor)
    keys = {amount: key for key, (_, amount) in listed.items()}
    declined = next(key for key, (_, amount) in processor.effects.items() if amount == 9)
    del listed[keys[500]]
    listed[keys[20]] = ("sale", 21)
    listed[declined] = ("sale", 9)
    listed["of-somebody-else"] = ("sale", 3)
    before = _dump(engine)
    found = held(engine, listed, tmp_path)
    assert _dump(engine) == before
    assert sorted(told(found), key=str) == [
        ("amount", 20, 21),
        ("missing_here", None, 3),
        ("missing_here", None, 701),
        ("missing_here", None, 9),
        ("missing_there", 500, None),
    ]
    advice = dict(found.differences.select("there_minor", "advice").rows())
    assert "paybatch unknown look" in advice[LOST]
    assert "count it as not done" in advice[9]
    assert "nobody here sent this key" in advice[3]
    assert (found.matched, found.matched_minor) == (2, {"USD": 1030})
    clock.now += timedelta(minutes=1)
    assert recover(engine) == 1
    assert LOST not in held(engine, listed, tmp_path).differences["there_minor"].to_list()


def _dump(engine: Engine) -> list[object]:
    with engine.database.transaction() as connection:
        names = ("payment", "outcome", "attempt", "transfer", "settlement", "gate")
        return [connection.execute(f"SELECT * FROM {each}").fetchall() for each in names]  # type: ignore[call-overload]  # the test's own


def test_only_what_a_settlement_reached_is_missed(
    clocked: tuple[Engine, Clock], processor: Processor, tmp_path: Path
) -> None:
    engine, clock = clocked
    run(engine, sale("a", 1), close())
    first = lines(processor)
    clock.now += timedelta(hours=1)
    run(engine, sale("b", 2), close())
    second = {key: line for key, line in lines(processor).items() if key not in first}
    clock.now += timedelta(hours=1)
    run(engine, sale("c", 3))
    assert told(held(engine, second, tmp_path)) == []
    assert told(held(engine, first, tmp_path, 1)) == []
    assert told(held(engine, first, tmp_path)) == [("missing_there", 2, None)]
    with pytest.raises(WrongError, match="no settlement 9"):
        held(engine, first, tmp_path, 9)


def test_a_settlement_reaches_to_where_its_close_was_told(
    clocked: tuple[Engine, Clock], processor: Processor, tmp_path: Path
) -> None:
    """A close whose answer comes late reaches no further for it; nor does one behind it."""
    engine, clock = clocked
    run(engine, sale("a", 1000))
    processor.is_mute = True
    run(engine, close())
    processor.is_mute = False
    first = lines(processor)
    clock.now += timedelta(seconds=1)
    run(engine, row("gate_unlock", gate="sandbox"), sale("b", 5), close())
    second = {key: line for key, line in lines(processor).items() if key not in first}
    assert told(held(engine, second, tmp_path)) == []  # the first has no answer yet
    clock.now += timedelta(minutes=1)
    run(engine, sale("c", 7))
    assert [each[5] for each in settled(engine)] == [5, 1000]
    for number, own, of_other in [(1, second, 5), (2, first, 1000)]:
        assert told(held(engine, own, tmp_path, number)) == []
        assert told(held(engine, {}, tmp_path, number)) == [("missing_there", of_other, None)]


def test_sums_are_by_side_and_stand_beside_the_settlement(
    engine: Engine, processor: Processor, tmp_path: Path
) -> None:
    run(engine, sale("a", 1000), act("refund", "a", "400"), sale("v", 70), act("void", "v", "30"))
    run(engine, sale("h", 300, "authorize"), act("capture", "h", "200"), act("void", "h", "300"))
    payout = {"reference": "p", "amount_minor": "80", "currency": "USD"}
    card = {"card_number": "4111111111111111", "card_expiry": "12/39"}
    run(engine, row("credit", **payout, **card), close())
    listed = lines(processor)
    found = held(engine, listed, tmp_path)
    assert told(found) == []
    assert [each[5:9] for each in settled(engine)] == [(1040, 2, 480, 560)]
    assert found.sums == [Sums("USD", 1040, 480, 1040, 480)]
    assert found.matched_minor == {"USD": 560}
    listed = {key: line for key, line in listed.items() if line[0] != "refund"}
    found = held(engine, {**listed, "theirs": ("sale", 3)}, tmp_path)
    assert found.sums == [Sums("USD", 1043, 80, 1040, 480)]
    assert found.matched_minor == {"USD": 960}


def test_a_call_of_long_ago_is_none_of_somebody_else(
    clocked: tuple[Engine, Clock], processor: Processor, tmp_path: Path
) -> None:
    """An old file, held by mistake against the last settlement."""
    engine, clock = clocked
    run(engine, sale("a", 1), close())
    first = lines(processor)
    for _ in range(2):
        clock.now += timedelta(days=40)
        run(engine, close())
    assert told(held(engine, first, tmp_path)) == []
    found = held(engine, {**first, "theirs": ("sale", 3)}, tmp_path)
    assert told(found) == [("missing_here", None, 3)]


def test_a_key_that_is_listed_twice_is_told(
    engine: Engine, processor: Processor, tmp_path: Path
) -> None:
    run(engine, sale("a", 40), close())
    ((key, _),) = lines(processor).items()
    path = tmp_path / "twice.csv"
    path.write_text(HEADER + f"1,{key},sale,p,40,USD,now\n" * 2)
    place = find_place(engine, "local")
    found = reconcile(engine, place, place.gate(place.gate_id), path)
    assert told(found) == [("twice", 40, 80)]


@pytest.mark.parametrize(
    "text",
    [
        "", "\x00\x01", "key,verb\na,sale\n", HEADER + "1,k,sale,p,1.5,USD,now\n",
        HEADER + "1,,sale,p,1,USD,now\n",
    ],
)  # fmt: skip
def test_what_is_no_settlement_is_refused(engine: Engine, tmp_path: Path, text: str) -> None:
    path = tmp_path / "wrong.csv"
    path.write_text(text)
    place = find_place(engine, "local")
    with pytest.raises(WrongError, match=r"wrong\.csv"):
        reconcile(engine, place, place.gate(place.gate_id), path)


PARTS = "kind,reference,amount_minor,currency,card_number,card_expiry,partial_approval\n"


def hand_in(engine: Engine, text: str) -> None:
    request = Request(file_name="rec.csv", dialect="native", again=True)
    batches.run(engine, find_place(engine, "local"), [text.encode()], request)


def test_a_part_that_was_reversed_at_once_is_none_to_undo(
    engine: Engine, processor: Processor, tmp_path: Path
) -> None:
    half = "USD,4000000000000051,12/39,not_allowed\n"
    hand_in(engine, f"{PARTS}sale,p,100,{half}authorize,h,60,{half}sale,q,70,{half[:4]}{CARD},\n")
    listed = lines(processor)
    assert sorted(listed.values()) == [("sale", 50), ("sale", 70), ("void", 30), ("void", 50)]
    found = held(engine, listed, tmp_path)
    assert (told(found), found.matched) == ([], 4)
    reversal = next(key for key, line in listed.items() if line == ("void", 50))
    cases = [("sale", 50, "count it as not done"), ("void", -50, "only that it was undone")]
    for verb, amount, advice in cases:  # one of the two alone is told
        own = {key: line for key, line in listed.items() if line == (verb, 50)}
        found = held(engine, own, tmp_path)
        assert ("missing_here", None, amount) in told(found)
        assert advice in found.differences.filter(difference="missing_here")["advice"][0]
        assert (reversal in own) == (found.differences["id"][0] == reversal)
    found = held(engine, {**listed, "theirs-reversal": ("void", 4)}, tmp_path)
    assert (told(found), found.differences["id"][0]) == (
        [("missing_here", None, -4)],
        "theirs-reversal",
    )
    assert "nobody here sent this key" in found.differences["advice"][0]


def test_a_forced_void_that_was_declined_is_not_missed(
    engine: Engine, processor: Processor, tmp_path: Path
) -> None:
    start = NATIVE.replace("\n", ",force\n")
    hand_in(engine, start + f"{sale('v', 100_000)},\n{act('void', 'v', '50200')},true\n")
    listed = lines(processor)
    found = held(engine, listed, tmp_path)
    assert (told(found), list(listed.values())) == ([], [("sale", 100_000)])


def test_what_was_closed_with_us_is_no_difference(
    engine: Engine, processor: Processor, tmp_path: Path
) -> None:
    """The hold of a brand that takes no reversal is closed with us; the processor has the rest."""
    told_of_gate = Capabilities(no_reversal_brands=frozenset({"visa"}))
    with engine.database.transaction() as connection:
        changed = told_of_gate.model_dump_json()
        connection.execute("UPDATE gate SET capabilities = %s", [changed])
    run(engine, sale("h", 300, "authorize"), act("capture", "h", "200"), act("void", "h", "300"))
    listed = lines(processor)
    assert sorted(listed.values()) == [("capture", 200), ("void", 200)]
    assert told(held(engine, listed, tmp_path)) == []
    key = next(key for key, (verb, _) in listed.items() if verb == "void")
    assert told(held(engine, {**listed, key: ("void", 150)}, tmp_path)) == [("amount", 300, 150)]
