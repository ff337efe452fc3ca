"""Doctor: is this installation well, and what is to be done where it is not?

Looks and changes nothing: no server is started, no folder or key is made.
"""

import os
import platform
import resource
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from paybatch import __version__, registry
from paybatch.flow.engine import database_url
from paybatch.flow.schema import SCHEMA_VERSION, schema_fault
from paybatch.settings import Settings
from paybatch.store import embedded
from paybatch.store.blobs import ID_NAME, Blobs, BlobsError
from paybatch.store.database import DatabaseGoneError, parts_of_url
from paybatch.store.directory import Schema
from paybatch.store.doctor import DatabaseFacts, examine
from paybatch.store.keys import FILE_NAME, Keys, KeysError

POSTGRES_VERSION_MIN = 160_000
ROOM_BYTES_MIN = 1 << 30
ROOM_BYTES_ENOUGH = 10 << 30
OPEN_FILES_MIN = 256
CLOCK_SECONDS_ENOUGH, CLOCK_SECONDS_MAX = 1.0, 10.0
SAFE = ("fsync", "full_page_writes")
UNSAFE_COMMIT = "off"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: what was found, and what to do about it."""

    id: str
    state: Literal["ok", "warn", "fail"]
    found: str
    advice: str = ""


def examined(settings: Settings) -> Iterator[Finding]:
    """Look at everything; what depends on a database that is not there is left out."""
    yield from _versions()
    yield from _limits(settings)
    home = settings.home.expanduser()
    yield from _looked_at("home.folder", home, _home(home))
    facts = None
    for each in _server(settings):
        if isinstance(each, DatabaseFacts):
            facts = each
        else:
            yield each
    if facts is not None:
        yield from _database(facts)
    yield from _looked_at("keys.folder", home / "keys", _keys(settings, facts))
    yield from _looked_at("blobs.store", home / "blobs", _blobs(settings, facts))


def _versions() -> Iterator[Finding]:
    found = f"paybatch {__version__}, Python {platform.python_version()}"
    libraries = ", ".join(f"{name} {version(name)}" for name in ("polars", "psycopg", "tink"))
    yield Finding("versions", "ok", f"{found}, {libraries}")


def _limits(settings: Settings) -> Iterator[Finding]:
    yield Finding(
        "limits.file",
        "ok",
        f"Files up to {_size(settings.file_bytes_max)} unpacked, {settings.columns_max:,} columns, "
        f"{settings.cell_characters_max:,} characters in a cell; a CVV waits at most "
        f"{settings.secret_hours:g} hours",
    )
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = files == resource.RLIM_INFINITY or files >= OPEN_FILES_MIN
    shown = "any number of" if files == resource.RLIM_INFINITY else f"{files:,}"
    yield Finding(
        "limits.open_files",
        "ok" if enough else "warn",
        f"A process may open {shown} files",
        "" if enough else f"Raise it: ulimit -n {OPEN_FILES_MIN * 4}",
    )


def _looked_at(name: str, place: Path, findings: Iterator[Finding]) -> Iterator[Finding]:
    """Give findings; where the system does not let us look, that is one."""
    try:
        yield from findings
    except OSError as error:
        advice = "Run paybatch as its owner, or set PAYBATCH_HOME to a folder of your own."
        yield Finding(name, "fail", f"{place} cannot be looked at ({error.strerror})", advice)


def _home(home: Path) -> Iterator[Finding]:
    if home.exists() and not home.is_dir():
        advice = "Set PAYBATCH_HOME to a folder of your own."
        yield Finding("home.folder", "fail", f"{home} is not a folder", advice)
        return
    if not home.is_dir():
        yield Finding("home.folder", "warn", f"{home} is not there", "The first command makes it.")
        return
    found = home.stat()
    mode = found.st_mode & 0o777
    if found.st_uid != os.geteuid():
        advice = "Run paybatch as its owner, or set PAYBATCH_HOME to a folder of your own."
        yield Finding("home.folder", "fail", f"{home} belongs to user {found.st_uid}", advice)
    elif mode & 0o022:
        advice = f"Close it: chmod go-w {home}"
        yield Finding("home.folder", "fail", f"Others may write to {home} ({mode:o})", advice)
    else:
        yield Finding("home.folder", "ok", f"{home} is ours, mode {mode:o}")
    yield _room(home)


def _room(home: Path) -> Finding:
    free = shutil.disk_usage(home).free
    state: Literal["ok", "warn", "fail"] = "ok"
    if free < ROOM_BYTES_ENOUGH:
        state = "warn" if free >= ROOM_BYTES_MIN else "fail"
    advice = "" if state == "ok" else "Make room: a million rows take about 2 GiB on the way."
    return Finding("home.room", state, f"{_size(free)} are free in {home}", advice)


def _server(settings: Settings) -> Iterator[Finding | DatabaseFacts]:
    """Look for the database; gives its facts where it answers."""
    is_embedded = settings.database_url is None
    name = f"Embedded PostgreSQL in {settings.home}"
    if is_embedded:
        status = embedded.status(settings.home)
        if status.state == "down":
            advice = "Any other command starts it, `paybatch migrate` for one; then ask again."
            yield Finding("database.server", "warn", f"{name} is down", advice)
            return
        if status.state == "starting":
            advice = "Wait: it is starting, stopping or recovering."
            yield Finding("database.server", "warn", f"{name} does not answer yet", advice)
            return
    shown = ""
    try:
        url = database_url(settings)
        shown = name if is_embedded else address(url)
        facts = examine(url)
    except DatabaseGoneError as error:
        advice = "Start the server, or set PAYBATCH_DATABASE_URL right."
        yield Finding("database.server", "fail", f"{shown}: {error}".lstrip(": "), advice)
        return
    yield Finding("database.server", "ok", f"{shown} answers")
    yield facts


def address(url: str) -> str:
    """Give a database's address without its password."""
    parts = parts_of_url(url)
    named = [
        f"{name} {parts[name]}" for name in ("host", "port", "dbname", "user") if name in parts
    ]
    return ", ".join(named) or "The local server"


