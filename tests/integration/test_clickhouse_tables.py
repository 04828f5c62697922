"""The tables: what is told twice counts once, what is too old goes, what was there stays."""

import json
import random
import subprocess
import sys
from pathlib import Path

import clickhouse_connect
import msgspec
import pytest

from fibstream.examples import example_records
from processors.engine.engine import Engine
from runtime.settings import Settings
from schemas.clickhouse import read_migrations
from schemas.clickhouse.layout import Layout
from schemas.intervals import parse_intervals
from schemas.klines import Gap, GapEnvelope
from schemas.topics import GAPS
from sinks.base import Batch, Record
from sinks.clickhouse import TABLES, ClickHouseSink
from sinks.clickhouse.migrations import migrate
from sinks.clickhouse.store import insert
from tests.support import market

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
EVERY = {table.name: table for table in TABLES}


@pytest.fixture
def client(tmp_path):
    client = clickhouse_connect.get_client(interface="chdb", path=str(tmp_path / "chdb"))
    client.command("CREATE DATABASE market")
    client.database = "market"
    yield client
    client.close()


def store(client, name: str, *values: bytes, offset: int = 0) -> None:
    topic = EVERY[name].topic.name
    records = [Record(topic, 0, offset + i, market.BASE_MS, v) for i, v in enumerate(values)]
    rows, refused = EVERY[name].rows(records)
    assert refused == []
    insert(client, name, rows)


def ask(client, sql: str) -> list[tuple]:
    return client.query(sql).result_rows


def test_rows_of_every_table_count_once_however_often_they_come(client) -> None:
    migrate(client)
    examples = example_records()
    for name, table in EVERY.items():
        for _ in range(3):
            store(client, name, *examples[table.topic.name])
    for name, table in EVERY.items():
        once, _ = table.rows(
            [Record(table.topic.name, 0, i, 0, v) for i, v in enumerate(examples[table.topic.name])]
        )
        assert len(once), name
        counts = "SELECT (SELECT count() FROM {t:Identifier} FINAL), count() FROM {t:Identifier}"
        found = client.query(counts, parameters={"t": name}).result_rows
        assert found == [(len(once), 3 * len(once))], name


def test_the_last_word_of_a_second_is_its_row_in_whatever_order_it_comes(client) -> None:
    migrate(client)
    value = (
        '{"exchange":"okx","channel":"linear","recv_ms":%d,"data_type":"ticker","data":'
        '[{"symbol":"S","ts":%d,"isSnapshot":true,"rev":%d,"lastPrice":%d.5}]}'
    )
    told = [(market.BASE_MS + 100 * i, market.BASE_MS + 100 * i, i, i) for i in range(14)]
    random.Random(3).shuffle(told)
    for each in told:
        store(client, "tickers", (value % each).encode())
    found = ask(client, "SELECT toString(last_price) FROM tickers FINAL ORDER BY time")
    assert found == [("9.5",), ("13.5",)]


def test_spans_of_ids_are_the_same_after_inserts_are_repeated(client) -> None:
    before, after = (
        market.trades_value(market.group(5, 20)),
        market.trades_value(market.group(1, 9)),
    )
    for migration in read_migrations()[:3]:
        for statement in migration.statements:
            client.command(statement)
    store(client, "trades", before)  # before there was a view of it
    migrate(client)
    for _ in range(3):
        store(client, "trades", after, before, offset=7)
        assert ask(client, "SELECT symbol, first_id, last_id FROM last_ids") == [("BTCUSDT", 1, 24)]
    client.command("OPTIMIZE TABLE trade_spans FINAL")
    assert ask(client, "SELECT count(), min(first_id), max(last_id) FROM trade_spans") == [
        (1, 1, 24)
    ]


def gaps_of(*groups) -> list[bytes]:
    engine = Engine(parse_intervals(("1m",)), grace_ms=80, live_every_ms=250, closes_quiet=False)
    told = []
    for offset, group in enumerate(groups):
        engine.apply(None, 0, offset, market.trades_value(group))
        told += [value for topic, _, value in engine.outputs(0, {0}) if topic is GAPS]
    return told


