"""Frames as the venues document them: by venue, channel and the kind of the rows they become."""

import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from ingest.exchanges.base import KIND_OF, BookRow, Inbound, TradeRow
from schemas.numbers import INT64_MAX
from schemas.streams import Kind
from schemas.trades import Channel

CAPTURES = Path(__file__).parents[3] / "shared" / "captures"
NOW = 1_770_000_000_000


def _binance(stream: str, event: object) -> object:
    return {"stream": stream, "data": event}


BINANCE_TRADE = {"e": "trade", "E": NOW, "s": "BNBBTC", "t": 12345, "p": "0.00100000",
                 "q": "100.00000000", "T": NOW - 6, "m": True, "M": True}  # fmt: skip
BINANCE_AGGREGATE = {"e": "aggTrade", "E": NOW, "s": "BTCUSDT", "a": 5933014, "p": "28145.10",
                     "q": "0.020", "nq": "0.010", "f": 100, "l": 105, "T": NOW - 6, "m": False,
                     "st": 1}  # fmt: skip
BINANCE_SPOT_DEPTH = {"e": "depthUpdate", "E": NOW, "s": "BNBBTC", "U": 157, "u": 160,
                      "b": [["0.0024", "10"], ["0.0023", "0.000"]], "a": []}  # fmt: skip
BINANCE_LINEAR_DEPTH = {"e": "depthUpdate", "E": NOW, "T": NOW - 5, "s": "BTCUSDT", "U": 157,
                        "u": 160, "pu": 149, "b": [["28145.10", "0.5"]],
                        "a": [["28145.20", "0"]]}  # fmt: skip
BINANCE_BOOK_TICKER = {"u": 400900217, "s": "BNBUSDT", "b": "25.35190000", "B": "31.21000000",
                       "a": "25.36520000", "A": "40.66000000"}  # fmt: skip
BINANCE_DAY = {"e": "24hrTicker", "E": NOW, "s": "BNBBTC", "p": "0.0015", "P": "250.00",
               "w": "0.0018", "c": "0.0025", "Q": "10", "o": "0.0010", "h": "0.0025",
               "l": "0.0010", "v": "10000", "q": "18", "O": 0, "C": NOW, "F": 0, "L": 18150,
               "n": 18151}  # fmt: skip
BINANCE_SPOT_DAY = BINANCE_DAY | {"x": "0.0009", "b": "0.0024", "B": "10", "a": "0.0026",
                                  "A": "100"}  # fmt: skip
BINANCE_MARK = {"e": "markPriceUpdate", "E": NOW, "s": "BTCUSDT", "p": "11794.15000000",
                "i": "11784.62659091", "P": "11784.25641265", "r": "0.00038167",
                "T": NOW + 1_000}  # fmt: skip
BINANCE_FORCE = {"e": "forceOrder", "E": NOW, "o": {"s": "BTCUSDT", "S": "SELL", "o": "LIMIT",
                 "f": "IOC", "q": "0.014", "p": "9910", "ap": "9910", "X": "FILLED", "l": "0.014",
                 "z": "0.014", "T": NOW - 3}}  # fmt: skip
BINANCE_KLINE = {"e": "kline", "E": NOW, "s": "BNBBTC", "k": {"t": NOW - 60_000, "T": NOW - 1,
                 "s": "BNBBTC", "i": "1m", "f": 100, "L": 200, "o": "0.0010", "c": "0.0020",
                 "h": "0.0025", "l": "0.0015", "v": "1000", "n": 100, "x": False, "q": "1.0000",
                 "V": "500", "Q": "0.500", "B": "123456"}}  # fmt: skip


def _bybit(topic: str, data: object, kind: str = "snapshot") -> dict[str, Any]:
    return {"topic": topic, "type": kind, "ts": NOW, "cts": NOW - 2, "data": data}


BYBIT_TRADE = {"T": NOW - 3, "s": "BTCUSDT", "S": "Buy", "v": "0.001", "p": "16578.50",
               "L": "PlusTick", "i": "20f43950-d8dd-5b31-9112-a178eb6023af", "BT": False,
               "RPI": False, "seq": 1783284617}  # fmt: skip
BYBIT_BOOK = {"s": "BTCUSDT", "b": [["16493.50", "0.006"], ["16493.00", "0.100"]],
              "a": [["16611.00", "0.029"]], "u": 18521288, "seq": 7961638724}  # fmt: skip
BYBIT_SPOT_TICKER = {"symbol": "BTCUSDT", "lastPrice": "21109.77", "highPrice24h": "21426.99",
                     "lowPrice24h": "20575.00", "prevPrice24h": "20704.93",
                     "volume24h": "6780.866843", "turnover24h": "141946527.22907118",
                     "price24hPcnt": "0.0196", "usdIndexPrice": "21120.24"}  # fmt: skip
