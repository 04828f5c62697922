"""The numbered SQL files."""

from schemas.clickhouse import read_migrations, statements


def test_files_are_numbered_from_one_without_holes() -> None:
    versions = [migration.version for migration in read_migrations()]
    assert versions == list(range(1, len(versions) + 1))
    assert versions


def test_every_statement_can_be_repeated() -> None:
    for migration in read_migrations():
        for statement in migration.statements:
            repeatable = (" IF NOT EXISTS ", " IF EXISTS ", "CREATE OR REPLACE ")
            # It holds the least and the greatest only: told again, they are the same.
            spans = statement.startswith("INSERT INTO trade_spans\n")
            assert spans or any(words in statement for words in repeatable)


def test_a_script_is_cut_at_the_semicolons_that_end_a_line() -> None:
    script = "-- about; it\nSELECT ';', 1;\n\nSELECT\n  -- why;\n  2;  \n"
    assert statements(script) == ("SELECT ';', 1", "SELECT\n  2")
