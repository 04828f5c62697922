"""The rings are bounded in candles and in bytes, and forget the oldest."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import Poison
from schemas.intervals import Interval
from sinks.gateway import history
from sinks.gateway.candles import Candle, read
from sinks.gateway.history import History, Series
from sinks.gateway.protocol import Key

KEY = Key("binance", "linear", "BTCUSDT", Interval(1_000))


def candle(timestamp: int, version: int = 1, row: str = "x" * 100) -> Candle:
    return Candle(timestamp, version, bool(version % 2), 1, row)


def kept(h: History, name: str = "BTCUSDT") -> Series:
    return h.series.setdefault(KEY._replace(symbol=name), Series(KEY._replace(symbol=name)))


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 9)), max_size=120))
def test_a_series_is_the_newest_version_of_its_last_candles_in_order(puts):
    h = History(candles_per_series=5)
    series = kept(h)
    newest: dict[int, int] = {}
    for timestamp, version in puts:
        news = h.put(series, candle(timestamp, version))
        assert news == (version > newest.get(timestamp, -1))
        newest[timestamp] = max(version, newest.get(timestamp, -1))
        assert h.bytes == sum(100 + history.CANDLE_OVERHEAD_BYTES for _ in series.candles)
    found = list(series.candles.values())
    assert [c.timestamp for c in found] == sorted(newest)[-6:]
    assert [c.version for c in found] == [newest[c.timestamp] for c in found]


@pytest.mark.parametrize("closed_max", [1, 3, 100])
def test_last_gives_so_many_closed_candles_and_the_open_one(closed_max):
    h = History()
    series = kept(h)
    for timestamp in range(10):
        h.put(series, candle(timestamp))
    closed = list(range(10))[-closed_max:]
    assert [c.timestamp for c in series.last(closed_max)] == closed
    h.put(series, candle(10, version=2))
    assert [c.timestamp for c in series.last(closed_max)] == [*closed, 10]


def test_past_the_limit_in_bytes_every_series_keeps_fewer():
    h = History(candles_per_series=200, bytes_max=400 * (100 + history.CANDLE_OVERHEAD_BYTES))
    names = [f"S{n}" for n in range(10)]
    for timestamp in range(300):
        for name in names:
            h.put(kept(h, name), candle(timestamp))
    assert h.bytes <= 400 * (100 + history.CANDLE_OVERHEAD_BYTES)
    assert {len(kept(h, name).candles) for name in names} <= {
        h.candles_per_series, h.candles_per_series + 1,
    }  # fmt: skip
    assert all(next(reversed(kept(h, name).candles)) == 299 for name in names)


ENVELOPE = b'{"exchange":"b","channel":"c","recv_ms":1,"data":[%s]}'
NOT_UTF8 = b'{"symbol":"\xff","interval":1,"timestamp":1,"closed":true,"rev":1,"trade_count":1}'


@pytest.mark.parametrize(
    "value", [b"", b"[]", b"{}", b"\xff" * 9, ENVELOPE % b"{}", ENVELOPE % NOT_UTF8]
)
def test_a_record_that_cannot_be_read_is_poison_with_its_bytes(value):
    with pytest.raises(Poison) as poison:
        read(value)
    assert poison.value.payload == value
