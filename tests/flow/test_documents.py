"""Documents come in the archive of a file, are kept encrypted and are read back."""

import io
import zipfile
from collections.abc import Mapping
from datetime import timedelta

import pytest

from paybatch.domain.delimited import FileRefused
from paybatch.flow import batch as batches
from paybatch.flow import documents, sweep
from paybatch.flow.engine import Engine
from paybatch.flow.intake import receive
from paybatch.flow.intake.receive import Request, SeenBeforeError
from paybatch.flow.payments import find_payments
from paybatch.flow.place import Place
from paybatch.flow.preview import preview
from paybatch.flow.report import report
from tests_support import laws_hold, run

HEADER = "kind,reference,payment,amount_minor,currency,card_number,card_expiry,document,stage\n"
SALE = "sale,a,,100,USD,4111111111111111,12/39,,\n"
PDF, PICTURE = b"%PDF-1.7 a ticket " * 99, b"\x89PNG" + bytes(range(256)) * 9_000


def archive(text: str, files: Mapping[str, bytes], *, rows_last: bool = False) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as packed:
        if not rows_last:
            packed.writestr("rows.csv", text)
        for name, content in files.items():
            packed.writestr(name, content)
        if rows_last:
            packed.writestr("rows.csv", text)
    return target.getvalue()


def asked(*names: str) -> str:
    rows = "".join(f"retrieval,,a,,,,,{name},\n" for name in names)
    return f"{HEADER}{rows}chargeback_info,,a,,,,,{names[-1]},inquiry\n"


def told(engine: Engine, place: Place, data: bytes, **options: object) -> list[str]:
    request = Request(file_name="x.zip", **options)  # type: ignore[arg-type]  # its options
    done = batches.run(engine, place, [data], request)
    target = io.BytesIO()
    report(engine, done, place, target)
    lines = target.getvalue().decode().splitlines()[1:]
    return [next(each for each in line.split(",") if each in STATES) for line in lines]


STATES = {"approved", "rejected", "cancelled"}


def kept(engine: Engine, place: Place) -> dict[str, bytes]:
    (key,) = find_payments(engine, list(place.merchants.values()), "a")
    return {
        each.document.name: b"".join(documents.read(engine, each))
        for each in documents.of_payment(engine, key)
    }


def stored(engine: Engine) -> tuple[int, int]:
    """Count the documents, and their blobs."""
    with engine.database.transaction() as connection:
        rows = connection.execute("SELECT batch_id FROM document").fetchall()
    return len(rows), len(engine.blobs.listed(documents.FOLDER))


@pytest.mark.parametrize("rows_last", [True, False])
@pytest.mark.parametrize("policy", ["valid-rows", "all-or-none"])
def test_documents_are_kept_and_read_back(
    engine: Engine, place: Place, *, rows_last: bool, policy: str
) -> None:
    run(engine, place, HEADER + SALE)
    files = {"tickets/ticket.pdf": PDF, "photo.PNG": PICTURE}
    data = archive(asked(*files), files, rows_last=rows_last)
    assert told(engine, place, data, policy=policy) == ["approved"] * 3
    assert kept(engine, place) == files
    assert stored(engine) == (2, 2)
    (first, _) = engine.blobs.listed(documents.FOLDER)
    path = engine.settings.home / "blobs" / first[0]
    assert not path.exists() or b"%PDF" not in path.read_bytes(), "encrypted where it lies"
    sweep.drop_uploads(engine)
    assert stored(engine) == (2, 2)
    assert laws_hold(engine)


@pytest.mark.parametrize("rows_last", [True, False])
def test_a_missing_document_is_told(engine: Engine, place: Place, *, rows_last: bool) -> None:
    run(engine, place, HEADER + SALE)
    data = archive(asked("ticket.pdf", "Ticket.pdf"), {"ticket.pdf": PDF}, rows_last=rows_last)
    found = preview(engine, place, [data], Request(file_name="x.zip"))
    wanted = "column document is Ticket.pdf: the archive holds no document of this name"
    assert [each["line"] for each in found.refused] == [3, 4]
    assert {each["message"].partition(";")[0] for each in found.refused} == {wanted}
    totals = [(each["kind"], each["state"], each["row_count"]) for each in found.totals]
    assert sorted(totals) == [
        *(("chargeback_info", "rejected", 1), ("retrieval", "queued", 1)),
        ("retrieval", "rejected", 1),
    ]
    assert told(engine, place, data) == ["approved", "rejected", "rejected"]
    assert told(engine, place, data, policy="all-or-none", again=True) == [
        *("cancelled", "rejected", "rejected"),
    ]
    assert stored(engine) == (1, 1), "those of the refused batch are gone"
    assert kept(engine, place) == {"ticket.pdf": PDF}


def test_without_documents_it_is_a_place(engine: Engine, place: Place) -> None:
    run(engine, place, HEADER + SALE)
    assert told(engine, place, archive(asked("shelf 9"), {})) == ["approved"] * 2
    assert kept(engine, place) == {}


def test_other_documents_are_another_file(engine: Engine, place: Place) -> None:
    run(engine, place, HEADER + SALE)
    text = asked("ticket.pdf")
    told(engine, place, archive(text, {"ticket.pdf": PDF}))
    with pytest.raises(SeenBeforeError):
        told(engine, place, archive(text, {"ticket.pdf": PDF}))
    assert stored(engine) == (1, 1)
    assert told(engine, place, archive(text, {"ticket.pdf": PDF + b"2"})) == ["approved"] * 2


@pytest.mark.parametrize(
    ("files", "rows", "limit", "code"),
    [
        ({"a.pdf": PDF, "b.pdf": PDF}, 1, 2_000, "documents_too_large"),
        ({"a.pdf": PDF, "b.csv": b"kind\n"}, 1, 9_999_999, "archive_many_files"),
        ({"a.pdf": PDF}, 0, 9_999_999, "archive_empty"),
    ],
)
def test_bad_archives(
    engine: Engine,
    place: Place,
    with_settings: object,
    *,
    files: dict[str, bytes],
    rows: int,
    limit: int,
    code: str,
) -> None:
    assert callable(with_settings)
    small = with_settings(documents_bytes_max=limit)
    data = archive(asked("a.pdf"), files)
    if not rows:
        target = io.BytesIO()
        with zipfile.ZipFile(target, "w") as packed:
            for name, content in files.items():
                packed.writestr(name, content)
        data = target.getvalue()
    with pytest.raises(FileRefused) as told_so:
        receive.receive(small, place, [data], Request(file_name="x.zip"))
    assert told_so.value.code == code
    assert stored(engine) == (0, 0)


def test_what_a_killed_process_left_is_swept(
    engine: Engine, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(receive, "_insert", killed)
    monkeypatch.setattr(receive, "_drop_unless_stored", lambda *_: None)
    data = archive(asked("a.pdf"), {"a.pdf": PDF})
    with pytest.raises(KeyboardInterrupt):
        receive.receive(engine, place, [data], Request(file_name="x.zip"))
    assert stored(engine) == (1, 1)
    sweep.drop_uploads(engine)
    assert stored(engine) == (1, 1), "its batch may be about to come"
    with engine.database.transaction() as connection:
        early = engine.clock() - timedelta(hours=sweep.ORPHAN_HOURS + 1)
        connection.execute("UPDATE document SET created_at = %s", [early])
    sweep.drop_uploads(engine)
    assert stored(engine) == (0, 0)
