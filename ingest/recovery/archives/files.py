"""Archive files on this machine: downloaded in parts, whole and proven before a row is read.

A download that broke goes on where it stopped, also after a restart; a file that is still here is
used again as long as the venue says that it is the same.
"""

import asyncio
import hashlib
import random
import shutil
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import httpx
import structlog

from ingest.endpoints import Endpoint
from ingest.pacing import TEMPORARY, backoff_s, retry_after_s
from ingest.recovery.archives import metrics
from ingest.recovery.archives.receipts import Receipts
from ingest.recovery.archives.shelf import InUse, Place, forget_oldest
from runtime.errors import Retriable

logger = structlog.get_logger(__name__)

FILE_BYTES_MAX = 16 << 30
KEPT_BYTES_MAX = 2 << 30
DISK_FREE_BYTES_MIN = 1 << 30
CHECKSUM_BYTES_MAX = 4_096
ATTEMPTS_MAX = 5
ABSENCE_PAUSE_S = 2.0
BUSY_S = 10.0
IDENTITY = {"Accept-Encoding": "identity"}
REFUSED = {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}


class Absent(Exception):  # noqa: N818 - answered by whoever asked for the file
    """The venue has no such file."""


class Wrong(Exception):  # noqa: N818 - answered by whoever asked for the file
    """The file is not what its checksum says, or more than this machine may hold."""


class NoRoom(Retriable):
    """The disk is too full; asking again at once would not help."""


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file as the venue published it."""

    path: Path
    is_proven: bool
    """By a checksum of the venue's; else only what packs it can tell whether it is whole."""
    is_replaced: bool
    """It was another file when it was read before."""


