"""Ask a venue's REST API: bounded, patient, within its budget, and obedient to Retry-After.

A wrong address is the operator's error; everything that may pass is repeated. Silence at the
venue's own address may pass, but an address that the operator set must answer soon.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import structlog

from ingest import endpoints, metrics
from ingest.budget import FIREWALL_PAUSE_S, Budget, venue_budget
from ingest.endpoints import Endpoint
from ingest.exchanges.base import Market, Request
from ingest.pacing import RATE_LIMITED, TEMPORARY, backoff_s, retry_after_s
from runtime.errors import Misconfigured, Retriable
from runtime.settings import Settings

logger = structlog.get_logger(__name__)

TIMEOUT_S = 30.0
OVERRIDE_ANSWERS_WITHIN_S = 10.0
BODY_BYTES_MAX = 64 << 20  # spot exchangeInfo is ~10 MB
CONNECTIONS = httpx.Limits(max_connections=20, max_keepalive_connections=20, keepalive_expiry=30.0)
JSON = {"content-type": "application/json"}


class Unreachable(Retriable):
    """Nobody answers at the address."""


class Refused(Misconfigured):
    """The venue answers, and will never do what is asked: ``status`` says how it puts it."""

    status: int = 0


def open_client() -> httpx.AsyncClient:
    """Return a client that keeps its connections, for whoever asks again and again."""
    return httpx.AsyncClient(timeout=TIMEOUT_S, limits=CONNECTIONS)


async def get(
    endpoint: Endpoint,
    request: Request,
    budget: Budget | None = None,
    client: httpx.AsyncClient | None = None,
    *,
    is_paid: bool = False,
) -> bytes:
    """Return the body; raise Misconfigured when the address can never give it.

    ``is_paid``: the weight of the first attempt was spent by the caller.
    """
    if client is None:
        async with open_client() as own:
            return await get(endpoint, request, budget, own, is_paid=is_paid)
    url = endpoint.url + request.path
    failures = 0
    silent_s = 0.0
    while True:
        if budget is not None and not is_paid:
            await budget.spend(request.weight)
        is_paid = False
        began_s = time.monotonic()
        try:
            return await _once(client, endpoint, request, budget)
        except Retriable as e:
            failures += 1
            pause_s = max(e.retry_after_s, backoff_s(failures, random.random()))  # noqa: S311
            if endpoint.is_override and isinstance(e, Unreachable):
                silent_s += time.monotonic() - began_s
                left_s = OVERRIDE_ANSWERS_WITHIN_S - silent_s
                if left_s <= 0:
                    raise endpoint.wrong(f"does not answer ({e.reason})") from e
                pause_s = min(pause_s, left_s)
                silent_s += pause_s
            metrics.rest_retries.inc()
            logger.warning("rest_away", url=url, reason=e.reason, retry_after_s=pause_s)
        await asyncio.sleep(pause_s)


class Host:
    """One REST address with its budget and its connections."""

    def __init__(self, endpoint: Endpoint, budget: Budget, client: httpx.AsyncClient) -> None:
        self.budget = budget
        self._endpoint = endpoint
        self._client = client

    async def ask(self, request: Request) -> bytes:
        """Return the answer, when the budget allows to ask."""
        return await get(self._endpoint, request, self.budget, self._client)

    async def ask_paid(self, request: Request) -> bytes:
        """Return the answer to a request whose weight was spent already."""
        return await get(self._endpoint, request, self.budget, self._client, is_paid=True)


@asynccontextmanager
async def open_host(settings: Settings, exchange: str, market: Market) -> AsyncIterator[Host]:
    """Open the REST address of a market."""
    endpoint = endpoints.rest(settings, market)
    async with (
        venue_budget(settings, exchange, market, endpoint) as budget,
        open_client() as client,
    ):
        yield Host(endpoint, budget, client)


async def _once(
    client: httpx.AsyncClient, endpoint: Endpoint, request: Request, budget: Budget | None
) -> bytes:
    url = endpoint.url + request.path
    call = (
        client.stream("POST", url, content=request.body, headers=JSON)
        if request.body
        else client.stream("GET", url)
    )
    try:
        async with call as response:
            if budget is not None:
                await budget.learn(response.headers, response.status_code)
            if response.status_code == httpx.codes.OK:
                return await _body(response, endpoint)
            _refuse(response, endpoint)
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as e:
        raise endpoint.wrong(f"is not a URL ({e})") from e
    except httpx.RequestError as e:  # not sent, not answered, or an answer that is broken
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
    if status == httpx.codes.UNAVAILABLE_FOR_LEGAL_REASONS:
        raise Misconfigured(
            endpoint.setting,
            f"{endpoint.url!r} refuses to serve the place where this machine stands ({reason})",
            remedy="Run it in a region that the venue serves, or set an address that serves yours.",
        )
    if status >= httpx.codes.INTERNAL_SERVER_ERROR or status in TEMPORARY:
        pause_s = retry_after_s(status, response.headers.get("Retry-After"))
        if status == httpx.codes.FORBIDDEN:
            pause_s = pause_s or FIREWALL_PAUSE_S
            reason += ": asked too fast, or from a region that the venue does not serve"
        elif status in RATE_LIMITED:
            reason += f": the venue wants no request for {pause_s:g} s"
        raise Retriable(reason, retry_after_s=pause_s)
    method = response.request.method
    wrong = endpoint.wrong(f"answers {reason} to {method} {response.url.path}")
    refused = Refused(wrong.setting, wrong.problem, remedy=wrong.remedy)
    refused.status = status
    raise refused
