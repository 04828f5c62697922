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
from ingest.app import enabled
from ingest.endpoints import Endpoint
from ingest.exchanges import EXCHANGES
from runtime.errors import Misconfigured
from runtime.kafka import wait_for_broker
from runtime.settings import Settings
from schemas.trades import Channel
from sinks.clickhouse.store import address_of

ANSWER_WITHIN_S = 3.0
SKEW_MS_MAX = 1_000
# Of each exchange and channel: where it says that it is there, and what time it has.
PROBES: dict[str, dict[Channel, tuple[str, str]]] = {
    "binance": {
        "spot": ("/api/v3/ping", "/api/v3/time"),
        "linear": ("/fapi/v1/ping", "/fapi/v1/time"),
    }
}


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
    """Check that the exchange answers, and that our clocks agree."""
    venue = EXCHANGES.get(settings.exchange)
    if venue is None:
        return []  # the settings check has said so
    findings: list[Finding] = []
    async with httpx.AsyncClient(timeout=ANSWER_WITHIN_S) as client:
        for market in enabled(settings, venue):
            base = endpoints.rest(settings, venue, market)
            findings += await _ask(client, base, *PROBES[venue.name][market.channel])
    return findings


async def _ask(client: httpx.AsyncClient, base: Endpoint, ping: str, clock: str) -> list[Finding]:
    name = "exchange"
    try:
        answer = await client.get(base.url + ping)
        began_ms = time.time_ns() / 1e6
        told = await client.get(base.url + clock)
        half_ms = (time.time_ns() / 1e6 - began_ms) / 2  # told half way, give or take as much
    except httpx.TransportError as e:
        reason = str(e) or type(e).__name__
        remedy = "Go online for live data; `make demo` works offline."
        return warn(name, f"{base.url} cannot be reached: {reason}", remedy)
    if answer.status_code == httpx.codes.NOT_FOUND:
        raise base.wrong(f"answers HTTP 404 to GET {ping}")
    if answer.is_error:
        remedy = "It may refuse this address or country, or be down; `make demo` works offline."
        return warn(name, f"{base.url}{ping} answers HTTP {answer.status_code}", remedy)
    try:
        skew_ms = round(began_ms + half_ms - told.json()["serverTime"])
    except (ValueError, KeyError, TypeError):
        raise base.wrong(f"does not tell the time at {clock}") from None
    if abs(skew_ms) > SKEW_MS_MAX + half_ms:
        side = "ahead of" if skew_ms > 0 else "behind"
        finding = f"this machine's clock is {abs(skew_ms)} ms {side} {base.url}"
        return warn("clock", finding, "Synchronise it (chrony, systemd-timesyncd).")
    return ok(name, f"{base.url} answers; clocks differ by {abs(skew_ms)} ms")
