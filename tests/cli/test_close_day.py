"""``paybatch gate list`` shows where a gate stands and what its last close moved."""

from cli_support import Cli, File

HEADER = "kind,amount_minor,currency,card_number,card_expiry,gate\n"
CLOSE = "close_day,,,,,sandbox\n"


def test_a_gates_last_settlement_is_shown(cli: Cli, file: File) -> None:
    (gate, other) = cli("gate", "list", "--json").json
    assert (gate["state"], gate["settlement"]) == ("open", [])
    sale = "sale,1250,USD,4111111111111111,12/39,sandbox\n"
    cli("run", file(f"{HEADER}{sale}{sale}{CLOSE}"))
    (gate, other) = cli("gate", "list", "--json").json
    (told,) = gate["settlement"]
    assert (told["number"], told["currency"], told["net_minor"]) == (1, "USD", 2500)
    assert (told["sale_count"], told["refund_count"], other["settlement"]) == (2, 0, [])
    assert f"1 of {told['business_day']}: USD 25.00" in cli("gate", "list").out


def test_a_gate_that_is_left_closing_is_shown(cli: Cli, file: File) -> None:
    sales = "".join(
        f"sale,{amount},USD,4111111111111111,12/39,sandbox\n" for amount in (50_000, 400)
    )
    done = cli("run", file(HEADER + sales + CLOSE), "--json")
    assert done.json["rows"] == 3
    assert cli("gate", "list", "--json").json[0]["state"] == "closing"
    assert "closing" in cli("gate", "list").out
