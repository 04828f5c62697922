"""SQL over HTTP: what readers need works, and nothing else does."""

import asyncio
import json
from decimal import Decimal
from pathlib import Path

import clickhouse_connect
import httpx
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from runtime.errors import Misconfigured
from runtime.settings import Settings
from schemas.clickhouse import read_migrations
from schemas.topics import KLINES, TRADES
from sinks.clickhouse import ClickHouseSink, klines, trades
from sinks.clickhouse import http as endpoint
from tests.support import market

pytestmark = pytest.mark.integration

INT64 = (2**63 - 1, -(2**63), 0, 1, -1, 123_456_789)


@pytest.fixture(scope="module")
def secret(tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("host") / "secret.csv"
    file.write_text("password\nhunter2\n")
    return file


@pytest.fixture
async def sink(tmp_path):
    sink = ClickHouseSink(Settings(data_dir=tmp_path))
    await sink.open()
    await sink.write(market.batch(TRADES.name, [market.trades_value()]))
    revisions = [market.kline(rev=7), market.kline(rev=8, close=Decimal("1.5"))]
    await sink.write(market.batch(KLINES.name, [market.klines_value(k) for k in revisions]))
    yield sink
    await sink.close()


@pytest.fixture
async def http(sink):
    base = f"http://127.0.0.1:{sink.facts()['http_port']}"
    async with httpx.AsyncClient(base_url=base, timeout=60) as client:
        yield client


async def select(http, sql: str, **params) -> str:
    answer = await http.get("/", params={"query": sql, **params})
    assert answer.status_code == 200, answer.text
    return answer.text


async def test_every_way_to_ask_is_answered(http) -> None:
    assert (await http.get("/ping")).text == "Ok.\n"
    assert (await http.get("/")).text == "Ok.\n"
    assert await select(http, "SELECT count() FROM trades") == "3\n"
    assert (await http.post("/", content="SELECT count() FROM trades;")).text == "3\n"
    assert (await http.post("/?query=SELECT%201", content="+ 1")).text == "2\n"
    assert await select(http, "SELECT 1 AS a FORMAT JSONEachRow") == '{"a":1}\n'
    assert await select(http, "SELECT 1 AS a", default_format="CSVWithNames") == '"a"\n1\n'
    assert await select(http, "WITH 2 AS x SELECT x -- comment") == "2\n"
    assert "trades_unique" in await select(http, "SHOW TABLES")
    assert "price_int" in await select(http, "DESCRIBE trades")
    assert await select(http, "EXISTS trades") == "1\n"
    assert "ReadFrom" in await select(http, "EXPLAIN SELECT 1")
    answer = await http.get("/", params={"query": "SELECT 1 FORMAT JSON"})
    assert answer.headers["X-ClickHouse-Format"] == "JSON"
    assert answer.headers["Content-Type"].startswith("application/json")
    assert json.loads(answer.headers["X-ClickHouse-Summary"])["read_rows"]


async def test_parameters_are_bound_by_the_engine(http) -> None:
    text = "it's; DROP TABLE trades -- `"
    assert await select(http, "SELECT {x:String} = {x:String}", param_x=text) == "1\n"
    assert await select(http, "SELECT length({x:String})", param_x=text) == f"{len(text)}\n"
    assert await select(http, "SELECT count() FROM {t:Identifier}", param_t="trades") == "3\n"


async def test_presentation_can_be_chosen_and_limits_only_lowered(http) -> None:
    quoted = {"output_format_json_quote_64bit_integers": "1"}
    assert '"1"' in await select(http, "SELECT toInt64(1) AS a FORMAT JSONEachRow", **quoted)
    await select(http, "SELECT number FROM numbers(10)", max_result_rows="10")
    for rows in ("0", "999999999"):
        answer = await http.get(
            "/", params={"query": "SELECT number FROM numbers(3000000)", "max_result_rows": rows}
        )
        assert answer.status_code == 413
        assert answer.headers["X-ClickHouse-Exception-Code"] == "396"
    answer = await http.get("/", params={"query": "SELECT 1", "max_execution_time": "0;SELECT 2"})
    assert answer.text == "1\n"
    for setting in ("allow_introspection_functions", "log_queries; SET readonly"):
        answer = await http.get("/", params={"query": "SELECT 1", setting: "0"})
        assert (answer.status_code, answer.headers["X-ClickHouse-Exception-Code"]) == (400, "115")


async def test_errors_come_as_clickhouse_sends_them(http) -> None:
    for sql, status, code in [
        ("SELEC 1", 400, "62"),
        ("SELECT 1; SELECT 2", 400, "62"),
        ("SELECT * FROM nowhere", 404, "60"),
        ("SELECT nothing", 404, "47"),
        ("SELECT toInt8('x')", 400, "6"),
        ("   ", 400, "62"),
        ("SELECT sum(sipHash64(number)) FROM numbers(100000000000)", 408, "159"),
    ]:
        limits = {"max_execution_time": "1"} if status == 408 else {}
        answer = await http.get("/", params={"query": sql, **limits})
        assert (answer.status_code, answer.headers["X-ClickHouse-Exception-Code"]) == (status, code)
        assert answer.text.startswith(f"Code: {code}. DB::Exception")


async def test_clickhouse_connect_reads_over_http(sink) -> None:
    def read() -> None:
        client = clickhouse_connect.get_client(
            host="127.0.0.1", port=sink.facts()["http_port"], username="anybody"
        )
        rows = client.query("SELECT id, price, qty FROM trades_unique ORDER BY id").result_rows
        assert rows[0] == (1, Decimal("28145.11"), Decimal("0.003"))
        assert client.command("SELECT count() FROM candles") == 1
        (candle,) = client.query(
            "SELECT * FROM candles WHERE symbol = {s:String}", parameters={"s": "BTCUSDT"}
        ).named_results()
        assert (candle["close"], candle["interval"], candle["rev"]) == (Decimal("1.5"), "1m", 8)
        assert list(client.query_df("SELECT symbol, close FROM candles").columns) == [
            "symbol",
            "close",
        ]
        assert client.query("SELECT * FROM trades WHERE 0").result_rows == []
        with pytest.raises(DatabaseError) as caught:
            client.insert("trades", [[1]], column_names=["id"], column_type_names=["Int64"])
        assert caught.value.code == 164

    await asyncio.to_thread(read)


WRITES = [
    "DROP TABLE trades",
    "INSERT INTO trades (id) VALUES (1)",
    "TRUNCATE TABLE trades",
    "ALTER TABLE trades DELETE WHERE 1",
    "OPTIMIZE TABLE trades FINAL",
    "CREATE TABLE x (a Int8) ENGINE = Memory",
    "CREATE TEMPORARY TABLE x (a Int8)",
    "CREATE FUNCTION f AS (x) -> x",
    "SET readonly = 0",
    "USE default",
    "SYSTEM SHUTDOWN",
    "KILL QUERY WHERE 1",
    "BACKUP TABLE trades TO Disk('default', 'x')",
    "SELECT 1 SETTINGS readonly = 0",
    "SELECT 1 SETTINGS max_execution_time = 0",
    "EXPLAIN AST SELECT 1 INTO OUTFILE '{out}'",
    "SELECT 1 INTO OUTFILE '{out}'",
    "SELECT 1 INTO/**/OUTFILE '{out}' TRUNCATE FORMAT CSV",
    "(SELECT 1) INTO OUTFILE '{out}'",
]
HOST = [
    "SELECT file('{secret}')",
    "SELECT `file`('{secret}')",
    "SELECT `fi\\x6ce`('{secret}')",
    "SELECT FILE/* */('{secret}')",
    "SELECT * APPLY(file) FROM (SELECT '{secret}' AS x)",
    "SELECT arrayMap(file, ['{secret}'])",
    "SELECT arrayMap(x -> file(x), ['{secret}'])",
    "SELECT arrayMap({f:Identifier}, ['{secret}'])",
    "SELECT arrayMap({g:Identifier}, ['{secret}'])",
    "SELECT * FROM file('{secret}', 'CSV', 'a String')",
    "DESCRIBE file('{secret}', 'CSVWithNames')",
    "DESCRIBE TABLE `file`('{secret}', 'CSVWithNames')",
    "EXPLAIN SELECT * FROM file('{secret}', 'CSV', 'a String')",
    "WITH (SELECT file('{secret}')) AS x SELECT x",
    "SELECT * FROM '{secret}'",
    "SELECT * FROM `{secret}`",
    "SELECT * FROM default.`{secret}`",
    "DESCRIBE default.`{secret}`",
    "EXISTS TABLE default.`{secret}`",
    "SELECT * FROM {t:Identifier}",
    "SELECT * FROM url('http://127.0.0.1:1/', 'CSV', 'a String')",
    "DESCRIBE url('http://127.0.0.1:1/', 'CSV')",
    "SELECT * FROM s3('http://127.0.0.1:1/x')",
    "SELECT * FROM remote('127.0.0.1:9000', system.one)",
    "SELECT * FROM executable('id', 'CSV', 'a String')",
    "SELECT * FROM mysql('127.0.0.1:1', 'a', 'b', 'c', 'd')",
    "SELECT * FROM sqlite('{secret}', 't')",
    "SELECT * FROM python(sys)",
    "SELECT * FROM filesystem('/etc')",
    "SELECT * FROM eval('SELECT 1')",
    "SELECT aiGenerate('x')",
    "SELECT AIGenerate('x')",
    "SELECT filesystemAvailable()",
    "SELECT * FROM system.stack_trace",
]


@pytest.mark.parametrize("attack", WRITES + HOST)
async def test_attacks_are_refused(http, tmp_path, secret, attack) -> None:
    out = tmp_path / "out"
    sql = attack.replace("{secret}", str(secret)).replace("{out}", str(out))
    before = await select(http, "SHOW TABLES")
    for ask in (
        http.get("/", params={"query": sql, "param_f": "file", "param_t": str(secret)}),
        http.post("/", params={"param_f": "FILE", "param_g": "fi\\x6ce"}, content=sql),
    ):
        answer = await ask
        assert answer.status_code >= 400, answer.text
        assert "hunter2" not in answer.text
        assert "password" not in answer.text
    assert not out.exists()
    assert await select(http, "SHOW TABLES") == before
    assert await select(http, "SELECT count() FROM trades") == "3\n"
    assert await select(http, "SELECT currentDatabase(), getSetting('readonly')") == "market\t1\n"


async def test_words_inside_text_are_no_attack(http) -> None:
    text = "SELECT 'file(1) INTO OUTFILE `x` /etc', 'it''s \\' file('"
    assert "file(1)" in await select(http, text)


async def test_only_names_of_this_machine_are_answered(http) -> None:
    answer = await http.get("/", params={"query": "SELECT 1"}, headers={"Host": "evil.example"})
    assert answer.status_code == 400


async def test_deep_nesting_does_not_end_the_process(http) -> None:
    for sql in (
        "SELECT " + "(" * 200_000 + "1" + ")" * 200_000,
        "SELECT " + "-" * 1 + "- " * 100_000 + "1",
        "SELECT " + "[" * 100_000,
        "SELECT " + "not " * 100_000 + "1",
        "SELECT 1" + " UNION ALL SELECT 1" * 20_000,
    ):
        answer = await http.post("/", content=sql)
        assert answer.status_code >= 400
    assert await select(http, "SELECT 1") == "1\n"


async def test_a_long_statement_is_refused(http) -> None:
    answer = await http.post("/", content=b"SELECT '" + b"x" * endpoint.SQL_BYTES_MAX + b"'")
    assert answer.status_code == 413


async def test_a_full_queue_says_so_and_inserts_go_on(http, sink, monkeypatch) -> None:
    monkeypatch.setattr(endpoint, "WAITING_MAX", 1)
    slow = {"query": "SELECT sum(sipHash64(number)) FROM numbers(100000000000)"}
    asks = [
        asyncio.create_task(http.get("/", params={**slow, "max_execution_time": "2"}))
        for _ in range(4)
    ]
    await asyncio.sleep(0.3)
    await asyncio.wait_for(
        sink.write(market.batch(TRADES.name, [market.trades_value(market.group(9))])), 10
    )
    statuses = sorted([(await ask).status_code for ask in asks])
    assert statuses == [408, 408, 408, 503]
    assert await select(http, "SELECT count() FROM trades") == "6\n"


async def test_prices_are_exact_at_every_scale(http, sink) -> None:
    groups = [
        market.group(
            id=list(range(len(INT64))),
            ts=[market.BASE_MS] * len(INT64),
            price=list(INT64),
            qty=list(INT64),
            price_scale=scale,
            qty_scale=scale,
            symbol=f"S{scale}",
        )
        for scale in range(trades.SCALE_MAX + 1)
    ]
    assert await sink.write(market.batch(TRADES.name, [market.trades_value(*groups)])) == []
    rows = await select(
        http,
        "SELECT price_int, price_scale, toString(price), toString(qty)"
        " FROM trades WHERE symbol LIKE 'S%'",
    )
    seen = 0
    for line in rows.splitlines():
        number, scale, price, qty = line.split("\t")
        assert Decimal(price) == Decimal(qty) == Decimal(number).scaleb(-int(scale))
        seen += 1
    assert seen == 13 * len(INT64)


async def test_a_repeated_insert_never_doubles(http, sink) -> None:
    for _ in range(3):
        await sink.write(market.batch(TRADES.name, [market.trades_value()]))
        await sink.write(market.batch(KLINES.name, [market.klines_value(market.kline(rev=7))]))
    assert await select(http, "SELECT count(), min(id), max(id) FROM trades_unique") == "3\t1\t3\n"
    assert await select(http, "SELECT count(), any(rev), any(close) FROM candles") == "1\t8\t1.5\n"


async def test_at_equal_rev_the_closed_candle_wins_in_any_order(http, sink) -> None:
    for i, order in enumerate([(True, False), (False, True)]):
        for closed in order:
            k = market.kline(symbol=f"O{i}", closed=closed, close=Decimal(int(closed)))
            await sink.write(market.batch(KLINES.name, [market.klines_value(k)]))
    rows = await select(http, "SELECT close, closed FROM candles WHERE symbol LIKE 'O%'")
    assert rows == "1\ttrue\n1\ttrue\n"


async def test_a_batch_may_span_more_months_than_a_block_does_by_default(http, sink) -> None:
    klines = [market.kline(symbol="M", timestamp=i * 31 * 86_400_000) for i in range(120)]
    await sink.write(market.batch(KLINES.name, [market.klines_value(*klines)]))
    assert await select(http, "SELECT count() FROM candles WHERE symbol = 'M'") == "120\n"


async def test_intervals_read_as_people_write_them(http, sink) -> None:
    lengths = {"1s": 1_000, "90m": 5_400_000, "1h": 3_600_000, "1D": 86_400_000, "173m": 10_380_000}
    klines = [market.kline(symbol="I", interval=ms) for ms in lengths.values()]
    await sink.write(market.batch(KLINES.name, [market.klines_value(*klines)]))
    rows = await select(
        http, "SELECT interval, interval_ms FROM candles WHERE symbol = 'I' FORMAT TSV"
    )
    assert {k: int(v) for k, v in (r.split("\t") for r in rows.splitlines())} == lengths


async def test_the_tables_have_the_columns_that_are_written(http) -> None:
    records = market.batch(
        TRADES.name, [market.trades_value(market.group(uid=list("abc")))]
    ).records
    written, refused = trades.trade_table(records)
    assert not refused
    for table, names in (("trades", written.schema.names), ("klines", klines.SCHEMA.names)):
        rows = await select(
            http,
            "SELECT name FROM system.columns WHERE database = 'market'"
            " AND table = {table:String} AND default_kind IN ('', 'DEFAULT')",
            param_table=table,
        )
        held = set(rows.split())
        assert set(names) <= held
        # A trade's columns that are the same in all rows are left to the table's defaults.
        assert table == "trades" or held == set(names)


async def test_migrations_are_applied_once(sink, tmp_path, http) -> None:
    versions = [migration.version for migration in read_migrations()]
    assert versions == list(range(1, len(versions) + 1))
    sql = "SELECT version, applied_at FROM schema_migrations ORDER BY version"
    first = await select(http, sql)
    await sink.close()
    again = ClickHouseSink(Settings(data_dir=tmp_path))
    await again.open()
    try:
        base = f"http://127.0.0.1:{again.facts()['http_port']}"
        async with httpx.AsyncClient(base_url=base) as client:
            assert await select(client, sql) == first
            assert await select(client, "SELECT count() FROM trades_unique") == "3\n"
    finally:
        await again.close()


async def test_a_taken_port_is_the_operators_to_change(sink, tmp_path) -> None:
    taken = sink.facts()["http_port"]
    second = endpoint.HttpEndpoint(sink._endpoint._queries, "127.0.0.1", taken)
    with pytest.raises(Misconfigured) as caught:
        await second.open()
    await second.close()
    assert caught.value.setting == "STREAMER_CLICKHOUSE_HTTP_PORT"
