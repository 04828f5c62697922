"""Recovery and backfill as processes that are killed: nothing is lost, and they go on."""

import asyncio
import json
import random
import signal
import sys
import time

import pytest
from recovering import Truth, recovery_settings, scene, settled
from simulated import inflict, simulating

from ingest.recovery.planner import STEP_PAGES_MAX
from processors.engine.engine import Engine
from runtime.child import Child, ChildSpec
from schemas.intervals import parse_intervals
from schemas.trades import SymbolTrades, TradeBatch, encode_batch

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

CLOSED = settled("recovered", "unrecoverable")
DAY_MS = 86_400_000
REPEATED_MAX = STEP_PAGES_MAX * 1_000


async def start(settings, folder, *argv: str) -> Child:
    command = [sys.executable, "-m", "fibstream", *argv]
    spec = ChildSpec(name=argv[0], argv=command, env=settings.environment())
    child = await Child.start(spec, {}, folder / f"{argv[0]}.log")
    if argv[0] == "recover":
        await child.ready()
    return child


async def kill(child: Child) -> None:
    child.signal(signal.SIGKILL)
    await child.stop(0)


def group(truth: Truth, symbol: str, places) -> SymbolTrades:
    ones = [1] * len(places)
    return SymbolTrades(
        symbol=symbol,
        price_scale=0,
        qty_scale=0,
        id=[truth.ids[at] for at in places],
        ts=[truth.ts[at] for at in places],
        price=ones,
        qty=ones,
        side=1,
    )


async def test_a_recovery_that_is_killed_in_the_middle_loses_nothing(
    kafka_bootstrap, topic_prefix, tmp_path
) -> None:
    options = {"symbols": 1, "history_s": 90, "trades_per_s": 800, "markets": ("linear",)}
    async with simulating(**options) as (sim, http):
        sim.stop()
        settings = recovery_settings(sim, kafka_bootstrap, topic_prefix, data_dir=tmp_path)
        truth = Truth.of(sim, "linear", "BTCUSDT")
        hole = range(100, len(truth.ids) - 100)
        assert len(hole) > 25_000
        gap = truth.gap("BTCUSDT", hole[0], hole[-1], rev=1)
        heard = [range(hole[0]), range(hole[-1] + 1, len(truth.ids))]
        async with scene(settings) as stage:
            for places in heard:
                batch = TradeBatch(
                    "binance", "linear", "live", 1, [group(truth, "BTCUSDT", places)]
                )
                await stage.publish(encode_batch(batch), "binance", "linear", "BTCUSDT")
            await stage.tell("linear", gap)
            for some in (1, 8_000):
                await inflict(http, kind="rate_limit", market="linear", seconds=0.05)
                child = await start(settings, tmp_path, "recover")
                await stage.until(lambda found, n=some: len(found.ids("BTCUSDT")) > 200 + n)
                await inflict(http, kind="rate_limit", market="linear", seconds=1)
                await asyncio.sleep(0.2)
                await kill(child)
            child = await start(settings, tmp_path, "recover")
            topic = await stage.until(lambda found: CLOSED(found, [gap]))
            await kill(child)
    ids = topic.ids("BTCUSDT")
    assert sorted(set(ids)) == truth.ids
    assert len(ids) - len(truth.ids) <= 2 * REPEATED_MAX
    engine = Engine(parse_intervals(("1m",)), grace_ms=80, live_every_ms=250, closes_quiet=True)
    for offset, (_, batch) in enumerate(topic.batches):
        engine.apply_batch(0, offset, batch)
    (candles,) = engine.symbols(0).values()
    assert candles.ids.missing == []
    assert engine.take_trade_count() == len(ids)
    assert engine.count_duplicates() == len(ids) - len(truth.ids)


async def run_backfill(settings, folder, *more: str, symbols: str = "BTCUSDT") -> tuple[int, dict]:
    argv = ["-m", "fibstream", "backfill", "--symbols", symbols, "--json", *more]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *argv,
        env=settings.environment() | {"PATH": "/usr/bin"},
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, error = await process.communicate()
    assert process.returncode is not None
    lines = out.decode().splitlines()
    assert lines or process.returncode, error.decode()
    return process.returncode, json.loads(lines[-1]) if lines else {"error": error.decode()}