OPEN = "SELECT first_id, last_id, missing, unrecoverable, now FROM open_gaps"


def test_what_is_left_of_a_gap_as_the_engine_fills_it_bit_by_bit(client) -> None:
    migrate(client)
    missing = set(range(11, 19))
    filled = [14, 11, 18, 17, 12, 13, 15, 16]
    told = gaps_of(market.group(1, 10), market.group(19, 2), *[market.group(i, 1) for i in filled])
    assert len(told) == len(filled) + 1
    for i, value in enumerate(told):
        store(client, "gaps", value, *told[:i])  # and all that came before, once more
        if i:
            missing.discard(filled[i - 1])
        state = "found" if i == 0 else "recovering"
        wanted = [(11, 18, len(missing), 0, state)] if missing else []
        assert ask(client, OPEN) == wanted, i


def test_what_was_given_up_is_left_of_a_gap_and_the_rest_of_it_is_not(client) -> None:
    migrate(client)
    (found,) = gaps_of(market.group(1, 10), market.group(31, 2))
    store(client, "gaps", found)

    def told(first: int, last: int, state: str, missing: int) -> bytes:
        row = Gap("BTCUSDT", first, last, 1, 2, missing, state, 5)
        return msgspec.json.encode(GapEnvelope(exchange="binance", channel="linear", data=[row]))

    end = [told(11, 20, "recovered", 0), told(21, 30, "unrecoverable", 10)]
    store(client, "gaps", told(11, 30, "recovering", 20))
    assert ask(client, OPEN) == [(11, 30, 20, 0, "recovering")]
    store(client, "gaps", *end)
    assert ask(client, OPEN) == [(11, 30, 10, 10, "unrecoverable")]


def test_candles_of_the_old_table_keep_their_last_revision(client) -> None:
    for migration in read_migrations()[:4]:  # before the interval stood first
        for statement in migration.statements:
            client.command(statement)
    candles = [market.kline(rev=rev, trade_count=rev) for rev in (7, 9, 8)]
    store(client, "klines", *(market.klines_value(candle) for candle in candles))
    migrate(client)
    for migration in read_migrations()[5:]:  # it died before it noted that it was done
        for statement in migration.statements:
            client.command(statement)
    found = "SELECT rev, trade_count, interval, quality FROM candles"
    assert ask(client, found) == [(9, 9, "1m", "proven")]
    assert ask(client, "SELECT trade_count FROM minutes") == [(9,)]
    store(client, "klines", market.klines_value(market.kline(rev=10, trade_count=10)))
    assert ask(client, found) == [(10, 10, "1m", "proven")]


def test_rows_go_when_they_are_too_old_and_stay_when_nothing_says_so(client) -> None:
    migrate(client)
    candles = market.klines_value()  # of 2023
    store(client, "klines", candles)
    ttl = (
        "SELECT position(create_table_query, ' TTL ') > 0 FROM system.tables"
        " WHERE database = 'market' AND name = 'klines'"
    )
    client.command("OPTIMIZE TABLE klines FINAL")
    assert ask(client, "SELECT count() FROM klines") == [(1,)]
    assert ask(client, ttl) == [(0,)]
    assert migrate(client, Layout(keep_days={"klines": 30})) == ()
    client.command("OPTIMIZE TABLE klines FINAL")
    assert ask(client, "SELECT count() FROM klines") == [(0,)]
    assert ask(client, ttl) == [(1,)]
    migrate(client)
    assert ask(client, ttl) == [(0,)]
    store(client, "klines", candles)
    client.command("OPTIMIZE TABLE klines FINAL")
    assert ask(client, "SELECT count() FROM klines") == [(1,)]