BYBIT_TICKER = {"symbol": "BTCUSDT", "tickDirection": "PlusTick", "price24hPcnt": "0.017103",
                "lastPrice": "17216.00", "prevPrice24h": "16926.50", "highPrice24h": "17281.50",
                "lowPrice24h": "16915.00", "prevPrice1h": "17238.00", "markPrice": "17217.33",
                "indexPrice": "17227.36", "openInterest": "68744.761",
                "openInterestValue": "1183601235.91", "turnover24h": "1570383121.94",
                "volume24h": "91705.276", "nextFundingTime": str(NOW + 1_000),
                "fundingRate": "-0.000212", "bid1Price": "17215.50", "bid1Size": "84.489",
                "ask1Price": "17216.00", "ask1Size": "83.020"}  # fmt: skip
BYBIT_KLINE = {"start": NOW - 60_000, "end": NOW - 1, "interval": "1", "open": "16649.5",
               "close": "16677", "high": "16677", "low": "16608", "volume": "2.081",
               "turnover": "34666.4005", "confirm": False, "timestamp": NOW - 1}  # fmt: skip
BYBIT_LIQUIDATION = {"T": NOW, "s": "BTCUSDT", "S": "Sell", "v": "20000", "p": "0.04499"}


def _okx(channel: str, symbol: str, *data: object, **more: object) -> object:
    return {"arg": {"channel": channel, "instId": symbol}, **more, "data": list(data)}


OKX_TRADE = {"instId": "BTC-USDT", "tradeId": "130639474", "px": "42219.9", "sz": "0.12060306",
             "side": "buy", "ts": str(NOW), "count": "3", "source": "0",
             "seqId": 1234}  # fmt: skip
OKX_BOOK = {"asks": [["8476.98", "415", "0", "13"]], "bids": [["8476.97", "256", "0", "12"]],
            "ts": str(NOW), "checksum": 0, "prevSeqId": -1, "seqId": 123456}  # fmt: skip
OKX_TICKER = {"instType": "SPOT", "instId": "BTC-USDT", "last": "9999.99", "lastSz": "0.1",
              "askPx": "9999.99", "askSz": "11", "bidPx": "8888.88", "bidSz": "5",
              "open24h": "9000", "high24h": "10000", "low24h": "8888.88", "volCcy24h": "2222",
              "vol24h": "2222", "sodUtc0": "2222", "sodUtc8": "2222", "ts": str(NOW)}  # fmt: skip
OKX_CANDLE = [str(NOW - 60_000), "8533.02", "8553.74", "8527.17", "8548.26", "45247", "529.5858061",
              "5529.5858061", "0"]  # fmt: skip
OKX_FUNDING = {"fundingRate": "0.0001875", "fundingTime": str(NOW + 1_000), "instId":
               "BTC-USDT-SWAP", "instType": "SWAP", "method": "current_period", "nextFundingRate":
               "", "nextFundingTime": str(NOW + 28_801_000), "ts": str(NOW)}  # fmt: skip
OKX_MARK = {"instType": "SWAP", "instId": "BTC-USDT-SWAP", "markPx": "42310.6", "ts": str(NOW)}
OKX_INTEREST = {"instType": "SWAP", "instId": "BTC-USDT-SWAP", "oi": "2216113.01", "oiCcy":
                "22161.13", "oiUsd": "1939251795.5", "ts": str(NOW)}  # fmt: skip
OKX_LIQUIDATION = {"details": [{"bkLoss": "0", "bkPx": "0.007831", "ccy": "", "posSide": "short",
                   "side": "buy", "sz": "13", "ts": str(NOW)}], "instFamily": "IOST-USDT",
                   "instId": "IOST-USDT-SWAP", "instType": "SWAP", "uly":
                   "IOST-USDT"}  # fmt: skip

HYPERLIQUID_TRADE = {"coin": "BTC", "side": "A", "px": "42447.0", "sz": "0.01", "hash":
                     "0x" + "0" * 64, "time": NOW, "tid": 118906512037719,
                     "users": ["0x" + "0" * 40] * 2}  # fmt: skip
HYPERLIQUID_BOOK = {"coin": "BTC", "time": NOW, "levels": [[{"px": "42446.0", "sz": "1.5", "n": 3}],
                    [{"px": "42447.0", "sz": "0.5", "n": 1}]]}  # fmt: skip
HYPERLIQUID_CONTEXT = {"coin": "BTC", "ctx": {"funding": "0.0000125", "openInterest": "688.11",
                       "prevDayPx": "15.322", "dayNtlVlm": "1169046.29", "premium": "0.00031774",
                       "oraclePx": "14.32", "markPx": "14.3161", "midPx": "14.314",
                       "impactPxs": ["14.3047", "14.3444"], "dayBaseVlm": "81"}}  # fmt: skip
