"""Recompute requests: which candles a trade changed that came too late for the engine."""

import msgspec

from schemas.trades import Channel, IdRule


class Recompute(msgspec.Struct, frozen=True):
    """Every candle that overlaps ``[from_ms, to_ms]`` is to be computed again.

    The result carries ``rev``: the offset of the record that asked for it.
    """

    symbol: str
    """The venue's own name."""
    from_ms: int
    to_ms: int
    rev: int
    """The offset of the trade record that asks, and the revision of the answer."""
    ids: IdRule = "dense"
    """What the ids of its trades promise: which of them count, and what is proven."""


class RecomputeEnvelope(msgspec.Struct, frozen=True):
    """The value of ``md.recompute.v1``."""

    exchange: str
    channel: Channel
    data: list[Recompute]
    data_type: str = "recompute"


decode_recompute = msgspec.json.Decoder(RecomputeEnvelope).decode
