"""The simulated OKX over real sockets, read by the parser of production."""

import asyncio
import contextlib
from decimal import Decimal
from itertools import pairwise

import pytest
from simulated import connect_to, drain, fetch, inflict, simulating
from websockets.protocol import State

from ingest.exchanges.base import KIND_OF, Ack, BookRow, Chain, Rejected, TradeRow
from ingest.exchanges.okx import EXCHANGE
from runtime.errors import Poison
from schemas.numbers import text
from schemas.updates import Liquidation

pytestmark = pytest.mark.integration

MARKETS = pytest.mark.parametrize("channel", ["spot", "linear"])
OPTIONS = {"exchanges": ("okx",), "symbols": 3, "liquidations_per_s": 5.0}
READ_S = 3.0


class Client:
    """Subscriptions of one market on one path, and every row that came."""

    def __init__(self, market, ws):
        self.market = market
        self.ws = ws
        self.rows = []

    async def subscribe(self, *topics):
        await self.ws.send(EXCHANGE.subscribe(topics, 1).decode())

    async def read(self, seconds):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while True:
                    self.take(await self.ws.recv())

    async def read_to_the_end(self):
        for frame in await drain(self.ws):
            self.take(frame)

    def take(self, frame):
        self.rows += self.market.parse(frame if isinstance(frame, bytes) else frame.encode())

    def of(self, kind, symbol=""):
        return [r for r in self.rows if type(r) is kind and symbol in ("", r.symbol)]


def symbols_of(sim, channel):
    return [s.name for s in sim.of("okx")[channel].symbols]


async def listed(http, channel):
    market = EXCHANGE.markets[channel]
    answer = await http.get(f"/okx/{channel}{market.instruments[0].path}")
    return {i.symbol: i for i in market.read_instruments([answer.content])}


def topics_of(market, symbols, path):
    found = {
        topic: None
        for subscription in market.subscriptions
        if subscription.path == path
        for symbol in symbols
        for topic in subscription.topics(symbol)
    }
    return list(found)


class Book:
    """A book kept as production's rule says; a hole is an error here."""

    def __init__(self, rule):
        self._rule = rule
        self.last_id = None
        self.bids, self.asks = {}, {}

    def apply(self, row):
        if row.is_snapshot:
            self.bids, self.asks = {}, {}
        else:
            assert self._rule.chain(self.last_id, row, False) is Chain.NEXT
        self.last_id = row.last_id
        for side, levels in ((self.bids, row.bids), (self.asks, row.asks)):
            for price, qty in levels:
                side[Decimal(price)] = Decimal(qty)
                if not side[Decimal(price)]:
                    del side[Decimal(price)]


@MARKETS
async def test_every_channel_is_read_without_a_refusal(channel):
    market = EXCHANGE.markets[channel]
    async with simulating(**OPTIONS) as (sim, _http):
        symbols = symbols_of(sim, channel)
        found = set()
        for path in {s.path for s in market.subscriptions}:
            async with connect_to(sim, channel, path, "okx") as ws:
                client = Client(market, ws)
                topics = topics_of(market, symbols, path)
                await client.subscribe(*topics)
                await ws.send(EXCHANGE.heartbeat.frame.decode())
                await client.read(READ_S)
            assert [ack.topic for ack in client.rows if type(ack) is Ack] == topics
            found |= {KIND_OF[type(row)] for row in client.rows if type(row) in KIND_OF}
    assert found == {s.kind for s in market.subscriptions}


@MARKETS
async def test_trades_and_books_are_whole_and_are_the_truth(channel):
    market = EXCHANGE.markets[channel]
    async with simulating(**OPTIONS) as (sim, http):
        instruments = await listed(http, channel)
        symbols = symbols_of(sim, channel)
        async with connect_to(sim, channel, "/ws/v5/public", "okx") as ws:
            client = Client(market, ws)
            await client.subscribe(*(f"{c}:{s}" for c in ("trades", "books") for s in symbols))
            await client.read(READ_S)
            await http.post("/sim/stop")
            await client.read_to_the_end()
        for symbol in symbols:
            size = instruments[symbol].contract_size
            asked = {"exchange": "okx", "market": channel, "symbol": symbol}
            rows = [_in_base(market, r, size) for r in client.of(TradeRow, symbol)]
            assert len(rows) > 10
            assert all(b.first == a.last + 1 for a, b in pairwise(rows))
            await _assert_true_trades(http, asked, rows)
            book = Book(market.book)
            for row in client.of(BookRow, symbol):
                book.apply(_in_base(market, row, size))
            await _assert_true_book(http, asked, book)


