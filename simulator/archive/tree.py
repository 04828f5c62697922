"""The archives of all simulated exchanges under ``/archive``, made when somebody asks.

A file is made once and kept while there is room; a fault of its rows makes it another file.
"""

import asyncio
import tempfile
from collections import OrderedDict
from pathlib import Path

from aiohttp import web

from simulator.archive.making import Made, copy_of, make, rows_of
from simulator.archive.published import DAY_MS, Published
from simulator.archive.troubles import IN_ROWS, ArchiveTroubles
from simulator.exchange import Exchange

FILES_MAX = 32
BYTES_MAX = 1 << 30
CHUNK_BYTES = 1 << 18
HOUR_MS = 3_600_000
CUT_AT = 0.6  # of a truncated file


class Tree:
    """Answers for files; ``close`` removes them."""

    def __init__(self, lag_h: float) -> None:
        self.troubles = ArchiveTroubles(lag_h)
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._made: OrderedDict[tuple[str, frozenset[str]], Made] = OrderedDict()
        self._making = asyncio.Lock()
        self._number = 0

    def close(self) -> None:
        """Remove all files."""
        if self._folder is not None:
            self._folder.cleanup()

    async def answer(
        self, request: web.Request, exchanges: list[Exchange], path: str, now_ms: int
    ) -> web.StreamResponse:
        """Answer a GET or a HEAD."""
        for exchange in exchanges:
            told = exchange.dialect.archive(path, exchange)
            if told is not None and self._is_out(exchange, told, now_ms):
                return await self._file(request, exchange, told, path)
        return web.Response(status=404, text="NoSuchKey")

    def _is_out(self, exchange: Exchange, told: Published, now_ms: int) -> bool:
        lag_ms = int(self.troubles.lag_h * HOUR_MS) + DAY_MS * told.is_monthly
        ledger = exchange.ledgers[told.symbol.name]
        first_ms = ledger.ts_ms[0] if len(ledger) else now_ms
        begins_ms = ledger.past.from_ms if ledger.past else first_ms
        ends_ms = ledger.past.until_ms if ledger.past else first_ms
        # What was traded since the start may have been forgotten.
        has_hole = told.until_ms > ends_ms and told.from_ms < ledger.complete_from_ms
        return begins_ms < told.until_ms <= now_ms - lag_ms and not has_hole

    async def _file(
        self, request: web.Request, exchange: Exchange, told: Published, path: str
    ) -> web.StreamResponse:
        faults = self.troubles.of(exchange, told)
        if "missing" in faults:
            return web.Response(status=404, text="NoSuchKey")
        if "away" in faults:
            return web.Response(status=503, headers={"Retry-After": "1"})
        key = path.removesuffix(".CHECKSUM"), faults & IN_ROWS
        made = await self._of(key, exchange, told)
        if told.is_checksum:
            digest = made.sha256[::-1] if "checksum" in faults else made.sha256
            return web.Response(text=f"{digest}  {key[0].rpartition('/')[2]}\n")
        size = int(made.size * CUT_AT) if "truncated" in faults else made.size
        return await _send(request, made, size, is_cut="broken" in faults)

    async def _of(
        self, key: tuple[str, frozenset[str]], exchange: Exchange, told: Published
    ) -> Made:
        async with self._making:
            if key in self._made:
                self._made.move_to_end(key)
                return self._made[key]
            if self._folder is None:
                self._folder = tempfile.TemporaryDirectory(prefix="simulator-archive-")
            self._number += 1
            path = Path(self._folder.name) / str(self._number)
            ledger = exchange.ledgers[told.symbol.name]
            live = copy_of(ledger, told)
            made = await asyncio.to_thread(make, told, rows_of(ledger, live, told), key[1], path)
            self._made[key] = made
            self._make_room()
            return made

    def _make_room(self) -> None:
        def is_full() -> bool:
            total = sum(made.size for made in self._made.values())
            return len(self._made) > FILES_MAX or total > BYTES_MAX

        while len(self._made) > 1 and is_full():
            _, gone = self._made.popitem(last=False)
            gone.path.unlink()


async def _send(request: web.Request, made: Made, size: int, *, is_cut: bool) -> web.StreamResponse:
    """Send a file or the rest of it; ``is_cut`` breaks the connection in the middle."""
    etag = f'"{made.sha256[:32]}{size:x}"'
    start = 0
    asked, wanted = request.headers.get("Range", ""), request.headers.get("If-Range", etag)
    if asked.startswith("bytes=") and asked.endswith("-") and wanted == etag:
        start = int(asked[6:-1])
        if start >= size:
            return web.Response(status=416, headers={"Content-Range": f"bytes */{size}"})
    response = web.StreamResponse(status=206 if start else 200, headers={"ETag": etag})
    if start:
        response.headers["Content-Range"] = f"bytes {start}-{size - 1}/{size}"
    response.content_length = size - start
    response.content_type = "application/octet-stream"
    with made.path.open("rb") as file:
        await response.prepare(request)
        if request.method == "HEAD":
            return response
        end = start + (size - start) // 2 if is_cut else size
        file.seek(start)
        for at in range(start, end, CHUNK_BYTES):
            await response.write(file.read(min(CHUNK_BYTES, end - at)))
    if is_cut and request.transport is not None:
        request.transport.close()
    return response
