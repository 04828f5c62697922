"""Clients that stop reading: the others do not notice, and the gateway's memory does not grow."""

import asyncio
import json
import os
import sys
import time
from pathlib import Path

import msgspec
import pytest
from aiokafka import AIOKafkaProducer
from websockets.asyncio.client import connect

from fibstream.topics import create_topics
from runtime.child import Child, ChildSpec
from runtime.settings import Settings
from schemas.topics import KLINES, KLINES_LIVE, symbol_key

pytestmark = [pytest.mark.integration, pytest.mark.soak, pytest.mark.timeout(400)]

SLOW, QUICK = 100, 10
SYMBOLS = [f"S{number}USDT" for number in range(10)]
MINUTE = 60_000
RSS_GROWTH_MAX_MB = 50
PHASE_S = 10.0
RECORDS_PER_S = 80
PADDING = "x" * 8_000
"""Makes rows long, so that those who do not read have much waiting after seconds."""
DELAY_FACTOR_MAX, DELAY_SLACK_MS = 2.0, 150.0  # other tests run on the same cores


async def test_a_hundred_clients_that_stop_reading_cost_the_others_nothing(
    kafka_bootstrap, topic_prefix, tmp_path
):
    settings = Settings(
        _env_file=None, kafka_bootstrap=kafka_bootstrap, kafka_topic_prefix=topic_prefix,
        websocket_port=0, kline_intervals=("1m",), data_dir=tmp_path,
    )  # fmt: skip
    await create_topics(settings)
    argv = [sys.executable, "-m", "fibstream", "gateway"]
    spec = ChildSpec(name="gateway", argv=argv, env=settings.environment())
    child = await Child.start(spec, {}, tmp_path / "gateway.log")
    producer = AIOKafkaProducer(bootstrap_servers=kafka_bootstrap, linger_ms=1)
    await producer.start()
    try:
        port = (await child.ready())["port"]
        delays: list[float] = []
        quick = [asyncio.create_task(_quick(port, delays)) for _ in range(QUICK)]
        while len(delays) < QUICK:
            await _put(producer, topic_prefix, 1, 0.1)
        crowd = [await Crowd.join(port) for _ in range(SLOW)]
        await asyncio.sleep(2)
        alone_ms = await _phase(producer, topic_prefix, delays, 1_000)
        before_mb = _rss_mb(child.pid)
        for member in crowd:
            member.transport.pause_reading()
        beside_ms = await _phase(producer, topic_prefix, delays, 5_000)
        grown_mb = _rss_mb(child.pid) - before_mb
        assert not any(task.done() for task in quick)
        for task in quick:
            task.cancel()
        for member in crowd:
            member.transport.abort()
    finally:
        await producer.stop()
        await child.stop(10)
    assert grown_mb < RSS_GROWTH_MAX_MB
    assert beside_ms < DELAY_FACTOR_MAX * alone_ms + DELAY_SLACK_MS


async def _phase(producer, prefix: str, delays: list[float], minute: int) -> float:
    """Return the p99 in ms of what the quick ones got in a while under load."""
    delays.clear()
    await _put(producer, prefix, minute, PHASE_S)
    await asyncio.sleep(1)
    found = sorted(delays)
    assert len(found) > QUICK * RECORDS_PER_S
    return found[len(found) * 99 // 100]


async def _put(producer, prefix: str, minute: int, for_s: float) -> None:
    """Close candles and tell of open ones, at a steady rate."""
    began_s, sent = time.monotonic(), 0
    while (passed_s := time.monotonic() - began_s) < for_s:
        while sent < passed_s * RECORDS_PER_S:
            symbol = SYMBOLS[sent % len(SYMBOLS)]
            closed = sent % 2 == 0
            row = {
                "symbol": symbol, "interval": MINUTE, "timestamp": (minute + sent) * MINUTE,
                "open": 1.5, "closed": closed, "rev": minute * 100_000 + sent, "trade_count": 1,
                "sent_us": time.time_ns() // 1_000, "padding": PADDING,
            }  # fmt: skip
            envelope = {"exchange": "binance", "channel": "linear", "recv_ms": 1, "data": [row]}
            topic = KLINES if closed else KLINES_LIVE
            key = symbol_key("binance", "linear", symbol)
            await producer.send(prefix + topic.name, msgspec.json.encode(envelope), key)
            sent += 1
        await asyncio.sleep(0.005)


def _subscribe() -> str:
    items = [
        {"symbol": symbol, "timeframes": [{"timeframe": "1m", "initial_candles": 0}]}
        for symbol in SYMBOLS
    ]
    return json.dumps({"action": "subscribe", "subscriptions": items})


async def _quick(port: int, delays: list[float]) -> None:
    url = f"ws://127.0.0.1:{port}/?stats=false"
    async with connect(url, compression=None, max_queue=None) as client:
        await client.send(_subscribe())
        while True:
            frame = msgspec.json.decode(await client.recv(decode=False))
            now_ms = time.time_ns() / 1e6
            delays.extend(now_ms - row["sent_us"] / 1e3 for row in frame.get("data", []))


class Crowd(asyncio.Protocol):
    """One of many who subscribe, read for a while, and then do not any more."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport

    @classmethod
    async def join(cls, port: int) -> "Crowd":
        loop = asyncio.get_running_loop()
        _, member = await loop.create_connection(cls, "127.0.0.1", port)
        return member

    def connection_made(self, transport) -> None:
        self.transport = transport
        text = _subscribe().encode()
        transport.write(
            b"GET /?stats=false HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        frame = bytes([0x81, 0xFE]) + len(text).to_bytes(2, "big") + bytes(4) + text
        asyncio.get_running_loop().call_later(1, transport.write, frame)


def _rss_mb(pid: int) -> float:
    """Return what is resident of a process and its children."""
    family = [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
    pages = [int(Path(f"/proc/{each}/statm").read_text().split()[1]) for each in family]
    return sum(pages) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)