def _database(facts: DatabaseFacts) -> Iterator[Finding]:
    told = facts.settings
    is_new = int(told.get("server_version_num", "0")) >= POSTGRES_VERSION_MIN
    yield Finding(
        "database.version",
        "ok" if is_new else "fail",
        f"PostgreSQL {told.get('server_version')}, {_size(facts.size_bytes)} in this database",
        "" if is_new else "Use PostgreSQL 16 or later.",
    )
    off = [name for name in SAFE if told.get(name) != "on"]
    off += ["synchronous_commit"] if told.get("synchronous_commit") == UNSAFE_COMMIT else []
    yield Finding(
        "database.safety",
        "fail" if off else "ok",
        f"{', '.join(off)} off" if off else "Every commit is on the disk before it counts",
        "A crash can lose payments that were sent: switch it on in postgresql.conf." if off else "",
    )
    yield _schema(facts.schema)
    yield _clock(facts.clock_apart_seconds)
    yield _connectors(facts.connectors)
    yield Finding(
        "audit.chain",
        "fail" if facts.broken_seals else "ok",
        f"{facts.broken_seals} events of the audit trail do not fit their chain"
        if facts.broken_seals
        else "The audit trail is unbroken",
        "Somebody changed it: compare with a backup." if facts.broken_seals else "",
    )


def _clock(apart_seconds: float) -> Finding:
    """Workers tell by their clocks whose a chunk is, and until when a call may leave."""
    shown = f"The clocks of this machine and of the database are {apart_seconds:.1f} seconds apart"
    state: Literal["ok", "warn", "fail"] = "ok"
    if apart_seconds > CLOCK_SECONDS_ENOUGH:
        state = "warn" if apart_seconds <= CLOCK_SECONDS_MAX else "fail"
    return Finding(
        "clock", state, shown, "" if state == "ok" else "Set both by the same time servers (NTP)."
    )


