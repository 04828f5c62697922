"""Archives as they are read from the simulator's tree over HTTP, with all that goes wrong."""

import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from simulated import simulating

from ingest.exchanges import EXCHANGES
from ingest.recovery.archives import files, open_archive
from ingest.recovery.source import Damaged, DayMissing
from runtime.errors import Retriable
from runtime.settings import load_settings

pytestmark = pytest.mark.integration

DAY_MS = 86_400_000
PAST = {
    "symbols": 1,
    "past_days": 40,
    "past_trades_per_s": 0.02,
    "archive_lag_h": 0,
    "trades_per_s": 10,
}


def midnight_ms(days_ago=0):
    return time.time_ns() // 1_000_000 // DAY_MS * DAY_MS - days_ago * DAY_MS


def name_of(ms):
    return datetime.fromtimestamp(ms / 1_000, UTC).date().isoformat()


@asynccontextmanager
async def archive(tmp_path, sim, exchange, channel):
    settings = load_settings(data_dir=tmp_path, exchange_archive_url=sim.archive_url(exchange))
    async with open_archive(settings, exchange, EXCHANGES[exchange].markets[channel]) as source:
        yield source


async def rows_of(source, symbol, from_ms, to_ms, first_id=None, last_id=None):
    found = []
    async for page in source.pages(symbol, first_id, last_id, from_ms, to_ms):
        assert 0 < len(page) <= 5_000
        found += page
    return found


async def trouble(http, name, fault, **more):
    body = {"exchange": "binance", "market": "linear", "name": name, "fault": fault, **more}
    answer = await http.post("/sim/archive", json=body)
    assert answer.status_code == 200, answer.text


def truth(sim, exchange, channel, from_ms, to_ms):
    (ledger,) = sim.of(exchange)[channel].ledgers.values()
    return ledger.symbol, ledger.rows(ledger.id_at(from_ms), ledger.id_at(to_ms + 1))


def told(row):
    return row.ts, row.price * 10 ** (12 - row.price_scale), row.qty * 10 ** (12 - row.qty_scale)


def known(symbol, row, *, contracts=0):
    price = row.price * 10 ** (12 - symbol.price_scale)
    return row.ts_ms, price, row.qty * 10 ** (12 - symbol.qty_scale - contracts)


@pytest.mark.parametrize(
    ("exchange", "channel"),
    [
        ("binance", "spot"),
        ("binance", "linear"),
        ("bybit", "spot"),
        ("bybit", "linear"),
        ("okx", "spot"),
        ("okx", "linear"),
    ],
)
async def test_two_days_and_their_seam_are_the_truth(tmp_path, exchange, channel):
    from_ms, to_ms = midnight_ms(3) + 70_000_000, midnight_ms(1) - 10_000_000
    async with simulating(exchanges=(exchange,), markets=(channel,), **PAST) as (sim, _):
        symbol, rows = truth(sim, exchange, channel, from_ms, to_ms)
        async with archive(tmp_path, sim, exchange, channel) as source:
            found = await rows_of(source, symbol.name, from_ms, to_ms)
        dialect = sim.of(exchange)[channel].dialect
    if exchange == "okx":  # single trades, whose last is that of the row
        last = {row.last: row for row in rows}
        assert [row.id for row in found] == list(range(rows[0].first, rows[-1].last + 1))
        assert all(row.ts == last[row.id].ts_ms for row in found if row.id in last)
        total = sum(known(symbol, row, contracts=symbol.contract_exponent)[2] for row in rows)
        assert sum(told(row)[2] for row in found) == total
        return
    assert list(map(told, found)) == [known(symbol, row) for row in rows]
    assert [row.side for row in found] == [row.side for row in rows]
    if exchange == "binance":
        assert [(row.id, row.first, row.last) for row in found] == [
            (row.id, row.first, row.last) for row in rows
        ]
    elif channel == "linear":
        assert [row.uid for row in found] == [dialect.trade_uid(symbol, row) for row in rows]
    else:
        assert len({row.id for row in found}) == len(rows)
        assert not source.ids_match


async def test_ids_bound_what_is_given(tmp_path):
    from_ms, to_ms = midnight_ms(2), midnight_ms(1) - 1
    async with simulating(markets=("linear",), **PAST) as (sim, _):
        symbol, rows = truth(sim, "binance", "linear", from_ms, to_ms)
        first, last = rows[100].id, rows[-100].id
        async with archive(tmp_path, sim, "binance", "linear") as source:
            found = await rows_of(source, symbol.name, from_ms, to_ms, first, last)
    assert [row.id for row in found] == list(range(first, last + 1))


