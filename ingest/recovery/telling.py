"""What became of a gap, as a record of ``md.gaps.v1``; pure."""

from typing import Literal

import msgspec

from ingest.recovery import ranges
from schemas.klines import Gap, GapEnvelope, GapReason, StreamGap, StreamGapEnvelope
from schemas.recompute import Recompute, RecomputeEnvelope
from schemas.recovery import Recovery
from schemas.trades import IdRule

_encode = msgspec.json.Encoder().encode


def told(gap: Recovery, state: Literal["recovering", "recovered", "unrecoverable"]) -> bytes | None:
    """Return the record; None where there is nothing to say.

    ``rev`` is the offset of the last trade that was published for it, so that it stands behind
    what the engine said of the trades before.
    """
    if gap.is_by_time:
        return None if state == "recovering" else _of_stream(gap, state)
    row = Gap(
        symbol=gap.symbol,
        first_id=gap.first_id,
        last_id=gap.last_id,
        from_ms=gap.from_ms,
        to_ms=gap.to_ms,
        missing=ranges.count(gap.left),
        state=state,
        rev=gap.rev,
    )
    return _encode(GapEnvelope(exchange=gap.exchange, channel=gap.channel, data=[row]))


def recompute_asked(gap: Recovery, ids: IdRule) -> bytes:
    """Return the request for the candles of a gap, as of its last recovered trade."""
    row = Recompute(gap.symbol, gap.from_ms, gap.to_ms, gap.rev, ids)
    return _encode(RecomputeEnvelope(gap.exchange, gap.channel, [row]))


def _of_stream(gap: Recovery, state: Literal["recovered", "unrecoverable"]) -> bytes:
    detail = f"{gap.trades} trades fetched again"
    row = StreamGap(
        symbol=gap.symbol,
        kind="trades",
        reason=msgspec.convert(gap.cause, GapReason),
        state=state,
        from_ms=gap.from_ms,
        to_ms=gap.to_ms,
        detail=detail if state == "recovered" else f"unrecoverable, {detail}: {gap.reason}",
    )
    return _encode(StreamGapEnvelope(exchange=gap.exchange, channel=gap.channel, data=[row]))
