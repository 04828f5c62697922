"""The simulated Bybit over real sockets, read by the production parser."""

import asyncio
import contextlib
import json
from collections import Counter

import pytest
from simulated import connect_to, fetch, inflict, simulating

from ingest.exchanges.base import Ack, BookRow, Chain, Other, Rejected, TradeRow
from ingest.exchanges.bybit import EXCHANGE, SPOT
from runtime.errors import Poison
from schemas.trades import Flag

pytestmark = pytest.mark.integration
CHANNELS = pytest.mark.parametrize("channel", ["spot", "linear"])
SYMBOLS = ("BTCUSDT", "ETHUSDT")
DATA_S = 2.5


def simulated(**options):
    return simulating(exchanges=("bybit",), **options)


def socket(sim, channel):
    market = EXCHANGE.markets[channel]
    return connect_to(sim, channel, market.subscriptions[0].path, exchange="bybit")


def every_topic(channel):
    market = EXCHANGE.markets[channel]
    topics = [t for s in market.subscriptions for symbol in SYMBOLS for t in s.topics(symbol)]
    return list(dict.fromkeys(topics))


async def subscribe(ws, channel, topics):
    size = EXCHANGE.markets[channel].limits.streams_per_request_max
    for n, at in enumerate(range(0, len(topics), size), 1):
        await ws.send(EXCHANGE.subscribe(topics[at : at + size], n).decode())


async def read_for(ws, channel, seconds):
    """Everything that the parser makes of the frames of so many seconds; no frame is refused."""
    found = []
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            async for frame in ws:
                found += EXCHANGE.markets[channel].parse(frame.encode())
    return found


def check_books(rows, channel):
    """Follow the chain of every book, and return how often each began."""
    chain = EXCHANGE.markets[channel].book.chain
    last, begun = {}, Counter()
    for row in rows:
        if row.is_snapshot:
            begun[row.symbol] += 1
        else:
            assert chain(last[row.symbol], row, False) is Chain.NEXT, row
        last[row.symbol] = row.last_id
    return begun


@CHANNELS
async def test_every_frame_of_every_channel_is_read_and_the_books_stay_whole(channel):
    async with (
        simulated(symbols=3, liquidations_per_s=20, history_s=60) as (sim, _),
        socket(sim, channel) as ws,
    ):
        await subscribe(ws, channel, every_topic(channel))
        await ws.send(EXCHANGE.heartbeat.frame.decode())
        rows = await read_for(ws, channel, DATA_S)
    counts = Counter(type(row).__name__ for row in rows)
    expected = {"Ack", "Other", "TradeRow", "BookRow", "Ticker", "VenueKline"}
    if channel == "linear":
        expected |= {"Funding", "OpenInterest", "Liquidation"}
    assert set(counts) == expected
    assert [r for r in rows if isinstance(r, Other)] == [Other("pong")]
    books = [row for row in rows if isinstance(row, BookRow)]
    assert check_books(books, channel) == dict.fromkeys(SYMBOLS, 1)
    assert len(books) > 20


@CHANNELS
async def test_the_trades_that_are_read_are_those_of_the_truth(channel):
    async with simulated(symbols=2) as (sim, http), socket(sim, channel) as ws:
        await subscribe(ws, channel, ["publicTrade.BTCUSDT"])
        await asyncio.sleep(1.5)
        await http.post("/sim/stop")
        rows = [r for r in await read_for(ws, channel, 0.5) if isinstance(r, TradeRow)]
        truth = await fetch(http, "/sim/trades", exchange="bybit", market=channel, symbol="BTCUSDT")
    sent = [n for n, sent_ns in enumerate(truth["sent_ns"]) if sent_ns]
    assert [row.ts for row in rows] == [truth["ts"][n] for n in sent]
    assert [row.id for row in rows] == [truth["id"][n] for n in sent]
    assert [row.side for row in rows] == [truth["side"][n] for n in sent]
    if channel == "linear":
        assert [row.uid for row in rows] == [truth["uid"][n] for n in sent]
    assert any(row.flags & Flag.RPI for row in rows)


@CHANNELS
async def test_a_reset_is_a_snapshot_that_begins_at_1_and_a_hole_breaks_the_chain(channel):
    async with simulated(symbols=1) as (sim, http), socket(sim, channel) as ws:
        await subscribe(ws, channel, ["orderbook.200.BTCUSDT"])
        await read_for(ws, channel, 0.5)
        wish = {"exchange": "bybit", "market": channel, "symbol": "BTCUSDT"}
        assert await inflict(http, kind="reset", **wish) == 1
        rows = [r for r in await read_for(ws, channel, 1.0) if isinstance(r, BookRow)]
        begun = [row for row in rows if row.is_snapshot]
        assert [row.last_id for row in begun] == [1]
        after = rows[rows.index(begun[0]) :]
        assert [row.last_id for row in after] == list(range(1, len(after) + 1))
        await inflict(http, kind="hole", **wish)
        rows = [r for r in await read_for(ws, channel, 1.0) if isinstance(r, BookRow)]
        with pytest.raises(AssertionError):
            check_books([begun[0], *rows], channel)
        await ws.send(EXCHANGE.unsubscribe(["orderbook.200.BTCUSDT"], 2).decode())
        await ws.send(EXCHANGE.subscribe(["orderbook.200.BTCUSDT"], 3).decode())
        healed = await read_for(ws, channel, 0.8)
        at = healed.index(Ack(3))
        check_books([r for r in healed[at:] if isinstance(r, BookRow)], channel)


