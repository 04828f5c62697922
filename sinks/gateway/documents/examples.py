"""Answers as examples, by the name of their schema; of all others one is made of its fields'."""

from typing import Any

STREAM = {
    "exchange": "binance",
    "channel": "linear",
    "symbol": "BTCUSDT",
    "kind": "trades",
    "transport": "ws",
    "source": "settings",
    "enabled": True,
    "db_writes_enabled": True,
    "redis_publishes_enabled": True,
    "state": "live",
    "since_ms": 1_769_809_921_000,
    "detail": "",
}
INTERVAL = {
    "interval": "173m",
    "length_ms": 10_380_000,
    "anchor": "",
    "enabled": True,
    "source": "settings",
    "open_ms": 1_769_809_920_000,
    "end_ms": 1_769_820_300_000,
}
INSTRUMENT = {
    "exchange": "binance",
    "channel": "linear",
    "symbol": "BTCUSDT",
    "unified": "BTC/USDT:USDT",
    "status": "TRADING",
    "is_streamed": True,
    "tick": "0.10",
    "step": "0.001",
    "contract_size": "1",
}
SCHEMAS: dict[str, Any] = {
    "Refusal": {
        "detail": {"reason": "binance linear lists no symbol 'BTCUSD'", "near": ["BTCUSDT"]}
    },
    "HTTPValidationError": {
        "detail": [
            {
                "loc": ["query", "limit"],
                "msg": "Input should be greater than or equal to 1",
                "type": "greater_than_equal",
                "input": "0",
                "ctx": {"ge": 1},
            }
        ]
    },
    "StreamView": STREAM,
    "StreamList": {"count": 1, "streams": [STREAM]},
    "StreamCount": {"count": 2, "by_state": {"live": 2}, "by_exchange": {"binance": 2}},
    "Knobs": {name: STREAM[name] for name in STREAM if name.endswith("enabled")},
    "IntervalView": INTERVAL,
    "IntervalList": {"count": 1, "intervals": [INTERVAL]},
    "InstrumentView": INSTRUMENT,
    "InstrumentList": {"count": 1, "instruments": [INSTRUMENT]},
    "InstrumentCount": {"count": 700, "streamed": 652, "by_exchange": {"binance": 700}},
    "Health": {
        "status": "healthy",
        "uptime_seconds": 86_400,
        "active_tickers": 652,
        "trades_processed_total": 1_234_567_890,
        "clickhouse_status": "connected",
        "kafka_status": "connected",
        "websocket_connections": 5,
        "disk_free_percent": 45.2,
    },
    "Stats": {
        "uptime_seconds": 86_400,
        "process": {"cpu_seconds": 812.5, "memory_peak_mb": 310.2},
        "machine": {"cpus": 2.0, "load_1m": 0.7, "disk_free_percent": 45.2},
        "gateway": {"websocket_connections": 5, "series": 5_600, "streams": 700},
        "clickhouse": [{"table": "trades", "rows": 1_234_567_890, "bytes": 9_876_543_210}],
    },
    "Tickers": {
        "success": True,
        "data": [
            {
                "symbol": "BTCUSDT",
                "exchange": "binance",
                "channel": "linear",
                "status": "live",
                "streams": {"trades": "live"},
                "last_received_ms": 1_769_809_921_000,
                "silent_ms": 12,
            }
        ],
        "message": "1 tickers",
        "count": 1,
    },
    "Found": {
        "success": True,
        "data": [
            {
                "exchange": "binance",
                "channel": "linear",
                "symbol": "BTCUSDT",
                "period": "month",
                "period_start": "2026-01-01",
                "gaps_count": 0,
                "duplicates": 0,
                "quality": "complete",
            }
        ],
        "message": "1 periods, 0 missing trades",
    },
    "Rows": {
        "success": True,
        "data": [
            {
                "aggregate_id": 26_129,
                "price": 50_000.5,
                "quantity": 0.01,
                "timestamp": 1_640_995_200_153,
                "is_buyer_maker": True,
            }
        ],
        "message": "Retrieved 1 trades",
        "next_cursor": None,
    },
}
ROUTES: dict[str, Any] = {
    "/health/live": {"status": "live"},
    "/health/ready": {"status": "ready", "series": 5_600, "clients": 5},
    "/api/v1/series": {
        "intervals": ["1m", "173m"],
        "candles_per_series": 500,
        "series": [
            {
                "symbol": "BTCUSDT",
                "exchange": "binance",
                "channel": "linear",
                "intervals": ["1m", "173m"],
            }
        ],
    },
    "/streams/capabilities": {"binance": {"linear": {"trades": "ws", "open-interest": "http"}}},
    "/udf/time": "1769809921",
}
