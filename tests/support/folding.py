"""An engine with one partition, fed by hand and read row by row."""

from collections import defaultdict

from processors.engine.engine import Engine
from schemas.intervals import Interval
from schemas.klines import Gap, Kline, Price, decode_id_gaps, decode_klines, decode_prices
from schemas.recompute import Recompute, decode_recompute
from schemas.trades import SymbolTrades, TradeBatch

MINUTE_MS = 60_000
BASE_MS = 1_700_000_040_000 // MINUTE_MS * MINUTE_MS  # a whole minute
GRACE_MS = 80
LIVE_EVERY_MS = 250
END_OF_TIME_MS = 2**50
DECODERS = {
    "md.klines.v1": decode_klines,
    "md.klines-live.v1": decode_klines,
    "md.prices.v1": decode_prices,
    "md.gaps.v1": decode_id_gaps,
    "md.recompute.v1": decode_recompute,
}

Row = tuple[int, int, int, int, int]
"""Id, time after BASE_MS, price, quantity, side."""


def trades(*rows: Row, symbol: str = "S", **changes: object) -> SymbolTrades:
    fields = {
        "symbol": symbol,
        "price_scale": 0,
        "qty_scale": 0,
        "id": [row[0] for row in rows],
        "ts": [BASE_MS + row[1] for row in rows],
        "price": [row[2] for row in rows],
        "qty": [row[3] for row in rows],
        "side": [row[4] for row in rows],
    }
    return SymbolTrades(**{**fields, **changes})


def run(first_id: int, *times: int) -> list[Row]:
    """Rows of dense ids at these times; the price tells the id."""
    return [(first_id + n, ms, 100 + first_id + n, 1, 1) for n, ms in enumerate(times)]


class Fold:
    """Takes groups of one exchange, offset by offset."""

    def __init__(
        self, *lengths: int, closes_quiet: bool = True, engine: Engine | None = None
    ) -> None:
        self.engine = engine or Engine(
            map(Interval, lengths or (1_000, 5_000)),
            grace_ms=GRACE_MS,
            live_every_ms=LIVE_EVERY_MS,
            closes_quiet=closes_quiet,
        )
        self.offset = 0

    def take(self, *groups: SymbolTrades, source: str = "live", recv_ms: int = BASE_MS) -> int:
        """Apply one record; return its offset."""
        batch = TradeBatch("binance", "linear", source, recv_ms * 1_000_000, list(groups))
        self.engine.apply_batch(0, self.offset, batch)
        self.offset += 1
        return self.offset - 1

    def close_quiet(self, after_ms: int) -> None:
        self.engine.tick(BASE_MS + after_ms, {0})

    def outputs(self, now_ms: int = 0) -> dict[str, list]:
        """Return the rows that are due, by topic without its dressing."""
        found = defaultdict(list)
        for topic, _, value in self.engine.outputs(now_ms, {0}):
            name = topic.name.removeprefix("md.").removesuffix(".v1")
            found[name] += DECODERS[topic.name](value).data
        return found

    def klines(self) -> list[Kline]:
        return self.outputs()["klines"]

    def closed(self, length: int = 1_000) -> dict[int, Kline]:
        """Return the closed candles that are due, by open time after BASE_MS."""
        return {k.timestamp - BASE_MS: k for k in self.klines() if k.interval == length}

    def finish(self) -> list[Kline]:
        """Close everything by the clock."""
        self.engine.tick(END_OF_TIME_MS, {0})
        return self.klines()

    def gaps(self) -> list[Gap]:
        return self.outputs()["gaps"]

    def recompute(self) -> list[Recompute]:
        return self.outputs()["recompute"]

    def prices(self, now_ms: int) -> list[Price]:
        return self.outputs(now_ms)["prices"]