def _in_base(market, row, size):
    return market.in_base(row, size) if market.in_base else row


async def _assert_true_trades(http, asked, rows):
    told = await fetch(http, "/sim/trades", **asked, limit=100_000)
    at = told["id"].index(rows[0].id)
    assert told["id"][at:] == [r.id for r in rows]
    assert told["first"][at:] == [r.first for r in rows]
    assert told["ts"][at:] == [r.ts for r in rows]
    assert told["side"][at:] == [r.side for r in rows]
    for name in ("price", "qty"):
        mine = [Decimal(text(getattr(r, name), getattr(r, f"{name}_scale"))) for r in rows]
        assert [Decimal(n) for n in told[name][at:]] == mine


async def _assert_true_book(http, asked, book):
    told = await fetch(http, "/sim/books", **asked, depth=400)
    assert book.last_id == told["id"]
    for side in ("bids", "asks"):
        truth = {Decimal(p): Decimal(q) for p, q in told[side]}
        assert getattr(book, side) == truth


@MARKETS
async def test_a_reset_keeps_the_chain_and_the_book(channel):
    market = EXCHANGE.markets[channel]
    async with simulating(**OPTIONS) as (sim, http):
        symbol = symbols_of(sim, channel)[0]
        async with connect_to(sim, channel, "/ws/v5/public", "okx") as ws:
            client = Client(market, ws)
            await client.subscribe(f"books:{symbol}")
            await client.read(0.5)
            await inflict(http, kind="reset", exchange="okx", market=channel, symbol=symbol)
            await client.read(0.5)
            await http.post("/sim/stop")
            await client.read_to_the_end()
        rows = client.of(BookRow)
        assert sum(r.prev_id is not None and r.last_id < r.prev_id for r in rows) == 1
        size = (await listed(http, channel))[symbol].contract_size
        book = Book(market.book)
        for row in rows:
            book.apply(_in_base(market, row, size))
        asked = {"exchange": "okx", "market": channel, "symbol": symbol}
        await _assert_true_book(http, asked, book)


async def test_a_hole_is_seen_and_a_second_subscription_brings_a_snapshot():
    market = EXCHANGE.markets["linear"]
    async with simulating(**OPTIONS) as (sim, http):
        symbol = symbols_of(sim, "linear")[0]
        async with connect_to(sim, "linear", "/ws/v5/public", "okx") as ws:
            client = Client(market, ws)
            await client.subscribe(f"books:{symbol}")
            await client.read(0.5)
            await inflict(http, kind="hole", exchange="okx", market="linear", symbol=symbol)
            await client.read(0.8)
            rows = client.of(BookRow)
            places = [market.book.chain(a.last_id, b, False) for a, b in pairwise(rows)]
            assert places.count(Chain.HOLE) == 1
            client.rows.clear()
            await client.subscribe(f"books:{symbol}")
            await client.read(0.5)
            rows = client.of(BookRow)
            fresh = next(at for at, row in enumerate(rows) if row.is_snapshot)
            assert all(b.prev_id == a.last_id for a, b in pairwise(rows[fresh:]))


