"""``paybatch recurring`` lists what is charged again and again, and shows one with its dates."""

from cli_support import Cli, File

HEADER = "kind,reference,payment,amount_minor,currency,card_number,card_expiry,amount_sequence,"
HEADER += "period,every,start_on,finish_on,finish_count,action\n"
CARD = "4111111111111111,12/39"
ROWS = (
    f"recurring_create,r,,1990,USD,{CARD},,month,,2039-01-31,2039-12-31,6,\n"
    f"recurring_create,q,,,USD,{CARD},1.00;2.50,week,2,,,,\n"
    "recurring_update,,r,,,,,,,,,,,pause\n"
)


def test_they_are_listed(cli: Cli, file: File) -> None:
    assert cli("recurring", "list", "--json").json == []
    assert cli("run", file(HEADER + ROWS)).code == 0
    found = {each["reference"]: each for each in cli("recurring", "list", "--json").json}
    first, second = found["r"], found["q"]
    assert (first["reference"], first["state"], first["amounts"]) == (
        "r", "recurring_paused", "19.90"
    )  # fmt: skip
    assert first["dates"] == "every month from 2039-01-31"
    assert first["ends"] == "on 2039-12-31 or after 6 dates"
    assert (second["amounts"], second["ends"]) == ("1.00; 2.50", None)
    assert second["dates"].startswith("every 2 weeks from ")
    told = cli("recurring", "list").out
    assert "411111******1111" in told
    assert "4111111111111111" not in told
    (only,) = cli("recurring", "list", "--state", "paused", "--json").json
    assert only == first
    wrong = cli("recurring", "list", "--state", "asleep")
    assert (wrong.code, "active" in wrong.err) == (2, True)


def test_one_is_shown_with_its_dates(cli: Cli, file: File) -> None:
    cli("run", file(HEADER + ROWS))
    told = cli("recurring", "show", "q")
    assert told.code == 0
    assert "every 2 weeks" in told.out
    by_id = cli("recurring", "show", cli("recurring", "show", "q", "--json").json["id"], "--json")
    assert by_id.json["due_dates"] == []
    nobody = cli("recurring", "show", "nobody")
    assert (nobody.code, "No recurring payments" in nobody.err) == (1, True)
