"""One market without sockets: what is kept, what is sent, what is counted."""

import asyncio
import json
from itertools import pairwise

import pytest
from websockets.protocol import CLIENT, Protocol, State

from simulator.exchange import Exchange
from simulator.faults import Fault
from simulator.hub import Connection
from simulator.options import SimulatorOptions
from simulator.venues import VENUES
from simulator.venues.binance.streams import read

CANONICAL = {"spot": "btcusdt@trade", "linear": "btcusdt@aggTrade"}
OPENED_MS = 1_700_000_000_000


class Wire(asyncio.Transport):
    """A transport that keeps what is written and never falls behind unless told."""

    def __init__(self, buffered_bytes=0):
        super().__init__()
        self.written = b""
        self.buffered_bytes = buffered_bytes
        self.aborted = False

    def write(self, data):
        self.written += data

    def get_write_buffer_size(self):
        return self.buffered_bytes

    def is_closing(self):
        return self.aborted

    def abort(self):
        self.aborted = True

    def messages(self):
        client = Protocol(CLIENT, state=State.OPEN, max_size=None)
        client.receive_data(self.written)
        return [json.loads(event.data) for event in client.events_received()]


def _exchange(market, **options):
    chosen = SimulatorOptions(symbols=3, insurance_fund_share=0.05, **options)
    dialect = VENUES["binance"].channels[market](chosen)
    return Exchange(dialect, chosen, trades_per_s=500.0, rows_max=chosen.rows_max)


def _listen(exchange, *names, **wire):
    connection = Connection(Wire(**wire))
    exchange.hub.connections.add(connection)
    for name in names:
        exchange.delivery.subscribe(connection, read(name), OPENED_MS)
    return connection.transport


def _run(exchange, seconds):
    for second in range(seconds):
        from_ms = second * 1_000
        now_ms = OPENED_MS + from_ms + 1_000
        exchange.trade(from_ms, from_ms + 1_000, OPENED_MS, now_ms)
        exchange.delivery.deliver(now_ms, now_ms * 1_000_000)


@pytest.mark.parametrize("market", ["spot", "linear"])
def test_every_row_is_sent_once_in_order_and_counted(market):
    exchange = _exchange(market)
    wire = _listen(exchange, CANONICAL[market])
    _run(exchange, 10)
    ledger = exchange.ledgers["BTCUSDT"]
    key = "t" if market == "spot" else "a"
    assert [m[key] for m in wire.messages()] == list(range(ledger.first_kept_id, ledger.next_id))
    assert exchange.delivery.rows_delivered == len(ledger)
    assert all(ledger.sent_ns)
    assert exchange.rows_total == sum(len(x) for x in exchange.ledgers.values())
    assert not any(exchange.ledgers["ETHUSDT"].sent_ns)


def test_linear_aggregates_cover_all_trade_ids_but_those_of_the_insurance_fund():
    exchange = _exchange("linear")
    aggregates = _listen(exchange, "btcusdt@aggTrade")
    trades = _listen(exchange, "btcusdt@trade")
    _run(exchange, 20)
    seen = {t["t"]: t for t in trades.messages()}
    assert list(seen) == list(range(min(seen), max(seen) + 1))
    fund = {t for t, trade in seen.items() if trade["X"] == "INSURANCE_FUND"}
    inside = [t for a in aggregates.messages() for t in range(a["f"], a["l"] + 1)]
    assert fund
    assert inside == sorted(inside)
    assert set(inside) == seen.keys() - fund
    for a in aggregates.messages():
        parts = [seen[t] for t in range(a["f"], a["l"] + 1)]
        assert {(p["p"], p["T"], p["m"]) for p in parts} == {(a["p"], a["T"], a["m"])}


def test_spot_aggregates_follow_one_another_without_a_hole():
    exchange = _exchange("spot")
    wire = _listen(exchange, "btcusdt@aggTrade")
    _run(exchange, 10)
    rows = wire.messages()
    assert [r["a"] for r in rows] == list(range(rows[0]["a"], rows[0]["a"] + len(rows)))
    assert all(b["f"] == a["l"] + 1 for a, b in pairwise(rows))
    told = exchange.ledgers["BTCUSDT"].aggregates(0, 10**12)
    assert [(r["a"], r["f"], r["l"]) for r in rows] == [(x.id, x.first, x.last) for x in told]


