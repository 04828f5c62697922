"""What the warehouse knows of one symbol as of a revision, by SQL over ClickHouse's HTTP interface.

It only reads: the embedded engine of the ClickHouse sink lets nobody else write.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

from clickhouse_connect.driver.exceptions import ClickHouseError

from processors.engine.ids import Missing
from processors.recompute.candles import Before, Began, Candle
from processors.recompute.ids import refused
from processors.recompute.plan import Asked
from runtime.clickhouse import connected, sorted_error
from schemas.clickhouse import candles as sql
from schemas.intervals import SECOND_MS, Interval

ANSWER_TIMEOUT_S = 60
RETRY_AFTER_S = 1.0
# Neighbours by id are sought among those by time; a venue's time may step back so far.
MARGIN_MS = 10 * SECOND_MS
OVERLAPS_MAX = 10_000  # trades of one query: each is named in the next one
KNOWN_SYMBOLS_MAX = 10_000
_UNITS = Decimal(10) ** sql.SCALE


class TooTangled(ValueError):  # noqa: N818 - reads as the claim it makes
    """So many trades overlap in so short a time that nobody can say which of them count."""


class Warehouse:
    """One client; one call at a time. Every method raises Retriable while the engine is away."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._earliest_ms: dict[tuple[str, str, str], int] = {}

    @classmethod
    def connect(cls, url: str) -> "Warehouse":
        """Return the warehouse behind a URL; raise Retriable, or Misconfigured for a bad URL."""
        client = connected(url, answer_within_s=ANSWER_TIMEOUT_S, retry_after_s=RETRY_AFTER_S)
        return cls(client)

    def close(self) -> None:
        """Disconnect."""
        self._client.close()

    def watermark_ms(self, asked: Asked) -> int:
        """Return the time of the youngest trade before the revision; 0 when there is none."""
        rows = self._rows(sql.WATERMARK, asked)
        return rows[0][0] if rows else 0

    def began(self, asked: Asked) -> Began | None:
        """Return how the stream began; None when nothing of it is here."""
        if asked.ids == "unique":
            return self._first_arrival(asked)
        rows = self._rows(sql.OLDEST, asked)
        if not rows:
            return None
        first_id, id_, ms = rows[0]
        return Began(ms, is_whole=(first_id if asked.ids == "range" else id_) <= 1)

    def next_ms(self, asked: Asked) -> int | None:
        """Return the time of the first trade after the span."""
        rows = self._rows(sql.NEXT, asked, to_ms=asked.to_ms)
        return rows[0][0] if rows else None

    def before(self, asked: Asked, at_ms: int) -> Before | None:
        """Return the last trade before a moment."""
        rows = self._rows(sql.last_before(asked.ids), asked, from_ms=at_ms)
        return Before(*rows[0]) if rows else None

    def block(
        self, asked: Asked, edges: Sequence[int]
    ) -> Iterator[tuple[list[sql.Sums], list[Missing], int]]:
        """Yield the sums between these edges, the ids missing around them, and where they end.

        It is one answer, or two halves where too many trades overlap. Raise TooTangled.
        """
        try:
            places, missing = self._judged(asked, edges)
        except TooTangled:
            if edges[-1] - edges[0] <= MARGIN_MS:
                raise
            middle_ms = (edges[0] + edges[-1]) // 2
            yield from self.block(asked, [*(e for e in edges if e < middle_ms), middle_ms])
            yield from self.block(asked, [middle_ms, *(e for e in edges if e > middle_ms)])
            return
        span = {"from_ms": edges[0], "to_ms": edges[-1]}
        rows = self._rows(sql.sums(asked.ids, edges[:-1], places), asked, **span)
        yield [sql.Sums(*row) for row in rows], missing, edges[-1]

    def stored(
        self, asked: Asked, candles: Sequence[Candle]
    ) -> dict[tuple[Interval, int], sql.Stored]:
        """Return the latest revisions of these candles that are in the warehouse."""
        opens: dict[Interval, list[int]] = {}
        for candle in candles:
            opens.setdefault(candle.interval, []).append(candle.open_ms)
        wanted = [(interval, min(times), max(times)) for interval, times in opens.items()]
        found = {}
        for length_ms, anchor, open_ms, rev, quality, missing, *rest in self._rows(
            sql.stored(wanted), asked
        ):
            numbers = [int(value * _UNITS) for value in rest[:5]]
            row = sql.Stored(length_ms, anchor, open_ms, rev, quality, missing, *numbers, *rest[5:])
            found[Interval(length_ms, anchor), open_ms] = row
        return found

    def _judged(
        self, asked: Asked, edges: Sequence[int]
    ) -> tuple[list[tuple[int, int]], list[Missing]]:
        """Return the trades that do not count, and the ids that never came."""
        if asked.ids == "unique":
            return [], []
        from_ms, to_ms = edges[0] - MARGIN_MS, edges[-1] + MARGIN_MS
        ((lower_ms, upper_ms),) = self._rows(sql.AROUND, asked, from_ms=from_ms, to_ms=to_ms)
        span = {
            "from_ms": from_ms if lower_ms is None else lower_ms,
            "to_ms": to_ms if upper_ms is None else upper_ms + 1,
        }
        steps = [sql.Step(*row) for row in self._rows(sql.steps(asked.ids, ()), asked, **span)]
        places: list[tuple[int, int]] = []
        if any(step.first <= step.before for step in steps):
            crowd = self._rows(sql.overlaps(asked.ids), asked, **span, limit=OVERLAPS_MAX)
            if len(crowd) >= OVERLAPS_MAX:
                raise TooTangled(f"{len(crowd)} trades overlap between {from_ms} and {to_ms}")
            places = refused(sql.Taken(*row) for row in crowd)
            rows = self._rows(sql.steps(asked.ids, places), asked, **span)
            steps = [sql.Step(*row) for row in rows]
        return places, [
            Missing(s.before + 1, s.first - 1, min(s.before_ms, s.ms), max(s.before_ms, s.ms))
            for s in steps
        ]

    def _first_arrival(self, asked: Asked) -> Began | None:
        series = asked[:3]
        if series not in self._earliest_ms:
            ((ms, count),) = self._rows(sql.EARLIEST, asked)
            if not count:
                return None
            if len(self._earliest_ms) >= KNOWN_SYMBOLS_MAX:
                self._earliest_ms.clear()
            self._earliest_ms[series] = ms
        return Began(self._earliest_ms[series], is_whole=False)

    def _rows(self, text: str, asked: Asked, **parameters: int) -> Sequence[Sequence[Any]]:
        named = {
            "exchange": asked.exchange,
            "channel": asked.channel,
            "symbol": asked.symbol,
            "rev": asked.rev,
        }
        try:
            rows: Sequence[Sequence[Any]] = self._client.query(
                text, parameters=named | parameters
            ).result_rows
        except ClickHouseError as e:
            raise sorted_error(e, RETRY_AFTER_S) from e
        return rows
