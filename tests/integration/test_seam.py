"""Broker, sink, worker, recompute worker, gateway: history then live, without a seam.

A day of quiet trades are in the warehouse; then trades come fast, some are left out, and those
come back late as a recovery brings them, while clients subscribe at random moments. The gateway's
memory is made so short that almost every snapshot needs the warehouse.
"""

import asyncio
import json
import random
import sys
from collections.abc import Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from aiokafka import AIOKafkaProducer
from websockets.asyncio.client import connect
from workers import read_topic, worker_settings

from fibstream.topics import create_topics
from runtime.child import Child, ChildSpec
from runtime.kafka import partition_for
from runtime.ports import free_port
from runtime.settings import Settings
from schemas.intervals import Interval, parse_intervals
from schemas.klines import Kline, decode_klines
from schemas.topics import KLINES, TRADES, symbol_key
from schemas.trades import SymbolTrades, TradeBatch, encode_batch
from sinks.gateway import app, demand, feed, history, metrics, seam

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
INTERVALS = ("1s", "7s", "1m", "173m")
PARTITIONS = 3
BASE_MS = 1_700_000_000_000
QUIET_STEP_MS, QUIET_TRADES = 45_000, 1_920  # a day
STEP_MS, TRADES_PER_RECORD, RECORD_S = 200, 20, 0.1  # forty times as fast as the clock
SUBSCRIPTIONS = 200
SUBSCRIBED_WITHIN_S = 6.0
SETTLED_WITHIN_S = 60.0


class Trades:
    """Trades of one symbol in the order of their ids; some are left out, and come back."""

    def __init__(self, symbol: str, rng: random.Random) -> None:
        self.symbol = symbol
        self._rng = rng
        self._next_id = 1
        self._now_ms = BASE_MS
        self._left_out: list[tuple[int, int]] = []

    def quiet(self) -> TradeBatch:
        return self._batch(self._some(QUIET_TRADES, QUIET_STEP_MS), "live")

    def live(self) -> TradeBatch:
        some = self._some(TRADES_PER_RECORD, STEP_MS)
        if self._rng.random() < 0.3:  # never a whole second: no candle comes late that was not
            at = self._rng.randrange(1, 18)
            self._left_out += some[at : at + 2]
            del some[at : at + 2]
        return self._batch(some, "live")

    def recovered(self, *, everything: bool) -> TradeBatch | None:
        """Return what was left out more than 10 s of its time ago, or all of it."""
        old_ms = self._now_ms - (0 if everything else 15_000)
        back = [trade for trade in self._left_out if trade[1] < old_ms]
        self._left_out = [trade for trade in self._left_out if trade[1] >= old_ms]
        return self._batch(back, "rest") if back else None

    def _some(self, count: int, step_ms: int) -> list[tuple[int, int]]:
        ids = range(self._next_id, self._next_id + count)
        self._next_id += count
        times = [self._now_ms + n * step_ms for n in range(count)]
        self._now_ms += count * step_ms
        return list(zip(ids, times, strict=True))

    def _batch(self, some: list[tuple[int, int]], source: str) -> TradeBatch:
        ids, times = zip(*some, strict=True)
        group = SymbolTrades(
            symbol=self.symbol, price_scale=2, qty_scale=1, id=list(ids), ts=list(times),
            price=[100_000 + id_ * 7 % 999 for id_ in ids], qty=[1 + id_ % 5 for id_ in ids],
            side=1,
        )  # fmt: skip
        return TradeBatch("binance", "linear", source, times[-1] * 1_000_000, [group])


