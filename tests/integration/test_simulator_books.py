"""The simulated Binance's books: what is delivered is the truth, and faults look as the venue's."""

import asyncio
import json

import pytest
from books import Broken, RebuiltBook, of_truth
from simulated import API, MARKETS, connect_to, drain, fetch, inflict, simulating

pytestmark = pytest.mark.integration

TIER = {"spot": "", "linear": "/public"}


def _listen(sim, market, *words):
    names = "/".join(f"btcusdt@{word}" for word in words)
    return connect_to(sim, market, f"{TIER[market]}/stream?streams={names}")


async def _snapshot(http, market, limit=1_000):
    return await fetch(http, f"{API[market]}/depth", symbol="BTCUSDT", limit=limit)


async def _follow(ws, book, seconds):
    """Apply what comes; Broken when the chain breaks."""
    try:
        async with asyncio.timeout(seconds):
            while True:
                book.apply(json.loads(await ws.recv())["data"])
    except TimeoutError:
        return


async def _settled(ws, http, market, book):
    """The rebuilt book and the true one when the market stands still."""
    await http.post("/sim/stop")
    for frame in await drain(ws):
        book.apply(json.loads(frame)["data"])
    return book.texts(), of_truth(await fetch(http, "/sim/books", market=market, symbol="BTCUSDT"))


@pytest.mark.parametrize(
    ("market", "word"),
    [
        ("spot", "depth@100ms"),
        ("spot", "depth"),
        ("linear", "depth@0ms"),
        ("linear", "depth@500ms"),
    ],
)
async def test_a_book_rebuilt_by_the_venues_rules_is_the_true_one(market, word):
    async with simulating(symbols=1) as (sim, http), _listen(sim, market, word) as ws:
        early = [json.loads(await ws.recv())["data"] for _ in range(2)]
        book = RebuiltBook(market, await _snapshot(http, market))
        for update in early:
            book.apply(update)
        await _follow(ws, book, 2.5)
        rebuilt, true = await _settled(ws, http, market, book)
        assert not book.is_first
        assert not book.is_crossed
    if word in ("depth@100ms", "depth@0ms"):  # nothing waits to be told
        assert rebuilt == true
    else:
        shared = [set(rebuilt[side]) & set(true[side]) for side in "ba"]
        assert all(len(s) > 150 for s in shared)


@pytest.mark.parametrize("market", MARKETS)
async def test_the_book_ticker_is_the_top_of_the_rebuilt_book(market):
    async with simulating(symbols=1) as (sim, http):
        word = "depth@100ms"
        async with _listen(sim, market, word, "bookTicker") as ws:
            book = RebuiltBook(market, await _snapshot(http, market))
            tops = {}
            for _ in range(40):
                frame = json.loads(await ws.recv())
                data = frame["data"]
                if frame["stream"].endswith("bookTicker"):
                    tops[data["u"]] = data
                    continue
                book.apply(data)
                if data["u"] in tops:
                    top = tops.pop(data["u"])
                    assert f"{max(book.sides['b'])}" == top["b"]
                    assert f"{min(book.sides['a'])}" == top["a"]
                    assert f"{book.sides['b'][max(book.sides['b'])]}" == top["B"]


@pytest.mark.parametrize("market", MARKETS)
async def test_a_hole_breaks_the_chain_once_and_a_snapshot_mends_it(market):
    async with simulating(symbols=1) as (sim, http), _listen(sim, market, "depth@100ms") as ws:
        book = RebuiltBook(market, await _snapshot(http, market))
        await _follow(ws, book, 0.5)
        assert await inflict(http, kind="hole", market=market, symbol="BTCUSDT") == 1
        with pytest.raises(Broken):
            await _follow(ws, book, 1)
        book = RebuiltBook(market, await _snapshot(http, market))
        await _follow(ws, book, 0.5)
        rebuilt, true = await _settled(ws, http, market, book)
        assert rebuilt == true


@pytest.mark.parametrize("market", MARKETS)
async def test_a_reset_breaks_the_chain_and_ids_go_on_from_elsewhere(market):
    async with simulating(symbols=1) as (sim, http), _listen(sim, market, "depth@100ms") as ws:
        book = RebuiltBook(market, await _snapshot(http, market))
        await _follow(ws, book, 0.5)
        await inflict(http, kind="reset", market=market, symbol="BTCUSDT")
        with pytest.raises(Broken):
            await _follow(ws, book, 1)
        again = RebuiltBook(market, await _snapshot(http, market))
        assert again.last_id > book.last_id + 500_000
        await _follow(ws, again, 0.5)
        rebuilt, true = await _settled(ws, http, market, again)
        assert rebuilt == true


async def test_a_crossed_book_is_told_stands_and_ends():
    async with simulating(symbols=1) as (sim, http), _listen(sim, "spot", "depth@100ms") as ws:
        book = RebuiltBook("spot", await _snapshot(http, "spot"))
        await inflict(http, kind="crossed", market="spot", symbol="BTCUSDT", seconds=0.8)
        seen = []
        for _ in range(16):
            book.apply(json.loads(await ws.recv())["data"])
            seen.append(book.is_crossed)
        assert 5 <= sum(seen) <= 9
        assert not seen[-1]
        rebuilt, true = await _settled(ws, http, "spot", book)
        assert rebuilt == true


async def test_a_big_frame_is_five_megabytes_of_true_levels():
    async with simulating(symbols=1) as (sim, http), _listen(sim, "linear", "depth@100ms") as ws:
        book = RebuiltBook("linear", await _snapshot(http, "linear"))
        await inflict(http, kind="big_frame", market="linear", stream="books", symbol="BTCUSDT")
        sizes, levels = [], []
        for _ in range(14):
            frame = await ws.recv()
            update = json.loads(frame)["data"]
            sizes.append(len(frame))
            levels.append(len(update["a"]))
            book.apply(update)
        assert sum(size > 5_000_000 for size in sizes) == 1
        assert levels[sizes.index(max(sizes))] > 40_000
        rebuilt, true = await _settled(ws, http, "linear", book)
        assert rebuilt == true


async def test_a_silent_book_stops_alone_while_trades_go_on():
    wish = {"kind": "silence", "market": "spot", "stream": "books", "symbol": "BTCUSDT"}
    streams = "depth@100ms", "trade"
    async with simulating(symbols=1) as (sim, http), _listen(sim, "spot", *streams) as ws:
        await ws.recv()
        assert await inflict(http, **wish, seconds=0.6) == 1
        book = RebuiltBook("spot", await _snapshot(http, "spot"))
        kinds, is_broken = [], False
        while not is_broken:
            data = json.loads(await ws.recv())["data"]
            kinds.append(data["e"])
            try:
                if data["e"] == "depthUpdate":
                    book.apply(data)
            except Broken:
                is_broken = True
        assert kinds.count("trade") > 20
        assert kinds.count("depthUpdate") <= 2


async def test_late_and_repeated_updates_come_beside_the_chain():
    async with simulating(symbols=1) as (sim, http), _listen(sim, "spot", "depth@100ms") as ws:
        await inflict(http, kind="late", market="spot", stream="books", seconds=0.35)
        updates = [json.loads(await ws.recv())["data"] for _ in range(6)]
        lasts = [u["u"] for u in updates]
        assert lasts != sorted(lasts)
        assert await inflict(http, kind="duplicate", market="spot", stream="books", count=2) == 2
        more = [json.loads(await ws.recv())["data"]["u"] for _ in range(6)]
        assert len(set(lasts + more)) == 10
