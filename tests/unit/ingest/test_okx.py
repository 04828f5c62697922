"""Frames of OKX v5. Shapes with seqId, count and source follow the venue's documents."""

import contextlib
import gzip
import json
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.exchanges.base import (
    KIND_OF,
    Ack,
    BookRow,
    Other,
    Rejected,
    Shutdown,
    TradeRow,
)
from ingest.exchanges.okx import EXCHANGE
from ingest.exchanges.okx.frames import TRADES_BEGIN, parse
from runtime.errors import Poison
from schemas.trades import BUY, SELL, Flag
from schemas.updates import Funding, Liquidation, OpenInterest, Ticker, VenueKline

CAPTURES = Path(__file__).parents[4] / "shared" / "captures" / "okx"


def push(channel: str, *data, action: str | None = None, **arg: str) -> bytes:
    message = {"arg": {"channel": channel} | arg, "data": list(data)}
    message |= {"action": action} if action else {}
    return json.dumps(message, separators=(",", ":")).encode()


TRADE = {
    "instId": "BTC-USDT-SWAP",
    "tradeId": "130639474",
    "px": "42219.9",
    "sz": "12",
    "side": "sell",
    "ts": "1630048897897",
    "count": "3",
    "source": "0",
    "seqId": 1234,
}
DEPTH = {
    "asks": [["8476.98", "415", "0", "13"], ["8477", "0", "0", "0"]],
    "bids": [["8476.97", "256", "0", "12"]],
    "ts": "1597026383085",
    "checksum": 0,
    "prevSeqId": 123456,
    "seqId": 123457,
}
CANDLE = [
    "1597026360000",
    "8533.02",
    "8553.74",
    "8527.17",
    "8548.26",
    "45247",
    "529.5",
    "4526",
    "0",
]
TICKER = {
    "instType": "SWAP",
    "instId": "LTC-USDT-SWAP",
    "last": "99.99",
    "lastSz": "1",
    "askPx": "99.99",
    "askSz": "11",
    "bidPx": "88.88",
    "bidSz": "5",
    "open24h": "90",
    "high24h": "100",
    "low24h": "88.88",
    "volCcy24h": "22.22",
    "vol24h": "2222",
    "sodUtc0": "22",
    "sodUtc8": "22",
    "ts": "1597026383085",
}
SWAP = {"instId": "BTC-USDT-SWAP"}
FRAMES = {
    "trades": push("trades", TRADE, **SWAP),
    "books": push("books", DEPTH, action="update", **SWAP),
    "tickers": push("tickers", TICKER, instId="LTC-USDT-SWAP"),
    "candle1m": push("candle1m", CANDLE, **SWAP),
    "funding-rate": push(
        "funding-rate",
        SWAP
        | {"fundingRate": "0.0001875", "fundingTime": "1700726400000"}
        | {"nextFundingTime": "1700755200000", "ts": "1700724675402"},
        **SWAP,
    ),
    "open-interest": push(
        "open-interest",
        SWAP | {"oi": "2216113", "oiCcy": "22161.13", "oiUsd": "93", "ts": "1743041250440"},
        **SWAP,
    ),
    "liquidation-orders": push(
        "liquidation-orders",
        {
            "details": [
                {"bkLoss": "0", "bkPx": "0.007831", "ccy": "", "posSide": "short"}
                | {"side": "buy", "sz": "13", "ts": "1692266434010"}
            ],
            "instId": "IOST-USDT-SWAP",
            "instType": "SWAP",
        },
        instType="SWAP",
    ),
    "subscribe": b'{"id":"1512","event":"subscribe","arg":{"channel":"books","instId":"A-B"},'
    b'"connId":"a4d3ae55"}',
    "error": b'{"id":"7","event":"error","code":"60012","msg":"Invalid request","connId":"a"}',
}


