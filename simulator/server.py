"""The simulated exchanges: their clock, and one port for all of them and for the controls."""

import asyncio
import contextlib
import time
from collections import deque
from types import TracebackType
from typing import Self

import orjson
import structlog
from aiohttp import web

from simulator.archive.tree import Tree
from simulator.controls import Controls
from simulator.dialect import Answer, Asked
from simulator.exchange import Exchange
from simulator.frames import CLOSE, framed
from simulator.options import SimulatorOptions
from simulator.session import GOING_AWAY, Session
from simulator.venues import dialects

log = structlog.get_logger(__name__)

# A loop that was held up for longer skips the time, as a halted exchange does.
LAG_MS_MAX = 1_000
ATTEMPTS_WINDOW_S = 300.0
BODY_BYTES_MAX = 65_536
CLOSE_FRAME = framed(GOING_AWAY.to_bytes(2, "big"), CLOSE)


class Simulator:
    """``async with Simulator(options) as sim``: listening and trading inside the block."""

    def __init__(self, options: SimulatorOptions | None = None) -> None:
        self.options = options or SimulatorOptions()
        self.port = 0
        self.running = False
        found = dialects(self.options)
        self.markets: dict[tuple[str, str], Exchange] = {
            (dialect.exchange, dialect.channel): Exchange(
                dialect,
                self.options,
                trades_per_s=self.options.trades_per_s / len(found),
                rows_max=self.options.rows_max // len(found),
            )
            for dialect in found
        }
        self.archive = Tree(self.options.archive_lag_h)
        self._attempts_s: dict[str, deque[float]] = {
            dialect.exchange: deque(maxlen=dialect.rules.attempts_max) for dialect in found
        }
        self._opened_ms = 0  # the wall time of virtual zero; moves on when time is skipped
        self._done_ms = 0  # virtual time that has been traded
        self._ticking: asyncio.Task[None] | None = None
        self._runner: web.AppRunner | None = None

    @property
    def exchanges(self) -> dict[str, Exchange]:
        """The markets of the first exchange, by channel."""
        return self.of(self.options.exchanges[0])

    def of(self, exchange: str) -> dict[str, Exchange]:
        """The markets of one exchange, by channel; empty when it is not simulated."""
        return {channel: e for (name, channel), e in self.markets.items() if name == exchange}

    # -- life

    async def __aenter__(self) -> Self:
        """Make the history, listen, and trade."""
        self._opened_ms = _now_ms()
        for exchange in self.markets.values():
            if self.options.past_days:
                exchange.make_past(self.options, self._opened_ms)
            exchange.make_history(self.options.history_s * 1_000, self._opened_ms)
        app = web.Application(client_max_size=BODY_BYTES_MAX)
        controls = Controls(self)
        app.router.add_get("/sim/{what}", controls.ask)
        app.router.add_post("/sim/{what}", controls.tell)
        app.router.add_get("/archive/{exchange}/{path:.*}", self._archived)
        app.router.add_route("*", "/{exchange}/{market}/{path:.*}", self._venue)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.options.host, self.options.port)
        try:
            await site.start()
        except OSError:
            await self._runner.cleanup()
            raise
        self.port = self._runner.addresses[0][1]
        self.start()
        self._ticking = asyncio.create_task(self._tick())
        log.info("simulator_listening", port=self.port, seed=self.options.seed)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close every socket and the port."""
        if self._ticking:
            self._ticking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._ticking
        for exchange in self.markets.values():
            for connection in list(exchange.hub.connections):
                if not connection.transport.is_closing():
                    connection.transport.write(CLOSE_FRAME)
                    connection.transport.close()
        if self._runner:
            await self._runner.cleanup()
        self.archive.close()
        log.info("simulator_stopped", trades=sum(e.rows_total for e in self.markets.values()))

    async def clock(self) -> None:
        """Wait for the clock, which ends only by a bug: its exception is raised here."""
        if self._ticking:
            await asyncio.shield(self._ticking)

    def url(self, market: str, kind: str = "ws", exchange: str = "binance") -> str:
        """The base URL of a market, for ``kind`` "ws" or "rest"."""
        scheme = "ws" if kind == "ws" else "http"
        return f"{scheme}://{self.options.host}:{self.port}/{exchange}/{market}"

    def archive_url(self, exchange: str = "binance") -> str:
        """The base URL of an exchange's archive of files."""
        return f"http://{self.options.host}:{self.port}/archive/{exchange}"

    # -- time

    def start(self) -> None:
        """Trade from now on; the virtual time of a stop does not exist."""
        if not self.running:
            self._opened_ms = _now_ms() - self._done_ms
            self.running = True

    def stop(self) -> None:
        """Make no more trades, book changes and ticks; sockets stay, and candles close."""
        self.running = False

    def set_rate(self, trades_per_s: float) -> None:
        """Change the mean rate of all markets together."""
        for exchange in self.markets.values():
            exchange.flow.trades_per_s = trades_per_s / len(self.markets)

    def state(self, exchange: str = "") -> dict[str, dict[str, object]]:
        """The counters of one exchange's markets (the first exchange's), by channel."""
        every = self.of(exchange or self.options.exchanges[0]).items()
        return {
            "markets": {market: [s.name for s in e.symbols] for market, e in every},
            "trades": {market: e.rows_total for market, e in every},
            "delivered": {market: e.delivery.rows_delivered for market, e in every},
            "messages": {market: dict(e.delivery.messages) for market, e in every},
            "kept": {market: e.rows_kept for market, e in every},
            "past": {market: _past(e) for market, e in every},
            "connections": {market: len(e.hub.connections) for market, e in every},
        }

    async def _tick(self) -> None:
        tick_s = self.options.tick_ms / 1_000
        while True:
            now_ms = _now_ms()
            if self.running:
                self._trade_until(now_ms)
            for exchange in self.markets.values():
                exchange.delivery.deliver(now_ms, time.time_ns(), is_running=self.running)
            await asyncio.sleep(tick_s - time.time() % tick_s)

    def _trade_until(self, now_ms: int) -> None:
        tick_ms = self.options.tick_ms
        lag_ms = now_ms - self._opened_ms - self._done_ms
        if lag_ms > LAG_MS_MAX:
            log.warning("time_skipped", lag_ms=lag_ms)
            self._opened_ms += lag_ms - tick_ms
        while self._opened_ms + self._done_ms + tick_ms <= now_ms:
            until_ms = self._done_ms + tick_ms
            for exchange in self.markets.values():
                exchange.trade(self._done_ms, until_ms, self._opened_ms, now_ms)
            self._done_ms = until_ms

    # -- clients

    async def _venue(self, request: web.Request) -> web.StreamResponse:
        where = request.match_info
        exchange = self.markets.get((where["exchange"], where["market"]))
        if exchange is None:
            return web.Response(status=404)
        path = "/" + where["path"]
        if request.headers.get("Upgrade", "").lower() != "websocket":
            return await _rest(exchange, request, path)
        if self._too_many_attempts(exchange.name):
            return web.Response(status=429, headers={"Retry-After": str(int(ATTEMPTS_WINDOW_S))})
        opening = exchange.dialect.open(path, request.query)
        if opening is None:
            return web.Response(status=404)
        return await Session(exchange, opening).serve(request)

    async def _archived(self, request: web.Request) -> web.StreamResponse:
        where = request.match_info
        exchanges = list(self.of(where["exchange"]).values())
        return await self.archive.answer(request, exchanges, "/" + where["path"], _now_ms())

    def _too_many_attempts(self, exchange: str) -> bool:
        now_s = asyncio.get_running_loop().time()
        window = self._attempts_s[exchange]
        if len(window) == window.maxlen and now_s - window[0] < ATTEMPTS_WINDOW_S:
            return True
        window.append(now_s)
        return False


def _past(exchange: Exchange) -> dict[str, object]:
    """First row, the row after the last, and the time of each symbol's past."""
    return {
        name: [past.first_id, past.next_id, past.from_ms, past.until_ms]
        for name, ledger in exchange.ledgers.items()
        if (past := ledger.past)
    }


async def _rest(exchange: Exchange, request: web.Request, path: str) -> web.Response:
    asked = Asked(
        method=request.method,
        path=path,
        query=request.query,
        body=await request.read(),
        now_ms=_now_ms(),
    )
    refused = exchange.trouble.refuses(asked.now_ms)
    if refused:
        retry_after_s, is_banned = refused
        answer = exchange.dialect.refuse(retry_after_s, is_banned=is_banned)
    else:
        answer = await exchange.dialect.rest(asked, exchange)
    return _response(answer)


def _response(answer: Answer) -> web.Response:
    is_made = isinstance(answer.body, bytes)
    return web.Response(
        body=answer.body if is_made else orjson.dumps(answer.body),
        status=answer.status,
        headers=answer.headers,
        content_type="application/json",
    )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
