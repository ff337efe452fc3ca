"""``paybatch batch children`` lists what rows made; a payment tells which row it was."""

from cli_support import Cli, File

HEADER = "kind,reference,amount_minor,currency,card_number,card_expiry,gate,payments\n"
ROWS = (
    "authorize,a,1250,USD,4111111111111111,12/39,sandbox,\n"
    "sale,b,700,USD,4111111111111111,12/39,sandbox,\n"
    "capture_all,,,,,,sandbox,a|b\n"
)


def test_children_are_listed(cli: Cli, file: File) -> None:
    done = cli("run", file(HEADER + ROWS), "--json").json
    assert done["rows"] == 3
    good, bad = cli("batch", "children", done["id"], "--json").json
    assert (good["line"], good["kind"], good["state"]) == (4, "capture", "approved")
    assert (bad["state"], bad["reason"]) == ("rejected", "status_not_allowed")
    (only,) = cli("batch", "children", done["id"], "--only", "rejected", "--json").json
    assert only == bad
    assert "rejected" in cli("batch", "children", done["id"]).out
    (_, captured) = cli("payment", "show", "a", "--json").json["operations"]
    assert (captured["line"], captured["parent"]) == (4, good["parent"])
    assert captured["id"] == good["id"]
    assert "children" not in cli("batch", "show", done["id"]).out
