"""Recovery against a simulated exchange and a real broker: what was missing is published, once."""

import time
from decimal import Decimal

import pytest
from recovering import Truth, recovery_settings, scene, settled
from simulated import inflict, simulating

from schemas.klines import Gap, StreamGap
from schemas.trades import SymbolTrades, TradeBatch, encode_batch, rows
from simulator import control

pytestmark = pytest.mark.integration

CLOSED = settled("recovered", "unrecoverable")
DAY_MS = 86_400_000


async def test_gaps_of_every_shape_are_filled_with_exactly_their_ids(
    kafka_bootstrap, topic_prefix
) -> None:
    async with simulating(symbols=2, history_s=120, trades_per_s=400) as (sim, _):
        sim.stop()
        settings = recovery_settings(sim, kafka_bootstrap, topic_prefix)
        truth = Truth.of(sim, "linear", "BTCUSDT")
        last = len(truth.ids) - 2
        places = [(10, 10), (100, 149), (152, 160), (400, 2_900), (last - 5, last)]
        gaps = [truth.gap("BTCUSDT", *place) for place in places]
        async with scene(settings) as stage:
            await stage.tell("linear", *gaps)
            async with stage.recovering() as task:
                topic = await stage.until(lambda found: CLOSED(found, gaps), task)
    wanted = sorted(truth.ids[at] for a, b in places for at in range(a, b + 1))
    assert topic.ids("BTCUSDT") == wanted
    assert {batch.source for _, batch in topic.batches} == {"rest"}
    told = topic.states("BTCUSDT")
    assert all(told[g.first_id, g.last_id] == ["found", "recovering", "recovered"] for g in gaps)


async def test_a_venue_that_wants_no_requests_gets_none_and_nothing_is_lost(
    kafka_bootstrap, topic_prefix
) -> None:
    async with simulating(symbols=1, history_s=30, trades_per_s=400) as (sim, http):
        sim.stop()
        settings = recovery_settings(sim, kafka_bootstrap, topic_prefix)
        gap = Truth.of(sim, "linear", "BTCUSDT").gap("BTCUSDT", 10, 60)
        async with scene(settings) as stage, stage.recovering() as task:
            await stage.until(lambda _: True, task)
            await inflict(http, kind="rate_limit", market="linear", seconds=2)
            began_s = time.monotonic()
            await stage.tell("linear", gap)
            topic = await stage.until(lambda found: CLOSED(found, [gap]), task)
    assert time.monotonic() - began_s > 1.5
    assert topic.ids("BTCUSDT") == list(range(gap.first_id, gap.last_id + 1))


async def test_a_gap_of_days_ago_comes_from_the_archive_across_midnight(
    kafka_bootstrap, topic_prefix, tmp_path
) -> None:
    async with simulating(symbols=1, history_s=30, past_days=6) as (sim, _):
        sim.stop()
        midnight_ms = time.time_ns() // 1_000_000 // DAY_MS * DAY_MS - 2 * DAY_MS
        settings = recovery_settings(sim, kafka_bootstrap, topic_prefix, data_dir=tmp_path)
        truth = Truth.between(
            sim, "linear", "BTCUSDT", midnight_ms - 3_600_000, midnight_ms + 3_600_000
        )
        gap = truth.gap("BTCUSDT", 3, len(truth.ids) - 3)
        async with scene(settings) as stage, stage.recovering() as task:
            await stage.tell("linear", gap)
            topic = await stage.until(lambda found: CLOSED(found, [gap]), task)
    assert topic.ids("BTCUSDT") == truth.ids[3:-2]
    assert {batch.source for _, batch in topic.batches} == {"archive"}
    assert topic.gaps[-1].state == "recovered"


async def test_what_nobody_has_is_named_once_and_not_tried_again(
    kafka_bootstrap, topic_prefix, tmp_path
) -> None:
    async with simulating(symbols=1, history_s=30, past_days=20) as (sim, http):
        sim.stop()
        day_ms = time.time_ns() // 1_000_000 // DAY_MS * DAY_MS - 15 * DAY_MS
        name = time.strftime("%Y-%m-%d", time.gmtime(day_ms / 1_000))
        wish = {"exchange": "binance", "market": "linear", "symbol": "BTCUSDT"}
        for each in (name, name[:7]):
            answer = await http.post("/sim/archive", json=wish | {"name": each, "fault": "missing"})
            assert answer.status_code == 200, answer.text
        settings = recovery_settings(sim, kafka_bootstrap, topic_prefix, data_dir=tmp_path)
        truth = Truth.between(
            sim, "linear", "BTCUSDT", day_ms + DAY_MS - 7_200_000, day_ms + DAY_MS + 7_200_000
        )
        gap = truth.gap("BTCUSDT", 3, len(truth.ids) - 3)
        async with scene(settings) as stage:
            async with stage.recovering() as task:
                await stage.tell("linear", gap)
                topic = await stage.until(lambda found: CLOSED(found, [gap]), task)
            async with stage.recovering() as task:  # and a second life, told the same again
                await stage.tell("linear", gap)
                fresh = truth.gap("BTCUSDT", 1, 1, rev=99)
                await stage.tell("linear", fresh)
                again = await stage.until(lambda found: CLOSED(found, [fresh]), task)
    of_missing_day = [i for i, ts in zip(truth.ids, truth.ts, strict=True) if ts < day_ms + DAY_MS]
    kept = [i for i in truth.ids[3:-2] if i not in of_missing_day]
    assert topic.ids("BTCUSDT") == kept
    last = topic.gaps[-1]
    assert (last.state, last.missing) == ("unrecoverable", len(truth.ids[3:-2]) - len(kept))
    states = again.states("BTCUSDT")[gap.first_id, gap.last_id]
    assert states == ["found", "recovering", "unrecoverable", "found"]


