"""Binance beside trades and books: tickers, funding, open interest, liquidations, candles."""

from decimal import Decimal

import pytest
from venue_frames import (
    BINANCE_BOOK_TICKER,
    BINANCE_DAY,
    BINANCE_FORCE,
    BINANCE_KLINE,
    BINANCE_MARK,
    BINANCE_SPOT_DAY,
    NOW,
    packed,
)

from ingest.exchanges.base import Other
from ingest.exchanges.binance import LINEAR, SPOT, parse
from runtime.errors import Poison
from schemas.trades import BUY, SELL
from schemas.updates import Funding, Liquidation, OpenInterest, Ticker, VenueKline

WAYS = pytest.mark.parametrize(
    "pack", [lambda e: packed({"stream": "x", "data": e}), packed], ids=["combined", "raw"]
)


@WAYS
def test_spot_tells_the_best_prices_without_a_name_or_a_time(pack) -> None:
    best = Ticker(
        symbol="BNBUSDT",
        ts=0,
        is_snapshot=False,
        bid1_price=Decimal("25.35190000"),
        bid1_size=Decimal("31.21000000"),
        ask1_price=Decimal("25.36520000"),
        ask1_size=Decimal("40.66000000"),
        update_id=400900217,
    )
    assert list(parse(pack(BINANCE_BOOK_TICKER))) == [best]
    (timed,) = parse(pack(BINANCE_BOOK_TICKER | {"e": "bookTicker", "E": NOW, "T": NOW - 4}))
    assert timed.ts == NOW - 4


@WAYS
def test_a_days_ticker_is_whole(pack) -> None:
    (spot,) = parse(pack(BINANCE_SPOT_DAY))
    assert spot == Ticker(
        symbol="BNBBTC",
        ts=NOW,
        is_snapshot=True,
        last_price=Decimal("0.0025"),
        last_size=Decimal(10),
        price_24h_pcnt=Decimal("2.5"),
        prev_price_24h=Decimal("0.0010"),
        high_price_24h=Decimal("0.0025"),
        low_price_24h=Decimal("0.0010"),
        volume_24h=Decimal(10000),
        turnover_24h=Decimal(18),
        trade_count_24h=18151,
        bid1_price=Decimal("0.0024"),
        bid1_size=Decimal(10),
        ask1_price=Decimal("0.0026"),
        ask1_size=Decimal(100),
    )
    (linear,) = parse(pack(BINANCE_DAY | {"P": "-0.827"}))
    assert (linear.bid1_price, linear.price_24h_pcnt) == (None, Decimal("-0.00827"))


@WAYS
def test_a_mark_price_is_the_funding_that_runs(pack) -> None:
    assert list(parse(pack(BINANCE_MARK))) == [
        Funding(
            symbol="BTCUSDT",
            ts=NOW,
            funding_rate=Decimal("0.00038167"),
            next_funding_ms=NOW + 1_000,
            mark_price=Decimal("11794.15000000"),
            index_price=Decimal("11784.62659091"),
        )
    ]


def test_what_a_dated_contract_does_not_have_is_left_out() -> None:
    (row,) = parse(packed(BINANCE_MARK | {"r": "", "T": 0, "i": ""}))
    assert (row.funding_rate, row.next_funding_ms, row.index_price) == (None, None, None)


@pytest.mark.parametrize(("word", "side"), [("SELL", SELL), ("BUY", BUY)])
def test_a_forced_order_keeps_the_orders_side_and_price(word: str, side: int) -> None:
    event = BINANCE_FORCE | {"o": BINANCE_FORCE["o"] | {"S": word, "ap": "9905", "z": "0.010"}}
    assert list(parse(packed({"stream": "x", "data": event}))) == [
        Liquidation("BTCUSDT", NOW - 3, side, Decimal(9910), Decimal("0.014"))
    ]


@pytest.mark.parametrize("is_closed", [False, True])
def test_a_candle_has_every_figure(is_closed: bool) -> None:
    event = BINANCE_KLINE | {"k": BINANCE_KLINE["k"] | {"x": is_closed}}
    assert list(parse(packed({"stream": "x", "data": event}))) == [
        VenueKline(
            symbol="BNBBTC",
            interval=60_000,
            name="1m",
            timestamp=NOW - 60_000,
            open=Decimal("0.0010"),
            high=Decimal("0.0025"),
            low=Decimal("0.0015"),
            close=Decimal("0.0020"),
            volume=Decimal(1000),
            closed=is_closed,
            ts=NOW,
            quote_volume=Decimal("1.0000"),
            taker_buy_volume=Decimal(500),
            taker_buy_quote_volume=Decimal("0.500"),
            trade_count=100,
        )
    ]