async def test_one_sink_fills_every_table_and_sets_a_poisoned_record_aside_once(tmp_path) -> None:
    sink = ClickHouseSink(Settings(data_dir=tmp_path))
    examples = example_records()
    names = {topic.name for topic in sink.topics}
    assert len(names) == len(sink.topics)
    records = [
        Record(name, 0, offset, market.BASE_MS, value)
        for name in sorted(names)
        for offset, value in enumerate(examples[name])
    ]
    poison = Record(GAPS.name, 0, 99, market.BASE_MS, b"no json")
    await sink.open()
    try:
        for _ in range(2):
            refused = await sink.write(Batch([*records, poison], {}))
            assert [each.record for each in refused] == [poison]
        rows = "SELECT DISTINCT table FROM system.parts WHERE database = 'market' AND active"
        query = lambda: sink._store._client.query(rows).result_rows  # noqa: E731
        filled = {name for (name,) in await sink._store.in_thread(query)}
    finally:
        await sink.close()
    heavy = {"ticker_updates", "book_updates"}
    assert filled - {"schema_migrations"} == {*EVERY, "trade_spans"} - heavy


# A cluster of one server, which chDB is to itself: Distributed tables are real. There is no Keeper,
# so that ON CLUSTER and Replicated are taken out; that they can be read is shown by the parser.
CLUSTER = """
import json, re, sys
import clickhouse_connect
from schemas.clickhouse.layout import Layout
from sinks.base import Record
from sinks.clickhouse.store import insert
from tests.integration.test_clickhouse_tables import EVERY
from tests.support import market
import chdb

path, config = sys.argv[1:]
session = chdb.connect(f"file:{path}?config-file={config}")
plan = Layout(cluster="market", keep_days={"trades": 9_000}).plan("market")
run = lambda sql: json.loads(str(session.query(sql, "JSONCompact")) or '{"data":[]}')["data"]
for statement in plan.script():
    quoted = statement.replace("\\\\", "\\\\\\\\").replace("'", "\\\\'")
    run(f"SELECT formatQuery('{quoted}')")
    local = statement.replace(" ON CLUSTER `market`", "")
    local = re.sub(r"Replicated(\\w*MergeTree)\\('[^']*', '[^']*'(?:, )?", r"\\1(", local)
    assert local == statement or "ON CLUSTER" in statement
    session.query(local)
    if local.startswith("CREATE DATABASE"):
        session.query("USE market")

def store(name, value):
    rows, refused = EVERY[name].rows([Record(EVERY[name].topic.name, 0, 3, market.BASE_MS, value)])
    names = ", ".join(rows.schema.names)
    globals()["arrow"] = rows
    session.query(
        f"INSERT INTO {name} ({names}) SETTINGS distributed_foreground_insert = 1"
        f" SELECT {names} FROM Python(arrow)")

for _ in range(2):
    store("trades", market.trades_value())
    store("klines", market.klines_value())
print(json.dumps({
    "unique": run("SELECT count(), toString(max(price)) FROM trades_unique"),
    "rows": run("SELECT count() FROM trades"),
    "local": run("SELECT count() FROM " + plan.stored_name("trades") + " FINAL"),
    "candles": run("SELECT interval, toString(close) FROM candles"),
    "ids": run("SELECT symbol, first_id, last_id FROM last_ids"),
    "left": run("SELECT count() FROM system.tables WHERE name IN ("
        + ",".join(f"'{name}'" for name in plan.leftovers()) + ")"),
    "engines": run("SELECT DISTINCT engine FROM system.tables WHERE database = 'market'"
        " AND name IN ('trades', 'klines', 'books', 'integrity')"),
}))
"""
CONFIG = """<clickhouse><tcp_port>9000</tcp_port><remote_servers><market><shard><replica>
<host>localhost</host><port>9000</port></replica></shard></market></remote_servers></clickhouse>"""


def test_a_cluster_has_the_same_tables_over_several_servers(tmp_path) -> None:
    (tmp_path / "config.xml").write_text(CONFIG)
    argv = [sys.executable, "-c", CLUSTER, str(tmp_path / "chdb"), str(tmp_path / "config.xml")]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, timeout=100, check=False, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["unique"] == [[3, "28145.13"]]
    assert found["rows"] == [[6]]
    assert found["local"] == [[3]]
    assert found["candles"] == [["1m", "28149.99"]]
    assert found["ids"] == [["BTCUSDT", 1, 3]]
    assert found["left"] == [[0]]
    assert found["engines"] == [["Distributed"]]