@pytest.fixture
async def day(tmp_path):
    """One published day of one symbol, the truth about it, and what reads it."""
    from_ms = midnight_ms(2)
    async with simulating(markets=("linear",), **PAST) as (sim, http):
        symbol, rows = truth(sim, "binance", "linear", from_ms, from_ms + DAY_MS - 1)
        ids = [row.id for row in rows]
        async with archive(tmp_path, sim, "binance", "linear") as source:

            async def read():
                found = await rows_of(source, symbol.name, from_ms, from_ms + DAY_MS - 1)
                return [row.id for row in found]

            yield http, name_of(from_ms), read, ids, source


async def test_a_month_is_one_file_or_its_days(tmp_path):
    first = (datetime.now(UTC).replace(day=1) - timedelta(days=1)).replace(day=1)
    from_ms = int(first.replace(hour=0, minute=0, second=0, microsecond=0).timestamp()) * 1_000
    days = (datetime.now(UTC).replace(day=1) - timedelta(days=1)).day
    to_ms = from_ms + days * DAY_MS - 1
    past = {**PAST, "past_days": 63, "past_trades_per_s": 0.005}
    async with simulating(markets=("linear",), **past) as (sim, http):
        symbol, rows = truth(sim, "binance", "linear", from_ms, to_ms)
        ids = [row.id for row in rows]
        async with archive(tmp_path, sim, "binance", "linear") as source:
            if time.time() * 1_000 > to_ms + 2 * DAY_MS:  # a month's file comes a day later
                found = await rows_of(source, symbol.name, from_ms, to_ms)
                assert [row.id for row in found] == ids
                assert len(list((tmp_path / "archives/binance").glob("*.lock"))) == 1
            await trouble(http, f"{first:%Y-%m}", "missing")
            found = await rows_of(source, symbol.name, from_ms, to_ms)
            assert [row.id for row in found] == ids


async def test_a_missing_day_is_read_from_its_month_or_named(day):
    http, name, read, ids, _ = day
    await trouble(http, name, "missing")
    if name[:7] != name_of(midnight_ms())[:7] and await is_published(http, name[:7]):
        assert await read() == ids
        await trouble(http, name[:7], "missing")
    with pytest.raises(DayMissing) as missing:
        await read()
    assert missing.value.day == name
    assert missing.value.may_come


async def is_published(http, month):
    path = f"/archive/binance/data/futures/um/monthly/aggTrades/BTCUSDT/BTCUSDT-aggTrades-{month}"
    return (await http.head(f"{path}.zip")).status_code == 200


async def test_a_day_before_all_trades_never_comes(tmp_path):
    async with (
        simulating(markets=("linear",), **PAST) as (sim, _),
        archive(tmp_path, sim, "binance", "linear") as source,
    ):
        with pytest.raises(DayMissing) as missing:
            await rows_of(source, "BTCUSDT", midnight_ms(200), midnight_ms(200) + 1)
    assert not missing.value.may_come


async def test_yesterday_is_published_after_the_lag(day):
    http, _, _, _, source = day
    await http.post("/sim/archive", json={"lag_h": 900})
    with pytest.raises(DayMissing) as missing:
        await rows_of(source, "BTCUSDT", midnight_ms(1), midnight_ms(1) + 1_000)
    assert missing.value.may_come
    await http.post("/sim/archive", json={"lag_h": 0})
    assert await rows_of(source, "BTCUSDT", midnight_ms(1), midnight_ms(1) + 4_000_000)


@pytest.mark.parametrize("fault", ["truncated", "checksum", "cut"])
async def test_a_damaged_file_is_refused_and_read_once_it_is_replaced(day, fault):
    http, name, read, ids, _ = day
    await trouble(http, name[:7], "missing")
    await trouble(http, name, fault)
    with pytest.raises(Damaged, match=name):
        await read()
    await trouble(http, name, "clear")
    assert await read() == ids


@pytest.mark.parametrize("fault", ["duplicates", "disorder", "header", "backwards"])
async def test_rows_are_given_once_and_in_order_whatever_the_file_does(day, fault):
    http, name, read, ids, _ = day
    await trouble(http, name, fault)
    assert await read() == ids