@dataclass
class Subscription:
    """What one client was sent: its snapshot, and the revisions after it."""

    symbol: str
    interval: Interval
    initial_candles: int
    snapshot: list[Kline] = field(default_factory=list)
    quality: str = ""
    newest: dict[int, Kline] = field(default_factory=dict)
    repeated: int = 0
    out_of_order: list[Kline] = field(default_factory=list)
    has_snapshot: bool = False
    _youngest_closed_ms: int = -1

    def take(self, text: str) -> None:
        message = json.loads(text)
        if message.get("data_type") != "klines":
            return
        rows = decode_klines(text.encode()).data
        if message.get("snapshot"):
            self.has_snapshot = True
            self.quality = message["data_status"]["data_quality"]
            self.snapshot = rows
        for row in rows:
            self._take_row(row)

    def _take_row(self, row: Kline) -> None:
        known = self.newest.get(row.timestamp)
        if known is not None and known.version >= row.version:
            self.repeated += 1
            return
        begin_ms = self.snapshot[0].timestamp if self.snapshot else 0
        if row.closed and row.timestamp >= begin_ms and (known is None or not known.closed):
            if row.timestamp <= self._youngest_closed_ms:
                self.out_of_order.append(row)
            self._youngest_closed_ms = max(self._youngest_closed_ms, row.timestamp)
        self.newest[row.timestamp] = row

    def wrong(self, truth: dict[int, Kline]) -> list[int]:
        """Return the windows since its beginning that are not as they must be."""
        begin_ms = self.snapshot[0].timestamp if self.snapshot else 0
        wanted = {at: row.version for at, row in truth.items() if at >= begin_ms}
        mine = {at: row.version for at, row in self.newest.items() if row.closed and at >= begin_ms}
        return sorted(at for at in wanted.keys() | mine.keys() if wanted.get(at) != mine.get(at))


@pytest.fixture
def settings(kafka_bootstrap, topic_prefix, tmp_path, monkeypatch) -> Settings:
    monkeypatch.setitem(feed.PAST_RECORDS_PER_PARTITION, KLINES.name, 60)
    monkeypatch.setattr(seam, "CATCH_UP_WITHIN_S", 60.0)  # nothing depends on a quick machine
    monkeypatch.setattr(seam, "READ_WITHIN_S", 60.0)
    monkeypatch.setattr(history.History.__init__, "__defaults__", (12, history.BYTES_MAX))
    return worker_settings(
        kafka_bootstrap,
        topic_prefix,
        tmp_path,
        kafka_partitions=PARTITIONS,
        kline_intervals=INTERVALS,
        aggregator_waiter_mode_enabled=False,
        live_update_interval_ms=50,
        clickhouse_http_port=free_port(),
        websocket_port=free_port(),
    )


@asynccontextmanager
async def processes(settings: Settings, folder: Path, *names: str) -> Iterator[None]:
    await create_topics(settings)

    async def start(name: str) -> Child:
        argv = [sys.executable, "-m", "fibstream", *name.split()]
        spec = ChildSpec(name=name, argv=argv, env=settings.environment())
        child = await Child.start(spec, {}, folder / f"{name}.log")
        children.append(child)
        await child.ready()
        return child

    children: list[Child] = []
    try:
        await asyncio.gather(*map(start, names))
        yield
    finally:
        await asyncio.gather(*(child.stop(0) for child in children))


@asynccontextmanager
async def gateway(settings: Settings) -> Iterator[None]:
    stop = asyncio.Event()
    running = asyncio.create_task(app.run(settings, stop))
    try:
        async with httpx.AsyncClient() as http, asyncio.timeout(30):
            url = f"http://127.0.0.1:{settings.websocket_port}/health/ready"
            while True:
                if running.done():
                    running.result()
                try:
                    if (await http.get(url)).status_code == 200:
                        break
                except httpx.ConnectError:
                    pass
                await asyncio.sleep(0.05)
        yield
    finally:
        stop.set()
        await running


@pytest.fixture
async def send(settings):
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap, linger_ms=1)
    await producer.start()

    async def work(batch: TradeBatch | None) -> None:
        if batch is not None:
            key = symbol_key(batch.exchange, batch.channel, batch.symbols[0].symbol)
            await producer.send_and_wait(
                settings.kafka_topic_prefix + TRADES.name,
                encode_batch(batch),
                partition=partition_for(key, PARTITIONS),
            )

    yield work
    await producer.stop()


async def closed(settings: Settings) -> dict[tuple[str, Interval], dict[int, Kline]]:
    """Return the newest revision of every closed candle on the topic."""
    found: dict[tuple[str, Interval], dict[int, Kline]] = {}
    for record in await read_topic(settings, KLINES.name):
        for row in decode_klines(record.value).data:
            known = found.setdefault((row.symbol, row.frame), {}).get(row.timestamp)
            if known is None or known.version < row.version:
                found[row.symbol, row.frame][row.timestamp] = row
    return found


