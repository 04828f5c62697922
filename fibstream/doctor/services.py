"""Checks of what is reached over the network: Kafka, Redis, ClickHouse, the exchange."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import clickhouse_connect
import httpx
from clickhouse_connect.driver.exceptions import ClickHouseError
from redis import exceptions as redis_errors
from redis.asyncio import Redis

from fibstream.doctor.finding import Finding, ok, warn
from ingest import endpoints
from ingest.exchanges import EXCHANGES
from ingest.exchanges.base import Clock, Market, Request
from ingest.plan import enabled
from ingest.rest import JSON
from runtime.errors import Misconfigured, Poison
from runtime.kafka import wait_for_broker
from runtime.settings import Settings
from sinks.clickhouse.store import address_of

ANSWER_WITHIN_S = 3.0
SKEW_MS_MAX = 1_000


async def kafka(settings: Settings) -> Sequence[Finding]:
    """Check that the broker answers, if one is set."""
    if not settings.kafka_bootstrap:
        return ok("kafka", "embedded: `fibstream up` starts it")
    await wait_for_broker(settings.kafka_bootstrap, timeout_s=ANSWER_WITHIN_S)
    return ok("kafka", f"{settings.kafka_bootstrap} answers")


async def redis(settings: Settings) -> Sequence[Finding]:
    """Check that Redis answers a PING, if one is set."""
    s = settings
    if not s.redis_host or "redis" not in s.enabled_consumers:
        return []
    client = Redis(
        host=s.redis_host,
        port=s.redis_port,
        username=s.redis_user or None,
        password=s.redis_password or None,
        db=s.redis_base,
        socket_connect_timeout=ANSWER_WITHIN_S,
        socket_timeout=ANSWER_WITHIN_S,
    )
    try:
        await client.ping()
    except (redis_errors.RedisError, OSError) as e:
        raise Misconfigured(
            "STREAMER_REDIS_HOST",
            f"no Redis that can be used at {s.redis_host}:{s.redis_port}: {e}",
            remedy="Start it, or correct STREAMER_REDIS_HOST, _PORT, _USER, _PASSWORD and _BASE.",
        ) from e
    finally:
        await client.aclose()
    return ok("redis", f"{s.redis_host}:{s.redis_port} answers")


async def clickhouse(settings: Settings) -> Sequence[Finding]:
    """Check that the ClickHouse server lets us in, if one is set."""
    if not settings.clickhouse_url or "clickhouse" not in settings.enabled_consumers:
        return []
    address = address_of(settings)
    options = {**address.options, "connect_timeout": ANSWER_WITHIN_S}
    options["send_receive_timeout"] = ANSWER_WITHIN_S
    try:
        version = await asyncio.to_thread(_clickhouse_version, options)
    except (ClickHouseError, OSError) as e:
        raise Misconfigured(
            "STREAMER_CLICKHOUSE_URL",
            f"{address} does not answer: {str(e).splitlines()[0]}",
            remedy="Start it, correct the URL, or leave it empty for chDB.",
        ) from e
    return ok("clickhouse", f"{address}: ClickHouse {version}")


def _clickhouse_version(options: dict[str, Any]) -> str:
    client = clickhouse_connect.get_client(**options)
    try:
        return str(client.server_version)
    finally:
        client.close()


async def exchange(settings: Settings) -> Sequence[Finding]:
    """Check that every enabled market of the exchange answers, and that our clocks agree."""
    venue = EXCHANGES.get(settings.exchange)
    if venue is None:
        return []  # the settings check has said so
    async with httpx.AsyncClient(timeout=ANSWER_WITHIN_S) as client:
        markets = enabled(settings, venue)
        found = await asyncio.gather(*(_ask(client, settings, market) for market in markets))
    return [finding for findings in found for finding in findings]


async def _ask(client: httpx.AsyncClient, settings: Settings, market: Market) -> list[Finding]:
    name, base = "exchange", endpoints.rest(settings, market)
    request = market.clock.request if market.clock else market.activity
    began_ms = time.time_ns() / 1e6
    try:
        answer = await _answer(client, base.url, request)
    except httpx.TransportError as e:
        reason = str(e) or type(e).__name__
        remedy = "Go online for live data; `make demo` works offline."
        return warn(name, f"{base.url} cannot be reached: {reason}", remedy)
    half_ms = (time.time_ns() / 1e6 - began_ms) / 2  # told half way, give or take as much
    if answer.status_code == httpx.codes.NOT_FOUND:
        raise base.wrong(f"answers HTTP 404 to {answer.request.method} {request.path}")
    if answer.is_error:
        remedy = "It may refuse this address or country, or be down; `make demo` works offline."
        return warn(name, f"{base.url}{request.path} answers HTTP {answer.status_code}", remedy)
    try:
        if market.clock is None:
            market.read_activity(answer.content)
            return ok(name, f"{base.url} answers; it tells no time")
        told_ms = market.clock.read(answer.content)
    except Poison as e:
        raise base.wrong(f"does not answer like the venue at {request.path}: {e.reason}") from e
    return _compared(base.url, market.clock, told_ms, began_ms + half_ms, half_ms)


async def _answer(client: httpx.AsyncClient, base: str, request: Request) -> httpx.Response:
    if not request.body:
        return await client.get(base + request.path)
    return await client.post(base + request.path, content=request.body, headers=JSON)


def _compared(url: str, clock: Clock, told_ms: int, at_ms: float, half_ms: float) -> list[Finding]:
    """Compare the venue's time with ours at the same moment, as far as both are known."""
    cut_ms = (clock.resolution_ms - 1) / 2
    skew_ms = round(at_ms - told_ms - cut_ms)
    if abs(skew_ms) > SKEW_MS_MAX + half_ms + cut_ms:
        side = "ahead of" if skew_ms > 0 else "behind"
        finding = f"this machine's clock is {abs(skew_ms)} ms {side} {url}"
        return warn("clock", finding, "Synchronise it (chrony, systemd-timesyncd).")
    return ok("exchange", f"{url} answers; clocks differ by {abs(skew_ms)} ms")
