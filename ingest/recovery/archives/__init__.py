"""Past trades from the files that venues publish: whole days and months, some hours late.

``ArchiveSource`` gives pages of rows like any ``TradeSource``. Rows are as the venue tells them:
quantities of OKX's swaps are contracts. Nothing is given of a file that is not whole.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager

import numpy as np
import structlog

from ingest import endpoints
from ingest.exchanges.base import Market, TradeRow
from ingest.recovery.archives import metrics
from ingest.recovery.archives.columns import Columns
from ingest.recovery.archives.files import Absent, Files, LocalFile, Wrong
from ingest.recovery.archives.layouts import Layout, Piece, plan
from ingest.recovery.archives.reading import BROKEN, prove, read
from ingest.recovery.archives.venues import LAYOUTS, NOT_AUTOMATIC
from ingest.recovery.source import Damaged, DayMissing, Unavailable
from ingest.rest import open_client
from runtime.settings import Settings

__all__ = ["LAYOUTS", "NOT_AUTOMATIC", "ArchiveSource", "open_archive"]

logger = structlog.get_logger(__name__)

PAGE_ROWS_MAX = 5_000
REPLACED_MAX = 1_000


class ArchiveSource:
    """The archive of one market of one exchange."""

    def __init__(self, exchange: str, market: Market, layout: Layout, files: Files) -> None:
        self.ids_match = layout.ids_match
        """Whether a trade has the id under which it was streamed (Bybit spot: it has not)."""
        self.replaced: list[str] = []
        """Paths of files that were others when they were read before; the first 1,000."""
        self._exchange = exchange
        self._market = market
        self._layout = layout
        self._files = files

    async def pages(
        self,
        symbol: str,
        first_id: int | None,
        last_id: int | None,
        from_ms: int,
        to_ms: int,
    ) -> AsyncGenerator[Sequence[TradeRow], None]:
        """Yield the rows within both ids and both times, oldest first.

        Raises DayMissing and Damaged where they arise, and Retriable where the venue is away or
        somebody else reads the same file: who stops early closes the iterator.
        """
        kind = self._market.trade_kind
        async with aclosing(self.columns(symbol, first_id, last_id, from_ms, to_ms)) as told:
            async for columns in told:
                for page in columns.pages(PAGE_ROWS_MAX):
                    yield page.rows(kind, symbol)

    async def columns(
        self,
        symbol: str,
        first_id: int | None,
        last_id: int | None,
        from_ms: int,
        to_ms: int,
    ) -> AsyncGenerator[Columns, None]:
        """Yield the same as columns of some thousands of rows, which cost a third."""
        for piece in plan(self._layout, symbol, from_ms, to_ms, _now_ms()):
            async with aclosing(self._piece(symbol, piece)) as told:
                async for columns in told:
                    wanted = _within(columns, first_id, last_id, from_ms, to_ms)
                    if len(wanted):
                        metrics.trades.labels(self._exchange).inc(len(wanted))
                        yield wanted

    async def _piece(self, symbol: str, piece: Piece) -> AsyncGenerator[Columns, None]:
        """Read a file, or what may be read instead of it."""
        try:
            async with aclosing(self._file(symbol, piece)) as told:
                async for columns in told:
                    yield columns
        except Unavailable as e:
            if piece.is_optional:
                return
            failed = e
        else:
            return
        for other in piece.instead:
            logger.info("archive_file_replaced_by_another", path=piece.path, other=other.path)
            try:
                async with aclosing(self._file(symbol, other)) as told:
                    async for columns in told:
                        inside = _within(columns, None, None, piece.from_ms, piece.to_ms)
                        if len(inside):
                            yield inside
            except Unavailable as e:
                # Of a month the day is named that is missing; of a day, the day itself.
                raise (e if len(piece.instead) > 1 else failed) from e
        if not piece.instead:
            raise failed

    async def _file(self, symbol: str, piece: Piece) -> AsyncGenerator[Columns, None]:
        layout = self._layout
        try:
            async with self._files.opened(
                piece.path, layout.checksum, asks_twice=layout.asks_absence_twice
            ) as file:
                self._note(file, piece)
                try:
                    if not file.is_proven:
                        await asyncio.to_thread(prove, file.path, layout.packing)
                    told = read(file.path, layout.packing, layout.form, symbol, self._files.folder)
                    while (columns := await asyncio.to_thread(next, told, None)) is not None:
                        yield columns
                except BROKEN as e:
                    metrics.files.labels(self._exchange, "damaged").inc()
                    self._files.drop(piece.path)
                    raise Damaged(symbol, piece.name, str(e)) from e
        except Absent as e:
            metrics.files.labels(self._exchange, "missing").inc()
            may_come = _now_ms() < piece.due_ms
            raise DayMissing(symbol, piece.name, may_come=may_come) from e
        except Wrong as e:
            raise Damaged(symbol, piece.name, str(e)) from e

    def _note(self, file: LocalFile, piece: Piece) -> None:
        if file.is_replaced and len(self.replaced) < REPLACED_MAX:
            self.replaced.append(piece.path)


@asynccontextmanager
async def open_archive(
    settings: Settings, exchange: str, market: Market
) -> AsyncIterator[ArchiveSource | None]:
    """Open the archive of a market; None where there is none to read (``NOT_AUTOMATIC``)."""
    layout = LAYOUTS.get((exchange, market.channel))
    if layout is None:
        yield None
        return
    endpoint = endpoints.archive(settings, layout.url)
    async with open_client() as client:
        files = Files(exchange, endpoint, settings.data_dir / "archives" / exchange, client)
        try:
            yield ArchiveSource(exchange, market, layout, files)
        finally:
            files.close()


def _within(
    columns: Columns, first_id: int | None, last_id: int | None, from_ms: int, to_ms: int
) -> Columns:
    mask = (columns.ts >= from_ms) & (columns.ts <= to_ms)
    if first_id is not None:
        mask &= columns.id >= first_id
    if last_id is not None:
        mask &= columns.id <= last_id
    return columns.kept(np.asarray(mask))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