async def folded(settings: Settings, trades: int) -> None:
    """Wait until so many trades, each of a second of its own, are candles of a second."""
    second = Interval(1_000)
    while True:
        truth = await closed(settings)
        if all(len(truth.get((symbol, second), ())) >= trades for symbol in SYMBOLS):
            return
        await asyncio.sleep(0.2)


async def subscribe(settings: Settings, rng: random.Random, into: list[Subscription]) -> None:
    """Be a client: begin at some moment, then keep all that comes."""
    interval = rng.choice(parse_intervals(INTERVALS))
    one = Subscription(rng.choice(SYMBOLS), interval, rng.choice((1, 20, 60, 250)))
    into.append(one)
    await asyncio.sleep(rng.uniform(0, SUBSCRIBED_WITHIN_S))
    url = f"ws://127.0.0.1:{settings.websocket_port}/?stats=false"
    timeframe = {"timeframe": one.interval.text, "initial_candles": one.initial_candles}
    async with connect(url, max_size=None, compression=None) as socket:
        item = {"symbol": one.symbol, "timeframes": [timeframe]}
        await socket.send(json.dumps({"action": "subscribe", "subscriptions": [item]}))
        async for text in socket:
            one.take(text)


async def trade(send, makers: list[Trades], stop: asyncio.Event) -> None:
    """Let trades come until told to stop, then bring back all that was left out."""
    turn = 0
    while not stop.is_set():
        turn += 1
        await asyncio.gather(*(send(maker.live()) for maker in makers))
        await send(makers[turn % len(makers)].recovered(everything=False))
        await asyncio.sleep(RECORD_S)
    for maker in makers:
        await send(maker.recovered(everything=True))
        await send(maker.live())


async def settled(settings: Settings, clients: list[Subscription]) -> None:
    """Wait until the candles stand still, and every client has them."""
    deadline_s = asyncio.get_running_loop().time() + SETTLED_WITHIN_S
    while True:
        truth = await closed(settings)
        bad = [one for one in clients if one.wrong(truth[one.symbol, one.interval])]
        if not bad and all(one.has_snapshot for one in clients):
            return
        if asyncio.get_running_loop().time() > deadline_s:
            one = (bad or [one for one in clients if not one.has_snapshot])[0]
            wrong = one.wrong(truth[one.symbol, one.interval])
            raise AssertionError(f"{len(bad)} clients lack candles, the first {wrong[:5]}: {one}")
        await asyncio.sleep(0.5)


async def test_history_then_live_has_no_seam_while_a_backfill_runs(settings, send, tmp_path):
    rng = random.Random(7)
    makers = [Trades(symbol, rng) for symbol in SYMBOLS]
    clients: list[Subscription] = []
    loads = metrics.LOADS.labels("whole")._value.get()
    async with processes(settings, tmp_path, "process", "sink clickhouse", "recompute"):
        await asyncio.gather(*(send(maker.quiet()) for maker in makers))
        await folded(settings, QUIET_TRADES - 1)
        async with gateway(settings):
            stop = asyncio.Event()
            trading = asyncio.create_task(trade(send, makers, stop))
            listening = [
                asyncio.create_task(subscribe(settings, rng, clients)) for _ in range(SUBSCRIPTIONS)
            ]
            try:
                await asyncio.sleep(SUBSCRIBED_WITHIN_S + 0.5)
                stop.set()
                await trading
                await settled(settings, clients)
            finally:
                for task in listening:
                    task.cancel()
                await asyncio.wait(listening)
    assert len(clients) == SUBSCRIPTIONS
    assert not [one for one in clients if one.repeated]
    assert not [one for one in clients if one.out_of_order]
    assert not [one for one in clients if one.quality == "partial"]
    for one in clients:
        assert sum(row.closed for row in one.snapshot) == one.initial_candles or (
            one.interval.length_ms > 60_000
        )
    assert metrics.LOADS.labels("whole")._value.get() - loads > SUBSCRIPTIONS / 2