def test_a_trade_names_the_ids_inside_it() -> None:
    assert parse(FRAMES["trades"]) == [
        TradeRow(
            "trades", "BTC-USDT-SWAP", 130639474, 1630048897897,
            422199, 1, 12, 0, SELL, 0, 130639472, 130639474,
        )
    ]  # fmt: skip


def test_neither_the_order_of_keys_nor_white_space_means_anything() -> None:
    frame = push("trades", TRADE, **SWAP)
    assert frame.startswith(TRADES_BEGIN)
    message = json.loads(frame)
    spaced = json.dumps(message).encode()
    turned = json.dumps(dict(reversed(message.items()))).encode()
    assert parse(frame) == parse(spaced) == parse(turned)


def test_a_trade_of_2022_is_one_match() -> None:
    old = {k: v for k, v in TRADE.items() if k not in {"count", "source", "seqId"}}
    (row,) = parse(push("trades", old, **SWAP))
    assert row.first == row.last == row.id


def test_a_retail_price_improvement_is_flagged() -> None:
    (row,) = parse(push("trades", TRADE | {"source": "1", "side": "buy"}, **SWAP))
    assert (row.flags, row.side) == (Flag.RPI, BUY)


def test_every_trade_of_a_frame_is_read_in_order() -> None:
    rows = parse(push("trades", TRADE, TRADE | {"tradeId": "130639475", "count": "1"}, **SWAP))
    assert [(r.first, r.last) for r in rows] == [(130639472, 130639474), (130639475, 130639475)]


def test_trades_one_by_one_are_a_series_of_their_own() -> None:
    (row,) = parse(push("trades-all", TRADE | {"count": "1"}, **SWAP))
    assert row.kind == "trades-all" != EXCHANGE.markets["spot"].trade_kind


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tradeId", ""), ("tradeId", "-1"), ("tradeId", "x"), ("tradeId", None),
        ("px", "1e5"), ("px", ""), ("px", "NaN"), ("px", 42219.9), ("sz", "-1"), ("sz", "1,5"),
        ("side", "BUY"), ("ts", "1630048897"), ("ts", "1630048897897000"),
        ("count", "0"), ("count", "130639476"), ("instId", ""),
    ],
)  # fmt: skip
def test_a_trade_with_an_unreadable_field_is_refused_whole(field: str, value) -> None:
    frame = push("trades", TRADE, TRADE | {field: value}, **SWAP)
    with pytest.raises(Poison) as refused:
        parse(frame)
    assert refused.value.payload == frame
    assert field in refused.value.reason


def test_an_update_names_the_update_before_it() -> None:
    assert parse(FRAMES["books"]) == [
        BookRow(
            "BTC-USDT-SWAP", 1597026383085, False, 123457, 123457, 123456,
            [("8476.97", "256")], [("8476.98", "415"), ("8477", "0")], None, "books",
        )
    ]  # fmt: skip


def test_a_snapshot_has_nothing_before_it() -> None:
    (row,) = parse(push("books", DEPTH | {"prevSeqId": -1}, action="snapshot", **SWAP))
    assert (row.is_snapshot, row.last_id, row.prev_id) == (True, 123457, None)


def test_a_book_of_2022_has_a_checksum_instead_of_ids() -> None:
    old = {k: v for k, v in DEPTH.items() if k not in {"seqId", "prevSeqId"}} | {"checksum": -85}
    (row,) = parse(push("books-l2-tbt", old, action="update", **SWAP))
    assert (row.checksum, row.prev_id, row.last_id) == (-85, None, 1597026383085)


@pytest.mark.parametrize(
    "levels",
    [[["1"]], [[]], [["1", ""]], [["1:2", "3"]], [["", "1:1"]], [["1", "-2"]], [["1", "2\n"]],
     [["1e5", "1"]], [["1", 2]], "1"],
)  # fmt: skip
def test_a_level_that_is_no_price_and_quantity_is_refused(levels) -> None:
    with pytest.raises(Poison):
        parse(push("books", DEPTH | {"bids": levels}, action="update", **SWAP))


