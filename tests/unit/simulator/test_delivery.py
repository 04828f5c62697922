"""From events to listeners, by a venue made for this test: welcomes, silence, and every fault."""

import asyncio
import json

import pytest

from simulator import inflict as faults
from simulator.delivery import BIG_FRAME_BYTES
from simulator.dialect import Answer, Dialect, Rules
from simulator.exchange import Exchange
from simulator.faults import BadRequestError, Fault
from simulator.feeds import BookFeed, LiquidationFeed, Stream, TimedFeed, TradeFeed
from simulator.frames import framed
from simulator.hub import Connection
from simulator.options import SimulatorOptions
from simulator.symbols import traded

OPENED_MS = 1_700_000_000_000
TRADES, BOOKS = Stream("trades", "BTCUSDT"), Stream("books", "BTCUSDT")
TICKERS, FORCED = Stream("tickers", "BTCUSDT"), Stream("liquidations", "")


class Moon(Dialect):
    exchange, channel, rules = "moon", "linear", Rules()

    def symbols(self, options):
        return traded("linear", options.symbols, options.seed)

    def open(self, path, query):
        return None

    def feed(self, stream, exchange):
        if stream.symbol == "NOSUCH":
            return None
        if stream.kind == "trades":
            return TradeFeed(
                encode=lambda rows, now_ms: [_message(id=[row.id for row in rows], p="1")],
                source="fills",
            )
        if stream.kind == "books":
            book = exchange.book(stream.symbol)
            return BookFeed(
                encode=lambda change, now_ms: [_message(n=change.number, size=len(change.asks))],
                welcome=lambda now_ms: [_message(n=book.number, all=len(book.top(9)[0]))],
            )
        if stream.kind == "liquidations":
            return LiquidationFeed(encode=lambda forced, now_ms: [_message(of=forced.symbol.name)])
        return TimedFeed(encode=lambda now_ms: [_message(at=now_ms)], every_ms=500)

    async def rest(self, asked, exchange):
        return Answer()

    def refuse(self, retry_after_s, *, is_banned):
        return Answer(status=403)

    def spoil(self, message):
        return message.replace(b'"1"', b'"one"')


def _message(**facts):
    return json.dumps(facts).encode()


class Wire(asyncio.Transport):
    def __init__(self):
        super().__init__()
        self.frames = []
        self.is_cut = False

    def write(self, data):
        self.frames.append(bytes(data))

    def get_write_buffer_size(self):
        return 0

    def is_closing(self):
        return self.is_cut

    def abort(self):
        self.is_cut = True


