"""Tables in and out of the database."""

import polars as pl
import pytest

from paybatch.store.database import FEW_ROWS, Database, _csv

AWKWARD = pl.DataFrame(
    {
        "text": ['a,"b', "line\nend", "", None, "\\N", "tab\t", "null"],
        "number": [1, None, 3, 4, 5, 6, 7],
        "flag": [True, False, None, True, True, False, None],
    }
)


@pytest.mark.parametrize("copies", [1, FEW_ROWS])
def test_csv_is_read_by_postgresql_as_it_was_meant(database_url: str, copies: int) -> None:
    frame = pl.concat([AWKWARD] * copies)
    database = Database(database_url)
    with database.transaction() as connection:
        connection.execute("CREATE TEMP TABLE t (text text, number int, flag boolean)")
        with connection.cursor().copy("COPY t FROM STDIN (FORMAT csv)") as copy:
            copy.write(_csv(frame))
        found = connection.execute("SELECT text, number, flag FROM t").fetchall()
    database.close()
    assert found == frame.rows()


def test_a_few_rows_without_empty_texts_are_written_the_same() -> None:
    frame = AWKWARD.filter(pl.col("text") != "")
    many = pl.concat([frame] * FEW_ROWS)
    few = bytes(_csv(frame)).decode().replace("True", "true").replace("False", "false")
    assert bytes(_csv(many)).decode() == few * FEW_ROWS