@pytest.mark.soak
async def test_a_backfill_that_is_killed_goes_on_and_ends_with_a_summary(
    kafka_bootstrap, topic_prefix, tmp_path
) -> None:
    today_ms = time.time_ns() // 1_000_000 // DAY_MS * DAY_MS
    from_ms, to_ms = today_ms - 4 * DAY_MS, today_ms
    day = [time.strftime("%Y-%m-%d", time.gmtime(ms / 1_000)) for ms in (from_ms, to_ms)]
    simulated_since = time.strftime("%Y-%m-%d", time.gmtime((today_ms - 6 * DAY_MS) / 1_000))
    options = {"symbols": 1, "past_days": 6, "past_trades_per_s": 0.1, "linear_horizon_h": 100}
    async with simulating(**options, archive_lag_h=30) as (sim, _):
        sim.stop()
        settings = recovery_settings(sim, kafka_bootstrap, topic_prefix, data_dir=tmp_path)
        truth = Truth.between(sim, "linear", "BTCUSDT", from_ms, to_ms)
        ask = ("--from", day[0], "--to", day[1], "--exchange", "binance", "--channel", "linear")
        async with scene(settings) as stage:
            child = await start(settings, tmp_path, "backfill", "--symbols", "BTCUSDT", *ask)
            await stage.until(lambda found: len(found.ids("BTCUSDT")) > 0)
            await kill(child)
            code, report = await run_backfill(settings, tmp_path, *ask)
            assert (code, report.get("ok")) == (0, True), report
            code, again = await run_backfill(settings, tmp_path, *ask)
            assert (code, again["trades"]) == (0, 0), "what is done is not done again"
            topic = await stage.read()
            until = time.strftime("%Y-%m-%d", time.gmtime((today_ms - 2 * DAY_MS) / 1_000))
            long_ago = ("--from", "2020-01-01", "--to", until, "--source", "archive")
            code, older = await run_backfill(settings, tmp_path, *long_ago)
            assert (code, older["ok"]) == (0, True), older
            assert older["symbols"][0]["nothing_before"] == simulated_since
            code, refused = await run_backfill(settings, tmp_path, *ask, symbols="NOPE")
            assert (code, "NOPE" in refused["error"]) == (2, True)
    ids = topic.ids("BTCUSDT")
    assert sorted(set(ids)) == truth.ids
    assert {batch.source for _, batch in topic.batches} <= {"rest", "archive"}
    assert report["symbols"][0]["days"] == 4
    assert report["symbols"][0]["missing_days"] == []


def holes(count: int, rows: int, chance: random.Random) -> set[int]:
    """Return the places that a stream has lost: single ones, bursts, and the newest but one."""
    lost = {rows - 2, rows - 3}
    while len(lost) < count:
        at = chance.randrange(1, rows - 40)
        lost |= set(range(at, at + chance.choice((1, 2, 7, 30))))
    return lost


@pytest.mark.soak
async def test_what_a_real_worker_misses_is_published_once_and_every_gap_is_closed(
    kafka_bootstrap, topic_prefix, tmp_path
) -> None:
    chance = random.Random(5)
    async with simulating(symbols=2, history_s=60, trades_per_s=200) as (sim, _):
        sim.stop()
        settings = recovery_settings(sim, kafka_bootstrap, topic_prefix, data_dir=tmp_path)
        settings = settings.model_copy(update={"recovery_settle_ms": 500})
        truths, lost = {}, {}
        async with scene(settings) as stage:
            worker = await start(settings, tmp_path, "process")
            recovery = await start(settings, tmp_path, "recover")
            for channel in ("spot", "linear"):
                for symbol in sim.of("binance")[channel].ledgers:
                    truth = truths[channel, symbol] = Truth.of(sim, channel, symbol)
                    gone = lost[channel, symbol] = holes(200, len(truth.ids), chance)
                    kept = [at for at in range(len(truth.ids)) if at not in gone]
                    for at in range(0, len(kept), 97):
                        batch = TradeBatch(
                            "binance",
                            channel,
                            "live",
                            1,
                            [group(truth, symbol, kept[at : at + 97])],
                        )
                        await stage.publish(encode_batch(batch), "binance", channel, symbol)
            topic = await stage.until(lambda found: all_there(found, truths))
            topic = await stage.until(lambda found: not still_open(found))
            await kill(recovery)
            await kill(worker)
    for (channel, symbol), truth in truths.items():
        assert of_channel(topic, channel, symbol) == truth.ids, "every trade, and each once"


def of_channel(topic, channel: str, symbol: str) -> list[int]:
    batches = [b for _, b in topic.batches if b.channel == channel]
    return sorted(i for b in batches for g in b.symbols if g.symbol == symbol for i in g.id)


def all_there(topic, truths) -> bool:
    return all(set(of_channel(topic, c, s)) == set(truth.ids) for (c, s), truth in truths.items())


def still_open(topic) -> list[tuple[str, int, int]]:
    """Return the ranges that were found and whose own last word is another than recovered."""
    last = {(g.symbol, g.first_id, g.last_id): g.state for g in topic.gaps}
    found = {(g.symbol, g.first_id, g.last_id) for g in topic.gaps if g.state == "found"}
    return [key for key in found if last[key] != "recovered"]
