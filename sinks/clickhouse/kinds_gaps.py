"""What is missing and what was checked, as rows: gaps in ids, streams that failed, integrity.

``md.gaps.v1`` feeds two tables; only that of ids refuses a record that cannot be read.
"""

from collections.abc import Sequence

import msgspec
import pyarrow as pa

from schemas.integrity import Checked, IntegrityEnvelope, decode_integrity
from schemas.klines import Gap, GapEnvelope, StreamGap, StreamGapEnvelope, decode_gaps
from sinks.base import Record
from sinks.clickhouse.columns import MS, NAME, Unfit
from sinks.clickhouse.kinds_market import Fixed, each, market_of, time_ms
from sinks.clickhouse.table import Rows

REV_MAX = 2**61  # 4 * rev + 3 stays in 64 bits
STATES = {"found": 0, "recovering": 1, "unrecoverable": 2, "recovered": 3}
"""How far along a state is: at one ``rev`` the later one stays, in whatever order they come."""

GAPS = pa.schema(
    {
        "exchange": NAME,
        "channel": NAME,
        "symbol": NAME,
        "first_id": pa.int64(),
        "last_id": pa.int64(),
        "from_time": MS,
        "to_time": MS,
        "missing": pa.int64(),
        "state": NAME,
        "rev": pa.int64(),
        "told_at": MS,
        "version": pa.uint64(),
    }
)
STREAM_GAPS = pa.schema(
    {
        "exchange": NAME,
        "channel": NAME,
        "symbol": NAME,
        "kind": NAME,
        "reason": NAME,
        "from_time": MS,
        "to_time": MS,
        "detail": pa.string(),
        "version": pa.uint64(),
    }
)
INTEGRITY = pa.schema(
    {
        "exchange": NAME,
        "channel": NAME,
        "symbol": NAME,
        "period": NAME,
        "period_start": pa.date32(),
        "first_id": pa.int64(),
        "last_id": pa.int64(),
        "first_time": MS,
        "last_time": MS,
        "count": pa.uint64(),
        "duplicates": pa.uint64(),
        "gaps_count": pa.uint64(),
        "unrecoverable": pa.uint64(),
        "quality": NAME,
        "trusted": pa.bool_(),
        "checked_at": MS,
    }
)
_DAY_MS = 86_400_000


def gap_rows(records: Sequence[Record]) -> Rows:
    """Return what was told of missing ids."""

    def rows(envelope: GapEnvelope | StreamGapEnvelope) -> Sequence[Gap]:
        return envelope.data if isinstance(envelope, GapEnvelope) else ()

    def fixed(record: Record, envelope: object, gap: Gap, _place: int) -> Fixed:
        # What was found by counting has no record of its own, and says rev 0 or less.
        rev = max(gap.rev, 0)
        if rev > REV_MAX:
            raise Unfit(f"{gap.symbol}: rev {gap.rev} is out of range")
        return {
            **market_of(envelope),
            "from_time": time_ms(gap.from_ms),
            "to_time": time_ms(gap.to_ms),
            "told_at": time_ms(record.timestamp_ms),
            "version": 4 * rev + STATES[gap.state],
        }

    return each(records, decode_gaps, rows, fixed, GAPS)


def stream_gap_rows(records: Sequence[Record]) -> Rows:
    """Return what was told of streams that did not deliver."""

    def rows(envelope: GapEnvelope | StreamGapEnvelope | None) -> Sequence[StreamGap]:
        return envelope.data if isinstance(envelope, StreamGapEnvelope) else ()

    def fixed(_record: Record, envelope: object, gap: StreamGap, _place: int) -> Fixed:
        return {
            **market_of(envelope),
            "from_time": time_ms(gap.from_ms),
            "to_time": time_ms(gap.to_ms) or None,
            "version": gap.to_ms,
        }

    return each(records, _decode_or_none, rows, fixed, STREAM_GAPS)


def integrity_rows(records: Sequence[Record]) -> Rows:
    """Return the periods of ``md.integrity.v1``."""

    def fixed(_record: Record, envelope: IntegrityEnvelope, row: Checked, _place: int) -> Fixed:
        return {
            **market_of(envelope),
            "period_start": time_ms(row.period_ms) // _DAY_MS,
            "first_time": time_ms(row.first_ms),
            "last_time": time_ms(row.last_ms),
            "checked_at": time_ms(row.checked_ms),
        }

    return each(records, decode_integrity, lambda e: e.data, fixed, INTEGRITY)


def _decode_or_none(value: bytes) -> GapEnvelope | StreamGapEnvelope | None:
    try:
        envelope: GapEnvelope | StreamGapEnvelope = decode_gaps(value)
    except msgspec.MsgspecError:
        return None  # the other table refuses it
    return envelope
