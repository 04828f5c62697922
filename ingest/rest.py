"""GET from a venue's REST API: bounded, patient, and obedient to Retry-After.

A wrong address is the operator's error; everything that may pass is repeated. Silence at the
venue's own address may pass, but an address that the operator set must answer soon.
"""

import asyncio
import random
import time

import httpx
import structlog

from ingest import metrics
from ingest.endpoints import Endpoint
from ingest.pacing import TEMPORARY, backoff_s, retry_after_s
from runtime.errors import Retriable

logger = structlog.get_logger(__name__)

TIMEOUT_S = 30.0
OVERRIDE_ANSWERS_WITHIN_S = 10.0
BODY_BYTES_MAX = 64 << 20  # spot exchangeInfo is ~10 MB


class Unreachable(Retriable):
    """Nobody answers at the address."""


async def get(endpoint: Endpoint, path: str) -> bytes:
    """Return the body; raise Misconfigured when the address can never give it."""
    url = endpoint.url + path
    failures = 0
    deadline_s = time.monotonic() + OVERRIDE_ANSWERS_WITHIN_S
    async with httpx.AsyncClient(timeout=TIMEOUT_S) as client:
        while True:
            try:
                return await _once(client, endpoint, url)
            except Retriable as e:
                failures += 1
                pause_s = max(e.retry_after_s, backoff_s(failures, random.random()))  # noqa: S311
                if endpoint.is_override and isinstance(e, Unreachable):
                    left_s = deadline_s - time.monotonic()
                    if left_s <= 0:
                        raise endpoint.wrong(f"does not answer ({e.reason})") from e
                    pause_s = min(pause_s, left_s)
                metrics.rest_retries.inc()
                logger.warning("rest_away", url=url, reason=e.reason, retry_after_s=pause_s)
            await asyncio.sleep(pause_s)


async def _once(client: httpx.AsyncClient, endpoint: Endpoint, url: str) -> bytes:
    try:
        async with client.stream("GET", url) as response:
            if response.status_code == httpx.codes.OK:
                return await _body(response, endpoint)
            _refuse(response, endpoint)
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as e:
        raise endpoint.wrong(f"is not a URL ({e})") from e
    except httpx.TransportError as e:
        raise Unreachable(f"{type(e).__name__}: {e}", retry_after_s=0.0) from e
    raise AssertionError("every status is a body or an error")


async def _body(response: httpx.Response, endpoint: Endpoint) -> bytes:
    body = bytearray()
    async for part in response.aiter_bytes():
        body += part
        if len(body) > BODY_BYTES_MAX:
            raise endpoint.wrong(f"answers with more than {BODY_BYTES_MAX} bytes")
    return bytes(body)


def _refuse(response: httpx.Response, endpoint: Endpoint) -> None:
    status = response.status_code
    reason = f"HTTP {status} {response.reason_phrase}".rstrip()
    if status >= httpx.codes.INTERNAL_SERVER_ERROR or status in TEMPORARY:
        pause_s = retry_after_s(status, response.headers.get("Retry-After"))
        raise Retriable(reason, retry_after_s=pause_s)
    raise endpoint.wrong(f"answers {reason} to GET {response.url.path}")
