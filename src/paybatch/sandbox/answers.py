"""What the sandbox answers: everything is approved, but for the triggers below.

Cards: 4000000000000002 declines; ...9995 insufficient funds; ...9987 lost; ...9979 stolen;
...0069 expired; 4000000000000010 approves, its refunds decline; 4000000000000051 approves half;
4000000000000119 approves and is held for review; 4000000000000259 is pending and approves later;
4000000000000366 approves, its reversals are not prepared; 4000000000000374 approves, its reversals
are pending and approve later;
scores: ...0127 95, ...0135 50, others 5. CVV: 200 N, 201 U, 301 S. Postal code: 20000 N, 20001 U.
Routing: 000000000 declines; 000000001 approves, and comes back later. Amounts that end in 50200
decline; 50201 do not honor; 50202 insufficient funds; 50203 limit; 50204 invalid transaction;
50220 invalid amount; 50400 system error.
"""

import zlib

from paybatch.sandbox.words import Answer, Call

_TEXTS = {
    "00": "APPROVED",
    "05": "DECLINED",
    "09": "PENDING",
    "10": "PARTIAL APPROVAL",
    "11": "APPROVED, HELD FOR REVIEW",
    "12": "INVALID TRANSACTION",
    "13": "INVALID AMOUNT",
    "41": "LOST CARD",
    "43": "STOLEN CARD",
    "51": "INSUFFICIENT FUNDS",
    "54": "EXPIRED CARD",
    "57": "DO NOT HONOR",
    "61": "EXCEEDS LIMIT",
    "94": "DUPLICATE KEY",
    "96": "SYSTEM ERROR",
}
_CARDS = {
    "4000000000000002": "05",
    "4000000000009995": "51",
    "4000000000009987": "41",
    "4000000000009979": "43",
    "4000000000000069": "54",
    "4000000000000259": "09",
}
_UNPREPARED, _REVERSED_LATER = "4000000000000366", "4000000000000374"
_REVERSALS = frozenset({"void", "refund", "prepare_reversal", "withdraw_reversal"})
_HALF, _HELD, _NO_REFUNDS = "4000000000000051", "4000000000000119", "4000000000000010"
_NO_ACCOUNT, RETURNED_LATER = "000000000", "000000001"
_AMOUNTS = {50200: "05", 50201: "57", 50202: "51", 50203: "61", 50204: "12", 50220: "13"}
_AMOUNTS[50400] = "96"
_AMOUNT_ENDS = 100_000
_SCORES = {"4000000000000127": 95, "4000000000000135": 50}
_CVVS = {"200": "N", "201": "U", "301": "S"}
_POSTAL_CODES = {"20000": "N", "20001": "U"}
_BY_CARD = frozenset({"sale", "authorize", "verify", "credit"})
_GOOD = frozenset({"00", "10", "11"})


def judged(call: Call) -> Answer:
    """Give the answer to a call; it depends on the call alone."""
    code = _code(call)
    status = "approved" if code in _GOOD else "pending" if code == "09" else "declined"
    return answer(call, status, code)


def answer(call: Call, status: str, code: str, text: str | None = None) -> Answer:
    """Make an answer of a code."""
    is_good = status == "approved"
    approved = max(call.amount_minor // 2, 1) if code == "10" else call.amount_minor
    number = call.approval_code or f"SB{zlib.crc32(call.key.encode()) % 1_000_000:06d}"
    return Answer(
        key=call.key,
        status=status,  # type: ignore[arg-type]  # one of three, chosen above
        code=code,
        text=text or _TEXTS[code],
        approved_minor=approved if is_good else 0,
        approval_code=number if is_good else None,
        avs=_POSTAL_CODES.get(call.postal_code, "Y") if call.postal_code else None,
        cvv=_CVVS.get(call.cvv, "M") if call.cvv else None,
        score=_SCORES.get(call.card or "", 5) if call.verb == "score" else None,
    )


def reused(call: Call) -> Answer:
    """Answer a key that was taken with other values: nothing is done."""
    return answer(call, "declined", "94")


def _code(call: Call) -> str:
    if call.approval_code is not None:
        return "00"
    by_card = None if call.card is None else _code_of_card(call.verb, call.card)
    if by_card is not None:
        return by_card
    if call.bank_code == _NO_ACCOUNT:
        return "05"
    return _AMOUNTS.get(call.amount_minor % _AMOUNT_ENDS, "00")


def _code_of_card(verb: str, card: str) -> str | None:
    if verb in _BY_CARD and card in _CARDS:
        return _CARDS[card]
    if (verb, card) in {("refund", _NO_REFUNDS), ("prepare_reversal", _UNPREPARED)}:
        return "05"
    if verb in _REVERSALS and card == _REVERSED_LATER:
        return "09"
    if verb in {"sale", "authorize"} and card in {_HALF, _HELD}:
        return "10" if card == _HALF else "11"
    return None
