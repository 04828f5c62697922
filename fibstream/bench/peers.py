"""``fibstream bench peers``: other engines and bare loops beside our worker, on the same trades.

One run, one broker, one after the other; rate and CPU are those of the second half of the trades,
when a JVM is warm. Nobody is fast by losing: each one's candles are compared with a plain fold.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from fibstream.bench import peer_parts
from fibstream.bench.broker import own_broker, producing
from fibstream.bench.load import Shape, records
from fibstream.bench.peer_trades import (
    MINUTE_MS,
    PRICE_SCALE,
    QTY_SCALE,
    Candles,
    differences,
    fold,
    plain,
    read,
)
from fibstream.bench.processor import run_worker
from fibstream.topics import create_topics
from runtime.errors import Misconfigured
from runtime.kafka import TopicSpec, ensure_topics
from runtime.settings import Settings
from runtime.tether import tethered
from schemas.klines import Kline, decode_klines
from schemas.topics import KLINES, TRADES

PARTITIONS = 4
PLAIN = "peers.trades"
PEER_WITHIN_S = 600.0
QUIX_SHARE = 8  # it takes an eighth of the trades: it needs seconds where others need a tenth
HALF = 0.5
FULL, SHORT = "full.", "short."
OURS = {"fibstream 1": ("1m",), "fibstream 8": ("1s", "1m", "5m", "15m", "1h", "4h", "1D", "173m")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One program in one form; ``prefix`` says which topics it reads."""

    name: str
    script: str
    form: str
    guarantee: str = ""
    prefix: str = FULL

    @property
    def title(self) -> str:
        """The name under which it is reported."""
        return f"{self.name}, {self.form}"


