"""Seeded trades of one symbol as they come: late, twice, flagged, cut anew, some never.

The oracle is the engine that is given all of them within its time for corrections.
"""

import random
from collections.abc import Sequence

from processors.engine import symbol as engine_symbol
from processors.engine import windows as engine_windows
from processors.engine.engine import Engine
from schemas.intervals import Interval, parse_intervals
from schemas.klines import Kline, decode_klines
from schemas.topics import KLINES
from schemas.trades import Flag, SymbolTrades, TradeBatch, encode_batch

START_MS = 1_700_000_003_217
INTERVALS = parse_intervals(("1s", "5s", "1m", "173m"))
CALENDARS = parse_intervals(("173m", "1w@mon", "1D@tz=Asia/Tokyo", "8h@funding"))
STEPS_MS = (0, 0, 1, 7, 400, 990, 2_500, 30_000)
LONG_STEPS_MS = (5_000, 3_600_000, 30_000_000)
EXCHANGES = {"dense": "binance", "range": "okx", "unique": "hyperliquid"}


def stream(
    seed: int,
    ids: str,
    exchange: str = "",
    symbol: str = "S",
    trades: int = 0,
    steps_ms: Sequence[int] = STEPS_MS,
) -> list[TradeBatch]:
    """Make the records of one symbol, in the order of their offsets."""
    pick = random.Random(seed)
    exchange = exchange or EXCHANGES[ids]
    first_id = pick.choice((1, 1_000))
    now_ms, id_, sent = START_MS, first_id, []
    for _ in range(trades or pick.choice((3, 40, 150))):
        # Where messages may overlap, times differ: the table tells them apart by time and last id.
        now_ms += pick.choice(steps_ms) + (ids == "range")
        width = pick.choice((1, 1, 2, 4)) if ids == "range" else 1
        trade = {
            "first": id_,
            "last": id_ + width - 1,
            "ts": now_ms,
            "price": pick.randrange(1, 500_000),
            "qty": pick.randrange(1, 90_000),
            "side": pick.choice((1, -1)),
            "flags": Flag.NON_MARKET if pick.random() < 0.05 else 0,
        }
        id_ += width
        if pick.random() < 0.1:
            continue  # it never comes
        sent.append((now_ms, trade))
        if pick.random() < 0.15:
            sent[-1] = (now_ms + pick.randrange(90_000), trade)  # late
        if pick.random() < 0.1:
            sent.append((now_ms + pick.randrange(40_000), trade))  # twice
        if width > 1 and pick.random() < 0.3:  # told anew, cut elsewhere
            again = trade | {"last": trade["last"] + pick.choice((-1, 1)), "price": 7}
            sent.append((now_ms + pick.randrange(-500, 20_000), again))
    sent.sort(key=lambda each: each[0])
    rest, records, scale = [trade for _, trade in sent], [], 2
    while rest:
        n = pick.choice((1, 1, 2, 3, 12))
        part, rest = rest[:n], rest[n:]
        scale = min(5, scale + (pick.random() < 0.05))
        group = _group(part, ids, symbol, scale)
        source = pick.choice(("live", "live", "live", "rest"))
        recv_ns = (START_MS + len(records)) * 1_000_000
        records.append(TradeBatch(exchange, "linear", source, recv_ns, [group]))
    return records


def _group(part: Sequence[dict[str, int]], ids: str, symbol: str, scale: int) -> SymbolTrades:
    if ids == "unique":  # one record never holds an id twice
        part = list({trade["first"]: trade for trade in part}.values())
    spans = ids == "range"
    return SymbolTrades(
        symbol=symbol,
        price_scale=scale,
        qty_scale=3,
        id=[trade["last"] if spans else trade["first"] for trade in part],
        ts=[trade["ts"] for trade in part],
        price=[trade["price"] * 10 ** (scale - 2) for trade in part],
        qty=[trade["qty"] for trade in part],
        side=[trade["side"] for trade in part],
        flags=[trade["flags"] for trade in part],
        first=[trade["first"] for trade in part] if spans else None,
        last=[trade["last"] for trade in part] if spans else None,
        ids=ids,
    )


def patient_engine(
    records: Sequence[TradeBatch], intervals: Sequence[Interval], monkeypatch, empty: str = "venue"
) -> dict[tuple[Interval, int], Kline]:
    """Return the last revision of every closed candle of an engine that corrects whatever comes."""
    found: dict[tuple[Interval, int], Kline] = {}
    with monkeypatch.context() as patched:
        for module in (engine_windows, engine_symbol):
            patched.setattr(module, "CORRECTION_MS", 10**13)
        engine = Engine(intervals, grace_ms=80, live_every_ms=250, closes_quiet=False, empty=empty)
        for offset, batch in enumerate(records):
            engine.apply(None, 0, offset, encode_batch(batch))
            for topic, _, value in engine.outputs(0, {0}):
                if topic is KLINES:
                    for row in decode_klines(value).data:
                        found[row.frame, row.timestamp] = row
    return found
