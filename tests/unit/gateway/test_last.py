"""The last trades: the newest revision of each symbol, within a bound."""

from decimal import Decimal

import pytest

from runtime.errors import Poison
from schemas.snapshots import Tick, TickEnvelope, encode_snapshot
from sinks.gateway import last
from sinks.gateway.last import LastTrades


def record(symbol: str, price: str, rev: int) -> bytes:
    tick = Tick(symbol, Decimal(price), Decimal("0.10"), 1, 1_000, 7, rev)
    return encode_snapshot(TickEnvelope("binance", "linear", [tick], 1))


def test_an_older_revision_never_replaces_a_newer_one():
    trades = LastTrades()
    for price, rev in (("1.10", 5), ("9.00", 4), ("1.20", 6)):
        trades.take(record("BTCUSDT", price, rev))
    found = trades.of("binance", "linear", "BTCUSDT")
    assert found is not None
    assert f"{found.price:f}" == "1.20"
    assert trades.of("binance", "spot", "BTCUSDT") is None


def test_what_is_no_record_and_what_is_too_many_is_refused(monkeypatch):
    monkeypatch.setattr(last, "SYMBOLS_MAX", 1)
    trades = LastTrades()
    trades.take(record("A", "1", 1))
    trades.take(record("A", "2", 2))
    for bad in (record("B", "1", 1), b"{", b'{"exchange":"binance"}'):
        with pytest.raises(Poison):
            trades.take(bad)