async def snapshot_of(socket, timeframe: str) -> dict:
    """Subscribe, and return the snapshot; it may be long in coming."""
    frame = {"timeframe": timeframe, "initial_candles": 20}
    item = {"symbol": SYMBOLS[0], "timeframes": [frame]}
    await socket.send(json.dumps({"action": "subscribe", "subscriptions": [item]}))
    async with asyncio.timeout(60):
        async for text in socket:
            message = json.loads(text)
            if message.get("snapshot") and message["data"][0]["interval"] == 13_000:
                return message
    raise AssertionError("no snapshot")


async def test_an_interval_on_demand_has_no_hole_that_is_told_as_complete(
    settings, send, tmp_path, monkeypatch
):
    for name, value in (("LEASE_MS", 2_000), ("PROLONG_EVERY_MS", 500), ("SKEW_MS", 500)):
        monkeypatch.setattr(demand, name, value)
    monkeypatch.setattr(demand, "LOOK_S", 0.2)
    makers = [Trades(symbol, random.Random(7)) for symbol in SYMBOLS]
    async with processes(settings, tmp_path, "process", "sink clickhouse", "recompute"):
        await asyncio.gather(*(send(maker.quiet()) for maker in makers))
        await folded(settings, QUIET_TRADES - 1)
        live_ms = BASE_MS + QUIET_TRADES * QUIET_STEP_MS
        async with gateway(settings), httpx.AsyncClient() as http:
            stop = asyncio.Event()
            trading = asyncio.create_task(trade(send, makers, stop))
            try:
                await asyncio.sleep(5)  # and it is told of nothing that was
                for _ in range(2):
                    url = f"ws://127.0.0.1:{settings.websocket_port}/?stats=false"
                    async with connect(url, max_size=None, compression=None) as socket:
                        snapshot = await snapshot_of(socket, "13s")
                    opens = [row["timestamp"] for row in snapshot["data"]]
                    assert len(opens) >= 20
                    dense = [at for at in opens if at >= live_ms]
                    assert len(dense) > 5
                    is_whole = dense == list(range(dense[0], opens[-1] + 1, 13_000))
                    assert is_whole or snapshot["data_status"]["data_quality"] == "partial"
                    await ended(http, settings, "13s")
                    await asyncio.sleep(2)
            finally:
                stop.set()
                await trading


async def ended(http: httpx.AsyncClient, settings: Settings, interval: str) -> None:
    """Return when an interval is made no more."""
    url = f"http://127.0.0.1:{settings.websocket_port}/api/v1/intervals"
    async with asyncio.timeout(30):
        while f'"{interval}"' in (await http.get(url)).text:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def test_a_warehouse_that_is_away_is_said_and_nobody_waits_for_ever(settings, monkeypatch):
    monkeypatch.setattr(seam, "CATCH_UP_WITHIN_S", 0.3)
    settings = settings.model_copy(update={"clickhouse_http_port": free_port()})
    await create_topics(settings)
    row = {
        "symbol": "BTCUSDT", "interval": 60_000, "open": 1, "high": 1, "low": 1, "close": 1,
        "volume": 1, "quote_volume": 1, "taker_buy_volume": 1, "taker_buy_quote_volume": 1,
        "trade_count": 1, "first_id": 1, "last_id": 1, "closed": True, "cause": "live",
        "quality": "proven", "missing": 0,
    }  # fmt: skip
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap)
    await producer.start()
    for minute in range(100):
        data = [{**row, "timestamp": minute * 60_000, "rev": minute}]
        value = {"exchange": "binance", "channel": "linear", "recv_ms": 1, "data": data}
        topic = settings.kafka_topic_prefix + KLINES.name
        key = symbol_key("binance", "linear", "BTCUSDT")
        await producer.send(topic, json.dumps(value).encode(), key)
    await producer.stop()
    url = f"ws://127.0.0.1:{settings.websocket_port}/?stats=false"
    async with gateway(settings), connect(url) as socket, asyncio.timeout(30):
        item = {"symbol": "BTCUSDT", "timeframes": [{"timeframe": "1m", "initial_candles": 90}]}
        await socket.send(json.dumps({"action": "subscribe", "subscriptions": [item]}))
        ack, snapshot = json.loads(await socket.recv()), json.loads(await socket.recv())
    assert ack["subscriptions"][0]["data_status"]["historical_loading"] is True
    assert snapshot["data_status"]["data_quality"] == "partial"
    assert [one["rev"] for one in snapshot["data"]] == list(range(87, 100))