def _connectors(named: tuple[str, ...]) -> Finding:
    missing = [name for name in named if name not in registry.connectors()]
    return Finding(
        "gates.connectors",
        "fail" if missing else "ok",
        f"Gates name connectors that are not installed: {', '.join(missing)}"
        if missing
        else "Every gate's connector is installed",
        "Install them; until then rows of these gates are rejected." if missing else "",
    )


def _schema(found: Schema) -> Finding:
    shown = f"Schema version {found.version}, this program knows {SCHEMA_VERSION}"
    if found.version < SCHEMA_VERSION:
        return Finding("database.schema", "warn", shown, "Run `paybatch migrate`.")
    if schema_fault(found) is not None:
        return Finding("database.schema", "fail", shown, "Update paybatch.")
    if found.version > SCHEMA_VERSION:
        shown += " and can use it"
    return Finding("database.schema", "ok", shown)


def _keys(settings: Settings, facts: DatabaseFacts | None) -> Iterator[Finding]:
    folder = settings.home / "keys"
    bound = facts.key_set_id if facts else None
    if not (folder / FILE_NAME).exists():
        advice = "The first command makes them."
        if bound:
            advice = f"The database belongs with key set {bound}: restore it, or PAYBATCH_HOME."
        state: Literal["warn", "fail"] = "fail" if bound else "warn"
        yield Finding("keys.folder", state, f"There are no keys in {folder}", advice)
        return
    try:
        keys = Keys.open(folder, create=False)
    except KeysError as error:
        yield Finding("keys.folder", "fail", str(error), "Nothing works without the keys.")
        return
    yield Finding("keys.folder", "ok", f"{folder} and its file are closed to others")
    yield _bound("keys.bound", "key set", keys.key_set_id, bound)


def _bound(name: str, noun: str, ours: str, bound: str | None) -> Finding:
    if bound is None:
        return Finding(name, "ok", f"The {noun} {ours}; no database that answers names one")
    if bound != ours:
        advice = "Set PAYBATCH_HOME (or PAYBATCH_BLOB_URL) to the one that belongs with it."
        return Finding(
            name, "fail", f"The database belongs with {noun} {bound}, not {ours}", advice
        )
    return Finding(name, "ok", f"The {noun} {ours} belongs with the database")


def _blobs(settings: Settings, facts: DatabaseFacts | None) -> Iterator[Finding]:
    place = settings.blob_url or settings.home / "blobs"
    bound = facts.blob_store_id if facts else None
    is_folder = "://" not in str(place)
    if is_folder and not (Path(place) / ID_NAME).exists():
        advice = "The first command makes it."
        if bound:
            advice = f"The database belongs with blob store {bound}: restore it."
        state: Literal["warn", "fail"] = "fail" if bound else "warn"
        yield Finding("blobs.store", state, f"There is no blob store in {place}", advice)
        return
    try:
        store = Blobs.open(place)
    except BlobsError as error:
        yield Finding("blobs.store", "fail", str(error), "Set PAYBATCH_BLOB_URL right.")
        return
    may_write = not is_folder or os.access(place, os.W_OK | os.X_OK)
    advice = "" if may_write else "Give it back to the user that runs paybatch."
    shown = f"{place} can be read" + (" and written" if may_write else ", not written")
    yield Finding("blobs.store", "ok" if may_write else "fail", shown, advice)
    yield _bound("blobs.bound", "blob store", store.blob_store_id, bound)


def _size(count: int) -> str:
    """Write bytes for people."""
    amount, units = count, ["bytes", "KiB", "MiB", "GiB", "TiB"]
    while amount >= 10 * 1024 and len(units) > 1:
        amount, units = amount // 1024, units[1:]
    return f"{amount:,} {units[0]}"
