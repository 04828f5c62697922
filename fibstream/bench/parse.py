"""``fibstream bench parse``: trade frames to rows, beside bare ``orjson.loads`` of the same frames.

Both take turns over short stretches, in CPU time of one core, so that a busy machine slows both;
every frame is parsed once a round, and the middle round counts. Nothing is sent anywhere.
"""

import json
import random
import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any, NamedTuple

import orjson

from ingest.exchanges import exchange
from ingest.exchanges.base import TradeRow
from schemas.trades import Channel

FRAMES = 20_000
STRETCH = 500
ROUNDS = 15
SYMBOLS = 50
SEED = 1
START_MS = 1_770_000_000_000


class Trade(NamedTuple):
    """What all the frames tell, each in the words of its venue."""

    coin: str
    price: str
    qty: str
    at_ms: int
    id: int
    is_sell: bool


def bench_parse() -> dict[str, Any]:
    """Measure every venue; Binance's figures stand first, for they have a target."""
    venues = {name: _measure(name) for name in FRAMES_OF}
    return {**venues["binance"], "venues": venues}


def trade_frames(venue: str, count: int, seed: int = SEED) -> list[tuple[Channel, bytes]]:
    """Return frames of one trade each, the channels of the venue by turns."""
    makers = list(FRAMES_OF[venue].items())
    frames = []
    for i, trade in enumerate(_trades(count, seed)):
        channel, make = makers[i % len(makers)]
        frames.append((channel, json.dumps(make(trade), separators=(",", ":")).encode()))
    return frames


def _measure(venue: str) -> dict[str, float]:
    markets = exchange(venue).markets
    frames = trade_frames(venue, FRAMES)
    by_channel = {
        channel: [frame for of, frame in frames if of == channel] for channel in FRAMES_OF[venue]
    }
    for channel, ours in by_channel.items():
        if any(type(row) is not TradeRow for f in ours[:100] for row in markets[channel].parse(f)):
            raise ValueError(f"{venue} {channel}: a frame of the benchmark is no trade")
    rounds = [
        [
            (_seconds(markets[channel].parse, ours[i : i + STRETCH]),
             _seconds(orjson.loads, ours[i : i + STRETCH]))
            for channel, ours in by_channel.items()
            for i in range(0, len(ours), STRETCH)
        ]
        for _ in range(ROUNDS)
    ]  # fmt: skip
    parse_s = [sum(ours for ours, _ in stretches) for stretches in rounds]
    loads_s = [sum(theirs for _, theirs in stretches) for stretches in rounds]
    return {
        "frames_per_s": round(FRAMES / median(parse_s)),
        "orjson_loads_per_s": round(FRAMES / median(loads_s)),
        "ratio": round(median(b / a for a, b in zip(parse_s, loads_s, strict=True)), 3),
        "frames": FRAMES,
        "rounds": ROUNDS,
        "bytes_per_frame": round(sum(len(frame) for _, frame in frames) / FRAMES),
    }


def _seconds(read: Callable[[bytes], object], frames: list[bytes]) -> float:
    start_s = time.process_time()
    for frame in frames:
        read(frame)
    return time.process_time() - start_s


def _trades(count: int, seed: int) -> list[Trade]:
    """Return trades of a few busy coins and many quiet ones, on walks by ticks."""
    rng = random.Random(seed)  # noqa: S311 - seeded, not secret
    ticks = [rng.randrange(10_000, 99_999) for _ in range(SYMBOLS)]
    decimals = [1 + coin % 5 for coin in range(SYMBOLS)]  # prices from 0.1 to 9,999
    coins = rng.choices(range(SYMBOLS), [1 / (coin + 1) for coin in range(SYMBOLS)], k=count)
    trades = []
    for i, coin in enumerate(coins):
        ticks[coin] += rng.choice((-1, 0, 0, 1))
        trades.append(
            Trade(
                coin=f"COIN{coin}",
                price=f"{ticks[coin] / 10 ** decimals[coin]:.{decimals[coin]}f}",
                qty=f"{0.001 + rng.expovariate(1):.3f}",
                at_ms=START_MS + i,
                id=3_000_000_000 + i,
                is_sell=rng.random() < 0.5,
            )
        )
    return trades


def _binance_trade(t: Trade) -> object:
    data = {"e": "trade", "E": t.at_ms + 1, "s": f"{t.coin}USDT", "t": t.id,
            "p": f"{t.price:0<{t.price.index('.') + 9}}", "q": f"{t.qty}00000", "T": t.at_ms,
            "m": t.is_sell, "M": True}  # fmt: skip
    return {"stream": f"{t.coin.lower()}usdt@trade", "data": data}


def _binance_aggregate(t: Trade) -> object:
    data = {"e": "aggTrade", "E": t.at_ms + 1, "s": f"{t.coin}USDT", "a": t.id, "p": t.price,
            "q": t.qty, "nq": t.qty, "f": 2 * t.id, "l": 2 * t.id + 1, "T": t.at_ms,
            "m": t.is_sell, "st": 1}  # fmt: skip
    return {"stream": f"{t.coin.lower()}usdt@aggTrade", "data": data}


def _bybit(t: Trade) -> object:
    data = {"T": t.at_ms, "s": f"{t.coin}USDT", "S": "Sell" if t.is_sell else "Buy", "v": t.qty,
            "p": t.price, "L": "PlusTick", "i": f"20f43950-d8dd-5b31-9112-{t.id:012}",
            "BT": False, "RPI": False, "seq": t.id}  # fmt: skip
    topic = f"publicTrade.{t.coin}USDT"
    return {"topic": topic, "type": "snapshot", "ts": t.at_ms + 3, "data": [data]}


def _okx(t: Trade) -> object:
    name = f"{t.coin}-USDT-SWAP"
    data = {"instId": name, "tradeId": str(t.id), "px": t.price, "sz": t.qty,
            "side": "sell" if t.is_sell else "buy", "ts": str(t.at_ms), "count": "1",
            "source": "0", "seqId": 2 * t.id}  # fmt: skip
    return {"arg": {"channel": "trades", "instId": name}, "data": [data]}


def _hyperliquid(t: Trade) -> object:
    data = {"coin": t.coin, "side": "A" if t.is_sell else "B", "px": t.price, "sz": t.qty,
            "time": t.at_ms, "hash": f"0x{t.id:064x}", "tid": t.id,
            "users": [f"0x{t.id:040x}", f"0x{t.at_ms:040x}"]}  # fmt: skip
    return {"channel": "trades", "data": [data]}


def _kraken(t: Trade) -> object:
    data = {"symbol": f"{t.coin}/USD", "side": "sell" if t.is_sell else "buy",
            "price": float(t.price), "qty": float(t.qty), "ord_type": "market",
            "trade_id": t.id, "timestamp": "2026-02-02T02:40:00.123456Z"}  # fmt: skip
    return {"channel": "trade", "type": "update", "data": [data]}


FRAMES_OF: Mapping[str, Mapping[Channel, Callable[[Trade], object]]] = {
    "binance": {"spot": _binance_trade, "linear": _binance_aggregate},
    "bybit": {"linear": _bybit},
    "okx": {"linear": _okx},
    "hyperliquid": {"linear": _hyperliquid},
    "kraken": {"spot": _kraken},
}
