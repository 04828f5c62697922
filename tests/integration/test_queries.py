"""Every query of docs/queries.md, on rows that were delivered twice, against the bare trades."""

import math
import re
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import clickhouse_connect
import pytest

from sinks.base import Record
from sinks.clickhouse import TABLES
from sinks.clickhouse.migrations import migrate
from sinks.clickhouse.query import Queries
from sinks.clickhouse.store import insert
from tests.support.told_day import DAY_MS, HOUR_MS, MISSING, SYMBOLS, History, Row

pytestmark = pytest.mark.integration

PAGE = (Path(__file__).parents[2] / "docs" / "queries.md").read_text()
QUERIES = {
    int(number): sql
    for number, sql in re.findall(
        r"^## (\d+)\. .*?^```sql\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE
    )
}
DAYS = 24 * HOUR_MS
HISTORY = History()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("queries")


@pytest.fixture(scope="module")
def client(folder):
    client = clickhouse_connect.get_client(interface="chdb", path=str(folder))
    client.command("CREATE DATABASE market")
    client.database = "market"
    migrate(client)
    half = len(HISTORY.records) // 2
    for part in (HISTORY.records, HISTORY.records[:half], HISTORY.records[half:]):
        store(client, part)
    yield client
    client.close()


def store(client, records: list[Record]) -> None:
    for table in TABLES:
        rows, refused = table.rows([r for r in records if r.topic == table.topic.name])
        assert refused == []
        if len(rows):
            insert(client, table.name, rows)


@pytest.fixture
def answer(client):
    return lambda number: client.query(QUERIES[number]).result_rows


def ms(time) -> int:
    return round(time.timestamp() * 1_000)


def windows(symbol: str, length_ms: int) -> dict[int, list[Row]]:
    found = defaultdict(list)
    for row in HISTORY.rows:
        if row.symbol == symbol and row.ts < DAY_MS + DAYS:
            found[row.ts // length_ms * length_ms].append(row)
    return dict(found)


def near(found, wanted) -> bool:
    return all(
        math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12) for a, b in zip(found, wanted, strict=True)
    )


def test_the_page_has_as_many_queries_as_it_says() -> None:
    assert sorted(QUERIES) == list(range(1, 13))
    assert len(re.findall(r"^```sql", PAGE, re.MULTILINE)) == 12


def test_the_endpoint_for_strangers_lets_every_query_through(client, folder) -> None:
    queries = Queries(folder)
    for number, sql in QUERIES.items():
        asked = {"settings": {}, "parameters": {}}
        answer = queries.run(sql, default_format="JSONCompactEachRow", **asked)
        assert len(answer.body.splitlines()) == len(client.query(sql).result_rows) > 0, number


def test_candles(answer) -> None:
    wanted = [
        (
            opened,
            *(
                rows[0].price,
                max(r.price for r in rows),
                min(r.price for r in rows),
                rows[-1].price,
            ),
            *(sum(r.qty for r in rows), len(rows)),
        )
        for opened, rows in windows("BTCUSDT", HOUR_MS).items()
    ]
    found = answer(1)
    assert [(ms(row[0]), *row[1:7]) for row in found] == wanted
    assert len(found) == 24
    assert {row[7] for row in found} == {"proven", "gap"}
    assert sum(row[8] for row in found) == len(MISSING)


def test_candles_of_any_interval_are_those_of_the_engine(answer, client) -> None:
    found = answer(2)
    length_ms = 173 * 60_000
    stored = client.query(
        "SELECT open_time, open, high, low, close, volume, trade_count FROM candles"
        " WHERE symbol = 'BTCUSDT' AND interval_ms = 173 * 60000 AND closed ORDER BY open_time"
    ).result_rows
    assert len(stored) >= 8
    engine = [(ms(row[0]), *row[1:]) for row in stored]
    # The first and the last window reach beyond the day.
    assert [row for row in found if DAY_MS <= row[0] < DAY_MS + DAYS - length_ms] == [
        row for row in engine if DAY_MS <= row[0] < DAY_MS + DAYS - length_ms
    ]


def test_volume_weighted_prices(answer) -> None:
    wanted = [
        float(sum(r.price * r.qty for r in rows) / sum(r.qty for r in rows))
        for rows in windows("BTCUSDT", HOUR_MS).values()
    ]
    assert near([row[1] for row in answer(3)], wanted)


def test_aggressors(answer) -> None:
    deltas = [sum(r.qty * r.side for r in rows) for rows in windows("BTCUSDT", HOUR_MS).values()]
    found = answer(4)
    assert [row[1] for row in found] == deltas
    assert [row[2] for row in found] == [sum(deltas[: i + 1]) for i in range(24)]


