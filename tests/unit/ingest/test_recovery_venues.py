"""Past trades as the venues' documents show them, and the same trade as its stream tells it."""

import json

import msgspec
import pytest

from ingest.exchanges import EXCHANGES
from ingest.recovery.capabilities import CAPABILITIES, capability
from ingest.recovery.past import ByIds, ByTime, Newest
from ingest.recovery.rest import RestSource
from ingest.recovery.source import OutOfReach
from ingest.recovery.venues import binance, bybit, hyperliquid, kraken, okx
from runtime.errors import Misconfigured, Retriable
from schemas.trades import BUY, SELL

T = 1_680_652_700_452
AGGREGATE = {"a": 26129, "p": "0.01633102", "q": "4.70443515", "f": 27781, "l": 27783, "T": T}


def test_binance_aggregates_are_the_stream_s():
    (row,) = binance.LINEAR.read(json.dumps([AGGREGATE | {"m": True}]).encode(), "BTCUSDT")
    streamed = {"e": "aggTrade", "E": T, "s": "BTCUSDT", **AGGREGATE, "m": True}
    frame = json.dumps({"stream": "btcusdt@aggTrade", "data": streamed}).encode()
    assert [row] == list(EXCHANGES["binance"].markets["linear"].parse(frame))


def test_binance_spot_tells_single_trades_and_an_aggregate_leads_to_the_first():
    told = {"id": 28457, "price": "4.00000100", "qty": "12.00000000", "time": T}
    body = json.dumps([told | {"isBuyerMaker": False, "quoteQty": "48", "isBestMatch": True}])
    (row,) = binance.SPOT.read(body.encode(), "BNBBTC")
    assert (row.id, row.first, row.last, row.side, row.kind) == (28457, 28457, 28457, BUY, "trade")
    assert binance.SPOT.read_located(json.dumps([AGGREGATE | {"m": True}]).encode()) == 27781
    assert binance.SPOT.read_located(b"[]") is None


def test_okx_pages_are_windows_of_ids_oldest_first():
    data = [
        {
            "instId": "BTC-USDT",
            "side": side,
            "sz": "0.1",
            "px": "29963.2",
            "tradeId": n,
            "ts": str(T),
        }
        for n, side in (("242720720", "sell"), ("242720719", "buy"))
    ]
    rows = okx.PAST.read(json.dumps({"code": "0", "msg": "", "data": data}).encode(), "BTC-USDT")
    assert [(r.id, r.first, r.last, r.side) for r in rows] == [
        (242720719, 242720719, 242720719, BUY),
        (242720720, 242720720, 242720720, SELL),
    ]
    assert "after=242720819&" in okx.PAST.request("BTC-USDT", 242720719).path
    with pytest.raises(ValueError, match="50011"):
        okx.PAST.read(b'{"code":"50011","msg":"Too Many Requests","data":[]}', "BTC-USDT")


def test_bybit_tells_under_other_names_what_its_stream_tells():
    uid = "2100000000007764263"
    told = {"execId": uid, "symbol": "BTCUSDT", "price": "16618.49", "size": "0.00012"}
    told |= {"side": "Buy", "time": str(T), "isBlockTrade": False, "isRPITrade": True, "seq": "123"}
    body = {"retCode": 0, "retMsg": "OK", "result": {"category": "spot", "list": [told]}}
    (row,) = bybit.SPOT.read(json.dumps(body).encode(), "BTCUSDT")
    frame = {"topic": "publicTrade.BTCUSDT", "type": "snapshot", "ts": T, "data": [
        {"i": uid, "T": T, "p": "16618.49", "v": "0.00012", "S": "Buy", "s": "BTCUSDT",
         "BT": False, "RPI": True, "seq": 123}
    ]}  # fmt: skip
    assert [row] == list(EXCHANGES["bybit"].markets["spot"].parse(json.dumps(frame).encode()))
    with pytest.raises(ValueError, match="10001"):
        bybit.SPOT.read(b'{"retCode":10001,"retMsg":"params error","result":{}}', "X")