def test_a_book_that_is_neither_snapshot_nor_update_is_refused() -> None:
    with pytest.raises(Poison, match="action"):
        parse(push("books", DEPTH, **SWAP))


@pytest.mark.parametrize("channel", ["books-elp", "books-rpi", "price-limit"])
def test_documented_channels_that_are_not_ours_are_named_and_left(channel: str) -> None:
    assert parse(push(channel, DEPTH, **SWAP)) == (Other(channel),)


@pytest.mark.parametrize("channel", ["books5", "bbo-tbt"])
def test_the_best_levels_alone_are_snapshots_of_a_book_of_their_own(channel: str) -> None:
    (row,) = parse(push(channel, DEPTH, **SWAP))
    assert (row.is_snapshot, row.stream, row.last_id) == (True, channel, 123457)


def test_an_unknown_channel_is_refused_by_name() -> None:
    with pytest.raises(Poison, match="boks"):
        parse(push("boks", DEPTH, **SWAP))


def test_a_ticker_of_a_swap_tells_its_volume_in_base_coins() -> None:
    (row,) = parse(FRAMES["tickers"])
    assert row == Ticker(
        symbol="LTC-USDT-SWAP",
        ts=1597026383085,
        is_snapshot=True,
        last_price=Decimal("99.99"),
        last_size=Decimal(1),
        prev_price_24h=Decimal(90),
        high_price_24h=Decimal(100),
        low_price_24h=Decimal("88.88"),
        volume_24h=Decimal("22.22"),
        bid1_price=Decimal("88.88"),
        bid1_size=Decimal(5),
        ask1_price=Decimal("99.99"),
        ask1_size=Decimal(11),
    )


def test_a_ticker_of_spot_tells_base_and_quote_volume() -> None:
    (row,) = parse(push("tickers", TICKER | {"instId": "LTC-USDT"}, instId="LTC-USDT"))
    assert (row.volume_24h, row.turnover_24h) == (Decimal(2222), Decimal("22.22"))


def test_an_empty_side_of_a_ticker_is_not_told() -> None:
    (row,) = parse(push("tickers", TICKER | {"bidPx": "", "bidSz": ""}, instId="LTC-USDT-SWAP"))
    assert row.bid1_price is row.bid1_size is None


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e99", " 1", "1_0", "٣"])
def test_what_is_no_decimal_number_is_refused(number: str) -> None:
    with pytest.raises(Poison, match="last"):
        parse(push("tickers", TICKER | {"last": number}, instId="LTC-USDT-SWAP"))


def test_funding_is_that_of_the_running_interval() -> None:
    assert parse(FRAMES["funding-rate"]) == [
        Funding(
            symbol="BTC-USDT-SWAP",
            ts=1700724675402,
            funding_rate=Decimal("0.0001875"),
            next_funding_ms=1700726400000,
            interval_hours=Decimal(8),
        )
    ]


def test_funding_without_a_rate_says_only_when() -> None:
    told = {"fundingTime": "1640851200000", "nextFundingRate": "0.0003"} | SWAP
    (row,) = parse(push("funding-rate", told, **SWAP))
    assert (row.funding_rate, row.next_funding_ms) == (None, 1640851200000)


def test_mark_and_index_prices_belong_to_the_swap() -> None:
    mark = SWAP | {"markPx": "42310.6", "ts": "1630049139746"}
    index = {"instId": "BTC-USDT", "idxPx": "42301.1", "ts": "1630049139746"}
    assert parse(push("mark-price", mark, **SWAP)) == [
        Funding(symbol="BTC-USDT-SWAP", ts=1630049139746, mark_price=Decimal("42310.6"))
    ]
    assert parse(push("index-tickers", index, instId="BTC-USDT")) == [
        Funding(symbol="BTC-USDT-SWAP", ts=1630049139746, index_price=Decimal("42301.1"))
    ]


