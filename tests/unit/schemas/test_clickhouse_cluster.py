"""The cluster variant: the same statements, in a cluster's words."""

import re

import pytest

from schemas.clickhouse import Migration, read_migrations
from schemas.clickhouse.cluster import Cluster, NotForCluster
from schemas.clickhouse.layout import TIMES, Layout

PLAN = Layout(cluster="prices", keep_days={"books": 30}).plan("market")
SCRIPT = list(PLAN.script())


def written(*statements: str, version: int = 7) -> list[str]:
    (migration,) = Cluster("c", "d").migrations([Migration(version, "m", statements)])
    return list(migration.statements)


def test_every_statement_goes_to_every_server_but_those_that_move_rows() -> None:
    for statement in SCRIPT:
        moves = statement.startswith("INSERT INTO ")
        assert ("ON CLUSTER `prices`" in statement) is not moves, statement


def test_every_table_is_replicated_and_has_a_distributed_one_over_it() -> None:
    tables = {s.split()[5] for s in SCRIPT if s.startswith("CREATE TABLE IF NOT EXISTS ")}
    assert tables - {"schema_migrations"} == {*PLAN.cluster.locals.values(), *PLAN.leftovers()}
    for statement in SCRIPT:
        if "MergeTree" in statement:
            assert re.search(r"ENGINE = Replicated\w*MergeTree\('/clickhouse/tables/", statement)
    for name, local in PLAN.cluster.locals.items():
        over = f"'prices', 'market', '{local}', cityHash64(exchange, channel, symbol)"
        last = [s for s in SCRIPT if s.startswith(f"CREATE OR REPLACE TABLE {name} ")][-1]
        assert last.endswith(f" AS {local} ENGINE = Distributed({over})")


def test_two_tables_never_share_a_place_in_keeper() -> None:
    places = re.findall(r"Replicated\w+\('([^']+)'", "\n".join(SCRIPT))
    assert len(places) == len(set(places)) > 10


def test_arguments_of_an_engine_stand_behind_its_place() -> None:
    create = "CREATE TABLE IF NOT EXISTS t\n(\n    a Int64\n)\nENGINE = {}\nORDER BY a"
    place = "'/clickhouse/tables/{shard}/{database}/t_local_0007', '{replica}'"
    (plain, _) = written(create.format("ReplacingMergeTree"))
    (versioned, _) = written(create.format("ReplacingMergeTree(a)"))
    assert f"ReplicatedReplacingMergeTree({place})\nORDER BY a" in plain
    assert f"ReplicatedReplacingMergeTree({place}, a)\nORDER BY a" in versioned


def test_a_table_made_anew_takes_the_rows_over_before_the_old_one_goes() -> None:
    copied = next(i for i, s in enumerate(SCRIPT) if "INSERT INTO FUNCTION cluster(" in s)
    swapped = next(
        i
        for i, s in enumerate(SCRIPT)
        if "trades_local_0003', cityHash64" in s and "OR REPLACE" in s
    )
    dropped = SCRIPT.index("DROP TABLE IF EXISTS trades_local_0001 ON CLUSTER `prices` SYNC")
    assert copied < swapped < dropped
    # After all that a repeated migration could still read.
    assert not any(
        s.startswith(("ALTER", "INSERT"))
        for s in SCRIPT[dropped:]
        if "TTL" not in s and "ttl" not in s
    )
    names = re.search(r"\((exchange, [^)]*)\)\nSELECT\s+(.*?)\s+FROM", SCRIPT[copied], re.DOTALL)
    assert names[1].split(", ") == re.split(r",\s+", names[2])


def test_a_filler_reads_and_writes_on_its_own_server() -> None:
    (filler,) = [s for s in SCRIPT if s.startswith("CREATE MATERIALIZED VIEW")]
    assert " TO trade_spans_local_0010 AS" in filler
    assert "FROM trades_local_0003" in filler


def test_how_long_rows_are_kept_is_said_where_they_are() -> None:
    assert SCRIPT[-1] == (
        "ALTER TABLE books_local_0007 ON CLUSTER `prices`"
        " MODIFY TTL toDateTime(time) + toIntervalDay(30)"
    )
    assert sum("MODIFY TTL" in s for s in SCRIPT) == 1


def test_every_kept_table_is_a_table_with_that_time() -> None:
    text = "\n".join(s for m in read_migrations() for s in m.statements)
    for table, column in TIMES.items():
        (columns, *_) = re.findall(
            rf"TABLE (?:IF NOT EXISTS )?{table}\n\((.*?)\n\)", text, re.DOTALL
        )
        assert re.search(rf"^    {column} DateTime", columns, re.MULTILINE), table


def test_a_statement_without_a_rule_is_no_guess() -> None:
    with pytest.raises(NotForCluster, match="RENAME"):
        written("RENAME TABLE a TO b")


def test_a_name_of_a_cluster_cannot_end_its_quotes() -> None:
    with pytest.raises(ValueError, match="no name of a cluster"):
        Cluster("a`; DROP", "d")
