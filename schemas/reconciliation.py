"""Reconciliation: what became of comparing a closed candle of ours with the venue's own.

One row a candle and revision; of two rows about one candle the one with the higher ``rev`` is true.
"""

from decimal import Decimal
from typing import Literal

import msgspec

from schemas.intervals import Interval
from schemas.trades import Channel

Verdict = Literal["equal", "differs", "ours-missing", "venue-missing"]
Explanation = Literal[
    "",
    "late",
    "open-rule",
    "flagged",
    "began-inside",
    "ids-missing",
    "stream-began",
    "empty",
    "overtaken",
    "unexplained",
]


class Difference(msgspec.Struct, frozen=True):
    """A field that the two candles do not share; numbers exact."""

    field: str
    ours: Decimal
    venue: Decimal


class Reconciliation(msgspec.Struct, frozen=True, omit_defaults=True):
    """The verdict on one candle; ``(interval, anchor, timestamp)`` say which, as in a Kline."""

    symbol: str
    """The venue's own name."""
    interval: int
    """The candle's length in ms."""
    timestamp: int
    """Its open time in ms since 1970."""
    verdict: Verdict
    """differs: some field that the venue tells is another number; missing: one of the two never
    came, though its topic went on."""
    explanation: Explanation
    """Why, see docs/reconciliation.md; empty: equal from the first revision on."""
    rev: int
    """Grows with every record of either topic that changed what is said here."""
    compared: list[str] = []
    """The fields that the venue tells, and that were compared."""
    differences: list[Difference] = []
    """Those of them that differ, with both values."""
    detail: str = ""
    """The explanation's numbers: ids missing, the previous close, the flags."""
    ours_rev: int | None = None
    """``rev`` of our candle: the offset on md.trades.v1."""
    venue_rev: int | None = None
    """The offset of the venue's row on md.venue-klines.v1."""
    anchor: str = ""
    """As of a Kline."""

    @property
    def frame(self) -> Interval:
        """Return the candle's interval."""
        return Interval(self.interval, self.anchor)


class ReconciliationEnvelope(msgspec.Struct, frozen=True):
    """The value of ``md.reconciliation.v1``: verdicts on candles of one symbol."""

    exchange: str
    channel: Channel
    data: list[Reconciliation]
    data_type: Literal["reconciliation"] = "reconciliation"


encode_reconciliation = msgspec.json.Encoder(decimal_format="number").encode
decode_reconciliation = msgspec.json.Decoder(ReconciliationEnvelope).decode
