"""Network addresses: one text for each, whichever of its spellings was written."""

from ipaddress import IPv6Address, ip_address

import polars as pl


def canonical(column: pl.Expr) -> pl.Expr:
    """Give IP addresses in their one short form; what is none stays as it is, without capitals.

    ``2001:DB8:0:0::1`` is ``2001:db8::1``, and ``::ffff:192.0.2.7`` is ``192.0.2.7``.
    """
    return column.map_batches(_canonical, return_dtype=pl.String)


def _canonical(texts: pl.Series) -> pl.Series:
    forms = {text: _form(text) for text in texts.unique() if text is not None}
    return pl.Series(texts.name, [forms.get(text) for text in texts], pl.String)


def _form(text: str) -> str:
    try:
        address = ip_address(text)
    except ValueError:
        return text.lower()
    inner = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(inner or address)
