"""Holes punched into trades on chDB: named exactly, told once, and what is trusted is believed."""

import asyncio
import random
import re
from collections.abc import Iterable
from pathlib import Path

import httpx
import msgspec
import pytest
from counting import holes, ids

from runtime.settings import Settings
from schemas.klines import Gap, GapEnvelope
from schemas.topics import GAPS, INTEGRITY, TRADES
from schemas.trades import Flag, SymbolTrades, TradeBatch, encode_batch
from sinks.base import Batch, Record
from sinks.clickhouse import ClickHouseSink
from sinks.integrity.checking import check, untold
from sinks.integrity.periods import DAY_MS, day_of
from sinks.integrity.telling import gap_records, row_records
from sinks.integrity.verifier import Outcome, known
from sinks.integrity.warehouse import Market, Scope, Warehouse
from tests.support.counting import Row

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]

JANUARY = 1_704_067_200_000  # 2024-01-01
NOW_MS = JANUARY + 80 * DAY_MS
STEP_MS = DAY_MS // 20  # 20 trades a day
DENSE, RANGE, UNIQUE = (
    Market("binance", "linear"),
    Market("okx", "linear"),
    Market("kraken", "spot"),
)
DAYS = 70
# Inside a day, across a midnight, a whole day, across two months' seam, twice in a day, at the end.
HOLES = [(45, 47), (199, 203), (420, 441), (618, 625), (1102, 1102), (1105, 1109), (1396, 1397)]


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("integrity")


@pytest.fixture
async def sink(data_dir):
    sink = ClickHouseSink(Settings(data_dir=data_dir))
    await sink.open()
    yield sink
    await sink.close()


@pytest.fixture
async def warehouse(sink):
    url = f"http://127.0.0.1:{sink.facts()['http_port']}/market"
    async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(retries=5)) as client:
        await client.get(f"http://127.0.0.1:{sink.facts()['http_port']}/ping")
    warehouse = await asyncio.to_thread(Warehouse.connect, url)
    yield warehouse
    warehouse.close()


def trades(rule: str = "dense") -> list[Row]:
    """Return the whole truth: ids from 1 on, one a step, and of ranges two or three."""
    rows, id_ = [], 1
    for at in range(DAYS * 20):
        width = 1 + at % 3 if rule == "range" else 1
        rows.append(Row(id_, id_ + width - 1, JANUARY + at * STEP_MS + 7))
        id_ += width
    return rows


def punched(rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if not any(f <= row.first <= n for f, n in HOLES)]


def batch(market: Market, symbol: str, rows: list[Row], offset: int = 0) -> Record:
    group = SymbolTrades(
        symbol=symbol,
        price_scale=1,
        qty_scale=1,
        id=[row.last for row in rows],
        ts=[row.ms for row in rows],
        price=[7] * len(rows),
        qty=[3] * len(rows),
        side=1,
        flags=[Flag.NON_MARKET if row.first % 50 == 0 else 0 for row in rows],
        # The trade ids inside an aggregate skip, where nobody but the venue may know why.
        first=[row.first * (5 if market is DENSE else 1) for row in rows],
        last=[row.last * (5 if market is DENSE else 1) for row in rows],
        ids=market.rule,
    )
    value = encode_batch(
        TradeBatch(market.exchange, market.channel, "live", NOW_MS * 10**6, [group])
    )
    return Record(TRADES.name, 0, offset, 0, value)


async def store(sink, *records: Record) -> None:
    assert not await sink.write(Batch(records, {}))


async def look(warehouse, market: Market, symbol: str, now_ms: int = NOW_MS, **options) -> Outcome:
    def work() -> Outcome:
        months = warehouse.series(Scope(symbols=(symbol,)))[market]
        kept = [] if options.get("full") else warehouse.kept(market, [symbol])
        told = known(warehouse.told(market, [symbol]), (), now_ms)
        (verdict,) = check(warehouse, market, months, kept, told, now_ms, now_ms)
        return Outcome(market, verdict, untold(verdict, told))

    return await asyncio.to_thread(work)


async def keep(sink, found: Outcome) -> None:
    """Let the sink store what a run tells, as it does from the topics."""
    market, verdict, told, _ = found
    said = [(GAPS, value) for value in gap_records(market, verdict, told)]
    said += [(INTEGRITY, value) for value in row_records(market, verdict)]
    await store(sink, *(Record(t.name, 0, n, NOW_MS, value) for n, (t, value) in enumerate(said)))


