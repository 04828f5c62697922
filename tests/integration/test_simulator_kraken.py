"""The simulated Kraken over a real socket, read by the production parser."""

from decimal import Decimal

import pytest
from listening import listening

from ingest.exchanges.base import Other, Rejected
from schemas.trades import Flag

pytestmark = pytest.mark.integration


def simulating(**options):
    return listening("kraken", "spot", **options)


def has(kind, rows):
    return lambda heard: len(heard.rows.get(kind, ())) >= rows


async def test_every_frame_is_read_and_the_checksum_is_right_on_every_book():
    async with simulating() as client:
        await client.subscribe_all()
        await client.until(has("trades", 600))
        await client.until(has("books", 100))
        await client.until(has("venue-klines", 9))
        heard = client.heard
        assert heard.refused == heard.gaps == []
        assert set(heard.rows) == {"trades", "books", "venue-klines"}
        symbols = {"BTC/USD", "ETH/USD", "SOL/USD"}
        assert all({row.symbol for row in rows} == symbols for rows in heard.rows.values())
        assert all(row.checksum is not None for row in heard.rows["books"])
        assert all(keeper.is_live for keeper in heard.books.values())
        for symbol in symbols:
            ids = [row.id for row in heard.rows["trades"] if row.symbol == symbol]
            assert len(set(ids)) == len(ids)


async def test_the_book_that_was_built_is_the_top_of_the_truth():
    async with simulating(symbols=1, trades_per_s=50) as client:
        await client.subscribe("book:BTC/USD")
        await client.until(has("books", 30))
        await client.control("stop")
        await client.quiet()
        truth = await client.truth("books", "BTC/USD", depth=100)
        book = client.heard.books["BTC/USD"].full()
        for side in ("bids", "asks"):
            ours = [
                (Decimal(p).scaleb(-book.price_scale), Decimal(q).scaleb(-book.qty_scale))
                for p, q in getattr(book, side)
            ]
            assert ours == [(Decimal(price), Decimal(qty)) for price, qty in truth[side]]


async def test_trades_begin_with_fifty_of_the_past_flagged_as_history():
    async with simulating(symbols=1) as client:
        await client.subscribe("trade:BTC/USD")
        await client.until(has("trades", 300))
        await client.control("stop")
        await client.quiet()
        rows = client.heard.rows["trades"]
        assert [bool(row.flags & Flag.HISTORY) for row in rows] == [True] * 50 + [False] * (
            len(rows) - 50
        )
        truth = await client.truth("trades", "BTC/USD", limit=100_000)
        begun = truth["id"].index(rows[0].id)
        assert [row.id for row in rows] == truth["id"][begun:]
        assert all(truth["sent_ns"][begun + 50 :])
        for row, price, qty in zip(rows, truth["price"][begun:], truth["qty"][begun:], strict=True):
            assert Decimal(row.price).scaleb(-row.price_scale) == Decimal(price)
            assert Decimal(row.qty).scaleb(-row.qty_scale) == Decimal(qty)


async def test_closed_candles_of_the_snapshot_equal_the_truth():
    async with simulating(symbols=1, history_s=200) as client:
        await client.subscribe("ohlc:BTC/USD")
        await client.until(has("venue-klines", 3))
        truth = await client.truth("klines", "BTC/USD", interval_ms=60_000)
        theirs = {row["timestamp"]: row for row in truth}
        closed = [row for row in client.heard.rows["venue-klines"] if row.closed]
        assert len(closed) >= 2
        for row in closed:
            fields = ("open", "high", "low", "close", "volume")
            wanted = [Decimal(theirs[row.timestamp][name]) for name in fields]
            assert [getattr(row, name) for name in fields] == wanted
            assert row.trade_count == theirs[row.timestamp]["trade_count"]


async def test_a_pair_by_its_old_name_is_refused_by_number_and_the_rest_goes_on():
    async with simulating() as client:
        await client.subscribe("trade:XBT/USD", "trade:BTC/USD")
        await client.until(has("trades", 60))
        refused = [a for a in client.heard.answers if isinstance(a, Rejected)]
        assert refused == [Rejected(1, "Currency pair not supported XBT/USD")]
        assert client.heard.acknowledged == {"trade:BTC/USD"}


async def test_a_quiet_connection_has_a_beat_and_a_ping_a_pong():
    async with simulating(symbols=1) as client:
        await client.subscribe("trade:BTC/USD")
        await client.control("stop")
        await client.until(lambda heard: heard.answers.count(Other("heartbeat")) >= 2)
        await client.ws.send(client.exchange.heartbeat.frame.decode())
        await client.until(lambda heard: Other("pong") in heard.answers)


@pytest.mark.parametrize("fault", ["hole", "late", "duplicate"])
async def test_book_frames_lost_late_or_repeated_are_found_by_the_checksum(fault):
    async with simulating(symbols=1) as client:
        await client.subscribe("book:BTC/USD")
        await client.until(has("books", 10))
        await client.inflict(fault, stream="books", count=3, seconds=1)
        await client.until(lambda heard: heard.gaps)
        assert client.heard.gaps[0].reason == "checksum"
        assert not client.heard.books["BTC/USD"].is_live
        await client.unsubscribe("book:BTC/USD")
        await client.subscribe("book:BTC/USD")
        await client.until(lambda heard: heard.books["BTC/USD"].is_live)


async def test_the_last_book_frame_told_twice_leaves_the_same_book():
    async with simulating(symbols=1) as client:
        await client.subscribe("book:BTC/USD")
        await client.until(has("books", 10))
        await client.inflict("duplicate", stream="books")
        await client.until(has("books", len(client.heard.rows["books"]) + 20))
        assert client.heard.books["BTC/USD"].is_live
        assert client.heard.gaps == []


@pytest.mark.parametrize("kind", ["garbage", "text_number"])
async def test_a_broken_frame_is_refused_and_the_next_one_is_read(kind):
    async with simulating() as client:
        await client.subscribe_all()
        await client.until(has("trades", 200))
        assert await client.inflict(kind) >= 1
        await client.until(lambda heard: heard.refused)
        count = len(client.heard.rows["trades"])
        await client.until(has("trades", count + 50))
        assert len(client.heard.refused) == 1


async def test_a_restarted_book_is_another_snapshot_and_a_big_frame_is_read():
    async with simulating(symbols=1) as client:
        await client.subscribe_all()
        await client.until(has("books", 10))
        assert await client.inflict("reset") == 1
        snapshots = sum(row.is_snapshot for row in client.heard.rows["books"])
        await client.until(lambda h: sum(r.is_snapshot for r in h.rows["books"]) > snapshots)
        await client.inflict("big_frame")
        await client.until(lambda heard: heard.biggest > 4_000_000)
        assert client.heard.refused == client.heard.gaps == []


async def test_rest_is_refused_in_the_venues_words():
    async with simulating() as client:
        await client.inflict("rate_limit", seconds=30)
        answer = await client.fetch(client.market.activity)
        assert answer.status_code == 429
        assert answer.json() == {"error": ["EGeneral:Too many requests"]}
