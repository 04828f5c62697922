"""How far the recovery of a gap, or a backfill, has come: what a restart goes on from.

A record is written only after the trades that it speaks of are stored, so a crash between the two
fetches one step again, and ids remove the repeat.
"""

from typing import Literal

import msgspec

from schemas.trades import Channel, ExchangeName

State = Literal["open", "recovered", "unrecoverable"]
FetchedFrom = Literal["rest", "archive"]


class Recovery(msgspec.Struct, frozen=True, kw_only=True, tag_field="data_type", tag="recovery"):
    """One gap; its key is ``exchange:channel:symbol:first_id-last_id@from_ms-to_ms``."""

    exchange: ExchangeName
    channel: Channel
    symbol: str
    first_id: int = 0
    last_id: int = 0
    """Both 0 where the venue's ids cannot tell what is missing: then the times do."""
    from_ms: int
    to_ms: int
    cause: str = ""
    """The reason of the stream's gap, where only times are known."""
    state: State
    left: list[tuple[int, int]] = msgspec.field(default_factory=list)
    """Ranges of ids that are still missing."""
    done_until_id: int = 0
    """Ids up to this one were asked for at the present source."""
    done_until_ms: int = 0
    """Times before this one were asked for at the present source."""
    lost_days: list[str] = msgspec.field(default_factory=list)
    """Of them, what the present source could not give."""
    exhausted: list[FetchedFrom] = msgspec.field(default_factory=list)
    """Sources that were asked for all of it."""
    tries: int = 0
    """Of the present source, in a row."""
    next_try_ms: int = 0
    trades: int = 0
    """How many were published."""
    rev: int = -1
    """The offset of the last of them, or of the record that told the gap."""
    reason: str = ""
    """Why it is unrecoverable, or what the last try said."""

    @property
    def is_by_time(self) -> bool:
        """Say whether only times are known."""
        return not self.last_id

    @property
    def key(self) -> str:
        """The record's key."""
        ids = f"{self.first_id}-{self.last_id}"
        return f"{self.exchange}:{self.channel}:{self.symbol}:{ids}@{self.from_ms}-{self.to_ms}"


class Backfill(msgspec.Struct, frozen=True, kw_only=True, tag_field="data_type", tag="backfill"):
    """A symbol's past, fetched day by day from ``to_ms`` down to ``floor_ms``."""

    exchange: ExchangeName
    channel: Channel
    symbol: str
    from_ms: int
    to_ms: int
    floor_ms: int
    """What lies below, down to ``from_ms``, was fetched by an earlier run."""
    reached_ms: int
    """What lies at and above was fetched."""
    trades: int = 0
    missing_days: list[str] = msgspec.field(default_factory=list)

    @property
    def key(self) -> str:
        """The record's key."""
        return f"{self.exchange}:{self.channel}:{self.symbol}:backfill@{self.from_ms}"


decode_progress = msgspec.json.Decoder(Recovery | Backfill).decode
encode_progress = msgspec.json.Encoder().encode
