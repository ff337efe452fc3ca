"""``paybatch payment document`` reads back what came in the archive."""

import zipfile
from pathlib import Path

from cli_support import Cli

HEADER = "kind,reference,payment,amount_minor,currency,card_number,card_expiry,document\n"
ROWS = "sale,a,,100,USD,4111111111111111,12/39,\nretrieval,,a,,,,,t.pdf\nretrieval,,a,,,,,u.pdf\n"


def test_a_document_is_read_back(cli: Cli, tmp_path: Path) -> None:
    path, out = tmp_path / "rows.zip", tmp_path / "back.pdf"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("rows.csv", HEADER + ROWS)
        packed.writestr("t.pdf", b"%PDF one")
        packed.writestr("u.pdf", b"%PDF two")
    cli("run", str(path))
    several = cli("payment", "document", "a", "--out", str(out))
    assert (several.code, "t.pdf, u.pdf" in several.err) == (1, True)
    cli("payment", "document", "a", "u.pdf", "--out", str(out))
    assert out.read_bytes() == b"%PDF two"
    assert "we keep: t.pdf, u.pdf" in cli("payment", "document", "a", "x.pdf").err
