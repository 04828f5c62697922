"""Bybit's frames as documented or captured (2025-06 to 2026-09), shortened only in their rows."""

import json

from ingest.exchanges.bybit import LINEAR

LINEAR_TRADE = {
    "T": 1774021164272,
    "s": "BTCUSDT",
    "S": "Sell",
    "v": "0.001",
    "p": "69916.80",
    "L": "MinusTick",
    "i": "8c931d9a-b703-5c34-9aeb-860867cf1f66",
    "BT": False,
    "RPI": False,
    "seq": 549792210006,
}
SPOT_TRADE = {
    "i": "2210000001608762408",
    "T": 1790398535414,
    "p": "120.69",
    "v": "2.0193",
    "S": "Buy",
    "seq": 162270086950,
    "s": "SOLUSDT",
    "BT": False,
    "RPI": True,
}
BOOK = {"s": "BTCUSDT", "b": [["86723.40", "0.194"]], "a": [["86723.50", "0"]], "u": 7, "seq": 81}
TICKER = {
    "symbol": "BTCUSDT",
    "tickDirection": "ZeroPlusTick",
    "price24hPcnt": "-0.001455",
    "lastPrice": "63561.60",
    "markPrice": "63560.80",
    "indexPrice": "63585.51",
    "openInterest": "59972.256",
    "openInterestValue": "3811884569.16",
    "turnover24h": "3515096831.9640",
    "volume24h": "55362.9100",
    "fundingIntervalHour": "8",
    "fundingCap": "0.005",
    "singleOpenInterest": "29986.128",
    "singleOpenInterestValue": "1905942284.58",
    "nextFundingTime": "1786665600000",
    "fundingRate": "0.00005013",
    "bid1Price": "63561.50",
    "bid1Size": "1.760",
    "preOpenPrice": "",
    "preQty": "",
    "curPreListingPhase": "",
}
SPOT_TICKER = {
    "symbol": "BTCUSDT",
    "lastPrice": "21109.77",
    "highPrice24h": "21426.99",
    "lowPrice24h": "20575",
    "prevPrice24h": "20704.93",
    "volume24h": "6780.866843",
    "turnover24h": "141946527.22907118",
    "price24hPcnt": "0.0196",
    "usdIndexPrice": "",
}
KLINE = {
    "start": 1672324800000,
    "end": 1672324859999,
    "interval": "1",
    "open": "16649.5",
    "close": "16677",
    "high": "16677",
    "low": "16608",
    "volume": "2.081",
    "turnover": "34666.4005",
    "confirm": True,
    "timestamp": 1672324859000,
}
LIQUIDATION = {"T": 1739502302929, "s": "ROSEUSDT", "S": "Sell", "v": "20000", "p": "0.04499"}


def frame(topic: str, data: object, type_: str = "snapshot", **more: object) -> bytes:
    message = {"topic": topic, "type": type_, "ts": 1790134716101, "data": data} | more
    return json.dumps(message).encode()


def one(frame_: bytes, market=LINEAR):
    (row,) = market.parse(frame_)
    return row