@pytest.mark.parametrize(
    ("name", "interval_ms"), [("1s", 1_000), ("12h", 43_200_000), ("1M", 2_592_000_000)]
)
def test_every_interval_has_a_length(name: str, interval_ms: int) -> None:
    (row,) = parse(packed(BINANCE_KLINE | {"k": BINANCE_KLINE["k"] | {"i": name}}))
    assert (row.name, row.interval) == (name, interval_ms)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e5", "", " 1", "1_0", "\u0661", "+1", "."])
@pytest.mark.parametrize(
    ("event", "field"),
    [(BINANCE_DAY, "c"), (BINANCE_SPOT_DAY, "b"), (BINANCE_MARK, "p"), (BINANCE_BOOK_TICKER, "A")],
)
def test_what_is_no_number_is_refused(event: dict, field: str, number: str) -> None:
    with pytest.raises(Poison):
        parse(packed({"stream": "x", "data": event | {field: number}}))


@pytest.mark.parametrize(
    "event",
    [
        BINANCE_FORCE | {"o": BINANCE_FORCE["o"] | {"S": "sell"}},
        BINANCE_FORCE | {"o": {}},
        BINANCE_KLINE | {"k": BINANCE_KLINE["k"] | {"i": "7m"}},
        BINANCE_KLINE | {"k": BINANCE_KLINE["k"] | {"x": "true"}},
        BINANCE_MARK | {"E": NOW * 1_000},
        BINANCE_DAY | {"n": 1.5},
    ],
)
def test_a_broken_event_is_refused_by_name(event: dict) -> None:
    with pytest.raises(Poison, match=f"^{event['e']}: "):
        parse(packed({"stream": "x", "data": event}))


@pytest.mark.parametrize("event", [BINANCE_DAY, BINANCE_MARK, BINANCE_FORCE, BINANCE_KLINE])
def test_coin_m_events_of_the_merged_streams_are_not_ours(event: dict) -> None:
    assert list(parse(packed([event | {"st": 2}, event]))) == [
        Other(f"coin_m_{event['e']}"),
        *parse(packed(event)),
    ]


def test_all_symbols_come_in_one_array() -> None:
    rows = parse(packed({"stream": "!ticker@arr", "data": [BINANCE_DAY, BINANCE_DAY | {"s": "X"}]}))
    assert [row.symbol for row in rows] == ["BNBBTC", "X"]


def test_open_interest_is_asked_for_by_symbol() -> None:
    (poll,) = LINEAR.polls
    assert (poll.kind, poll.every_s, poll.is_bulk) == ("open-interest", 60.0, False)
    request = poll.request("BTCUSDT")
    assert (request.path, request.weight) == ("/fapi/v1/openInterest?symbol=BTCUSDT", 1)
    body = {"openInterest": "10659.509", "symbol": "BTCUSDT", "time": NOW}
    assert list(poll.read(packed(body), NOW + 5)) == [
        OpenInterest("BTCUSDT", NOW, Decimal("10659.509"))
    ]
    del body["time"]
    assert poll.read(packed(body), NOW + 5)[0].ts == NOW + 5
    with pytest.raises(Poison, match="not the open interest"):
        poll.read(packed(body | {"openInterest": "NaN"}), NOW)


def test_futures_streams_are_on_the_paths_that_serve_them() -> None:
    paths = {s.kind: s.path for s in LINEAR.subscriptions}
    assert paths.pop("books") == "/public/stream"
    assert set(paths.values()) == {"/market/stream"}
    assert not any("bookTicker" in t for s in LINEAR.subscriptions for t in s.topics("BTCUSDT"))


def test_spot_tickers_are_made_of_two_streams() -> None:
    topics = {s.kind: list(s.topics("BTCUSDT")) for s in SPOT.subscriptions}
    assert topics["tickers"] == ["btcusdt@ticker", "btcusdt@bookTicker"]
