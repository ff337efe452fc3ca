"""What can be read of the books: entries, balances, settlements and callbacks."""

from collections.abc import Callable
from datetime import UTC, datetime

from paybatch.sandbox.books import Books
from paybatch.sandbox.http import JSON
from paybatch.sandbox.words import write

LINES, CSV = "application/x-ndjson", "text/csv"
SETTLEMENT = ("settlement", "key", "verb", "payment", "amount_minor", "currency", "at")
Asked = dict[str, str]
Page = Callable[[Books, str, str, Asked], tuple[str, bytes]]


def _books(books: Books, _account: str, _rest: str, asked: Asked) -> tuple[str, bytes]:
    """Give every entry of every account above ``after``, a JSON object a line."""
    found = books.rows("books", (int(asked.get("after", "0")),))
    return LINES, b"".join(write(row) + b"\n" for row in found)


def _balances(books: Books, account: str, _rest: str, _asked: Asked) -> tuple[str, bytes]:
    """Give count and sum of what took effect, by currency and verb."""
    told: dict[str, dict[str, dict[str, int]]] = {}
    for row in books.rows("balances", (account,)):
        sums = {"count": row["count"], "amount_minor": row["amount_minor"]}
        told.setdefault(row["currency"], {})[row["verb"]] = sums
    return JSON, write(told)


def _settlements(books: Books, account: str, rest: str, _asked: Asked) -> tuple[str, bytes]:
    """List the settlements, or give the file of one."""
    if not rest:
        return JSON, write(list(books.rows("settlements", (account,))))
    number = int(rest.removesuffix(".csv"))
    known = [row["id"] for row in books.rows("settlements", (account,))]
    if number not in known:
        raise LookupError(f"there is no settlement {number}")
    lines = [",".join(SETTLEMENT)]
    for row in books.rows("settlement", {"id": number, "account": account}):
        at = datetime.fromtimestamp(row["at"], UTC).isoformat(timespec="milliseconds")
        values = (row["key"], row["verb"], row["payment"], str(row["approved_minor"]))
        lines.append(",".join([str(number), *map(_cell, values), _cell(row["currency"]), at]))
    return CSV, ("\n".join(lines) + "\n").encode()


def _callbacks(books: Books, _account: str, _rest: str, asked: Asked) -> tuple[str, bytes]:
    """Give the callbacks above ``after`` whose time has come, a JSON object a line."""
    found = books.rows("callbacks", (int(asked.get("after", "0")), books.clock()))
    told = [{**row, "body": row["body"].decode()} for row in found]
    return LINES, b"".join(write(row) + b"\n" for row in told)


def _cell(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if set(text) & set(',"\r\n') else text


PAGES: dict[str, Page] = {
    "books": _books,
    "balances": _balances,
    "settlements": _settlements,
    "callbacks": _callbacks,
}
