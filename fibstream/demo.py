"""``fibstream demo``: the whole pipeline for a while, then one verdict against the exchange."""

import asyncio
import contextlib
import shutil
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
from rich.console import Console

from fibstream.audience import Audience
from fibstream.machine import Machine, Plan, ingestor, machine
from fibstream.stored import (
    CandleKey,
    StoredCandle,
    Warehouse,
    count_records,
    count_redis_keys,
    told_gaps,
)
from fibstream.truth import Series, Truth, TruthTrade, rule_of
from fibstream.verdict import (
    Evidence,
    Verdict,
    expected_candles,
    judge_candles,
    judge_exchange,
    judge_trades,
)
from ingest.exchanges import EXCHANGES
from runtime.errors import Misconfigured
from runtime.settings import Settings
from schemas.intervals import Interval, parse_intervals
from simulator import SimulatorOptions

DRAIN_WITHIN_S = 45.0
POLL_S = 0.5
HTTP_TIMEOUT_S = 60.0
COUNTS = (
    "trades_sent",
    "trades_in_clickhouse",
    "trades_lost",
    "trades_doubled",
    "trades_missing_named",
    "candles_checked",
    "candles_wrong",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """``kills`` are (seconds after the start, process to kill -9)."""

    exchanges: Sequence[str] = ("binance",)
    run_for_s: float | None = None
    simulator: SimulatorOptions = field(default_factory=SimulatorOptions)
    kills: Sequence[tuple[float, str]] = ()


def exchange_names(text: str) -> tuple[str, ...]:
    """Read ``--exchanges``; raise Misconfigured where one is not known."""
    if text == "all":
        return tuple(EXCHANGES)
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    for name in names or ("",):
        if name not in EXCHANGES:
            raise Misconfigured(
                "--exchanges",
                f"there is no exchange {name!r}",
                remedy=f"Known: {', '.join(EXCHANGES)}, or all.",
            )
    return names


def demo_settings(settings: Settings) -> Settings:
    """Return the settings of a demo: both markets, every symbol, data apart and thrown away."""
    return settings.model_copy(
        update={
            "data_dir": settings.data_dir / "demo",
            "stream_kinds": ("all",),
            "enable_spot_stream": True,
            "enable_linear_stream": True,
            "exchange_load_all_symbols": True,
            "kafka_bootstrap": "",
            "redis_host": "",
            "clickhouse_url": "",
            "log_format": "json",
        }
    )


async def run_demo(
    settings: Settings, options: DemoOptions, stop: asyncio.Event, console: Console
) -> dict[str, Any] | None:
    """Run until ``stop`` or for the time given; return the report, None when it was cut short."""
    settings = demo_settings(settings)
    shutil.rmtree(settings.data_dir, ignore_errors=True)
    began_s = time.monotonic()
    console.print("Starting Kafka, Redis, ClickHouse, the simulated exchange and the pipeline ...")
    plan = Plan(
        settings=settings,
        exchanges=options.exchanges,
        simulator=options.simulator,
        is_ephemeral=True,
    )
    async with machine(plan) as running:
        url = f"127.0.0.1:{running.stages.facts['gateway']['port']}"
        audience = Audience(f"ws://{url}{settings.websocket_path}", _intervals(settings))
        watching = asyncio.create_task(audience.watch())
        try:
            await audience.first_candle.wait()
            console.print(f"First candle after {time.monotonic() - began_s:.1f} s.")
            console.print(f"[bold]Open http://{url}/[/bold]  (Ctrl-C ends it)")
            if not await _play(running, options, stop):
                return None
            console.print("Stopping the exchange and checking every candle ...")
            return await _check(running, options, audience)
        finally:
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching


async def _play(running: Machine, options: DemoOptions, stop: asyncio.Event) -> bool:
    """Let it run, killing what the options name; say whether it came to its planned end."""
    stopping = asyncio.create_task(running.stages.wait(stop))
    kills = [asyncio.create_task(_kill(running, at_s, name)) for at_s, name in options.kills]
    try:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(stopping), options.run_for_s)
            return False
        await asyncio.gather(*kills)
    finally:
        for task in (stopping, *kills):
            task.cancel()
    return True


async def _kill(running: Machine, at_s: float, name: str) -> None:
    await asyncio.sleep(at_s)
    generation = running.stages.generation(name)
    running.stages.kill(name)
    await running.stages.ready(name, generation + 1)


async def _check(running: Machine, options: DemoOptions, audience: Audience) -> dict[str, Any]:
    settings, facts = running.settings, running.servers.facts
    intervals = _intervals(settings)
    async with httpx.AsyncClient(timeout=HTTP_TIMEOUT_S) as client:
        truth = Truth(client, facts["simulator"]["port"])
        warehouse = Warehouse(client, running.stages.facts["sink-clickhouse"]["http_port"])
        await truth.stop()
        stopped_ms = time.time_ns() // 1_000_000
        made = {series: await truth.trades(series) for series in await truth.series()}
        await _drained(warehouse, made)
        evidences = await _gather(truth, warehouse, settings, made, intervals, stopped_ms)
        expected: dict[CandleKey, StoredCandle] = {}
        for evidence in evidences:
            expected |= expected_candles(evidence, intervals, stopped_ms)
        stored = await _settled(warehouse, expected)
        delivered = await truth.delivered()
    reports = {
        exchange: _judge(
            exchange,
            [evidence for evidence in evidences if evidence.series[0] == exchange],
            {key: candle for key, candle in expected.items() if key[0] == exchange},
            stored,
            audience,
            sent=sum(count for (name, _), count in delivered.items() if name == exchange),
            was_killed=ingestor(exchange, options.exchanges) in {name for _, name in options.kills},
        )
        for exchange in options.exchanges
    }
    return {
        "ok": all(report["ok"] for report in reports.values()),
        **{name: sum(report[name] for report in reports.values()) for name in COUNTS},
        "redis_keys": await count_redis_keys(settings),
        "ws_messages": audience.messages,
        "latency_ms": _percentiles(_latencies(audience, made)),
        "close_delay_ms": _percentiles(audience.close_delays_ms),
        "records": await count_records(settings),
        "kills": [name for _, name in options.kills],
        "exchanges": reports,
        "differences": [text for report in reports.values() for text in report["differences"]],
    }


