"""Records as the ingestors and the processor write them, for tests of what reads them."""

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from schemas.klines import Kline, KlineEnvelope, Price, PriceEnvelope
from schemas.trades import SymbolTrades, TradeBatch, encode_batch
from sinks.base import Batch, Record

encode_rows = msgspec.json.Encoder(decimal_format="number").encode

BASE_MS = 1_680_652_800_000


def group(first_id: int = 1, count: int = 3, **changes) -> SymbolTrades:
    ids = list(range(first_id, first_id + count))
    fields = {
        "symbol": "BTCUSDT",
        "price_scale": 2,
        "qty_scale": 3,
        "id": ids,
        "ts": [BASE_MS + i for i in ids],
        "price": [2_814_510 + i for i in ids],
        "qty": [2 + i for i in ids],
        "side": -1,
    }
    return SymbolTrades(**{**fields, **changes})


def trade_batch(*groups: SymbolTrades, **changes) -> TradeBatch:
    fields = {
        "exchange": "binance",
        "channel": "linear",
        "source": "live",
        "recv_ns": BASE_MS * 1_000_000 + 1,
        "symbols": list(groups) or [group()],
    }
    return TradeBatch(**{**fields, **changes})


def trades_value(*groups: SymbolTrades, **changes) -> bytes:
    return encode_batch(trade_batch(*groups, **changes))


def kline(**changes) -> Kline:
    fields = {
        "symbol": "BTCUSDT",
        "interval": 60_000,
        "timestamp": BASE_MS,
        "open": Decimal("28145.10"),
        "high": Decimal("28150.00"),
        "low": Decimal("28140.01"),
        "close": Decimal("28149.99"),
        "volume": Decimal("12.345"),
        "quote_volume": Decimal("347452.12345678"),
        "taker_buy_volume": Decimal("6.1"),
        "taker_buy_quote_volume": Decimal("171000.5"),
        "trade_count": 42,
        "first_id": 1,
        "last_id": 42,
        "closed": True,
        "rev": 7,
        "cause": "live",
        "quality": "proven",
        "missing": 0,
    }
    return Kline(**{**fields, **changes})


def klines_value(*klines: Kline, **changes) -> bytes:
    fields = {"exchange": "binance", "channel": "linear", "recv_ms": BASE_MS}
    return encode_rows(KlineEnvelope(data=list(klines) or [kline()], **{**fields, **changes}))


def price_value(price: str, rev: int, symbol: str = "BTCUSDT", **changes) -> bytes:
    fields = {"exchange": "binance", "channel": "linear", "recv_ms": BASE_MS}
    row = Price(symbol=symbol, price=Decimal(price), ts=BASE_MS, rev=rev)
    return encode_rows(PriceEnvelope(data=[row], **{**fields, **changes}))


def batch(topic: str, values: Sequence[bytes], *, first_offset: int = 0) -> Batch:
    records = [Record(topic, 0, first_offset + i, BASE_MS, v) for i, v in enumerate(values)]
    return Batch(records, {(topic, 0): first_offset + len(values)})
