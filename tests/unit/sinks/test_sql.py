"""What the endpoint's check lets through, given the engine's own words."""

import pytest

from sinks.clickhouse.sql import Refusal, checked, text_literal

TABLE_FUNCTIONS = {"file", "url", "numbers", "format", "newfangled"}


def check(sql: str, **parameters: str):
    return checked(sql, TABLE_FUNCTIONS, parameters)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 'file(''x'') INTO OUTFILE', 'it\\'s url('",
        "SELECT url FROM t",
        "SELECT * FROM numbers(10)",
        "SELECT format('{}', 1)",
        "SELECT aim, `a b` FROM t",
        "SHOW TABLES",
        "SELECT 1 AS into, 2 AS outfile",
    ],
)
def test_reading_passes(sql) -> None:
    assert check(sql).text == sql


@pytest.mark.parametrize(
    "sql",
    [
        "DROP TABLE t",
        "EXECUTE AS x SELECT 1",
        "SELECT 1 INTO OUTFILE 'x'",
        "SELECT * FROM url('x')",
        "SELECT * FROM NewFangled('x')",
        "SELECT * FROM `url`('x')",
        "SELECT 'it''s', file('x')",
        "SELECT 'a\\'', file('x')",
        "SELECT '\\\\', file('x')",
        "SELECT * APPLY file FROM t",
        "EXISTS TABLE default.`/etc/passwd`",
        "SELECT aiGenerate('x')",
    ],
)
def test_reaching_out_is_refused(sql) -> None:
    with pytest.raises(Refusal):
        check(sql)


def test_a_parameter_cannot_smuggle_a_name() -> None:
    for value in ("file", "FILE", "/etc/passwd", "a`b", "fi\\x6ce", "default.url"):
        with pytest.raises(Refusal):
            check("SELECT arrayMap({f:Identifier}, [1])", f=value)
    assert check("SELECT {f:String}", f="file")


def test_the_output_format_is_read_outside_of_text() -> None:
    assert check("SELECT 'FORMAT CSV' FORMAT JSON").output_format == "JSON"
    assert check("SELECT 'FORMAT CSV'").output_format is None


def test_text_becomes_one_literal() -> None:
    assert text_literal("a'b\\") == "'a\\'b\\\\'"
