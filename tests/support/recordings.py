"""Recordings made of known trades, as a recorder would write them, and their replay."""

import gzip
import json

from oracle import T

from fibstream.replay import Replay, ReplayOptions
from runtime.settings import Settings

START_MS = 1_700_000_003_217


def frame(t: T, symbol: str = "BTCUSDT") -> bytes:
    event = {
        "e": "aggTrade",
        "E": t.ts + 5,
        "s": symbol,
        "a": t.id,
        "p": f"{t.price / 100:.2f}",
        "q": f"{t.qty / 1000:.3f}",
        "f": t.id * 10,
        "l": t.id * 10 + t.count - 1,
        "T": t.ts,
        "m": t.side < 0,
    }
    return json.dumps({"stream": f"{symbol.lower()}@aggTrade", "data": event}).encode()


def steady(count: int, step_ms: int = 500, start_ms: int = START_MS) -> list[T]:
    return [T(100 + i, start_ms + i * step_ms, 2_800_000 + i, 1 + i, 1) for i in range(count)]


def replay(*files, intervals: str = "1s,1m,2m", **changes) -> Replay:
    options = {"exchange": "binance", "channel": "linear", "to": "klines", "settings": Settings()}
    named = [str(file) for file in files]
    return Replay(ReplayOptions(**{**options, "files": named, "intervals": intervals, **changes}))


def write_recording(folder, name: str, frames, recv_ms=None):
    """Write frames, and the times of their receipt, as a recorder would; return the path."""
    path = folder / f"{name}.jsonl.gz"
    path.write_bytes(gzip.compress(b"".join(f + b"\n" for f in frames)))
    if recv_ms is not None:
        stamps = "".join(f"{ms}000\n" for ms in recv_ms).encode()
        (folder / f"{name}.recv_ts.gz").write_bytes(gzip.compress(stamps))
    return path