async def test_one_bad_topic_refuses_its_request_and_the_socket_goes_on():
    async with simulated(symbols=1) as (sim, _), socket(sim, "linear") as ws:
        topics = ["publicTrade.BTCUSDT", "publicTrade.NOPEUSDT"]
        await ws.send(EXCHANGE.subscribe(topics, 1).decode())
        (refused,) = EXCHANGE.markets["linear"].parse((await ws.recv()).encode())
        assert isinstance(refused, Rejected)
        assert refused.request_id == 1
        await ws.send(EXCHANGE.subscribe(topics[:1], 2).decode())
        rows = await read_for(ws, "linear", 1.0)
        assert rows[0] == Ack(2)
        assert any(isinstance(row, TradeRow) for row in rows)


async def test_who_never_pings_is_dropped():
    async with simulated(symbols=1, unheard_s=0.5) as (sim, _), socket(sim, "linear") as ws:
        await subscribe(ws, "linear", ["publicTrade.BTCUSDT"])
        await asyncio.wait_for(ws.wait_closed(), 5.0)


@CHANNELS
async def test_the_rest_bodies_are_read(channel):
    market = EXCHANGE.markets[channel]
    async with simulated(symbols=5) as (_sim, http):
        bodies = []
        for first in market.instruments:
            request = first
            while request:
                body = (await http.get(f"/bybit/{channel}{request.path}")).content
                bodies.append(body)
                request = market.next_page(body)
        instruments = market.read_instruments(bodies)
        activity = market.read_activity(
            (await http.get(f"/bybit/{channel}{market.activity.path}")).content
        )
    streamed = {i.symbol for i in instruments if i.is_streamed}
    assert len(streamed) == 5
    assert streamed == set(activity)
    if channel == "linear":
        assert {i.symbol for i in instruments} - streamed == {"BTCUSDT-25DEC26", "BIOUSDT"}


@CHANNELS
async def test_late_and_repeated_trades_and_frames_of_5_mb_are_read_as_any_other(channel):
    async with simulated(symbols=1) as (sim, http), socket(sim, channel) as ws:
        await subscribe(ws, channel, ["publicTrade.BTCUSDT", "orderbook.200.BTCUSDT"])
        rows = await read_for(ws, channel, 0.5)
        wish = {"exchange": "bybit", "market": channel, "symbol": "BTCUSDT"}
        await inflict(http, kind="late", seconds=0.5, count=5, **wish)
        await inflict(http, kind="big_frame", stream="books", **wish)
        await inflict(http, kind="duplicate", count=3, **wish)
        rows += await read_for(ws, channel, 2.0)
    trades = [row for row in rows if isinstance(row, TradeRow)]
    told = Counter(row.uid or row.id for row in trades)
    assert max(told.values()) == 2
    assert [row.ts for row in trades] != sorted(row.ts for row in trades)
    assert any(isinstance(row, BookRow) for row in rows)


@CHANNELS
async def test_a_crossed_book_crosses_for_its_listeners_and_comes_back(channel):
    async with simulated(symbols=1) as (sim, http), socket(sim, channel) as ws:
        await subscribe(ws, channel, ["orderbook.1.BTCUSDT"])
        wish = {"exchange": "bybit", "market": channel, "symbol": "BTCUSDT"}
        await inflict(http, kind="crossed", seconds=0.7, **wish)
        rows = [r for r in await read_for(ws, channel, 2.0) if isinstance(r, BookRow)]
    crossed = [float(row.bids[0][0]) >= float(row.asks[0][0]) for row in rows]
    assert any(crossed)
    assert not crossed[-1]


async def test_silence_takes_the_named_stream_and_a_limit_answers_403():
    async with simulated(symbols=1) as (sim, http), socket(sim, "linear") as ws:
        await subscribe(ws, "linear", ["publicTrade.BTCUSDT", "tickers.BTCUSDT"])
        wish = {"exchange": "bybit", "market": "linear"}
        await inflict(http, kind="silence", stream="trades", seconds=60, **wish)
        await read_for(ws, "linear", 0.3)
        rows = await read_for(ws, "linear", 1.0)
        assert rows
        assert not any(isinstance(row, TradeRow) for row in rows)
        await inflict(http, kind="rate_limit", **wish)
        answer = await http.get("/bybit/linear/v5/market/time")
        assert answer.status_code == 403


async def test_a_word_for_a_price_is_refused():
    async with simulated(symbols=1) as (sim, http), socket(sim, "spot") as ws:
        await subscribe(ws, "spot", ["publicTrade.BTCUSDT"])
        await read_for(ws, "spot", 0.5)
        await http.post("/sim/stop")
        await read_for(ws, "spot", 0.3)
        wish = {"exchange": "bybit", "market": "spot", "symbol": "BTCUSDT"}
        assert await inflict(http, kind="text_number", **wish) == 1
        spoiled = await asyncio.wait_for(ws.recv(), 5.0)
    assert json.loads(spoiled)["data"][0]["p"] == "abc"
    with pytest.raises(Poison, match="p or v"):
        SPOT.parse(spoiled.encode())