def test_kraken_times_lose_no_digit_and_the_cursor_is_text():
    body = (
        b'{"error":[],"result":{"XXBTZUSD":[["30243.40000","0.34507674",1688669597.8277369,"b","m",'
        b'"",61044952]],"last":"1688671969993150842"}}'
    )
    rows, cursor = kraken.PAST.read(body, "BTC/USD")
    assert [(r.symbol, r.id, r.ts, r.side) for r in rows] == [
        ("BTC/USD", 61044952, 1688669597827, BUY)
    ]
    assert cursor == "1688671969993150842"
    with pytest.raises(ValueError, match="Unknown asset pair"):
        kraken.PAST.read(b'{"error":["EQuery:Unknown asset pair"]}', "X/Y")


def test_hyperliquid_tells_oldest_first_and_an_unknown_coin_is_no_answer():
    trade = {"coin": "BTC", "side": "A", "px": "1.5", "sz": "2", "hash": "0x0", "users": []}
    body = json.dumps([trade | {"time": T + n, "tid": n} for n in (1, 0)]).encode()
    assert [row.id for row in hyperliquid.PAST.read(body, "BTC")] == [0, 1]
    with pytest.raises(ValueError, match="unknown"):
        hyperliquid.PAST.read(b"null", "NOPE")


def test_every_market_has_its_line_in_the_table():
    markets = {(e.name, channel) for e in EXCHANGES.values() for channel in e.markets}
    assert set(CAPABILITIES) == markets
    for exchange, channel in markets:
        found = capability(exchange, channel)
        dense = EXCHANGES[exchange].markets[channel].ids != "unique"
        assert found.is_by_id is dense
        assert found.page_rows > 1
    with pytest.raises(Misconfigured, match="kraken"):
        capability("kraken", "linear")


async def pages(source: RestSource, *ask) -> list[int]:
    return [row.id async for page in source.pages("S", *ask) for row in page]


def answering(*bodies: bytes):
    waiting = list(bodies)

    async def ask(_request) -> bytes:
        return waiting.pop(0)

    return ask


def aggregates(*ids: int) -> bytes:
    return json.dumps([AGGREGATE | {"a": i, "m": True, "T": T + i} for i in ids]).encode()


async def test_pages_by_id_end_at_the_last_id_and_leave_what_was_not_asked_for():
    source = RestSource(binance.LINEAR, answering(aggregates(5, 6, 7), aggregates(8, 9, 10)))
    assert await pages(source, 5, 9, 0, 0) == [5, 6, 7, 8, 9]


async def test_pages_by_id_end_where_the_venue_has_no_more():
    assert await pages(RestSource(binance.LINEAR, answering(b"[]")), 5, 9, 0, 0) == []


async def test_windows_without_any_trade_are_out_of_reach():
    empty = b'{"code":"0","msg":"","data":[]}'
    with pytest.raises(OutOfReach):
        await pages(RestSource(okx.PAST, answering(*[empty] * 3)), 5, 9_000, 0, 0)


async def test_by_time_the_first_id_is_looked_for_hour_by_hour():
    bodies = b"[]", aggregates(5), aggregates(5, 6), b"[]"
    source = RestSource(binance.LINEAR, answering(*bodies))
    assert await pages(source, None, None, T, T + 2 * binance.HOUR_MS) == [5, 6]


@pytest.mark.parametrize("body", [b"<html>", b'{"code":-1}', b'[{"a":"x"}]'])
async def test_an_answer_that_is_none_is_tried_again_later(body):
    with pytest.raises(Retriable):
        await pages(RestSource(binance.LINEAR, answering(body)), 5, 9, 0, 0)


@pytest.mark.parametrize("past", [c.rest for c in CAPABILITIES.values()])
def test_no_reader_takes_what_is_no_answer(past: ByIds | ByTime | Newest):
    for body in (b"", b"{}", b"[1]", b'{"error":[],"result":{"last":"1"}}'):
        with pytest.raises((ValueError, msgspec.MsgspecError)):
            past.read(body, "S")
