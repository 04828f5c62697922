"""What a client waits for, and what is looked up for it: bounded in time, each."""

import asyncio
import json
from types import SimpleNamespace

import pytest

from schemas.intervals import Interval
from sinks.gateway import candles, connection, protocol
from sinks.gateway.clients import Client
from sinks.gateway.connection import BUSY_BYTES, WIRE, Connection
from sinks.gateway.history import History
from sinks.gateway.hub import Hub
from sinks.gateway.protocol import Refused

SUBSCRIBE = {"action": "subscribe", "subscriptions": [{"symbol": "A", "timeframes": ["1m"]}]}


@pytest.fixture
def hub() -> Hub:
    return Hub(History(), [Interval(60_000)])


@pytest.fixture
def waits(hub, monkeypatch):
    """Let a client say something; nothing else happens meanwhile."""
    monkeypatch.setattr(connection, "AHEAD_WITHIN_S", 0.05)
    monkeypatch.setattr(connection, "LOOK_AGAIN_S", 0.001)
    wire = SimpleNamespace(is_deflated=False)
    websocket = SimpleNamespace(scope={"state": {WIRE: wire}}, query_params={})
    served = Connection(websocket, hub, asyncio.Event())

    async def say(message: dict) -> None:
        async with asyncio.timeout(20):
            await served._wait(protocol.parse(json.dumps(message)))

    return say


async def test_while_much_waits_for_others_only_snapshots_wait_and_not_for_ever(hub, waits):
    hub.waiting_bytes = BUSY_BYTES + 1
    await waits({"action": "ping"})
    await waits({"action": "unsubscribe", "subscriptions": [{"symbol": "A"}]})
    with pytest.raises(Refused, match="busy") as refused:
        await waits(SUBSCRIBE)
    assert refused.value.hint
    hub.waiting_bytes = BUSY_BYTES
    await waits(SUBSCRIBE)


async def test_a_subscription_goes_on_when_there_is_room_again(hub, waits, monkeypatch):
    monkeypatch.setattr(connection, "AHEAD_WITHIN_S", 10.0)
    hub.waiting_bytes = BUSY_BYTES + 1
    waiting = asyncio.create_task(waits(SUBSCRIBE))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    hub.waiting_bytes = 0
    await waiting


async def test_one_that_has_seen_more_than_was_read_is_served_what_there_is_in_the_end(hub, waits):
    hub.history.since = {0: 0}
    item = {**SUBSCRIBE["subscriptions"][0], "from_seq": {"0": 7, "5": 9}}
    ahead = {**SUBSCRIBE, "subscriptions": [item]}
    started_s = asyncio.get_running_loop().time()
    await waits(ahead)
    assert asyncio.get_running_loop().time() - started_s >= 0.05
    hub.history.read_to = {0: 8}
    assert not hub.is_ahead({0: 7, 5: 9})


def test_names_that_are_near_are_looked_for_once_a_second_for_a_client(hub):
    row = {"symbol": "BTCUSDT", "interval": 60_000, "timestamp": 0, "closed": False, "rev": 1}
    row["trade_count"] = 1
    record = {"exchange": "binance", "channel": "linear", "recv_ms": 1, "data": [row]}
    hub.accept(candles.read(json.dumps(record).encode()), 1)

    def hints(of: Client) -> list[str]:
        for symbol in ("BTCUSD", "BTCUS"):
            item = {"symbol": symbol, "timeframes": ["1m"]}
            said = json.dumps({"action": "subscribe", "subscriptions": [item]})
            hub.handle(of, protocol.parse(said), 0)
        told = [json.loads(text) for text in of.outbox.take()]
        return [each["subscriptions"][0]["hint"] for each in told if each["type"] == "subscribed"]

    client, other = hub.connect(lambda: None), hub.connect(lambda: None)
    looked = ["no candle of BTCUSD yet; similar: BTCUSDT", "no candle yet"]
    assert hints(client) == looked
    assert hints(client) == ["no candle yet"] * 2
    assert hints(other) == looked
    hub.tick(1_000)
    assert hints(client) == looked