def _judge(
    exchange: str,
    evidences: Sequence[Evidence],
    expected: Mapping[CandleKey, StoredCandle],
    stored: Mapping[CandleKey, StoredCandle],
    audience: Audience,
    *,
    sent: int,
    was_killed: bool,
) -> dict[str, Any]:
    """Return the report of one exchange."""
    verdict = Verdict()
    for evidence in evidences:
        judge_trades(verdict, evidence)
    judge_candles(verdict, expected, stored, "clickhouse")
    for evidence in evidences:
        judge_exchange(verdict, evidence, expected)
    _judge_audience(verdict, expected, audience)
    # A venue may tell, on subscribing, of trades that it made before anybody listened.
    in_time = [
        trade
        for evidence in evidences
        for made in ({trade.key for trade in evidence.made if trade.sent_ns},)
        for trade in evidence.arrived
        if trade.key in made
    ]
    rows = len({(id(e), t.key) for e in evidences for t in e.arrived})
    if not was_killed and sent != len(in_time):
        verdict.trades_lost += max(0, sent - len(in_time))
        verdict.differ(f"{exchange} sent {sent} trades, ClickHouse holds {len(in_time)} of them")
    return {
        "ok": verdict.is_right,
        "trades_sent": sent,
        "trades_in_clickhouse": rows,
        "trades_lost": verdict.trades_lost,
        "trades_doubled": verdict.trades_doubled,
        "trades_missing_named": verdict.trades_missing_named,
        "candles_checked": verdict.candles_checked,
        "candles_wrong": verdict.candles_wrong,
        "differences": verdict.differences,
    }


async def _gather(
    truth: Truth,
    warehouse: Warehouse,
    settings: Settings,
    made: Mapping[Series, list[TruthTrade]],
    intervals: tuple[Interval, ...],
    stopped_ms: int,
) -> list[Evidence]:
    told = await told_gaps(settings)
    evidences = []
    for series, trades in made.items():
        arrived = await warehouse.trades(series)
        own = {}
        for interval in intervals:
            first_ms = min((t.ts for t in arrived), default=0)
            from_ms, to_ms = interval.open_ms(first_ms), interval.open_ms(stopped_ms)
            if arrived and from_ms < to_ms:
                own[interval] = await truth.candles(series, interval, from_ms, to_ms)
        evidences.append(
            Evidence(
                series=series,
                ids=rule_of(series),
                made=trades,
                arrived=arrived,
                named_missing=frozenset(told.missing.get(series, ())),
                silences=told.silences(series),
                exchange_candles=own,
            )
        )
    return evidences


async def _drained(warehouse: Warehouse, made: Mapping[Series, list[TruthTrade]]) -> None:
    """Wait until the youngest trade sent of every symbol is stored, or give up: it is judged."""
    deadline_s = time.monotonic() + DRAIN_WITHIN_S
    for series, trades in made.items():
        youngest = next((t.key for t in reversed(trades) if t.sent_ns), None)
        while youngest is not None and time.monotonic() < deadline_s:
            if any(t.key == youngest for t in reversed(await warehouse.trades(series))):
                break
            await asyncio.sleep(POLL_S)


async def _settled(
    warehouse: Warehouse, expected: Mapping[CandleKey, StoredCandle]
) -> dict[CandleKey, StoredCandle]:
    """Return the stored candles once they are what they must be, or as they are at the deadline."""
    deadline_s = time.monotonic() + DRAIN_WITHIN_S
    while True:
        stored = await warehouse.candles()
        is_right = all(stored.get(key) == candle for key, candle in expected.items())
        if is_right or time.monotonic() > deadline_s:
            return stored
        await asyncio.sleep(POLL_S)


def _judge_audience(
    verdict: Verdict, expected: Mapping[CandleKey, StoredCandle], audience: Audience
) -> None:
    """What a client saw last of a closed candle must be what is stored: of what is expected."""
    for key, row in audience.candles.items():
        candle = expected.get(key)
        if not row.closed or candle is None:
            continue
        verdict.candles_checked += 1
        seen = tuple(getattr(row, name) for name in candle.candle._fields)
        if (seen, row.quality, row.missing) != (candle.candle, candle.quality, candle.missing):
            verdict.candles_wrong += 1
            verdict.differ(f"websocket {key}: {row} against {candle}")


def _latencies(audience: Audience, made: Mapping[Series, list[TruthTrade]]) -> list[float]:
    sent_ns = {(series, t.id): t.sent_ns for series, trades in made.items() for t in trades}
    return [
        (sight.at_ns - sent) / 1e6
        for sight in audience.sights
        if (sent := sent_ns.get((sight.series, sight.last_id)))
    ]


def _percentiles(values: list[float]) -> dict[str, float | None]:
    if len(values) < 2:
        return {"p50": None, "p99": None}
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    return {"p50": round(cuts[49], 1), "p99": round(cuts[98], 1)}


def _intervals(settings: Settings) -> tuple[Interval, ...]:
    return parse_intervals(settings.kline_intervals)
