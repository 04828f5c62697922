"""The simulated Binance: its clock, and one port for its markets and its own controls."""

import asyncio
import contextlib
import time
from collections import deque
from types import TracebackType
from typing import Self

import orjson
import structlog
from aiohttp import web

from simulator import control
from simulator.exchange import Exchange
from simulator.faults import BadRequestError, read_fault
from simulator.options import TRADES_PER_S_MAX, SimulatorOptions
from simulator.rest import Rest
from simulator.session import GOING_AWAY, Session

log = structlog.get_logger(__name__)

# A loop that was held up for longer skips the time, as a halted exchange does.
LAG_MS_MAX = 1_000
ATTEMPTS_WINDOW_S = 300.0
CLOSE_FRAME = bytes((0x88, 2)) + GOING_AWAY.to_bytes(2, "big")


class Simulator:
    """``async with Simulator(options) as sim``: listening and trading inside the block."""

    def __init__(self, options: SimulatorOptions | None = None) -> None:
        self.options = options or SimulatorOptions()
        self.port = 0
        self.running = False
        share = len(self.options.markets)
        self.exchanges = {
            market: Exchange(
                market,
                self.options,
                trades_per_s=self.options.trades_per_s / share,
                rows_max=self.options.rows_max // share,
            )
            for market in self.options.markets
        }
        self._rest = {market: Rest(exchange) for market, exchange in self.exchanges.items()}
        self._attempts_s: deque[float] = deque(maxlen=self.options.connection_attempts_max)
        self._opened_ms = 0  # the wall time of virtual zero; moves on when time is skipped
        self._done_ms = 0  # virtual time that has been traded
        self._ticking: asyncio.Task[None] | None = None
        self._runner: web.AppRunner | None = None

    # -- life

    async def __aenter__(self) -> Self:
        """Make the history, listen, and trade."""
        self._opened_ms = _now_ms()
        for exchange in self.exchanges.values():
            exchange.make_history(self.options.history_s * 1_000, self._opened_ms)
        app = web.Application()
        app.router.add_get("/sim/{what}", self._ask)
        app.router.add_post("/sim/{what}", self._tell)
        app.router.add_get("/{market}/{path:.*}", self._venue)
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
        for exchange in self.exchanges.values():
            for connection in list(exchange.hub.connections):
                if not connection.transport.is_closing():
                    connection.transport.write(CLOSE_FRAME)
                    connection.transport.close()
        if self._runner:
            await self._runner.cleanup()
        log.info("simulator_stopped", **self.state()["trades"])

    async def clock(self) -> None:
        """Wait for the clock, which ends only by a bug: its exception is raised here."""
        if self._ticking:
            await asyncio.shield(self._ticking)

    def url(self, market: str, kind: str = "ws") -> str:
        """The base URL of a market, for ``kind`` "ws" or "rest"."""
        scheme = "ws" if kind == "ws" else "http"
        return f"{scheme}://{self.options.host}:{self.port}/{market}"

    # -- time

    def start(self) -> None:
        """Trade from now on; the virtual time of a stop does not exist."""
        if not self.running:
            self._opened_ms = _now_ms() - self._done_ms
            self.running = True

    def stop(self) -> None:
        """Make no more trades; sockets stay."""
        self.running = False

    def set_rate(self, trades_per_s: float) -> None:
        """Change the mean rate of all markets together."""
        for exchange in self.exchanges.values():
            exchange.flow.trades_per_s = trades_per_s / len(self.exchanges)

    async def _tick(self) -> None:
        tick_s = self.options.tick_ms / 1_000
        while True:
            now_ms = _now_ms()
            if self.running:
                self._trade_until(now_ms)
            for exchange in self.exchanges.values():
                exchange.deliver(now_ms, time.time_ns())
            await asyncio.sleep(tick_s - time.time() % tick_s)

    def _trade_until(self, now_ms: int) -> None:
        tick_ms = self.options.tick_ms
        lag_ms = now_ms - self._opened_ms - self._done_ms
        if lag_ms > LAG_MS_MAX:
            log.warning("time_skipped", lag_ms=lag_ms)
            self._opened_ms += lag_ms - tick_ms
        while self._opened_ms + self._done_ms + tick_ms <= now_ms:
            until_ms = self._done_ms + tick_ms
            for exchange in self.exchanges.values():
                exchange.trade(self._done_ms, until_ms, self._opened_ms, now_ms)
            self._done_ms = until_ms

    # -- HTTP

    def state(self) -> dict[str, dict[str, object]]:
        """What ``GET /sim/state`` says."""
        every = self.exchanges.items()
        return {
            "markets": {market: [s.name for s in e.symbols] for market, e in every},
            "trades": {market: e.rows_total for market, e in every},
            "delivered": {market: e.rows_delivered for market, e in every},
            "kept": {market: e.rows_kept for market, e in every},
            "connections": {market: len(e.hub.connections) for market, e in every},
        }

    async def _venue(self, request: web.Request) -> web.StreamResponse:
        market, path = request.match_info["market"], "/" + request.match_info["path"]
        exchange = self.exchanges.get(market)
        if exchange is None:
            return web.Response(status=404)
        if request.headers.get("Upgrade", "").lower() != "websocket":
            return await self._rest[market].answer(path, request.query)
        if self._too_many_attempts():
            return web.Response(status=429, headers={"Retry-After": str(int(ATTEMPTS_WINDOW_S))})
        return await Session(exchange, self.options.connection_lifetime_s).serve(request, path)

    def _too_many_attempts(self) -> bool:
        now_s = asyncio.get_running_loop().time()
        window = self._attempts_s
        if len(window) == window.maxlen and now_s - window[0] < ATTEMPTS_WINDOW_S:
            return True
        window.append(now_s)
        return False

    async def _ask(self, request: web.Request) -> web.Response:
        what, query = request.match_info["what"], request.query
        if what == "state":
            return _json({"running": self.running, "seed": self.options.seed, **self.state()})
        if what not in ("trades", "klines"):
            return _json({"error": f"no such question: {what}"}, 404)
        try:
            exchange = self._exchange(query.get("market", ""))
            if what == "trades":
                return _json(control.trades(exchange, query))
            return _json(await control.klines(exchange, query))
        except BadRequestError as e:
            return _json({"error": str(e)}, 400)

    async def _tell(self, request: web.Request) -> web.Response:
        match request.match_info["what"]:
            case "start":
                self.start()
            case "stop":
                self.stop()
            case "rate":
                return self._tell_rate(request.query.get("trades_per_s", ""))
            case "fault":
                return self._tell_fault(await request.read())
            case what:
                return _json({"error": f"no such switch: {what}"}, 404)
        return _json({"running": self.running})

    def _tell_rate(self, text: str) -> web.Response:
        try:
            rate = float(text)
        except ValueError:
            rate = -1.0
        if not 0 <= rate <= TRADES_PER_S_MAX:
            return _json({"error": f"trades_per_s is a number from 0 to {TRADES_PER_S_MAX}"}, 400)
        self.set_rate(rate)
        return _json({"trades_per_s": rate})

    def _tell_fault(self, body: bytes) -> web.Response:
        try:
            fault = read_fault(body)
            touched = control.inflict(self._exchange(fault.market), fault)
        except BadRequestError as e:
            return _json({"error": str(e)}, 400)
        log.info("fault_inflicted", kind=fault.kind, market=fault.market, touched=touched)
        return _json({"touched": touched})

    def _exchange(self, market: str) -> Exchange:
        exchange = self.exchanges.get(market)
        if exchange is None:
            raise BadRequestError(f"market is one of {', '.join(self.exchanges)}")
        return exchange


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _json(body: object, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")