class Files:
    """The files of one exchange's archive."""

    def __init__(
        self, exchange: str, endpoint: Endpoint, folder: Path, client: httpx.AsyncClient
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._exchange = exchange
        self._endpoint = endpoint
        self._client = client
        self._receipts = Receipts(folder / "receipts.sqlite")

    def close(self) -> None:
        """Close what was opened; the newest files stay, within ``KEPT_BYTES_MAX``."""
        self._receipts.close()

    @asynccontextmanager
    async def opened(
        self, path: str, checksum: str, *, asks_twice: bool = False
    ) -> AsyncIterator[LocalFile]:
        """Give a file while the block lasts; raise Absent, Wrong or Retriable."""
        place = self._place(path)
        with ExitStack() as held:
            try:
                held.enter_context(place.held())
            except InUse as e:
                raise Retriable(f"somebody else reads {path}", retry_after_s=BUSY_S) from e
            try:
                found = await self._fetched(path, place, checksum)
            except Absent:
                if not asks_twice:
                    raise
                await asyncio.sleep(ABSENCE_PAUSE_S)
                found = await self._fetched(path, place, checksum)
            yield found
        forget_oldest(self.folder, KEPT_BYTES_MAX)

    def drop(self, path: str) -> None:
        """Forget a file that turned out to be damaged, so that it is downloaded again."""
        self._place(path).remove()

    def _place(self, path: str) -> Place:
        return Place(self.folder, hashlib.sha256(path.encode()).hexdigest()[:32])

    # -- one file

    async def _fetched(self, path: str, place: Place, checksum: str) -> LocalFile:
        url = self._endpoint.url + path
        known = self._receipts.of(url)
        if place.is_here() and known and known.etag and await self._is_same(url, known.etag):
            metrics.files.labels(self._exchange, "kept").inc()
            place.touch()
            return LocalFile(place.path, is_proven=bool(checksum), is_replaced=False)
        place.remove()
        wanted, sha256, etag = "", "", ""
        for _ in range(2):  # file and checksum may be replaced between the two requests
            etag = await self._download(url, place)
            sha256 = await asyncio.to_thread(place.sha256)
            wanted = await self._checksum(url + checksum) if checksum else ""
            if wanted in ("", sha256):
                break
            place.remove()
        else:
            metrics.files.labels(self._exchange, "damaged").inc()
            raise Wrong(f"its sha256 is {sha256[:16]}..., published is {wanted[:16]}...")
        size = place.size()
        is_replaced = self._receipts.note(url, etag, sha256, size)
        metrics.files.labels(self._exchange, "whole").inc()
        if is_replaced:
            metrics.replaced.labels(self._exchange).inc()
            logger.warning("archive_file_replaced", url=url, sha256=sha256, bytes=size)
        return LocalFile(place.path, is_proven=bool(wanted), is_replaced=is_replaced)

    async def _is_same(self, url: str, etag: str) -> bool:
        response = await self._asked("HEAD", url)
        return bool(response.headers.get("etag") == etag)

    async def _checksum(self, url: str) -> str:
        """Return the published sha256; "" where there is none."""
        try:
            response = await self._asked("GET", url)
        except Absent:
            return ""
        words = response.content[:CHECKSUM_BYTES_MAX].split()
        if not words or len(words[0]) != hashlib.sha256().digest_size * 2:
            raise Wrong("its checksum file holds no checksum")
        return words[0].decode("ascii", "replace").lower()

    async def _asked(self, method: str, url: str) -> httpx.Response:
        failures = 0
        while True:
            try:
                response = await self._client.request(method, url, headers=IDENTITY)
                self._judge(response)
            except (httpx.RequestError, Retriable) as e:
                failures += 1
                await self._pause(e, failures, url)
            else:
                return response

    async def _download(self, url: str, place: Place) -> str:
        """Bring the file here and return its etag; an attempt that brought something is none."""
        failures = 0
        while True:
            had, _ = place.part()
            try:
                etag = await self._received(url, place)
            except (Wrong, NoRoom):
                place.discard()
                raise
            except (httpx.RequestError, Retriable) as e:
                failures = 1 if place.part()[0] > had else failures + 1
                await self._pause(e, failures, url)
            else:
                place.finish()
                return etag

    async def _received(self, url: str, place: Place) -> str:
        had, part_etag = place.part()
        rest = {"Range": f"bytes={had}-", "If-Range": part_etag} if had else {}
        async with self._client.stream("GET", url, headers={**IDENTITY, **rest}) as response:
            if response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                place.discard()
                raise Retriable("the part is longer than the file", retry_after_s=0.0)
            self._judge(response)
            goes_on = response.status_code == HTTPStatus.PARTIAL_CONTENT
            size = had if goes_on else 0
            self._check_size(int(response.headers.get("content-length", 0)), size)
            etag: str = response.headers.get("etag", "")
            with place.begin(etag, goes_on=goes_on) as out:
                # As it comes: what is gathered first is lost when the connection breaks.
                async for chunk in response.aiter_raw():
                    size += len(chunk)
                    if size > FILE_BYTES_MAX:
                        raise Wrong(f"it is longer than {FILE_BYTES_MAX} bytes")
                    await asyncio.to_thread(out.write, chunk)
                    metrics.bytes_received.labels(self._exchange).inc(len(chunk))
            return etag

    def _check_size(self, left: int, had: int) -> None:
        if left + had > FILE_BYTES_MAX:
            raise Wrong(f"it has {left + had} bytes, more than {FILE_BYTES_MAX}")
        free = shutil.disk_usage(self.folder).free
        if free - left < DISK_FREE_BYTES_MIN:
            raise NoRoom(
                f"{left} bytes would leave less than {DISK_FREE_BYTES_MIN} on the disk",
                retry_after_s=60.0,
            )

    def _judge(self, response: httpx.Response) -> None:
        status = response.status_code
        if status in REFUSED:
            raise Absent
        if status in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
            return
        reason = f"HTTP {status} {response.reason_phrase}".rstrip()
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in TEMPORARY:
            pause_s = retry_after_s(status, response.headers.get("Retry-After"))
            raise Retriable(reason, retry_after_s=pause_s)
        raise self._endpoint.wrong(f"answers {reason} to {response.request.url.path}")

    async def _pause(self, error: httpx.RequestError | Retriable, failures: int, url: str) -> None:
        reason = (
            error.reason if isinstance(error, Retriable) else f"{type(error).__name__}: {error}"
        )
        asked_s = error.retry_after_s if isinstance(error, Retriable) else 0.0
        pause_s = max(asked_s, backoff_s(failures, random.random()))  # noqa: S311
        if failures >= ATTEMPTS_MAX:
            raise Retriable(f"{url}: {reason}", retry_after_s=pause_s) from error
        logger.warning("archive_away", url=url, reason=reason, retry_after_s=pause_s)
        await asyncio.sleep(pause_s)
