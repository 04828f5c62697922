"""``fibstream bench gateway``: what the gateway's fan-out costs, and whether it keeps up.

The gateway is the real process, on one core, and reads a real topic; clients, broker and producer
share the other core. ``websockets.broadcast`` beside it has no topic to read, nothing to decide and
no more than one row a message: slices of both are taken in turns. The main figure is CPU seconds
per delivered candle, for the machine may be shared.
"""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from aiokafka import AIOKafkaProducer

from fibstream.bench.broker import own_broker
from fibstream.bench.footprint import footprint
from fibstream.bench.gateway_clients import BEGIN
from fibstream.bench.gateway_load import CORES, Load, Tape, module, pin
from fibstream.topics import create_topics
from runtime.child import Child, ChildSpec
from runtime.settings import Settings
from schemas.topics import KLINES, KLINES_LIVE

RATIO_MIN = 1.4
DELIVERED_PER_S_MIN = 250_000
DELAY_MS_MAX = 50.0
CLIENT_KB_MAX = 40.0
TURN_S = 0.005
CLOSED_EVERY = 20  # records: one of so many closes its candles
SETTLE_S = 2.0
WARM_S = 2.0
IDLE_S = 3.0
CONNECTED_WITHIN_S = 300.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to measure."""

    clients: int = 1_000
    rate: float = 300_000.0
    rounds: int = 4
    slice_s: float = 5.0
    many: int = 5_000
    many_rate: float = 50_000.0
    many_s: float = 20.0


async def bench_gateway(settings: Settings, plan: Plan) -> dict[str, Any]:
    """Measure; ``ok`` where all is as it must be."""
    few = Load(clients=plan.clients, delivered_per_s=plan.rate, seconds=plan.slice_s)
    many = Load(clients=plan.many, delivered_per_s=plan.many_rate, seconds=plan.many_s)
    pin(CORES[1])
    async with own_broker(settings, few.partitions) as found:
        fan_out = await _compare(found, few, plan.rounds)
        crowd = await _crowd(found, many)
    ok = (
        min(fan_out["delivered_per_core_s"], fan_out["delivered_per_s"]) >= DELIVERED_PER_S_MIN
        and fan_out["times_broadcast"] >= RATIO_MIN
        and crowd["delay_ms"]["p99"] <= DELAY_MS_MAX
        and crowd["kb_per_client"] <= CLIENT_KB_MAX
        and not (fan_out["closed_candles_lost"] or crowd["closed_candles_lost"])
    )
    return {"ok": ok, **fan_out, "crowd": crowd}


async def _compare(settings: Settings, load: Load, rounds: int) -> dict[str, Any]:
    """Let gateway and ``websockets.broadcast`` deliver the same rows, in turns."""
    async with AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(_gateway(settings, "fan."))
        bare = await stack.enter_async_context(_program("gateway_bare", load, core=CORES[0]))
        told = await bare.read()
        ours = await stack.enter_async_context(_clients(load, gateway.port, "/?stats=false"))
        its = await stack.enter_async_context(_clients(load, told["port"], "/bare"))
        producing = await stack.enter_async_context(_producing(gateway.settings))
        tape = Tape(load)
        await _deliver(gateway, ours, producing, tape, load, WARM_S)
        mine, bares = [], []
        for _ in range(rounds):
            mine.append(await _deliver(gateway, ours, producing, tape, load, load.seconds))
            sent = await bare.ask()
            await asyncio.sleep(SETTLE_S)
            bares.append({**sent, "received": (await its.ask())["rows"]})
        core = median(each["rows"] / each["cpu_s"] for each in mine)
        bare_core = median(each["rows"] / each["cpu_s"] for each in bares)
        return {
            "clients": load.clients,
            "delivered_per_s": round(median(each["rows"] / each["seconds"] for each in mine)),
            "delivered_per_core_s": round(core),
            "broadcast_per_core_s": round(bare_core),
            "broadcast_lost": sum(each["rows"] - each["received"] for each in bares),
            "times_broadcast": round(core / bare_core, 2),
            "rows_per_message": round(mine[-1]["rows"] / mine[-1]["messages"], 1),
            "closed_candles_lost": sum(each["closed_lost"] for each in mine),
            "gateway_cores": round(median(each["cpu_s"] / each["seconds"] for each in mine), 2),
            "delay_ms": mine[-1]["delay_ms"],
            "slices": [round(each["rows"] / each["cpu_s"]) for each in mine],
            "broadcast_slices": [round(each["rows"] / each["cpu_s"]) for each in bares],
        }


async def _crowd(settings: Settings, load: Load) -> dict[str, Any]:
    """Have very many clients connected, and see whether each gets its rows in time."""
    async with _gateway(settings, "crowd.") as gateway, _producing(gateway.settings) as producing:
        tape = Tape(load)
        for _ in range(load.symbols):
            made = tape.next(time.time_ns() // 1_000)
            await producing.send(
                gateway.topic(KLINES_LIVE.name), made.value, partition=made.partition
            )
        await asyncio.sleep(SETTLE_S)
        before_kb = gateway.rss_kb()
        async with _clients(load, gateway.port, "/?stats=false") as clients:
            await asyncio.sleep(IDLE_S)
            connected_kb = gateway.rss_kb()
            await _deliver(gateway, clients, producing, tape, load, WARM_S)
            found = await _deliver(gateway, clients, producing, tape, load, load.seconds)
            return {
                "clients": load.clients,
                "subscriptions": 20,
                "delivered_per_s": round(found["rows"] / found["seconds"]),
                "delay_ms": found["delay_ms"],
                "rows_per_message": round(found["rows"] / found["messages"], 1),
                "gateway_cores": round(found["cpu_s"] / found["seconds"], 2),
                "closed_candles": found["closed"],
                "closed_candles_lost": found["closed_lost"],
                "connections_lost": found["connections_lost"],
                "kb_per_client_connected": round((connected_kb - before_kb) / load.clients, 1),
                "kb_per_client": round((gateway.rss_kb() - before_kb) / load.clients, 1),
            }


class Gateway:
    """The process that is measured."""

    def __init__(self, settings: Settings, child: Child, port: int) -> None:
        self.settings = settings
        self.port = port
        self.pid = child.pid

    def topic(self, name: str) -> str:
        """Return the name of its topic."""
        return self.settings.kafka_topic_prefix + name

    def cpu_s(self) -> float:
        """Return what it has used."""
        return footprint(self.pid).cpu_s

    def rss_kb(self) -> int:
        """Return what of it is resident now."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0])