def test_history_comes_before_the_opening_and_is_never_sent():
    exchange = _exchange("spot")
    wire = _listen(exchange, "btcusdt@trade", "btcusdt@aggTrade")
    exchange.make_history(5_000, OPENED_MS)
    exchange.delivery.deliver(OPENED_MS, 1)
    times = exchange.ledgers["BTCUSDT"].ts_ms
    assert OPENED_MS - 5_000 <= times[0] <= times[-1] < OPENED_MS
    assert not wire.written
    assert exchange.delivery.rows_delivered == 0


def test_rows_are_bounded_and_the_largest_symbol_pays():
    exchange = _exchange("linear", rows_max=1_000)
    _run(exchange, 20)
    assert exchange.rows_kept == sum(len(x) for x in exchange.ledgers.values()) <= 1_000
    assert exchange.ledgers["BTCUSDT"].complete_from_ms > 0
    assert exchange.rows_total > 1_000


def test_rows_older_than_the_history_are_forgotten():
    exchange = _exchange("spot", history_s_max=4)
    _run(exchange, 20)
    ledger = exchange.ledgers["BTCUSDT"]
    assert ledger.ts_ms[0] >= OPENED_MS + 15_000
    assert exchange.rows_kept == sum(len(x) for x in exchange.ledgers.values())


def test_delayed_rows_arrive_after_younger_ones_with_their_own_time():
    exchange = _exchange("linear")
    wire = _listen(exchange, "btcusdt@aggTrade")
    exchange.trouble.wish(Fault("late", "linear", "BTCUSDT", seconds=2.0, count=3), OPENED_MS)
    _run(exchange, 5)
    ids = [m["a"] for m in wire.messages()]
    first = exchange.ledgers["BTCUSDT"].first_kept_id
    assert sorted(ids) == list(range(first, first + len(ids)))
    assert ids[0] == first + 3
    late = [m for m in wire.messages() if m["a"] < first + 3]
    assert all(m["T"] < OPENED_MS + 1_000 and m["E"] == OPENED_MS + 3_000 for m in late)


def test_a_silent_symbol_trades_unseen():
    exchange = _exchange("linear")
    wire = _listen(exchange, "btcusdt@aggTrade", "btcusdt@kline_1m")
    exchange.trouble.silent_until_ms["", "BTCUSDT"] = OPENED_MS + 3_000
    _run(exchange, 2)
    assert not wire.written
    assert len(exchange.ledgers["BTCUSDT"]) > 0
    assert exchange.delivery.rows_delivered == 0


def test_a_client_that_does_not_read_is_dropped():
    exchange = _exchange("linear")
    slow = _listen(exchange, "btcusdt@aggTrade", buffered_bytes=10**9)
    fast = _listen(exchange, "btcusdt@aggTrade")
    _run(exchange, 2)
    assert slow.aborted
    assert not fast.aborted


def test_rows_that_reach_no_open_socket_are_not_called_delivered():
    exchange = _exchange("linear")
    _listen(exchange, "btcusdt@aggTrade").abort()
    _run(exchange, 2)
    assert exchange.delivery.rows_delivered == 0


@pytest.mark.parametrize("market", ["spot", "linear"])
def test_the_book_stands_where_the_trades_are(market):
    exchange = _exchange(market)
    book, ledger = exchange.book("BTCUSDT"), exchange.ledgers["BTCUSDT"]
    at = exchange.index["BTCUSDT"]
    for tick in range(300):
        exchange.trade(tick * 10, tick * 10 + 10, OPENED_MS, OPENED_MS)
        if book.ts_ms == OPENED_MS + tick * 10 + 10:  # it stepped in this very tick
            (bid, _), (ask, _) = book.best()
            assert bid == exchange.flow.bid(at) < ask
    assert book.number == 30
    last = ledger.price[-1]
    assert abs(last - book.best()[0][0]) < last * 0.002


def test_books_that_nobody_looks_at_cost_nothing_and_others_step_in_turns():
    exchange = _exchange("spot")
    _run(exchange, 1)
    assert exchange.books == []
    first, second = exchange.book("BTCUSDT"), exchange.book("ETHUSDT")
    exchange.trade(1_000, 1_010, OPENED_MS, OPENED_MS)
    assert (first.number, second.number) in ((1, 0), (0, 0))
    exchange.trade(1_010, 1_110, OPENED_MS, OPENED_MS)
    assert second.number == 1