def test_the_largest_trades(answer) -> None:
    day = [row for rows in windows("BTCUSDT", DAYS).values() for row in rows]
    wanted = sorted(day, key=lambda r: (-float(r.price) * float(r.qty), r.id))[:10]
    found = answer(5)
    assert [(row[1], row[3], row[4]) for row in found] == [(r.id, r.price, r.qty) for r in wanted]
    assert [row[2] for row in found] == ["buy" if r.side > 0 else "sell" for r in wanted]


def test_volatility(answer) -> None:
    closes = [float(rows[-1].price) for rows in windows("BTCUSDT", 60_000).values()]
    squares = [math.log(b / a) ** 2 for a, b in pairwise(closes)]
    ((_, volatility, minutes),) = answer(6)
    assert near([volatility], [math.sqrt(sum(squares) * 365)])
    assert minutes == len(closes)


def test_correlation(answer) -> None:
    moves = [
        [float(rows[-1].price) / float(rows[0].price) - 1 for rows in windows(s, HOUR_MS).values()]
        for s in SYMBOLS
    ]
    means = [sum(m) / 24 for m in moves]
    parts = [[x - mean for x in m] for m, mean in zip(moves, means, strict=True)]
    a, b = parts
    wanted = sum(x * y for x, y in zip(a, b, strict=True)) / math.sqrt(
        sum(x * x for x in a) * sum(y * y for y in b)
    )
    ((correlation, hours),) = answer(7)
    assert hours == 24
    assert math.isclose(correlation, wanted, rel_tol=1e-9)


def test_movers(answer) -> None:
    wanted = {}
    for symbol in SYMBOLS:
        (rows,) = windows(symbol, DAYS).values()
        turnover = sum(r.price * r.qty for r in rows)
        wanted[symbol] = (float(rows[-1].price) / float(rows[0].price) - 1, turnover)
    found = answer(8)
    assert [row[2] for row in found] == sorted(SYMBOLS, key=lambda s: -abs(wanted[s][0]))
    for _, _, symbol, change, turnover in found:
        assert near([change], [wanted[symbol][0]])
        assert turnover == wanted[symbol][1]


def test_what_buying_costs(answer) -> None:
    spreads, slips = defaultdict(list), defaultdict(list)
    for ts, bids, asks in HISTORY.books:
        mid, left, paid = (bids[0][0] + asks[0][0]) / 2, 3_000, 0
        for price, qty in asks:
            taken = min(qty, left)
            left, paid = left - taken, paid + price * taken
        spreads[ts // HOUR_MS].append((asks[0][0] - bids[0][0]) / mid * 10_000)
        slips[ts // HOUR_MS].append((paid / 3_000 / mid - 1) * 10_000)
    found = answer(9)
    assert near([row[2] for row in found], [sum(s) / 2 for s in spreads.values()])
    for row, wanted in zip(found, slips.values(), strict=True):
        assert math.isclose(row[3], sum(wanted) / 2, rel_tol=1e-6)
    assert {row[4] for row in found} == {2}


def test_funding(answer) -> None:
    last = {due: rate for _, due, rate in HISTORY.funding}  # the last one told before it is due
    within = {due: rate for due, rate in last.items() if due < DAY_MS + DAYS}
    found = answer(10)
    assert [(ms(row[1]), row[2]) for row in found] == list(within.items())
    assert found[-1][3] == sum(within.values())


def test_open_interest_and_liquidations(answer) -> None:
    found = answer(11)
    assert len(found) == 48
    bitcoin = [row for row in found if row[0] == "BTCUSDT"]
    closes = [rows[-1].price for rows in windows("BTCUSDT", HOUR_MS).values()]
    assert [row[2] for row in bitcoin] == closes
    # Told a millisecond after the full hour: at its end the next one is not known.
    assert [row[3] for row in bitcoin] == [value for _, _, value in HISTORY.interest]
    for side, column in ((-1, 4), (1, 5)):
        wanted = {ts: value for _, ts, s, value in HISTORY.liquidations if s == side}
        assert {ms(row[1]): row[column] for row in bitcoin if row[column]} == wanted
    assert {row[4:6] for row in found if row[0] == "ETHUSDT"} == {(0, 0)}


def test_what_is_missing_is_told(answer) -> None:
    before, after = (
        next(r.ts for r in HISTORY.rows if r.symbol == "BTCUSDT" and r.id == id_)
        for id_ in (MISSING[0] - 1, MISSING[-1] + 1)
    )
    touched = {
        opened
        for opened in windows("BTCUSDT", 60_000)
        if before // 60_000 * 60_000 <= opened <= after
    }
    assert answer(12) == [("BTCUSDT", MISSING[0], MISSING[-1], len(MISSING), "found", len(touched))]
