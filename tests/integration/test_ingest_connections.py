"""Sockets and REST of the ingestor on loopback, without Kafka: ends, limits and wrong addresses."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from ingesting import SETTING, Log, Rig
from prometheus_client import REGISTRY
from websockets.asyncio.server import ServerConnection, serve

from ingest import feed, rest
from ingest.endpoints import Endpoint
from ingest.exchanges.base import Request
from ingest.exchanges.binance import EXCHANGE, LINEAR
from ingest.pacing import Budget
from runtime.errors import Misconfigured
from simulator import control
from simulator.faults import Fault
from simulator.options import SimulatorOptions
from simulator.server import Simulator

pytestmark = pytest.mark.integration


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    options = SimulatorOptions(seed=3, symbols=4, markets=("linear",), trades_per_s=400)
    async with Simulator(options) as running:
        yield running


def rig_for(sim: Simulator, **feed: object) -> Rig:
    return rig(sim.url("linear"), [s.name for s in sim.exchanges["linear"].symbols], **feed)


def rig(url: str, symbols: list[str], **feed: object) -> Rig:
    return Rig(EXCHANGE, LINEAR, url, symbols, **feed)


def sent(sim: Simulator, symbol: str) -> list[int]:
    query = {"symbol": symbol, "limit": "100000"}
    told = control.trades(sim.exchanges["linear"], query)
    return [i for i, ns in zip(told["id"], told["sent_ns"], strict=True) if ns > 0]


def assert_all_arrived_once(sim: Simulator, log: Log) -> None:
    for symbol in sim.exchanges["linear"].symbols:
        assert log.ids[symbol.name] == sent(sim, symbol.name)
    assert len(log) > 50


async def settle(sim: Simulator) -> None:
    sim.stop()
    await asyncio.sleep(0.4)


async def until(condition: Callable[[], object], timeout_s: float = 10.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.01)


def count(name: str, **labels: str) -> float:
    labels = {"exchange": "binance", "channel": "linear"} | labels
    return REGISTRY.get_sample_value(f"fibstream_ingest_{name}", labels) or 0.0


async def test_a_planned_end_overlaps_and_loses_nothing(sim: Simulator) -> None:
    it = rig_for(sim, lifetime_s=0.6)
    async with it.running():
        await until(lambda: len(it.budget._spent_s) >= 3)
        await settle(sim)
    assert_all_arrived_once(sim, it.log)
    for ids in it.log.ids.values():  # what nobody listened to was not sent, but has its id
        assert ids == list(range(ids[0], ids[-1] + 1))


async def test_what_is_on_its_way_on_the_old_connection_is_waited_for(monkeypatch) -> None:
    monkeypatch.setattr(feed, "OVERLAP_S", 10.0)
    acknowledged: list[ServerConnection] = []

    async def venue(client: ServerConnection) -> None:
        async for request in client:
            await client.send(json.dumps({"result": None, "id": json.loads(request)["id"]}))
            acknowledged.append(client)

    event = {"e": "aggTrade", "s": "BTCUSDT", "a": 7, "p": "1.5", "q": "2", "f": 7, "l": 7}
    event |= {"T": 1_700_000_000_000, "m": True}
    async with serve(venue, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        it = rig(f"ws://127.0.0.1:{port}", ["BTCUSDT"], lifetime_s=0.2)
        async with it.running():
            await until(lambda: len(acknowledged) >= 2)
            await asyncio.sleep(0.3)  # the successor is live, and knows it
            old = acknowledged[0]
            await old.send(json.dumps({"stream": "btcusdt@aggTrade", "data": event}))
            await until(lambda: it.log.ids["BTCUSDT"] == [7], 3.0)


async def test_a_silent_connection_is_replaced(sim: Simulator) -> None:
    it = rig_for(sim, stale_after_s=0.5)
    stale = count("reconnects_total", reason="stale")
    async with it.running():
        await until(lambda: len(it.log))
        control.inflict(sim.exchanges["linear"], Fault("silence", "linear", seconds=1.5))
        await until(lambda: count("reconnects_total", reason="stale") > stale)
        published = len(it.log)
        await until(lambda: len(it.log) > published + 50)


async def test_while_kafka_is_behind_nothing_is_read_and_nothing_is_lost(sim: Simulator) -> None:
    it = rig_for(sim, rows_max=50, stale_after_s=0.5)
    async with it.running():
        await until(lambda: len(it.log))
        it.log.holds = True
        await until(lambda: not it.publisher.room.is_set())
        await asyncio.sleep(0.2)
        published = len(it.log)
        await asyncio.sleep(1.0)  # twice the time after which a silence of the venue would end it
        assert len(it.log) == published
        it.log.holds = False
        it.log.release()
        await settle(sim)
    assert_all_arrived_once(sim, it.log)
    assert len(it.budget._spent_s) == 1, "on the same connection"


async def test_a_venue_that_is_away_is_waited_for() -> None:
    port = free_port()
    it = rig(f"ws://127.0.0.1:{port}/binance/linear", ["BTCUSDT"])
    failures = count("connection_failures_total")
    async with it.running() as task:
        await until(lambda: count("connection_failures_total") >= failures + 2)
        assert not task.done()
        options = SimulatorOptions(port=port, symbols=1, markets=("linear",), trades_per_s=200)
        async with Simulator(options):
            await until(lambda: len(it.log))


async def test_attempts_stay_within_the_budget() -> None:
    it = rig(f"ws://127.0.0.1:{free_port()}", ["BTCUSDT"], budget=Budget(2, 60.0))
    failures = count("connection_failures_total")
    async with it.running():
        await until(lambda: count("connection_failures_total") >= failures + 2)
        await asyncio.sleep(1.5)
    assert count("connection_failures_total") == failures + 2


Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def http(answer: Answer) -> AsyncIterator[str]:
    """Serve every path with ``answer``; yields host:port."""
    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("status", [200, 400, 404, 451])
async def test_an_address_that_is_no_stream_is_the_operators_error(status: int) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status)

    async with http(answer) as address:
        it = rig(f"ws://{address}", ["BTCUSDT"])
        async with it.running() as task:
            with pytest.raises(Misconfigured, match=rf"{SETTING}.*HTTP {status}"):
                await asyncio.wait_for(asyncio.shield(task), 5)


async def test_a_port_that_speaks_something_else_is_the_operators_error() -> None:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        for scheme in ("ws", "wss"):
            it = rig(f"{scheme}://127.0.0.1:{port}", ["BTCUSDT"])
            async with it.running() as task:
                with pytest.raises(Misconfigured, match=SETTING):
                    await asyncio.wait_for(asyncio.shield(task), 5)
    finally:
        server.close()


async def test_an_address_that_was_right_once_is_tried_again() -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=404)

    async with http(answer) as address:
        it = rig(f"ws://{address}", ["BTCUSDT"])
        it.route.opened.set()
        failures = count("connection_failures_total")
        async with it.running() as task:
            await until(lambda: count("connection_failures_total") >= failures + 2)
            assert not task.done()


async def test_the_handshakes_retry_after_is_obeyed() -> None:
    asked_s: list[float] = []

    async def answer(_: web.Request) -> web.Response:
        asked_s.append(time.monotonic())
        return web.Response(status=429, headers={"Retry-After": "1"})

    async with http(answer) as address, rig(f"ws://{address}", ["BTCUSDT"]).running():
        await until(lambda: len(asked_s) == 2)
    assert asked_s[1] - asked_s[0] >= 1.0


async def test_rest_obeys_retry_after_and_outlives_errors() -> None:
    asked_s: list[float] = []

    async def answer(request: web.Request) -> web.Response:
        asked_s.append(time.monotonic())
        match len(asked_s):
            case 1:
                return web.Response(status=418, headers={"Retry-After": "1"})
            case 2:
                return web.Response(status=502)
            case 3:
                request.transport.abort()
        return web.Response(body=b"whole")

    async with http(answer) as address:
        assert (
            await rest.get(Endpoint(f"http://{address}", "S"), Request(path="/x", weight=1))
            == b"whole"
        )
    assert len(asked_s) == 4
    assert asked_s[1] - asked_s[0] >= 1.0


async def test_rest_bodies_are_bounded(monkeypatch) -> None:
    monkeypatch.setattr(rest, "BODY_BYTES_MAX", 10)

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=b"x" * 11)

    async with http(answer) as address:
        with pytest.raises(Misconfigured, match="more than 10 bytes"):
            await rest.get(Endpoint(f"http://{address}", "S"), Request(path="/x", weight=1))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
