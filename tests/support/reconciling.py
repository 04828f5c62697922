"""Both sides of a reconciliation as records, and a worker that folds them, crashes and goes on."""

from decimal import Decimal

import msgspec

from processors.fold import Fold
from processors.venue.reconciliation import Reconciliations
from schemas.intervals import Interval
from schemas.klines import Kline, KlineEnvelope
from schemas.reconciliation import Reconciliation, decode_reconciliation
from schemas.topics import KLINES, VENUE_KLINES, Topic
from schemas.updates import VenueKline, VenueKlineUpdates, encode_updates

MINUTE_MS = 60_000
BASE_MS = 1_700_000_040_000 // MINUTE_MS * MINUTE_MS
EVERYWHERE = (0,)

_encode = msgspec.json.Encoder(decimal_format="number").encode
Entry = tuple[Topic, int, bytes]
"""Topic, offset, value."""


def ours(minute: int, close: str = "10.5", rev: int = 0, **changes: object) -> Kline:
    fields = {
        "symbol": "S",
        "interval": MINUTE_MS,
        "timestamp": BASE_MS + minute * MINUTE_MS,
        "open": Decimal("10.0"),
        "high": Decimal(max("11.0", close)),
        "low": Decimal("9.0"),
        "close": Decimal(close),
        "volume": Decimal("3.25"),
        "quote_volume": Decimal("33.12345"),
        "taker_buy_volume": Decimal(1),
        "taker_buy_quote_volume": Decimal(10),
        "trade_count": 7,
        "first_id": 1,
        "last_id": 7,
        "closed": True,
        "rev": rev,
        "cause": "live",
        "quality": "proven",
        "missing": 0,
    }
    return Kline(**{**fields, **changes})


def venue(minute: int, close: str = "10.5", **changes: object) -> VenueKline:
    """What equals ``ours``; as little is told as every venue tells."""
    row = ours(minute, close)
    fields = {
        "symbol": "S",
        "interval": MINUTE_MS,
        "name": "1m",
        "timestamp": row.timestamp,
        "closed": True,
        "ts": row.timestamp + MINUTE_MS,
        **{name: getattr(row, name) for name in ("open", "high", "low", "close", "volume")},
    }
    return VenueKline(**{**fields, **changes})


def ours_value(*rows: Kline, exchange: str = "binance") -> bytes:
    return _encode(KlineEnvelope(exchange, "spot", list(rows), BASE_MS))


def venue_value(*rows: VenueKline, exchange: str = "binance") -> bytes:
    return encode_updates(
        VenueKlineUpdates(
            exchange=exchange, channel="spot", recv_ns=BASE_MS * 1_000_000, data=list(rows)
        )
    )


class Desk:
    """A fold with one partition and its changelog; each topic is read from its next offset on."""

    def __init__(self, fold: Fold | None = None) -> None:
        self.fold = fold or new_fold()
        self.rows: list[Reconciliation] = []
        self.changelog: dict[bytes, bytes] = {}
        self.positions: dict[str, int] = {}
        self.next_offset: dict[str, int] = {}
        self.now_ms = 0

    def take(self, topic: Topic, value: bytes) -> None:
        offset = self.next_offset.get(topic.name, 0)
        self.fold.apply(topic, 0, offset, value)
        self.next_offset[topic.name] = offset + 1

    def ours(self, *rows: Kline, **of: str) -> None:
        self.take(KLINES, ours_value(*rows, **of))

    def venue(self, *rows: VenueKline, **of: str) -> None:
        self.take(VENUE_KLINES, venue_value(*rows, **of))

    def say(self, *, is_caught_up: bool = False) -> list[Reconciliation]:
        self.now_ms += 2_000
        caught_up = EVERYWHERE if is_caught_up else ()
        said = [
            row
            for output in self.fold.outputs(self.now_ms, caught_up)
            for row in decode_reconciliation(output.value).data
        ]
        self.rows += said
        return said

    def save(self, states_written: int | None = None) -> None:
        """Write a checkpoint; a crash may cut its states short, and then no position follows."""
        self.say()
        states = self.fold.take_dirty()
        for _, key, value in states[:states_written]:
            self.changelog[key] = value
        if states_written is None:
            self.positions = dict(self.next_offset)

    def crash(self) -> None:
        self.fold = new_fold()
        self.fold.restore(0, self.changelog)
        self.next_offset = dict(self.positions)

    def last_said(self, minute: int) -> Reconciliation:
        """Say what is due, and return the last row of one candle."""
        self.say()
        return self.last()[minute]

    def last(self) -> dict[int, Reconciliation]:
        """Return the true row of every candle, by minute."""
        found: dict[int, Reconciliation] = {}
        for row in self.rows:
            minute = (row.timestamp - BASE_MS) // MINUTE_MS
            if minute not in found or row.rev > found[minute].rev:
                found[minute] = row
        return found


def new_fold() -> Reconciliations:
    return Reconciliations([Interval(MINUTE_MS)])
