"""Two sockets for every set of streams: one may die at any time, and nobody notices."""

import asyncio
from itertools import pairwise

import pytest

from fibstream.bench.desks import Wanted, running_desk
from fibstream.bench.rotation import Published
from ingest.desk import Desk
from ingest.exchanges import exchange as exchange_named
from ingest.plan import instruments
from ingest.rest import open_host
from runtime.settings import Settings, load_settings
from simulator import Simulator, SimulatorOptions, control

pytestmark = pytest.mark.integration

CUTS = 4


@pytest.fixture(
    params=["binance", "bybit"]
)  # ids without holes; ids of any kind, books of one socket
async def sim(request):
    options = SimulatorOptions(
        exchanges=(request.param,), symbols=3, markets=("linear",), trades_per_s=300
    )
    async with Simulator(options) as running:
        yield running


def settings_for(sim: Simulator) -> Settings:
    name = next(iter(sim.exchanges.values())).dialect.exchange
    return load_settings(
        exchange=name,
        exchange_hot_pairs=True,
        exchange_linear_rest_url=sim.url("linear", "rest", name),
        exchange_linear_ws_url=sim.url("linear", "ws", name),
    )


async def wanted_of(settings: Settings, kind) -> Wanted:
    exchange = exchange_named(settings.exchange)
    market = exchange.markets["linear"]
    async with open_host(settings, exchange.name, market) as host:
        listed = await instruments(settings, exchange, market, host.ask)
    traded = [i for i in listed if i.is_streamed]
    return Wanted(exchange=exchange, market=market, kind=kind, instruments=traded)


async def cut_leaders(sim: Simulator, desk: Desk, *, times: int) -> None:
    """Cut the socket of the pair that leads, and let the other go on, again and again."""
    for _ in range(times):
        await asyncio.sleep(0.4)
        await until(lambda: all(feed.is_delivering for feed in desk.feeds))
        connections = sorted(sim.exchanges["linear"].hub.connections, key=lambda c: -len(c.streams))
        connections[0].transport.abort()


async def until(condition, timeout_s: float = 10.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.02)


def made(sim: Simulator, symbol: str) -> list[str]:
    """The ids of all trades since the first that reached a socket, in their order."""
    told = control.trades(sim.exchanges["linear"], {"symbol": symbol, "limit": "100000"})
    keys = [str(uid or id_) for id_, uid in zip(told["id"], told["uid"], strict=True)]
    first = next(at for at, ns in enumerate(told["sent_ns"]) if ns > 0)
    return keys[first:]


async def test_one_of_two_sockets_may_die_and_every_trade_is_there_once(sim: Simulator) -> None:
    settings, published = settings_for(sim), Published()
    wanted = await wanted_of(settings, "trades")
    async with running_desk(settings, wanted, published) as desk:
        assert len(desk.feeds) == 2
        await until(lambda: all(feed.is_delivering for feed in desk.feeds))
        await cut_leaders(sim, desk, times=CUTS)
        await asyncio.sleep(0.4)
        sim.stop()
        await asyncio.sleep(0.4)
    for instrument in wanted.instruments:
        ids = published.ids[instrument.symbol]
        assert len(set(ids)) == len(ids) > 50
        assert set(made(sim, instrument.symbol)) == set(ids)


async def test_the_other_socket_takes_the_books_over(sim: Simulator) -> None:
    settings, published = settings_for(sim), Published()
    wanted = await wanted_of(settings, "books")
    async with running_desk(settings, wanted, published) as desk:
        await until(lambda: published.deltas > 20)
        await cut_leaders(sim, desk, times=CUTS)
        deltas = published.deltas
        await until(lambda: published.deltas > deltas + 20)
    assert published.broken == 0
    pauses_s = [(b - a) / 1e9 for a, b in pairwise(published.recv_ns)]
    assert max(pauses_s) < 2.0
