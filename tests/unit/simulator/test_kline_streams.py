"""Candles as streams, by the rules of several venues."""

from types import SimpleNamespace

from simulator.kline_streams import KlineRules, kline_feed
from simulator.ledger import Ledger
from simulator.symbols import Symbol

BTC = Symbol("BTCUSDT", "BTC", "USDT", 2, 1, 3, 6_800_000)
BYBIT = KlineRules(push_ms=1_000, opens_at_close=True, is_without_holes=True, is_repeated=True)


def _feed(rules):
    ledger = Ledger(BTC, next_id=50, next_trade_id=900)
    told = []

    def encode(updates, now_ms):
        told.append(
            [
                (c.open_ms, c.open, c.high, c.low, c.close, c.volume, c.first_id, closed)
                for c, closed in updates
            ]
        )
        return [b"x"]

    exchange = SimpleNamespace(ledgers={"BTCUSDT": ledger})
    feed = kline_feed(exchange, "BTCUSDT", 1_000, rules, encode)
    return ledger, feed, told


def test_binance_opens_a_candle_with_its_first_trade_and_skips_empty_times():
    ledger, feed, told = _feed(KlineRules(push_ms=250))
    ledger.append(100, 10, 5, 1, 3)
    assert list(feed.encode(300)) == [b"x"]
    assert list(feed.encode(500)) == []  # nothing happened
    ledger.append(600, 12, 1, 1, 1)
    feed.encode(1_000)
    assert list(feed.encode(2_500)) == []
    ledger.append(3_100, 9, 1, 1, 1)
    feed.encode(3_200)
    assert told == [
        [(0, 10, 10, 10, 10, 5, 50, False)],
        [(0, 10, 12, 10, 12, 6, 50, True)],
        [(3_000, 9, 9, 9, 9, 1, 52, False)],
    ]


def test_a_late_look_closes_each_candle_once():
    ledger, feed, told = _feed(KlineRules(push_ms=250))
    feed.encode(0)
    for ts_ms in (100, 1_100, 1_200, 4_100):
        ledger.append(ts_ms, 10, 1, 1, 1)
    feed.encode(4_500)
    assert [(x[0], x[5], x[-1]) for x in told[0]] == [
        (0, 1, True),
        (1_000, 2, True),
        (4_000, 1, False),
    ]


def test_a_venue_without_holes_may_open_with_the_first_trade_all_the_same():
    ledger, feed, told = _feed(KlineRules(push_ms=250, is_without_holes=True))
    feed.encode(0)
    ledger.append(100, 10, 5, 1, 3)
    feed.encode(1_000)
    ledger.append(1_500, 15, 1, 1, 1)
    feed.encode(1_600)
    assert told == [
        [(0, 10, 10, 10, 10, 5, 50, True), (1_000, 10, 10, 10, 10, 0, -1, False)],
        [(1_000, 15, 15, 15, 15, 1, 51, False)],
    ]


def test_bybit_opens_at_the_close_before_and_at_once():
    ledger, feed, told = _feed(BYBIT)
    ledger.append(100, 10, 5, 1, 3)
    feed.encode(300)
    feed.encode(1_000)
    ledger.append(1_500, 15, 1, 1, 1)
    feed.encode(1_900)
    feed.encode(3_100)
    assert told == [
        [(0, 10, 10, 10, 10, 5, 50, False)],
        [(0, 10, 10, 10, 10, 5, 50, True), (1_000, 10, 10, 10, 10, 0, -1, False)],
        [(1_000, 10, 15, 10, 15, 1, 51, False)],
        [
            (1_000, 10, 15, 10, 15, 1, 51, True),
            (2_000, 15, 15, 15, 15, 0, -1, True),
            (3_000, 15, 15, 15, 15, 0, -1, False),
        ],
    ]