def test_open_interest_is_in_base_coins() -> None:
    assert parse(FRAMES["open-interest"]) == [
        OpenInterest(symbol="BTC-USDT-SWAP", ts=1743041250440, open_interest=Decimal("22161.13"))
    ]


def test_a_liquidated_short_buys() -> None:
    assert parse(FRAMES["liquidation-orders"]) == [
        Liquidation(
            symbol="IOST-USDT-SWAP",
            ts=1692266434010,
            side=BUY,
            price=Decimal("0.007831"),
            qty=Decimal(13),
        )
    ]


def test_a_candle_of_a_swap_tells_its_volume_in_base_coins() -> None:
    assert parse(FRAMES["candle1m"]) == [
        VenueKline(
            symbol="BTC-USDT-SWAP",
            interval=60_000,
            name="1m",
            timestamp=1597026360000,
            open=Decimal("8533.02"),
            high=Decimal("8553.74"),
            low=Decimal("8527.17"),
            close=Decimal("8548.26"),
            volume=Decimal("529.5"),
            closed=False,
            ts=1597026360000,
            quote_volume=Decimal(4526),
        )
    ]


def test_a_confirmed_candle_of_spot_is_closed_and_in_base_coins() -> None:
    (row,) = parse(push("candle1Dutc", [*CANDLE[:8], "1"], instId="BTC-USDT"))
    assert (row.closed, row.name, row.interval) == (True, "1Dutc", 86_400_000)
    assert (row.volume, row.quote_volume) == (Decimal(45247), Decimal("529.5"))
    assert row.ts == row.timestamp + row.interval


@pytest.mark.parametrize(
    ("channel", "columns"),
    [("candle1x", CANDLE), ("candle", CANDLE), ("candle1m", CANDLE[:6]),
     ("candle1m", ["1597026360", *CANDLE[1:]]), ("candle1m", [*CANDLE[:4], "NaN", *CANDLE[5:]])],
)  # fmt: skip
def test_an_unreadable_candle_is_refused(channel: str, columns: list[str]) -> None:
    with pytest.raises(Poison):
        parse(push(channel, columns, **SWAP))


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_a_mutated_frame_is_read_or_refused_and_nothing_else(data) -> None:
    frame = bytearray(FRAMES[data.draw(st.sampled_from(sorted(FRAMES)))])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(frame) - 1))
        frame[at : at + data.draw(st.integers(0, 5))] = data.draw(
            st.binary(max_size=4) | st.sampled_from([b"null", b"{}", b'""', b"NaN", b"-1", b"[]"])
        )
    with contextlib.suppress(Poison):
        rows = parse(bytes(frame))
        assert {type(r) for r in rows} <= {*KIND_OF, Ack, Rejected, Shutdown, Other}


def captured(name: str) -> list[bytes]:
    path = CAPTURES / name
    if not path.exists():
        pytest.skip(f"no recording at {path}")
    with gzip.open(path) as lines:
        return [line.strip() for line in lines]


@pytest.mark.parametrize("name", ["cf_20220227_ws.jsonl.gz", "cf_20220513_ws.jsonl.gz"])
def test_a_recording_is_read_without_a_refusal(name: str) -> None:
    rows = [row for frame in captured(name) for row in parse(frame)]
    assert {TradeRow, BookRow, Ticker, Ack} == {type(row) for row in rows}


@pytest.mark.parametrize("name", ["single_cmp_okx.jsonl.gz", "single_tardis.jsonl.gz"])
def test_of_single_messages_only_those_of_api_v3_are_refused(name: str) -> None:
    for line in captured(name):
        message = json.loads(line)
        message = message.get("raw", message)
        frame = json.dumps(message).encode()
        if "table" in message:
            with pytest.raises(Poison, match="v3"):
                parse(frame)
        else:
            parse(frame)