async def test_a_lost_trade_is_a_gap_that_rest_fills():
    market = EXCHANGE.markets["spot"]
    async with simulating(**OPTIONS) as (sim, http):
        symbol = symbols_of(sim, "spot")[0]
        async with connect_to(sim, "spot", "/ws/v5/public", "okx") as ws:
            client = Client(market, ws)
            await client.subscribe(f"trades:{symbol}")
            await client.read(0.5)
            wish = {"kind": "hole", "stream": "trades", "count": 3}
            await inflict(http, **wish, exchange="okx", market="spot", symbol=symbol)
            await client.read(1.0)
        pairs = pairwise(client.of(TradeRow))
        lost = {n for a, b in pairs for n in range(a.last + 1, b.first)}
        assert lost
        query = {"instId": symbol, "after": max(lost) + 1, "limit": 100}
        answer = await fetch(http, "/okx/spot/api/v5/market/history-trades", **query)
        assert lost <= {int(row["tradeId"]) for row in answer["data"]}


@pytest.mark.parametrize("fault", ["garbage", "text_number"])
async def test_what_cannot_be_read_is_refused_and_the_rest_is_not(fault):
    market = EXCHANGE.markets["linear"]
    async with simulating(**OPTIONS) as (sim, http):
        symbol = symbols_of(sim, "linear")[0]
        async with connect_to(sim, "linear", "/ws/v5/public", "okx") as ws:
            client = Client(market, ws)
            await client.subscribe(f"trades:{symbol}")
            await client.read(0.5)
            await inflict(http, kind=fault, exchange="okx", market="linear", symbol=symbol)
            refused = []
            for frame in await drain(ws, 0.2) if await _stopped(http) else []:
                try:
                    client.take(frame)
                except Poison as e:
                    refused.append(e)
            assert len(refused) == 1
            assert all(b.first == a.last + 1 for a, b in pairwise(client.of(TradeRow)))


async def _stopped(http):
    return (await http.post("/sim/stop")).status_code == 200


async def test_a_refusal_names_the_topic_and_the_others_are_served():
    market = EXCHANGE.markets["spot"]
    async with simulating(**OPTIONS) as (sim, _http):
        async with connect_to(sim, "spot", "/ws/v5/public", "okx") as ws:
            client = Client(market, ws)
            await client.subscribe("trades:BTC-USDT", "trades:NO-USDT", "candle1m:BTC-USDT")
            await client.read(0.5)
        assert [r.topic for r in client.rows if type(r) is Ack] == ["trades:BTC-USDT"]
        refused = [(r.request_id, r.topic) for r in client.rows if type(r) is Rejected]
        assert refused == [(1, "trades:NO-USDT"), (1, "candle1m:BTC-USDT")]
        assert client.of(TradeRow)


async def test_who_gets_nothing_is_dropped_and_a_ping_keeps_the_line():
    async with simulating(**OPTIONS, unheard_s=0.6) as (sim, _http):
        path = "/ws/v5/public"
        quiet, pinging = (connect_to(sim, "spot", path, "okx") for _ in range(2))
        async with quiet as lost, pinging as kept:
            async with asyncio.timeout(5):
                while lost.state is State.OPEN:
                    await kept.send("ping")
                    assert await kept.recv() == "pong"
                    await asyncio.sleep(0.1)
            assert kept.state is State.OPEN


async def test_who_asks_too_much_gets_429_without_a_time():
    async with simulating(**OPTIONS) as (_sim, http):
        path = "/okx/linear" + EXCHANGE.markets["linear"].activity.path
        answers = await asyncio.gather(*(http.get(path) for _ in range(25)))
        statuses = sorted(a.status_code for a in answers)
        assert statuses == [200] * 20 + [429] * 5
        refused = next(a for a in answers if a.status_code == 429)
        assert refused.json()["code"] == "50011"
        assert "Retry-After" not in refused.headers
        await inflict(http, kind="rate_limit", exchange="okx", market="spot", seconds=30)
        answer = await http.get("/okx/spot/api/v5/public/time")
        assert answer.status_code == 429


async def test_liquidations_of_every_swap_come_on_one_topic():
    market = EXCHANGE.markets["linear"]
    async with simulating(**OPTIONS | {"liquidations_per_s": 50.0}) as (sim, _http):
        async with connect_to(sim, "linear", "/ws/v5/public", "okx") as ws:
            client = Client(market, ws)
            await client.subscribe("liquidation-orders:SWAP")
            await client.read(1.5)
        assert {r.symbol for r in client.of(Liquidation)} == set(symbols_of(sim, "linear"))