async def test_a_replaced_file_is_noticed_and_read_anew(day):
    http, name, read, ids, source = day
    await trouble(http, name, "short")
    short = await read()
    assert set(short) < set(ids)
    assert source.replaced == []
    await trouble(http, name, "clear")
    assert await read() == ids
    assert len(source.replaced) == 1


async def test_a_file_that_is_here_and_still_the_same_is_not_downloaded_again(day, monkeypatch):
    _, _, read, ids, _ = day
    assert await read() == ids

    async def refuse(*_):
        raise AssertionError("downloaded again")

    monkeypatch.setattr(files.Files, "_download", refuse)
    assert await read() == ids


async def test_a_download_that_breaks_goes_on_where_it_stopped(day, monkeypatch):
    http, name, read, ids, _ = day
    asked = []
    stream = httpx.AsyncClient.stream

    def spied(self, method, url, **more):
        asked.append(more["headers"].get("Range", ""))
        return stream(self, method, url, **more)

    monkeypatch.setattr(httpx.AsyncClient, "stream", spied)
    await trouble(http, name, "broken", count=2)
    assert await read() == ids
    starts = [int(part[6:-1]) for part in asked if part]
    assert len(starts) == 2
    assert 0 < starts[0] < starts[1]


async def test_a_venue_that_is_away_for_a_moment_is_asked_again(day):
    http, name, read, ids, _ = day
    await trouble(http, name, "away", count=1)
    assert await read() == ids


async def test_a_venue_that_stays_away_is_given_up_for_now(day, monkeypatch):
    http, name, read, _, _ = day
    monkeypatch.setattr(files, "ATTEMPTS_MAX", 1)
    await trouble(http, name, "away", count=9)
    with pytest.raises(Retriable, match="503"):
        await read()


@pytest.mark.parametrize("limit", ["FILE_BYTES_MAX", "DISK_FREE_BYTES_MIN"])
async def test_a_file_that_is_too_big_for_the_limits_is_not_taken(
    day, monkeypatch, tmp_path, limit
):
    _, _, read, _, _ = day
    monkeypatch.setattr(files, limit, 100 if limit == "FILE_BYTES_MAX" else 1 << 62)
    monkeypatch.setattr(files, "ATTEMPTS_MAX", 1)
    with pytest.raises(Damaged if limit == "FILE_BYTES_MAX" else Retriable):
        await read()
    assert not list((tmp_path / "archives/binance").glob("*.part"))


async def test_files_are_forgotten_when_there_are_too_many(day, monkeypatch, tmp_path):
    _, _, read, ids, _ = day
    monkeypatch.setattr(files, "KEPT_BYTES_MAX", 0)
    assert await read() == ids
    kept = [path for path in (tmp_path / "archives/binance").iterdir() if not path.suffix]
    assert kept == []


async def test_a_download_goes_on_after_a_restart(day, monkeypatch, tmp_path):
    http, name, read, ids, _ = day
    monkeypatch.setattr(files, "ATTEMPTS_MAX", 1)
    await trouble(http, name, "broken", count=1)
    asked = []
    received = files.Files._received

    async def spied(self, url, place):
        asked.append(place.part()[0])
        return await received(self, url, place)

    monkeypatch.setattr(files.Files, "_received", spied)
    with pytest.raises(Retriable):
        await read()
    (part,) = (tmp_path / "archives/binance").glob("*.part")
    assert part.stat().st_size > 0
    assert await read() == ids
    assert asked[0] == 0 < asked[1]


async def test_a_part_of_a_file_that_was_replaced_meanwhile_is_not_gone_on_with(day, monkeypatch):
    http, name, read, ids, _ = day
    monkeypatch.setattr(files, "ATTEMPTS_MAX", 1)
    await trouble(http, name, "broken", count=1)
    await trouble(http, name, "short")
    with pytest.raises(Retriable):
        await read()
    await trouble(http, name, "clear")
    assert await read() == ids


async def test_one_reads_a_file_at_a_time_and_who_stops_early_leaves_it_to_others(day):
    _, name, read, ids, source = day
    from_ms = int(datetime.fromisoformat(name).replace(tzinfo=UTC).timestamp()) * 1_000
    pages = source.pages("BTCUSDT", None, None, from_ms, from_ms + DAY_MS - 1)
    await anext(pages)
    with pytest.raises(Retriable, match="somebody else"):
        await read()
    await pages.aclose()
    assert await read() == ids
