"""The tables beside trades and candles, and which of all tables the settings ask for."""

from collections.abc import Sequence

from runtime.errors import Misconfigured
from schemas.topics import (
    BOOK_SNAPSHOTS,
    BOOKS,
    FUNDING,
    GAPS,
    INTEGRITY,
    LIQUIDATIONS,
    OPEN_INTEREST,
    TICKER_SNAPSHOTS,
    TICKERS,
)
from sinks.clickhouse.kinds_books import book_rows, book_update_rows
from sinks.clickhouse.kinds_gaps import gap_rows, integrity_rows, stream_gap_rows
from sinks.clickhouse.kinds_market import (
    funding_rows,
    liquidation_rows,
    open_interest_rows,
    ticker_rows,
    ticker_update_rows,
)
from sinks.clickhouse.table import Table

TABLES: Sequence[Table] = (
    Table("tickers", TICKER_SNAPSHOTS, ticker_rows),
    Table("ticker_updates", TICKERS, ticker_update_rows),
    Table("books", BOOK_SNAPSHOTS, book_rows),
    Table("book_updates", BOOKS, book_update_rows),
    Table("funding", FUNDING, funding_rows),
    Table("open_interest", OPEN_INTEREST, open_interest_rows),
    Table("liquidations", LIQUIDATIONS, liquidation_rows),
    Table("gaps", GAPS, gap_rows),
    Table("stream_gaps", GAPS, stream_gap_rows),
    Table("integrity", INTEGRITY, integrity_rows),
)
# One refuses what the other leaves alone: never one without the other.
TOGETHER = {"stream_gaps": "gaps"}


def chosen(names: Sequence[str], tables: Sequence[Table]) -> tuple[Table, ...]:
    """Return the tables of those names in their order; raise Misconfigured for an unknown one."""
    known = {TOGETHER.get(table.name, table.name) for table in tables}
    unknown = sorted(set(names) - known)
    if unknown:
        raise Misconfigured(
            "STREAMER_CLICKHOUSE_TABLES",
            f"there is no table {unknown[0]!r}",
            remedy=f"Known: {', '.join(sorted(known))}.",
        )
    return tuple(table for table in tables if TOGETHER.get(table.name, table.name) in names)