_FORMS = ("plain", "envelope")
_GUARANTEES = {"eos": "exactly_once_v2", "alo": "at_least_once"}
PEERS = (
    *(Peer(name="confluent", script="loop_confluent.py", form=form) for form in _FORMS),
    *(Peer(name="aiokafka", script="loop_aiokafka.py", form=form) for form in _FORMS),
    *(
        Peer(name=f"streams-{short}", script="Klines", form=form, guarantee=guarantee)
        for short, guarantee in _GUARANTEES.items()
        for form in (*_FORMS, "by-hand")
    ),
    *(Peer(name="quix", script="quix.py", form=form, prefix=SHORT) for form in _FORMS),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How much, in which shape, and who takes part (empty: everybody)."""

    trades: int = 10_000_000
    shape: Shape = "bulk"
    only: Sequence[str] = ()

    def peers(self) -> list[Peer]:
        """Return who takes part; raise Misconfigured where nobody has such a name."""
        known = {peer.name for peer in PEERS}
        for name in self.only:
            if name not in known:
                raise Misconfigured(
                    "--only", f"there is no peer {name!r}", remedy=f"Known: {', '.join(known)}."
                )
        return [peer for peer in PEERS if not self.only or peer.name in self.only]


@dataclass(frozen=True, slots=True)
class Truth:
    """The trades under one prefix, and the candles that they make."""

    trades: int
    candles: Candles


async def bench_peers(settings: Settings, load: Load) -> dict[str, Any]:
    """Run everybody; ``cpu_ratio`` is a peer's CPU by that of our worker with 8 intervals."""
    peers = load.peers()
    commands = await asyncio.to_thread(_commands, peers)
    reports: dict[str, dict[str, Any]] = {}
    async with own_broker(settings, PARTITIONS) as found:
        truths = await _produce(found, load)
        for title, lengths in OURS.items():
            prefix = FULL if title == "fibstream 1" else "eight."
            update = {"kafka_topic_prefix": prefix, "kline_intervals": lengths}
            ours = found.model_copy(update=update)
            reports[title] = await _worker(ours, truths[prefix])
        for peer in peers:
            reports[peer.title] = await _peer(found, peer, commands[peer], truths[peer.prefix])
    _compare(reports)
    return {
        "shape": load.shape,
        "trades": truths[FULL].trades,
        "peers": reports,
        "ok": not any(report.get("differences") for report in reports.values()),
    }


def _compare(reports: dict[str, dict[str, Any]]) -> None:
    for report in reports.values():
        for title in OURS:
            ratio = report["cpu_s_per_million"] / reports[title]["cpu_s_per_million"]
            report[f"cpu_by_{title.replace(' ', '_')}"] = round(ratio, 2)


def _commands(peers: Sequence[Peer]) -> dict[Peer, list[str]]:
    """Return the command of each peer, its parts fetched."""
    peer_parts.check_scripts()
    return {peer: _command(peer) for peer in peers}


def _command(peer: Peer) -> list[str]:
    if peer.guarantee:
        # Room for its heap and caches; the serial collector is the cheapest on two cores.
        return [*peer_parts.java("-Xmx2g", "-XX:+UseSerialGC"), peer.script]
    return [str(peer_parts.python()), str(peer_parts.SCRIPTS / peer.script)]


async def _produce(settings: Settings, load: Load) -> dict[str, Truth]:
    """Put the same trades under each prefix; ``short.`` has the first of them."""
    bootstrap = settings.kafka_bootstrap
    names = [prefix + PLAIN for prefix in (FULL, SHORT)]
    # Their records are stamped with the time of the trades: by age they would go at once.
    specs = [
        TopicSpec(name=name, partitions=PARTITIONS, config={"retention.ms": "-1"})
        for name in (*names, "peers.candles")
    ]
    await ensure_topics(bootstrap, specs)
    made, short, short_trades = 0, {}, 0
    expected: Candles = {}
    prefixes = [FULL, "eight.", SHORT]
    for prefix in prefixes:
        await create_topics(settings.model_copy(update={"kafka_topic_prefix": prefix}))
    async with producing(bootstrap) as producer:
        for record in records(load.shape, load.trades, PARTITIONS):
            if SHORT in prefixes and made >= load.trades // QUIX_SHARE:
                short, short_trades = dict(expected), made
                prefixes.remove(SHORT)
            for prefix in prefixes:
                topic = prefix + TRADES.name
                await producer.send(topic, record.value, partition=record.partition)
            for group in record.batch.symbols:
                fold(expected, group)
                wanted = [prefix + PLAIN for prefix in prefixes if prefix != "eight."]
                await _send_plain(producer, wanted, record.partition, group)
            made += record.trades
    full = Truth(made, expected)
    return {FULL: full, "eight.": full, SHORT: Truth(short_trades, short)}


async def _send_plain(
    producer: AIOKafkaProducer, topics: Sequence[str], partition: int, group: Any
) -> None:
    value, key = plain(group), group.symbol.encode()
    for topic in topics:
        await producer.send(topic, value, key=key, partition=partition, timestamp_ms=group.ts[0])


async def _worker(settings: Settings, truth: Truth) -> dict[str, Any]:
    report: dict[str, Any] = await run_worker(settings, truth.trades, from_share=HALF)
    found = await _told(settings)
    # An aggregate counts the trades inside it, and those of the load have two each.
    expected = {key: (*candle[:5], 2 * candle[5]) for key, candle in truth.candles.items()}
    return report | {"differences": differences(found, expected, only_closed=True)}


async def _told(settings: Settings) -> Candles:
    """Return the closed minutes that our worker published, each at its last revision."""
    latest: dict[tuple[str, int], Kline] = {}
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka_bootstrap, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        topic = settings.kafka_topic_prefix + KLINES.name
        partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        while any([await consumer.position(tp) < ends[tp] for tp in partitions]):
            for messages in (await consumer.getmany(timeout_ms=200)).values():
                for row in (r for m in messages for r in decode_klines(m.value).data):
                    key, old = (row.symbol, row.timestamp), latest.get((row.symbol, row.timestamp))
                    is_later = old is None or row.version >= old.version
                    if row.interval == MINUTE_MS and row.closed and is_later:
                        latest[key] = row
    finally:
        await consumer.stop()
    return {key: _candle(row) for key, row in latest.items()}


def _candle(row: Kline) -> tuple[int, int, int, int, int, int]:
    prices = [int(p.scaleb(PRICE_SCALE)) for p in (row.open, row.high, row.low, row.close)]
    return (*prices, int(row.volume.scaleb(QTY_SCALE)), row.trade_count)  # type: ignore[return-value]


async def _peer(
    settings: Settings, peer: Peer, command: Sequence[str], truth: Truth
) -> dict[str, Any]:
    topic = peer.prefix + (PLAIN if peer.form == "plain" else TRADES.name)
    out = settings.data_dir / f"{peer.title}.tsv"
    wanted = [settings.kafka_bootstrap, topic, peer.form, str(truth.trades), str(out)]
    if peer.guarantee:
        wanted += [peer.guarantee, str(settings.data_dir / peer.title)]
    said = await _run(peer.title, [*command, *wanted])
    found = await asyncio.to_thread(read, out, is_plain=peer.form == "plain")
    only_closed = peer.name == "quix"
    return said | {"differences": differences(found, truth.candles, only_closed=only_closed)}


async def _run(title: str, argv: Sequence[str]) -> dict[str, Any]:
    """Return what a peer said last; raise where it failed."""
    process = await asyncio.create_subprocess_exec(
        *tethered(argv),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
        start_new_session=True,
    )
    try:
        out, error = await asyncio.wait_for(process.communicate(), PEER_WITHIN_S)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    lines = out.decode(errors="replace").strip().splitlines()
    if process.returncode or not lines:
        log = error.decode(errors="replace")[-2_000:]
        raise RuntimeError(f"{title} ended with code {process.returncode}\n{log}")
    said: dict[str, Any] = json.loads(lines[-1])
    print(f"{title}: {said}", file=sys.stderr, flush=True)  # noqa: T201 - it takes minutes
    return said
