"""The parts of the gateway's security, put together: what the gateway opens, follows and wears."""

import asyncio
import time

import structlog
from fastapi import APIRouter
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from runtime.errors import Misconfigured
from runtime.settings import Settings
from sinks.gateway.security import metrics
from sinks.gateway.security.addresses import is_loopback
from sinks.gateway.security.admission import Admission
from sinks.gateway.security.api import build_keys, build_tokens
from sinks.gateway.security.audit import Audit
from sinks.gateway.security.doorkeeper import Doorkeeper
from sinks.gateway.security.families import Families
from sinks.gateway.security.guard import Guard
from sinks.gateway.security.half_open import HALF_OPEN_MAX
from sinks.gateway.security.key_log import KeyLog
from sinks.gateway.security.keys import KeyTable
from sinks.gateway.security.open_files import allow_open_files
from sinks.gateway.security.policy import read_policy, read_tls, read_tokens
from sinks.gateway.security.rates import Rates
from sinks.gateway.security.roles import Endpoints
from sinks.gateway.security.seats import Seats
from sinks.gateway.security.sessions import Sessions

logger = structlog.get_logger(__name__)

SWEEP_S = 1.0
PREFLIGHT_KEPT_S = 600
HEADERS_ALLOWED = ["authorization", "content-type", "x-api-key", "x-auth-user"]


class Security:
    """``open``, then ``follow`` and at last ``close``; raises Misconfigured when made."""

    def __init__(self, settings: Settings) -> None:
        self._host = settings.websocket_host
        self._policy = read_policy(settings)
        self._table = KeyTable()
        self._families = Families()
        self._doorkeeper = Doorkeeper(settings, self._table, read_tokens(settings), self._families)
        self._log = KeyLog(settings, self._table, self._families)
        self._rates = Rates(settings)
        self._sessions = Sessions(self._doorkeeper)
        self._endpoints = Endpoints(settings.websocket_path)
        self.tls = read_tls(settings)

    async def open(self) -> None:
        """Read the keys; raise Misconfigured where anybody could reach a gateway without any."""
        allow_open_files(self._policy.seats["all"] + HALF_OPEN_MAX)
        await self._log.open()
        metrics.KEYS.set(self._table.live(time.time_ns() // 1_000_000))
        if not is_loopback(self._host) and not self._doorkeeper.has_keys:
            raise Misconfigured(
                "STREAMER_WEBSOCKET_HOST",
                f"{self._host} can be reached from elsewhere, and there are no keys",
                remedy="Run `fibstream keys generate` and set STREAMER_GATEWAY_ADMIN_KEY_HASH to "
                "its hash; or listen on 127.0.0.1; or let everybody read: "
                "STREAMER_GATEWAY_ANONYMOUS_ROLE=viewer.",
            )
        if self._doorkeeper.is_open:
            logger.warning(
                "gateway_without_keys",
                host=self._host,
                reachable="from this machine only",
                remedy="fibstream keys create NAME --role admin",
            )

    async def close(self) -> None:
        """Disconnect."""
        await self._log.close()
        await self._rates.close()

    async def follow(self) -> None:
        """Keep the keys up to date, and end connections whose key or token ended, for ever."""
        sweeping = asyncio.create_task(self._sweep())
        try:
            await self._log.follow()
        finally:
            sweeping.cancel()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            now_s = time.time()
            self._families.forget(int(now_s * 1_000))
            self._sessions.sweep(now_s)
            metrics.KEYS.set(self._table.live(int(now_s * 1_000)))

    def routers(self) -> list[APIRouter]:
        """Return the routes of keys and tokens."""
        keys = build_keys(self._table, self._log.write, self._doorkeeper)
        return [keys, build_tokens(self._doorkeeper, self._log.write_use)]

    def middleware(self) -> list[Middleware]:
        """Return what stands before the routes, the outermost first."""
        admission = Admission(self._policy, self._endpoints, self._doorkeeper, self._rates)
        guard = Middleware(
            Guard,
            admission=admission,
            seats=Seats(self._policy.seats),
            sessions=self._sessions,
            audit=Audit(self._log.audit),
        )
        if not self._policy.origins:
            return [guard]
        cors = Middleware(
            CORSMiddleware,
            allow_origins=self._policy.origins,
            allow_methods=["GET", "POST", "PATCH", "DELETE"],
            allow_headers=HEADERS_ALLOWED,
            expose_headers=["retry-after"],
            max_age=PREFLIGHT_KEPT_S,
        )
        return [cors, guard]
