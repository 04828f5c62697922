"""Bybit's tickers, funding, open interest, liquidations and candles."""

from decimal import Decimal

import pytest
from bybit_frames import KLINE, LIQUIDATION, SPOT_TICKER, TICKER, frame, one

from ingest.exchanges.bybit import LINEAR, SPOT
from runtime.errors import Poison
from schemas.trades import BUY, SELL
from schemas.updates import Funding, Liquidation, OpenInterest, Ticker, VenueKline

# -- tickers


def test_a_linear_ticker_tells_funding_and_open_interest_too() -> None:
    ticker, funding, interest = LINEAR.parse(frame("tickers.BTCUSDT", TICKER))
    assert isinstance(ticker, Ticker)
    assert ticker.is_snapshot
    assert ticker.tick_direction == "ZeroPlusTick"
    assert ticker.price_24h_pcnt == Decimal("-0.001455")
    assert ticker.bid1_size == Decimal("1.760")
    assert ticker.funding_cap == Decimal("0.005")
    assert ticker.ask1_price is None
    assert funding == Funding(
        symbol="BTCUSDT",
        ts=1790134716101,
        funding_rate=Decimal("0.00005013"),
        next_funding_ms=1786665600000,
        interval_hours=Decimal(8),
        mark_price=Decimal("63560.80"),
        index_price=Decimal("63585.51"),
    )
    assert interest == OpenInterest(
        symbol="BTCUSDT",
        ts=1790134716101,
        open_interest=Decimal("59972.256"),
        value=Decimal("3811884569.16"),
    )


@pytest.mark.parametrize(
    ("changed", "rows"),
    [
        ({"bid1Price": "1", "bid1Size": "2"}, [Ticker]),
        ({}, [Ticker]),
        ({"markPrice": "1"}, [Ticker, Funding]),
        ({"fundingRate": "-0.1"}, [Ticker, Funding]),
        ({"nextFundingTime": "1786665600000"}, [Ticker, Funding]),
        ({"openInterest": "1"}, [Ticker, OpenInterest]),
        ({"openInterestValue": "1", "singleOpenInterestValue": "1"}, [Ticker]),
        ({"indexPrice": "1", "openInterest": "1"}, [Ticker, Funding, OpenInterest]),
    ],
)
def test_a_delta_yields_a_row_for_each_kind_that_changed(changed, rows) -> None:
    found = LINEAR.parse(frame("tickers.BTCUSDT", {"symbol": "BTCUSDT"} | changed, "delta"))
    assert [type(row) for row in found] == rows
    assert not found[0].is_snapshot


def test_an_empty_text_and_a_funding_time_of_zero_are_not_told() -> None:
    future = {"symbol": "BTCUSDT-25DEC26", "nextFundingTime": "", "fundingRate": ""}
    assert one(frame("tickers.BTCUSDT-25DEC26", future)).funding_rate is None
    assert one(frame("tickers.BTCUSDT-25DEC26", future | {"nextFundingTime": "0"}))


def test_a_spot_ticker_is_only_a_ticker() -> None:
    row = one(frame("tickers.BTCUSDT", SPOT_TICKER), SPOT)
    assert isinstance(row, Ticker)
    assert row.usd_index_price is None
    assert row.turnover_24h == Decimal("141946527.22907118")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("symbol", ""),
        ("symbol", 5),
        ("lastPrice", "NaN"),
        ("lastPrice", 63561.6),
        ("markPrice", "Infinity"),
        ("fundingRate", "1e-5"),
        ("nextFundingTime", "1786665600000.5"),
        ("nextFundingTime", "9" * 14),
        ("openInterest", "-"),
    ],
)
def test_a_bad_field_of_a_ticker_is_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(Poison, match=rf"tickers.BTCUSDT: {field}"):
        LINEAR.parse(frame("tickers.BTCUSDT", TICKER | {field: value}))


# -- liquidations and klines


def test_a_liquidated_long_sells() -> None:
    row = one(frame("allLiquidation.ROSEUSDT", [LIQUIDATION | {"S": "Buy"}]))
    assert row == Liquidation(
        symbol="ROSEUSDT",
        ts=1739502302929,
        side=SELL,
        price=Decimal("0.04499"),
        qty=Decimal(20000),
    )
    assert one(frame("allLiquidation.ROSEUSDT", [LIQUIDATION])).side == BUY


def test_the_frame_at_a_minutes_end_holds_the_closed_candle_and_the_next() -> None:
    follower = KLINE | {"start": 1672324860000, "confirm": False, "volume": "0", "turnover": "0"}
    closed, growing = LINEAR.parse(frame("kline.1.BTCUSDT", [KLINE, follower]))
    assert closed == VenueKline(
        symbol="BTCUSDT",
        interval=60_000,
        name="1",
        timestamp=1672324800000,
        open=Decimal("16649.5"),
        high=Decimal(16677),
        low=Decimal(16608),
        close=Decimal(16677),
        volume=Decimal("2.081"),
        closed=True,
        ts=1790134716101,
        quote_volume=Decimal("34666.4005"),
    )
    assert (growing.closed, growing.timestamp) == (False, 1672324860000)


@pytest.mark.parametrize(
    ("name", "minutes"), [("3", 3), ("720", 720), ("D", 1_440), ("W", 10_080), ("M", 43_200)]
)
def test_a_candles_interval_is_told_in_ms(name: str, minutes: int) -> None:
    row = one(frame(f"kline.{name}.BTCUSDT", [KLINE | {"interval": name}]))
    assert (row.interval, row.name) == (minutes * 60_000, name)


def test_an_unknown_interval_is_refused() -> None:
    with pytest.raises(Poison, match="interval"):
        LINEAR.parse(frame("kline.7.BTCUSDT", [KLINE | {"interval": "7"}]))
