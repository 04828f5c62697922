"""The gaps of one exchange, folded from ``md.gaps.v1``: what is missing now; pure.

The log says what happened; ``md.recovery.v1`` says how far recovery came with it, and overrules. A
worker that replays after a crash tells its gaps again: a ``found`` that was known is no news.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from ingest.recovery import ranges
from schemas.klines import Gap, GapEnvelope, StreamGap, StreamGapEnvelope
from schemas.recovery import Recovery
from schemas.trades import Channel

KNOWN_MAX = 4_096  # gaps of a symbol that are remembered after they were closed
OPEN_MAX = 10_000  # gaps of a symbol at once; more are left to the next run of `verify`

SymbolKey = tuple[Channel, str]


@dataclass(slots=True)
class _Open:
    """A gap as the log tells it."""

    recovery: Recovery
    changed_ms: int
    """When the log last said anything about it: what still moves is left alone."""
    missing: int
    is_begun: bool = False
    """Recovery is at work here, so what the log says is its own doing."""
    told: set[tuple[int, int, int]] = field(default_factory=set)
    """Shrinkings that were counted, by range and rev: a replay tells them again."""


@dataclass(slots=True)
class _Symbol:
    open: dict[str, _Open] = field(default_factory=dict)
    known: dict[tuple[int, int, int, int], int] = field(default_factory=dict)
    """Ids and times of gaps that were told, and the highest rev that spoke of them."""
    lost: list[ranges.Range] = field(default_factory=list)
    """Ids that recovery gave up for good."""


class OpenGaps:
    """``take`` the log, ``learn`` the progress; then ``settled`` is what there is to do."""

    def __init__(
        self,
        exchange: str,
        channels: frozenset[Channel] = frozenset(("spot", "linear")),
        by_time: frozenset[Channel] = frozenset(),
    ) -> None:
        self._exchange = exchange
        self._channels = channels
        self._by_time = by_time
        """Channels whose ids prove nothing: their streams' gaps count, by time."""
        self._symbols: dict[SymbolKey, _Symbol] = {}
        self._progress: dict[str, Recovery] = {}

    def take(self, envelope: GapEnvelope | StreamGapEnvelope, at_ms: int) -> None:
        """Take one record of the log; ``at_ms`` is when it was written."""
        if envelope.exchange != self._exchange or envelope.channel not in self._channels:
            return
        for gap in envelope.data:
            symbol = self._symbols.setdefault((envelope.channel, gap.symbol), _Symbol())
            if isinstance(gap, StreamGap):
                self._take_stream(symbol, envelope.channel, gap, at_ms)
            elif gap.state == "found":
                self._found(symbol, envelope.channel, gap, at_ms)
            elif gap.state != "unrecoverable":  # that is our own verdict, and in the progress
                self._changed(symbol, gap, at_ms)

    def learn(self, progress: Recovery) -> None:
        """Take how far recovery came, from the topic or from the step just done."""
        if progress.exchange != self._exchange or progress.channel not in self._channels:
            return
        symbol = self._symbols.setdefault((progress.channel, progress.symbol), _Symbol())
        if progress.state == "unrecoverable":
            symbol.lost = ranges.merged([*symbol.lost, *progress.left])
        if progress.state != "open":
            self._close(symbol, progress.key, progress.rev)
            _remember(symbol, _known(progress), progress.rev)
            return
        self._progress[progress.key] = progress
        found = symbol.open.get(progress.key)
        if found is not None:
            found.recovery, found.is_begun = progress, True

    def begin(self, gap: Recovery) -> bool:
        """Note that work on a gap begins; say whether it is the first time, and it is open."""
        symbol = self._symbols[gap.channel, gap.symbol]
        found = symbol.open.get(gap.key)
        is_first = found is not None and not found.is_begun
        if found is not None:
            found.is_begun = True
        return is_first

    def current(self, gap: Recovery) -> Recovery | None:
        """Return the gap as it is known now; None when the log has closed it meanwhile."""
        found = self._symbols[gap.channel, gap.symbol].open.get(gap.key)
        return found.recovery if found is not None else None

    def settled(self, before_ms: int) -> Iterator[Recovery]:
        """Yield the open gaps of which the log has said nothing since ``before_ms``."""
        for symbol in self._symbols.values():
            for found in symbol.open.values():
                if found.is_begun or found.changed_ms <= before_ms:
                    yield found.recovery

    def __iter__(self) -> Iterator[Recovery]:
        """Yield every open gap."""
        return self.settled(1 << 62)

    def next_settled_ms(self, before_ms: int) -> int | None:
        """Return when the log last spoke of the first gap that is not settled, or None."""
        waiting = [
            found.changed_ms
            for symbol in self._symbols.values()
            for found in symbol.open.values()
            if not found.is_begun and found.changed_ms > before_ms
        ]
        return min(waiting, default=None)

    # -- ids

    def _found(self, symbol: _Symbol, channel: Channel, gap: Gap, at_ms: int) -> None:
        known = (gap.first_id, gap.last_id, gap.from_ms, gap.to_ms)
        if gap.rev <= symbol.known.get(known, -1) or len(symbol.open) >= OPEN_MAX:
            return
        taken = [*symbol.lost, *(r for one in symbol.open.values() for r in one.recovery.left)]
        left = ranges.without_all([(gap.first_id, gap.last_id)], taken)
        _remember(symbol, known, gap.rev)
        if left:
            recovery = Recovery(
                exchange=self._exchange,
                channel=channel,
                symbol=gap.symbol,
                first_id=gap.first_id,
                last_id=gap.last_id,
                from_ms=gap.from_ms,
                to_ms=gap.to_ms,
                state="open",
                left=left,
                rev=gap.rev,
            )
            self._open(symbol, recovery, at_ms)

    def _changed(self, symbol: _Symbol, gap: Gap, at_ms: int) -> None:
        told = (gap.first_id, gap.last_id, gap.rev)
        ids = gap.last_id - gap.first_id + 1
        for key, found in list(symbol.open.items()):
            recovery = found.recovery
            if (
                recovery.is_by_time
                or told in found.told
                or not ranges.touches(
                    [(recovery.first_id, recovery.last_id)], gap.first_id, gap.last_id
                )
            ):
                continue
            found.told.add(told)
            found.changed_ms = max(found.changed_ms, at_ms)
            if (gap.first_id, gap.last_id) == (recovery.first_id, recovery.last_id):
                found.missing = min(found.missing, gap.missing)
            else:
                found.missing -= ids - gap.missing
            if gap.state != "recovering":
                left = ranges.without(recovery.left, gap.first_id, gap.last_id)
                found.recovery = msgspec.structs.replace(recovery, left=left)
            if found.missing <= 0 or not found.recovery.left:
                self._close(symbol, key, gap.rev)

    # -- times

    def _take_stream(self, symbol: _Symbol, channel: Channel, gap: StreamGap, at_ms: int) -> None:
        is_over = gap.state == "recovered" and gap.to_ms > gap.from_ms
        known = (0, 0, gap.from_ms, gap.to_ms)
        if not is_over or gap.kind != "trades" or channel not in self._by_time:
            return
        if not gap.symbol or known in symbol.known or len(symbol.open) >= OPEN_MAX:
            return
        _remember(symbol, known, 0)
        recovery = Recovery(
            exchange=self._exchange,
            channel=channel,
            symbol=gap.symbol,
            from_ms=gap.from_ms,
            to_ms=gap.to_ms,
            cause=gap.reason,
            state="open",
        )
        self._open(symbol, recovery, at_ms)

    def _open(self, symbol: _Symbol, recovery: Recovery, at_ms: int) -> None:
        begun = self._progress.get(recovery.key)
        missing = ranges.count(recovery.left) if recovery.left else 1
        symbol.open[recovery.key] = _Open(
            begun or recovery, at_ms, missing, is_begun=begun is not None
        )

    def _close(self, symbol: _Symbol, key: str, rev: int) -> None:
        found = symbol.open.pop(key, None)
        if found is None:
            return
        self._progress.pop(key, None)
        _remember(symbol, _known(found.recovery), rev)


def _known(gap: Recovery) -> tuple[int, int, int, int]:
    return gap.first_id, gap.last_id, gap.from_ms, gap.to_ms


def _remember(symbol: _Symbol, known: tuple[int, int, int, int], rev: int) -> None:
    symbol.known[known] = max(rev, symbol.known.pop(known, -1))
    if len(symbol.known) > KNOWN_MAX:
        del symbol.known[next(iter(symbol.known))]