HYPERLIQUID_CANDLE = {"t": NOW - 60_000, "T": NOW - 1, "s": "BTC", "i": "1m", "o": "42447.0",
                      "c": "42448.0", "h": "42450.0", "l": "42440.0", "v": "1.25",
                      "n": 11}  # fmt: skip

KRAKEN_TRADE = {"symbol": "MATIC/USD", "side": "sell", "price": 0.5147, "qty": 6423.46326,
                "ord_type": "limit", "trade_id": 4665846,
                "timestamp": "2026-02-02T02:40:00.123456Z"}  # fmt: skip
KRAKEN_BOOK = {"symbol": "MATIC/USD", "bids": [{"price": 0.5666, "qty": 4831.75496356}],
               "asks": [{"price": 0.5668, "qty": 4410.79769741}], "checksum": 2439117997,
               "timestamp": "2026-02-02T02:40:00.123456Z"}  # fmt: skip
KRAKEN_CANDLE = {"symbol": "MATIC/USD", "open": 0.5624, "high": 0.5628, "low": 0.5622,
                 "close": 0.5627, "trades": 12, "volume": 30927.68066226, "vwap": 0.5626,
                 "interval_begin": "2026-02-02T02:40:00.000000000Z", "interval": 1,
                 "timestamp": "2026-02-02T02:41:00.000000Z"}  # fmt: skip


def _kraken(channel: str, data: object) -> object:
    return {"channel": channel, "type": "update", "timestamp": "2026-02-02T02:40:10.123456Z",
            "data": [data]}  # fmt: skip


MESSAGES: Mapping[tuple[str, Channel], Mapping[Kind, object]] = {
    ("binance", "spot"): {
        "trades": _binance("bnbbtc@trade", BINANCE_TRADE),
        "books": _binance("bnbbtc@depth@100ms", BINANCE_SPOT_DEPTH),
        "tickers": _binance("bnbusdt@bookTicker", BINANCE_BOOK_TICKER),
        "venue-klines": _binance("bnbbtc@kline_1m", BINANCE_KLINE),
    },
    ("binance", "linear"): {
        "trades": _binance("btcusdt@aggTrade", BINANCE_AGGREGATE),
        "books": _binance("btcusdt@depth@100ms", BINANCE_LINEAR_DEPTH),
        "tickers": _binance("btcusdt@ticker", BINANCE_DAY),
        "funding": _binance("btcusdt@markPrice@1s", BINANCE_MARK),
        "liquidations": _binance("btcusdt@forceOrder", BINANCE_FORCE),
        "venue-klines": _binance("btcusdt@kline_1m", BINANCE_KLINE),
    },
    ("bybit", "spot"): {
        "trades": _bybit("publicTrade.BTCUSDT", [BYBIT_TRADE | {"i": "2290000000068683542"}]),
        "books": _bybit("orderbook.200.BTCUSDT", BYBIT_BOOK),
        "tickers": _bybit("tickers.BTCUSDT", BYBIT_SPOT_TICKER),
        "venue-klines": _bybit("kline.1.BTCUSDT", [BYBIT_KLINE]),
    },
    ("bybit", "linear"): {
        "trades": _bybit("publicTrade.BTCUSDT", [BYBIT_TRADE, BYBIT_TRADE]),
        "books": _bybit("orderbook.200.BTCUSDT", BYBIT_BOOK, "delta"),
        "tickers": _bybit("tickers.BTCUSDT", BYBIT_TICKER),
        "funding": _bybit("tickers.BTCUSDT", BYBIT_TICKER),
        "open-interest": _bybit("tickers.BTCUSDT", BYBIT_TICKER),
        "liquidations": _bybit("allLiquidation.BTCUSDT", [BYBIT_LIQUIDATION]),
        "venue-klines": _bybit("kline.1.BTCUSDT", [BYBIT_KLINE]),
    },
    ("okx", "spot"): {
        "trades": _okx("trades", "BTC-USDT", OKX_TRADE),
        "books": _okx("books", "BTC-USDT", OKX_BOOK, action="snapshot"),
        "tickers": _okx("tickers", "BTC-USDT", OKX_TICKER),
        "venue-klines": _okx("candle1m", "BTC-USDT", OKX_CANDLE),
    },
    ("okx", "linear"): {
        "trades": _okx("trades", "BTC-USDT-SWAP", OKX_TRADE | {"instId": "BTC-USDT-SWAP"}),
        "books": _okx("books", "BTC-USDT-SWAP", OKX_BOOK, action="snapshot"),
        "tickers": _okx(
            "tickers", "BTC-USDT-SWAP", OKX_TICKER | {"instId": "BTC-USDT-SWAP", "instType": "SWAP"}
        ),
        "funding": _okx("funding-rate", "BTC-USDT-SWAP", OKX_FUNDING),
        "open-interest": _okx("open-interest", "BTC-USDT-SWAP", OKX_INTEREST),
        "liquidations": {
            "arg": {"channel": "liquidation-orders", "instType": "SWAP"},
            "data": [OKX_LIQUIDATION],
        },
        "venue-klines": _okx("candle1m", "BTC-USDT-SWAP", OKX_CANDLE),
    },
    ("hyperliquid", "linear"): {
        "trades": {"channel": "trades", "data": [HYPERLIQUID_TRADE]},
        "books": {"channel": "l2Book", "data": HYPERLIQUID_BOOK},
        "tickers": {"channel": "activeAssetCtx", "data": HYPERLIQUID_CONTEXT},
        "funding": {"channel": "activeAssetCtx", "data": HYPERLIQUID_CONTEXT},
        "open-interest": {"channel": "activeAssetCtx", "data": HYPERLIQUID_CONTEXT},
        "venue-klines": {"channel": "candle", "data": HYPERLIQUID_CANDLE},
    },
    ("kraken", "spot"): {
        "trades": _kraken("trade", KRAKEN_TRADE),
        "books": _kraken("book", KRAKEN_BOOK),
        "venue-klines": _kraken("ohlc", KRAKEN_CANDLE),
    },
}