class Rig:
    def __init__(self, *streams):
        options = SimulatorOptions(symbols=2, liquidations_per_s=5)
        self.exchange = Exchange(Moon(), options, trades_per_s=300.0, rows_max=100_000)
        self.done_ms = 0
        self.connection = self.join(*streams)

    @property
    def now_ms(self):
        return OPENED_MS + self.done_ms

    def join(self, *streams):
        connection = Connection(Wire())
        self.exchange.hub.connections.add(connection)
        for stream in streams:
            self.exchange.delivery.subscribe(connection, stream, self.now_ms)
        return connection

    def run(self, ms=1_000):
        """What the first connection gets in so much time; ticks of 10 ms."""
        for _ in range(ms // 10):
            self.exchange.trade(self.done_ms, self.done_ms + 10, OPENED_MS, self.now_ms + 10)
            self.done_ms += 10
            self.exchange.delivery.deliver(self.now_ms, self.now_ms * 1_000_000)
        return self.heard()

    def heard(self, connection=None):
        wire = (connection or self.connection).transport
        data, wire.frames = b"".join(wire.frames), []
        found = []
        while data:
            start, size = 2, data[1]
            if size > 125:
                width = 2 if size == 126 else 8
                start, size = 2 + width, int.from_bytes(data[2 : 2 + width], "big")
            found.append(json.loads(data[start : start + size]))
            data = data[start + size :]
        return found

    def inflict(self, kind, **more):
        return faults.inflict(self.exchange, Fault(kind, "linear", **more))


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """Faults begin at the time of the rig, which stands at its opening."""
    monkeypatch.setattr(faults.time, "time_ns", lambda: OPENED_MS * 1_000_000)


def _ids(messages):
    return [i for message in messages for i in message.get("id", ())]


def test_the_trades_of_one_tick_come_in_one_message_and_count_one_by_one():
    rig = Rig(TRADES)
    messages = rig.run()
    ledger = rig.exchange.ledgers["BTCUSDT"]
    assert _ids(messages) == list(range(ledger.first_kept_id, ledger.next_id))
    assert len(messages) < len(ledger) == rig.exchange.delivery.rows_delivered
    assert rig.exchange.delivery.messages == {"trades": len(messages)}


def test_a_new_listener_is_welcomed_alone_and_its_changes_follow():
    rig = Rig(BOOKS)
    assert rig.heard() == [{"n": 0, "all": 9}]
    assert [m["n"] for m in rig.run(500)] == [1, 2, 3, 4, 5]
    late = rig.join(BOOKS)
    assert [m["n"] for m in rig.heard(late)] == [5]
    assert [m["n"] for m in rig.run(200)] == [m["n"] for m in rig.heard(late)] == [6, 7]
    rig.exchange.delivery.subscribe(late, BOOKS, rig.now_ms)  # asked again
    assert [m["n"] for m in rig.heard(late)] == [7]


def test_a_stream_without_a_feed_is_noted_and_silent():
    nothing = Stream("trades", "NOSUCH")
    rig = Rig(nothing)
    assert rig.run() == []
    assert list(rig.connection.streams) == [nothing]
    rig.exchange.delivery.unsubscribe(rig.connection, nothing)
    assert not rig.connection.streams


def test_who_left_or_gave_up_hears_no_more_and_feeds_end_with_their_last_listener():
    rig = Rig(TRADES, TICKERS, FORCED)
    other = rig.join(TRADES, BOOKS)
    rig.run(200)
    rig.exchange.delivery.unsubscribe(rig.connection, TRADES)
    rig.heard(other)
    assert not _ids(rig.run(200))
    assert _ids(rig.heard(other))
    rig.exchange.delivery.leave(rig.connection)
    rig.exchange.delivery.leave(other)
    assert rig.exchange.hub.streams() == []
    assert rig.run(600) == rig.heard(other) == []


def test_timed_feeds_keep_their_pace_and_rest_while_the_market_does():
    rig = Rig(TICKERS)
    assert [m["at"] - OPENED_MS for m in rig.run(2_000)] == [10, 500, 1_000, 1_500, 2_000]
    rig.exchange.delivery.deliver(rig.now_ms + 900, 1, is_running=False)
    assert rig.heard() == []


def test_liquidations_of_all_symbols_reach_who_asked_for_all():
    rig = Rig(FORCED)
    messages = rig.run(5_000)
    assert [m["of"] for m in messages] == [f.symbol.name for f in rig.exchange.liquidations]
    assert {m["of"] for m in messages} == {"BTCUSDT", "ETHUSDT"}


@pytest.mark.parametrize("stream", [TRADES, BOOKS, TICKERS])
def test_silence_takes_a_kind_for_its_time_and_numbers_go_on(stream):
    rig = Rig(TRADES, BOOKS, TICKERS)
    rig.heard()
    assert rig.inflict("silence", stream=stream.kind, symbol="BTCUSDT", seconds=1.0) == 1
    key = {"trades": "id", "books": "n", "tickers": "at"}
    kinds = {name for m in rig.run(990) for name in m}
    assert key[stream.kind] not in kinds
    assert {key[kind] for kind in key if kind != stream.kind} <= kinds
    after = [m for m in rig.run(600) if key[stream.kind] in m]
    assert after
    if stream == BOOKS:
        assert after[0]["n"] == 10


def test_who_subscribes_to_a_silent_stream_is_not_even_welcomed():
    rig = Rig()
    rig.inflict("silence", seconds=1.0)
    assert rig.heard(rig.join(BOOKS, TRADES)) == []


def test_a_hole_takes_so_many_updates_of_a_book():
    rig = Rig(BOOKS)
    rig.heard()
    rig.inflict("hole", symbol="BTCUSDT", count=2)
    assert [m["n"] for m in rig.run(500)] == [3, 4, 5]


def test_a_hole_takes_single_trades_and_their_truth_says_unsent():
    rig = Rig(TRADES)
    rig.inflict("hole", stream="trades", count=3)
    ids = _ids(rig.run(500))
    ledger = rig.exchange.ledgers["BTCUSDT"]
    assert ids == list(range(ledger.first_kept_id + 3, ledger.next_id))
    assert [bool(ns) for ns in ledger.sent_ns[:5]] == [False] * 3 + [True] * 2


def test_late_trades_come_after_younger_ones_and_count_as_sent():
    rig = Rig(TRADES)
    rig.inflict("late", symbol="BTCUSDT", seconds=0.3, count=2)
    ids, ledger = _ids(rig.run(600)), rig.exchange.ledgers["BTCUSDT"]
    assert ids[0] == ledger.first_kept_id + 2
    assert sorted(ids) == list(range(ledger.first_kept_id, ledger.next_id))
    assert all(ledger.sent_ns)


def test_a_late_book_update_comes_as_it_was():
    rig = Rig(BOOKS)
    rig.heard()
    rig.inflict("late", stream="books", seconds=0.25)
    assert [m["n"] for m in rig.run(500)] == [2, 3, 1, 4, 5]


def test_a_duplicate_repeats_the_last_messages_of_its_kind_only():
    rig = Rig(TRADES, BOOKS)
    seen = [m for m in rig.run(500) if "id" in m]
    delivered = rig.exchange.delivery.rows_delivered
    assert rig.inflict("duplicate", count=3) == 3
    assert rig.heard() == seen[-3:]
    assert rig.exchange.delivery.rows_delivered == delivered


def test_a_reset_welcomes_everybody_again_and_begins_at_one():
    rig = Rig(BOOKS)
    rig.run(500)
    assert rig.inflict("reset", symbol="BTCUSDT") == 1
    assert rig.run(200) == [
        {"n": 0, "all": 9},
        *({"n": n, "size": pytest.approx(0, abs=100)} for n in (1, 2)),
    ]


def test_a_crossed_book_stands_for_its_time():
    rig = Rig(BOOKS)
    assert rig.inflict("crossed", symbol="BTCUSDT", seconds=0.5) == 1
    book, crossed = rig.exchange.book("BTCUSDT"), []
    for _ in range(10):
        rig.run(100)
        (bid, _), (ask, _) = book.best()
        crossed.append(bid >= ask)
    assert crossed == [True] * 4 + [False] * 6


def test_a_big_frame_says_the_same_in_many_bytes():
    rig = Rig(TRADES)
    rig.inflict("big_frame")
    wire = rig.connection.transport
    while max(map(len, wire.frames), default=0) < BIG_FRAME_BYTES:
        rig.exchange.trade(rig.done_ms, rig.done_ms + 10, OPENED_MS, rig.now_ms)
        rig.done_ms += 10
        rig.exchange.delivery.deliver(rig.now_ms, 1)
    (big,) = rig.heard()
    assert big["id"]


def test_a_big_book_has_tens_of_thousands_of_levels():
    rig = Rig(BOOKS)
    rig.heard()
    rig.inflict("big_frame", stream="books", symbol="BTCUSDT", seconds=0.35)
    sizes = [m["size"] for m in rig.run(500)]
    assert [size > 20_000 for size in sizes] == [True, False, False, True, False]


def test_garbage_and_a_word_for_a_number_come_beside_the_rest():
    rig = Rig(TRADES)
    other = rig.join(BOOKS)
    rig.run(200)
    other.transport.frames.clear()
    assert rig.inflict("text_number") == 1
    assert rig.heard()[0]["p"] == "one"
    assert rig.inflict("garbage", stream="trades") == 1
    assert rig.connection.transport.frames == [framed(faults.GARBAGE)]
    assert other.transport.frames == []


def test_disconnect_cuts_everybody():
    rig = Rig(TRADES)
    other = rig.join(BOOKS)
    assert rig.inflict("disconnect") == 2
    assert rig.connection.transport.is_cut
    assert other.transport.is_cut
    assert rig.exchange.hub.streams() == []


def test_a_fault_for_a_symbol_that_does_not_trade_is_refused():
    with pytest.raises(BadRequestError, match="NOSUCH"):
        Rig().inflict("silence", symbol="NOSUCH")