@pytest.mark.parametrize("market", [DENSE, RANGE], ids=["dense", "range"])
async def test_every_hole_is_named_exactly_and_told_once(sink, warehouse, market):
    whole = trades(market.rule)
    rows = punched(whole)
    await store(sink, batch(market, "HOLES", rows, 5))
    await store(sink, batch(market, "HOLES", rows[100:140], 6))  # a repeat, merged or not
    found = await look(warehouse, market, "HOLES")
    verdict = found.verdict
    assert verdict.missing == holes(rows)
    assert verdict.gaps_count == len(ids(whole) - ids(rows))
    assert (verdict.count, verdict.duplicates, verdict.quality) == (len(rows), 0, "gap")
    assert verdict.trust.to_ms == day_of(verdict.missing[0].from_ms)
    assert found.told == verdict.missing
    await keep(sink, found)
    _, again, told, _ = await look(warehouse, market, "HOLES", NOW_MS + 1)
    assert (again.missing, told) == (verdict.missing, [])
    assert (again.trust, again.gaps_count) == (verdict.trust, verdict.gaps_count)
    days = [row for row in again.rows if row.period == "day"]
    assert len(days) < 25  # of 70: those with holes, and those beside them


async def test_what_is_recovered_moves_the_trust_point_and_what_is_given_up_does_too(
    sink, warehouse
):
    whole = trades()
    rows = punched(whole)
    await store(sink, batch(DENSE, "LATER", rows, 5))
    await keep(sink, await look(warehouse, DENSE, "LATER"))
    lost = HOLES[1]
    given_up = Gap("LATER", *lost, 0, 0, missing=5, state="unrecoverable", rev=10**9)
    value = msgspec.json.encode(GapEnvelope("binance", "linear", [given_up]))
    back = [row for row in whole if row not in set(rows) and not lost[0] <= row.first <= lost[1]]
    await store(sink, batch(DENSE, "LATER", back, 9), Record(GAPS.name, 0, 99, NOW_MS, value))
    found = await look(warehouse, DENSE, "LATER", NOW_MS + 1)
    verdict = found.verdict
    assert (verdict.missing, found.told) == ([], [])
    assert (verdict.gaps_count, verdict.unrecoverable) == (5, 5)
    assert verdict.trust.to_ms == JANUARY + (DAYS - 1) * DAY_MS  # all but the newest day
    await keep(sink, found)
    _, fresh, *_ = await look(warehouse, DENSE, "LATER", NOW_MS + 1, full=True)
    assert (fresh.trust, fresh.gaps_count, fresh.count) == (
        verdict.trust,
        verdict.gaps_count,
        verdict.count,
    )


async def test_the_documented_query_finds_the_trust_points(sink, warehouse):
    text = (ROOT / "docs" / "integrity.md").read_text()
    (query,) = re.findall(r"```sql\n(.*?)```", text, re.DOTALL)
    trust = {}
    for symbol, gone in (("POINT1", 700), ("POINT2", 3), ("POINT3", 5_000)):
        rows = [row for row in trades() if row.first != gone]
        await store(sink, batch(DENSE, symbol, rows))
        found = await look(warehouse, DENSE, symbol)
        await keep(sink, found)
        if found.verdict.trust:
            trust[symbol] = found.verdict.trust.last_id
    assert set(trust) == {"POINT1", "POINT3"}  # the other lacks an id of its first day
    rows = await asyncio.to_thread(lambda: warehouse._rows(query))
    assert {row[2]: row[3] for row in rows if row[2].startswith("POINT")} == trust


async def test_trades_told_twice_are_counted_apart_from_those_missing(sink, warehouse):
    rows = punched(trades())
    again = [row._replace(ms=row.ms + 3) for row in rows[10:15]]  # in the day, and past a midnight
    again += [row._replace(ms=row.ms + DAY_MS) for row in rows[60:63]]
    await store(sink, batch(DENSE, "TWICE", sorted(rows + again, key=lambda row: row.ms)))
    _, verdict, *_ = await look(warehouse, DENSE, "TWICE")
    assert verdict.missing == holes(rows)
    assert (verdict.duplicates, verdict.count) == (8, len(rows) + 8)


async def test_ids_that_prove_nothing_are_assumed(sink, warehouse):
    rows = punched(trades())
    await store(sink, batch(UNIQUE, "ASSUMED", rows))
    march = [row for row in rows if row.ms >= JANUARY + 60 * DAY_MS]
    found = await look(warehouse, UNIQUE, "ASSUMED")
    verdict = found.verdict
    assert (verdict.quality, verdict.missing, verdict.gaps_count) == ("assumed", [], 0)
    assert verdict.count == len(rows)
    assert verdict.trust.to_ms == JANUARY + DAYS * DAY_MS
    await keep(sink, found)
    _, again, _, *_ = await look(warehouse, UNIQUE, "ASSUMED", NOW_MS + 1)
    assert [(row.period, row.count) for row in again.rows] == [("month", len(march))]


async def test_trades_in_any_order_are_judged_as_by_looking_at_every_id(sink, warehouse):
    pick = random.Random(11)
    for n in range(4):
        market = (DENSE, RANGE)[n % 2]
        whole = trades(market.rule)[: 20 * pick.randrange(2, 34)]
        rows = [row for row in whole if pick.random() > 0.02]
        rows = [row._replace(ms=row.ms + pick.choice((0, 0, 0, 2 * STEP_MS))) for row in rows]
        await store(sink, batch(market, f"ANY{n}", rows))
        _, verdict, *_ = await look(warehouse, market, f"ANY{n}")
        assert sorted(verdict.missing) == holes(rows)
