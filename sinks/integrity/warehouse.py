"""The warehouse as integrity reads it, by SQL over ClickHouse's HTTP interface. It never writes.

One query at a time with few threads: what people ask goes first.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from clickhouse_connect.driver.exceptions import ClickHouseError

from runtime.clickhouse import CONNECT_TIMEOUT_S, URL, connected, sorted_error
from runtime.errors import Misconfigured
from schemas.integrity import Checked, Period, id_rule
from schemas.trades import Channel, IdRule
from sinks.integrity import sql
from sinks.integrity.judgement import Sorted
from sinks.integrity.periods import MonthSpan, Span, Tally
from sinks.integrity.ranges import Missing

QUERY_WITHIN_S = 120
RETRY_AFTER_S = 5.0
LIMITS = {
    "max_threads": 2,
    "max_memory_usage": 2 << 30,  # bytes
    "max_execution_time": QUERY_WITHIN_S,
}
TOLD_MAX = 200_000  # ranges of one batch of symbols
NO_TABLE = {60, 81}


class Market(NamedTuple):
    """Symbols whose ids follow one rule."""

    exchange: str
    channel: Channel

    @property
    def rule(self) -> IdRule:
        """Return what their ids can prove."""
        return id_rule(self.exchange)


class Scope(NamedTuple):
    """What is verified; empty means all."""

    exchange: str = ""
    channel: str = ""
    symbols: tuple[str, ...] = ()


class Told(NamedTuple):
    """A missing range as ``md.gaps.v1`` last spoke of it."""

    symbol: str
    first_id: int
    last_id: int
    state: str


class Warehouse:
    """One client; one call at a time. Every method raises Retriable while the engine is away."""

    def __init__(self, client: Any) -> None:
        self._client = client
        # The embedded engine has limits of its own, which nobody may set.
        known = client.server_settings
        self._limits = {n: v for n, v in LIMITS.items() if n in known and not known[n].readonly}

    @classmethod
    def connect(cls, url: str) -> "Warehouse":
        """Return the warehouse behind a URL; raise Retriable, or Misconfigured for a bad URL."""
        try:
            client = connected(
                url,
                answer_within_s=QUERY_WITHIN_S + CONNECT_TIMEOUT_S,
                retry_after_s=RETRY_AFTER_S,
            )
        except ClickHouseError as e:
            raise _sorted(e) from e
        return cls(client)

    def close(self) -> None:
        """Disconnect."""
        self._client.close()

    def series(self, scope: Scope) -> dict[Market, dict[str, list[MonthSpan]]]:
        """Return the months in which each symbol traded."""
        found: dict[Market, dict[str, list[MonthSpan]]] = {}
        for exchange, channel, symbol, *span in self._rows(
            sql.SPANS, exchange=scope.exchange, channel=scope.channel, symbols=list(scope.symbols)
        ):
            symbols = found.setdefault(Market(exchange, channel), {})
            symbols.setdefault(symbol, []).append(MonthSpan(*span))
        return found

    def kept(self, market: Market, symbols: Sequence[str]) -> list[Checked]:
        """Return what earlier looks found."""
        fields = Checked.__struct_fields__
        rows = self._rows(sql.KEPT, market, symbols=list(symbols))
        return [Checked(**dict(zip(fields, row, strict=True))) for row in rows]

    def told(self, market: Market, symbols: Sequence[str]) -> list[tuple[Told, int]]:
        """Return what was told of missing ids, and when (ms)."""
        rows = self._rows(sql.TOLD, market, symbols=list(symbols), limit=TOLD_MAX)
        return [(Told(*row[:4]), row[4]) for row in rows]

    def tallies(
        self,
        market: Market,
        symbols: Iterable[str],
        period: Period,
        spans: Sequence[Span],
        *,
        merged: bool = False,
    ) -> list[tuple[str, Tally]]:
        """Return the sums of these spans."""
        text = sql.tallies(market.rule, period, spans, merged=merged)
        rows = self._rows(text, market, symbols=list(symbols))
        return [(symbol, Tally(*sums)) for symbol, *sums in rows]

    def holes(self, market: Market, symbol: str, span: Span, limit: int) -> Sorted:
        """Return the holes among the sorted ids of a span, so many at most."""
        rows = self._rows(sql.holes(market.rule, span), market, symbol=symbol, limit=limit)
        missing = rows[0][4] if rows else 0
        return Sorted([Missing(*row[:4]) for row in rows], missing)

    def _rows(
        self, text: str, market: Market | None = None, **parameters: Any
    ) -> Sequence[Sequence[Any]]:
        if market is not None:
            parameters |= market._asdict()
        try:
            rows: Sequence[Sequence[Any]] = self._client.query(
                text, parameters=parameters, settings=self._limits
            ).result_rows
        except ClickHouseError as e:
            raise _sorted(e) from e
        return rows


def _sorted(e: ClickHouseError) -> Exception:
    if getattr(e, "code", None) in NO_TABLE:
        return Misconfigured(
            URL,
            f"the database has not all tables of this version: {e}",
            remedy="Run `fibstream migrate`, or start the ClickHouse sink once.",
        )
    return sorted_error(e, RETRY_AFTER_S)