class Program:
    """A program of this benchmark that answers every line with one."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def read(self) -> dict[str, Any]:
        """Return what it says next."""
        if self._process.stdout is None:
            raise RuntimeError("a program without a voice")
        async with asyncio.timeout(CONNECTED_WITHIN_S):
            line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"a program of the benchmark ended: {self._process.pid}")
        told: dict[str, Any] = json.loads(line)
        return told

    async def ask(self, line: bytes = b"\n") -> dict[str, Any]:
        """Tell it to go on, and return what it answers."""
        if self._process.stdin is not None:
            self._process.stdin.write(line)
        return await self.read()


async def _deliver(
    gateway: Gateway,
    clients: Program,
    producing: AIOKafkaProducer,
    tape: Tape,
    load: Load,
    seconds: float,
) -> dict[str, Any]:
    """Put so many records on the topics that the clients get what they shall; return what came."""
    await clients.ask(BEGIN)
    began_s, used_s = time.monotonic(), gateway.cpu_s()
    sent = closed = 0
    while (passed_s := time.monotonic() - began_s) < seconds:
        due = load.delivered_per_s * passed_s
        while sent < due and time.monotonic() - began_s < passed_s + TURN_S:
            is_closed = tape.rev % CLOSED_EVERY == 0
            made = tape.next(time.time_ns() // 1_000, closed=is_closed)
            topic = gateway.topic(KLINES.name if is_closed else KLINES_LIVE.name)
            await producing.send(topic, made.value, partition=made.partition)
            sent += made.rows
            closed += made.rows * is_closed
        await asyncio.sleep(TURN_S if sent >= due else 0)
    await producing.flush()
    told = await _settled(clients)
    return {
        **told,
        "sent": sent,
        "closed_lost": closed - told["closed"],
        "seconds": told["last_s"] - began_s,
        "cpu_s": gateway.cpu_s() - used_s,
    }


async def _settled(clients: Program) -> dict[str, Any]:
    """Return what came, once nothing more does."""
    every: dict[str, Any] = {}
    while True:
        await asyncio.sleep(SETTLE_S)
        told = await clients.ask()
        if every and not told["rows"]:
            return every
        for name in ("rows", "closed", "messages", "connections_lost"):
            every[name] = every.get(name, 0) + told[name]
        every |= {name: told[name] for name in ("last_s", "delay_ms")}


@asynccontextmanager
async def _gateway(settings: Settings, prefix: str) -> AsyncIterator[Gateway]:
    settings = settings.model_copy(
        update={
            "kafka_topic_prefix": prefix,
            "websocket_port": 0,
            "kline_intervals": ("1m", "5m", "15m", "1h"),
            "clickhouse_url": "",
            "clickhouse_http_port": 0,
            "redis_host": "",
            "log_level": "WARNING",
        }
    )
    await create_topics(settings)
    spec = ChildSpec(
        name="gateway",
        argv=[sys.executable, "-m", "fibstream", "gateway"],
        env=settings.environment(),
    )
    log = settings.data_dir / "logs" / f"{prefix}log"
    log.parent.mkdir(parents=True, exist_ok=True)
    pin(CORES[0])
    child = await Child.start(spec, {}, log)
    pin(CORES[1])
    try:
        yield Gateway(settings, child, (await child.ready())["port"])
    finally:
        await child.stop(spec.stop_timeout_s)


@asynccontextmanager
async def _program(name: str, load: Load, *args: str, core: int) -> AsyncIterator[Program]:
    pin(core)
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *module(name), json.dumps(asdict(load)), *args, stdin=pipe, stdout=pipe
    )
    pin(CORES[1])
    try:
        yield Program(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@asynccontextmanager
async def _clients(load: Load, port: int, path: str) -> AsyncIterator[Program]:
    async with _program("gateway_clients", load, str(port), path, core=CORES[1]) as program:
        await program.read()
        yield program


@asynccontextmanager
async def _producing(settings: Settings) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap, linger_ms=1)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()