@pytest.mark.parametrize("exchange", ["bybit", "hyperliquid", "kraken"])
async def test_where_ids_prove_nothing_a_span_gets_what_the_topic_does_not_have(
    kafka_bootstrap, topic_prefix, exchange
) -> None:
    channel = "spot" if exchange == "kraken" else "linear"
    options = {"symbols": 1, "history_s": 20, "trades_per_s": 6, "exchanges": (exchange,)}
    async with simulating(**options, markets=(channel,)) as (sim, _):
        sim.stop()
        (symbol,) = sim.of(exchange)[channel].ledgers
        settings = recovery_settings(sim, kafka_bootstrap, topic_prefix, exchange=exchange)
        truth = Truth.of(sim, channel, symbol, exchange)
        keys = [uid or id_ for id_, uid in zip(truth.ids, truth.uids, strict=True)]
        from_at, to_at = len(keys) // 3, len(keys) - 4
        heard = [*range(from_at), from_at + 2, *range(to_at + 1, len(keys))]
        group = SymbolTrades(
            symbol=symbol,
            price_scale=0,
            qty_scale=0,
            id=[truth.ids[at] for at in heard],
            ts=[truth.ts[at] for at in heard],
            price=[1] * len(heard),
            qty=[1] * len(heard),
            side=1,
            uid=[truth.uids[at] for at in heard] if any(truth.uids) else None,
            ids="unique",
        )
        batch = TradeBatch(exchange, channel, "live", time.time_ns(), [group])
        gap = StreamGap(
            symbol=symbol,
            kind="trades",
            reason="disconnected",
            state="recovered",
            from_ms=truth.ts[from_at],
            to_ms=truth.ts[to_at],
        )
        async with scene(settings) as stage:
            await stage.publish(encode_batch(batch), exchange, channel, symbol)
            await stage.tell(channel, gap, exchange=exchange)
            for _ in range(2):  # told again after a restart, it is no work
                async with stage.recovering() as task:
                    topic = await stage.until(lambda found: len(found.gaps) > 1, task)
    found = topic.uids(symbol) if any(truth.uids) else topic.ids(symbol)
    assert found == sorted(keys)
    assert [g.state for g in topic.gaps] == ["recovered", "recovered"]
    assert "fetched again" in topic.gaps[-1].detail


async def test_an_exchange_that_tells_contracts_gives_base_coins(
    kafka_bootstrap, topic_prefix
) -> None:
    options = {"symbols": 1, "history_s": 20, "trades_per_s": 60, "exchanges": ("okx",)}
    async with simulating(**options, markets=("linear",)) as (sim, _):
        sim.stop()
        (symbol,) = sim.of("okx")["linear"].ledgers
        settings = recovery_settings(sim, kafka_bootstrap, topic_prefix, exchange="okx")
        told = control.trades(sim.of("okx")["linear"], {"symbol": symbol, "limit": "100000"})
        gap = Gap(
            symbol=symbol,
            first_id=told["first"][20],
            last_id=told["last"][400],
            from_ms=told["ts"][19],
            to_ms=told["ts"][401],
            missing=told["last"][400] - told["first"][20] + 1,
            state="found",
            rev=3,
        )
        async with scene(settings) as stage, stage.recovering() as task:
            await stage.tell("linear", gap, exchange="okx")
            topic = await stage.until(lambda found: CLOSED(found, [gap]), task)
    assert topic.ids(symbol) == list(range(gap.first_id, gap.last_id + 1))
    assert topic.states(symbol)[gap.first_id, gap.last_id][-1] == "recovered"
    found = [t for _, batch in topic.batches for t in rows(batch)]
    base = sum((Decimal(q) for q in told["qty"][20:401]), Decimal())
    assert sum((t.qty for t in found), Decimal()) == base
    assert {g.ids for _, batch in topic.batches for g in batch.symbols} == {"range"}


async def test_a_span_beyond_the_newest_trades_is_told_unrecoverable_with_what_there_was(
    kafka_bootstrap, topic_prefix
) -> None:
    options = {"symbols": 1, "history_s": 60, "trades_per_s": 10, "exchanges": ("hyperliquid",)}
    async with simulating(**options) as (sim, _):
        sim.stop()
        (symbol,) = sim.of("hyperliquid")["linear"].ledgers
        truth = Truth.of(sim, "linear", symbol, "hyperliquid")
        assert len(truth.ids) > 200
        settings = recovery_settings(sim, kafka_bootstrap, topic_prefix, exchange="hyperliquid")
        gap = StreamGap(
            symbol=symbol,
            kind="trades",
            reason="disconnected",
            state="recovered",
            from_ms=truth.ts[0],
            to_ms=truth.ts[-1],
        )
        async with scene(settings) as stage, stage.recovering() as task:
            await stage.tell("linear", gap, exchange="hyperliquid")
            topic = await stage.until(lambda found: len(found.gaps) > 1, task)
    assert topic.ids(symbol) == sorted(truth.ids[-100:])
    assert topic.gaps[-1].state == "unrecoverable"
    assert topic.gaps[-1].detail.startswith("unrecoverable, 100 trades fetched again: ")
