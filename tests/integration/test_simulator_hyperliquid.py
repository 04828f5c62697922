"""The simulated Hyperliquid over a real socket, read by the production parser."""

from decimal import Decimal

import pytest
from listening import listening
from websockets.exceptions import ConnectionClosed

from ingest.exchanges.base import Other

pytestmark = pytest.mark.integration
KINDS = {"trades", "books", "tickers", "funding", "open-interest", "venue-klines"}


def simulating(**options):
    return listening("hyperliquid", "linear", **options)


def has(kind, rows):
    return lambda heard: len(heard.rows.get(kind, ())) >= rows


async def test_every_frame_of_every_channel_is_read():
    async with simulating() as client:
        await client.subscribe_all()
        await client.until(has("trades", 500))
        await client.until(has("tickers", 9))
        await client.until(has("venue-klines", 6))
        heard = client.heard
        assert heard.refused == heard.gaps == []
        assert set(heard.rows) == KINDS
        symbols = {"BTC", "ETH", "SOL"}
        assert all({row.symbol for row in rows} == symbols for rows in heard.rows.values())
        assert len({row.id for row in heard.rows["trades"]}) == len(heard.rows["trades"])
        assert all(Decimal(b.bids[0][0]) < Decimal(b.asks[0][0]) for b in heard.rows["books"])
        assert all(len(b.bids) == len(b.asks) == 20 for b in heard.rows["books"])


async def test_what_was_heard_is_the_history_and_then_exactly_what_the_truth_calls_sent():
    async with simulating(symbols=1) as client:
        await client.subscribe("trades:BTC")
        await client.until(has("trades", 300))
        await client.control("stop")
        await client.quiet()
        truth = await client.truth("trades", "BTC", limit=100_000)
        rows = client.heard.rows["trades"]
        sent = [n for n, sent_ns in enumerate(truth["sent_ns"]) if sent_ns]
        assert [row.id for row in rows] == truth["id"][sent[0] - 30 :]
        for row, price, qty, side, ts in zip(
            rows,
            *(truth[name][sent[0] - 30 :] for name in ("price", "qty", "side", "ts")),
            strict=True,
        ):
            assert Decimal(row.price).scaleb(-row.price_scale) == Decimal(price)
            assert Decimal(row.qty).scaleb(-row.qty_scale) == Decimal(qty)
            assert (row.side, row.ts) == (side, ts)


async def test_the_book_that_was_built_is_the_top_of_the_truth():
    async with simulating(symbols=1) as client:
        await client.subscribe("l2Book:BTC")
        await client.until(has("books", 5))
        truth = await client.truth("books", "BTC", depth=20)
        await client.until(lambda heard: heard.rows["books"][-1].ts > truth["ts"] - 500)
        keeper = client.heard.books["BTC"]
        assert keeper.is_live
        assert len(keeper.full().bids) == len(keeper.full().asks) == 20


async def test_an_unknown_coin_costs_the_connection():
    async with simulating() as client:
        await client.subscribe("trades:BTC")
        await client.until(has("trades", 10))
        await client.subscribe("trades:NOPE")
        with pytest.raises(ConnectionClosed):
            await client.until(lambda heard: heard.refused)
        assert client.heard.refused == []


async def test_after_unsubscribing_nothing_comes_and_the_heartbeat_is_answered():
    async with simulating(symbols=1) as client:
        await client.subscribe("trades:BTC")
        await client.until(has("trades", 50))
        await client.unsubscribe("trades:BTC")
        await client.quiet()
        count = len(client.heard.rows["trades"])
        await client.ws.send(client.exchange.heartbeat.frame.decode())
        await client.until(lambda heard: Other("pong") in heard.answers)
        assert len(client.heard.rows["trades"]) == count


async def test_the_day_that_nobody_asks_for_a_pong_ends_the_connection():
    async with simulating(unheard_s=1.0) as client:
        with pytest.raises(ConnectionClosed):
            await client.until(lambda heard: heard.refused, within_s=10)


async def test_a_closed_candle_of_the_venue_equals_the_truth():
    async with simulating(symbols=1, history_s=200) as client:
        body = b'{"type":"candleSnapshot","req":{"coin":"BTC","interval":"1m"}}'
        candles = (await client.http.post(client.base + "/info", content=body)).json()
        truth = await client.truth("klines", "BTC", interval_ms=60_000)
        theirs = {c["t"]: (c["o"], c["h"], c["l"], c["c"], c["v"], c["n"]) for c in candles[1:-1]}
        assert len(theirs) >= 2
        for row in truth:
            if row["timestamp"] in theirs:
                *numbers, trades = theirs[row["timestamp"]]
                fields = ("open", "high", "low", "close", "volume")
                assert [Decimal(n) for n in numbers] == [Decimal(row[f]) for f in fields]
                assert trades == row["trade_count"]


@pytest.mark.parametrize("kind", ["garbage", "text_number"])
async def test_a_broken_frame_is_refused_and_the_next_one_is_read(kind):
    async with simulating() as client:
        await client.subscribe_all()
        await client.until(has("trades", 200))  # 90 of them are history
        assert await client.inflict(kind) >= 1
        await client.until(lambda heard: heard.refused)
        count = len(client.heard.rows["trades"])
        await client.until(has("trades", count + 50))
        assert len(client.heard.refused) == 1


async def test_repeated_lost_and_late_trades_are_told_apart_by_their_tid():
    async with simulating(symbols=1) as client:
        await client.subscribe("trades:BTC")
        await client.until(has("trades", 100))
        await client.inflict("duplicate", count=3)
        await client.inflict("hole", stream="trades", count=5)
        await client.inflict("late", count=5, seconds=1)
        await client.until(has("trades", 500))
        await client.control("stop")
        await client.quiet(1.5)
        ids = [row.id for row in client.heard.rows["trades"]]
        truth = await client.truth("trades", "BTC", limit=100_000)
        begun = truth["id"].index(ids[0])
        assert len(ids) > len(set(ids))
        assert len(set(truth["id"][begun:]) - set(ids)) == 5
        assert client.heard.refused == []


async def test_a_lost_book_is_no_hole_and_a_crossed_one_is_found_and_healed():
    async with simulating(symbols=1) as client:
        await client.subscribe("l2Book:BTC")
        await client.until(has("books", 4))
        await client.inflict("hole", stream="books", count=2)
        await client.until(has("books", 8))
        assert client.heard.gaps == []
        await client.inflict("crossed", seconds=2.5)
        await client.until(lambda heard: heard.gaps)
        keeper = client.heard.books["BTC"]
        await client.until(lambda _: keeper.is_live and not keeper.book.is_crossed, within_s=10)
        assert {gap.reason for gap in client.heard.gaps} == {"crossed"}


async def test_a_silent_channel_stays_acknowledged_and_a_big_frame_is_read():
    async with simulating(symbols=1) as client:
        await client.subscribe_all()
        await client.until(has("trades", 50))
        await client.inflict("silence", stream="books", seconds=2)
        count = len(client.heard.rows["books"])
        await client.until(has("tickers", len(client.heard.rows["tickers"]) + 1))
        assert len(client.heard.rows["books"]) <= count + 1
        await client.inflict("big_frame")
        await client.until(lambda heard: heard.biggest > 4_000_000)
        assert client.heard.refused == []


async def test_rest_is_refused_with_a_status_and_no_words():
    async with simulating() as client:
        await client.inflict("rate_limit", seconds=30)
        answer = await client.fetch(client.market.activity)
        assert (answer.status_code, answer.content) == (429, b"null")
