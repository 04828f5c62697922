"""The whole pipeline under a steady load, and one WebSocket client that notes what came when.

Every process of a deployment runs on this machine, the simulated exchange and the client too. The
client only keeps bytes and times while the clock runs; they are read afterwards.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import httpx
import numpy as np
import orjson
import websockets
from msgspec import ValidationError

from fibstream.bench.footprint import footprint
from fibstream.machine import Machine, Plan, machine
from fibstream.truth import Series, Truth, TruthTrade
from runtime import memory
from runtime.settings import Settings
from schemas.klines import Kline, decode_klines
from simulator import SimulatorOptions

FRAME_BYTES_MAX = 16 << 20
FIRST_WITHIN_S = 60.0
SETTLE_S = 1.0  # what was sent before the end arrives meanwhile


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What to run, and for how long; half of the symbols trade on each of two markets.

    Warm is what has run for longer than the JVM's compiler takes. One worker needs few partitions:
    each costs the broker something with every record.
    """

    trades_per_s: float = 5_000.0
    symbols: int = 200
    run_for_s: float = 20.0
    warm_s: float = 45.0
    partitions: int = 4
    throttle_ms: int = 0
    timeframes: Sequence[str] = ("1m",)


class Seen(NamedTuple):
    """One row of a candle at the client."""

    at_ns: int
    series: Series
    row: Kline


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A stretch of time under load: what the client got, and where the machine's time went."""

    settings: Settings
    from_ns: int
    to_ns: int
    messages: Sequence[tuple[int, bytes]]
    trades: Mapping[Series, Sequence[TruthTrade]]
    cores: Mapping[str, float]
    """Of each process, and of the client with the benchmark itself."""

    def seen(self) -> Iterator[Seen]:
        """Yield every row, in the order of arrival."""
        for at_ns, message in self.messages:
            try:
                envelope = decode_klines(message)
            except ValidationError:
                continue  # an answer, or the statistics
            for row in envelope.data:
                yield Seen(at_ns, (envelope.exchange, envelope.channel, row.symbol), row)


@asynccontextmanager
async def live_run(settings: Settings, load: Load) -> AsyncIterator[Run]:
    """Run everything for a while and yield what was seen; the topics can still be read then."""
    simulated = SimulatorOptions(symbols=load.symbols // 2, trades_per_s=load.trades_per_s)
    with TemporaryDirectory(prefix="fibstream-bench-") as folder:
        settings = settings.model_copy(
            update={
                "data_dir": Path(folder),
                "exchange": "binance",
                "stream_kinds": ("trades",),
                "enable_spot_stream": True,
                "enable_linear_stream": True,
                "exchange_load_all_symbols": True,
                "live_update_interval_ms": load.throttle_ms,
                "kafka_bootstrap": "",
                "kafka_partitions": load.partitions,
                "redis_host": "",
                "clickhouse_url": "",
                "websocket_port": 0,
                "log_level": "WARNING",
            }
        )
        plan = Plan(settings=settings, exchanges=("binance",), simulator=simulated)
        async with machine(plan) as running:
            yield await _run(running, load)


async def _run(running: Machine, load: Load) -> Run:
    port = running.stages.facts["gateway"]["port"]
    messages: list[tuple[int, bytes]] = []
    url = f"ws://127.0.0.1:{port}{running.settings.websocket_path}"
    listening = asyncio.create_task(_listen(url, load.timeframes, messages))
    try:
        async with asyncio.timeout(FIRST_WITHIN_S):
            while len(messages) < load.symbols:
                await asyncio.wait({listening}, timeout=0.1)
                if listening.done():
                    listening.result()
        await asyncio.sleep(load.warm_s)
        memory.settle()  # or a collection here is a late candle
        from_ns, used = time.time_ns(), _cpu_s(running)
        await asyncio.sleep(load.run_for_s)
        to_ns, used_after = time.time_ns(), _cpu_s(running)
        await asyncio.sleep(SETTLE_S)
    finally:
        listening.cancel()
        await asyncio.wait({listening})
    seconds = (to_ns - from_ns) / 1e9
    cores = {name: round((used_after[name] - used[name]) / seconds, 2) for name in used}
    return Run(
        settings=running.settings,
        from_ns=from_ns,
        to_ns=to_ns,
        messages=messages,
        trades=await _trades(running),
        cores=cores,
    )


async def _listen(url: str, timeframes: Sequence[str], into: list[tuple[int, bytes]]) -> None:
    """Note every message of a client that wants the open candles of every symbol."""
    wanted = [{"timeframe": name, "initial_candles": 0} for name in timeframes]
    every = {"symbol": "*", "exchange": "*", "channel": "*", "timeframes": wanted}
    subscribe = orjson.dumps({"action": "subscribe", "subscriptions": [every]}).decode()
    async with websockets.connect(
        url, max_size=FRAME_BYTES_MAX, max_queue=None, compression=None
    ) as socket:
        await socket.send(subscribe)
        while True:
            message = await socket.recv(decode=False)
            into.append((time.time_ns(), message))


def _cpu_s(running: Machine) -> dict[str, float]:
    used = {
        name: footprint(supervisor.pid(name)).cpu_s
        for supervisor in (running.servers, running.stages)
        for name in supervisor.facts
    }
    return used | {"client": time.process_time()}


async def _trades(running: Machine) -> dict[Series, list[TruthTrade]]:
    async with httpx.AsyncClient(timeout=60.0) as client:
        truth = Truth(client, running.servers.facts["simulator"]["port"])
        await truth.stop()
        return {series: await truth.trades(series) for series in await truth.series()}


def percentiles(values: Sequence[float]) -> dict[str, float | int | None]:
    """Return the middle, the hundredth worst and the worst of some milliseconds."""
    if not values:
        return {"count": 0, "p50": None, "p90": None, "p99": None, "max": None}
    p50, p90, p99, most = np.percentile(np.asarray(values), [50, 90, 99, 100]).round(1).tolist()
    return {"count": len(values), "p50": p50, "p90": p90, "p99": p99, "max": most}