ANSWERS: Mapping[str, tuple[object, ...]] = {
    "binance": (
        {"result": None, "id": 3},
        {"error": {"code": 2, "msg": "Invalid request"}, "id": 3},
        {"stream": "!serverShutdown", "data": {"e": "serverShutdown", "E": NOW}},
    ),
    "bybit": (
        {"success": True, "ret_msg": "", "conn_id": "2324d924", "req_id": "3", "op": "subscribe"},
        {"success": True, "ret_msg": "pong", "conn_id": "0970e817", "op": "ping"},
    ),
    "okx": (
        {"event": "subscribe", "arg": {"channel": "trades", "instId": "BTC-USDT"}, "connId": "a4"},
        {"event": "error", "code": "60012", "msg": "Invalid request", "connId": "a4"},
    ),
    "hyperliquid": (
        {"channel": "subscriptionResponse",
         "data": {"method": "subscribe", "subscription": {"type": "trades", "coin": "BTC"}}},
        {"channel": "pong"},
    ),
    "kraken": (
        {"method": "subscribe", "result": {"channel": "trade", "snapshot": True,
         "symbol": "MATIC/USD"}, "success": True, "req_id": 3,
         "time_in": "2026-02-02T02:40:00.123456Z", "time_out": "2026-02-02T02:40:00.123456Z"},
        {"channel": "heartbeat"},
    ),
}  # fmt: skip


def packed(message: object) -> bytes:
    """Return a message as it comes over the wire."""
    return json.dumps(message, separators=(",", ":")).encode()


def documented(venue: str, channel: Channel) -> list[bytes]:
    """Return a frame of every kind, and the venue's answers."""
    return [packed(m) for m in (*MESSAGES[venue, channel].values(), *ANSWERS[venue])]


def captured(venue: str, count_max: int) -> Iterator[bytes]:
    """Yield short frames of the recordings in the neighbouring folder, where there is one."""
    for file in sorted((CAPTURES / venue).glob("*ws*.jsonl.gz")):
        with gzip.open(file, "rb") as lines:
            for number, line in zip(range(count_max), lines, strict=False):
                if number % 7 == 0 and len(line) < 4_000:
                    yield line.strip()


def assert_sound(inbound: Sequence[Inbound]) -> None:
    """Fail on a row that no stage behind the parser could use."""
    for row in inbound:
        if type(row) not in KIND_OF:
            continue
        assert row.symbol, row
        assert type(row.ts) is int, row
        assert 0 <= row.ts < 10**13, row
        if type(row) is TradeRow:
            assert_sound_trade(row)
        elif type(row) is BookRow:
            for level in (*row.bids, *row.asks):
                assert len(level) == 2, row
                assert all(type(text) is str and Decimal(text).is_finite() for text in level), row
        else:
            for value in msgspec.structs.asdict(row).values():
                assert type(value) is not float, row
                assert type(value) is not Decimal or value.is_finite(), row


def assert_sound_trade(row: TradeRow) -> None:
    """Fail on a trade that leaves 64 bits or contradicts itself."""
    assert row.side in (1, -1), row
    assert row.first <= row.last, row
    for number in (row.id, row.price, row.qty, row.first, row.last):
        assert type(number) is int, row
        assert 0 <= number <= INT64_MAX, row
    assert 0 <= row.price_scale <= 18, row
    assert 0 <= row.qty_scale <= 18, row
