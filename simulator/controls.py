"""The simulator's own endpoints under ``/sim``: its truth, its switches and its faults."""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

import orjson
import structlog
from aiohttp import web

from simulator import control
from simulator.exchange import Exchange
from simulator.faults import BadRequestError, read_fault
from simulator.options import TRADES_PER_S_MAX

if TYPE_CHECKING:
    from simulator.server import Simulator

log = structlog.get_logger(__name__)

QUESTIONS = ("trades", "klines", "books", "states", "liquidations")


class Controls:
    """``GET`` asks, ``POST`` tells; ``exchange`` is the first one where it is not named."""

    def __init__(self, simulator: "Simulator") -> None:
        self._simulator = simulator

    async def ask(self, request: web.Request) -> web.Response:
        """Answer a question about the truth."""
        what, query = request.match_info["what"], request.query
        try:
            if what == "state":
                return self._state(query.get("exchange", ""))
            if what == "archive":
                return _json(self._simulator.archive.troubles.told())
            if what not in QUESTIONS:
                return _json({"error": f"no such question: {what}"}, 404)
            exchange = self._exchange(query.get("exchange", ""), query.get("market", ""))
            return _json(await _answer(what, exchange, query))
        except BadRequestError as e:
            return _json({"error": str(e)}, 400)

    async def tell(self, request: web.Request) -> web.Response:
        """Turn a switch, or make a fault happen."""
        simulator = self._simulator
        match request.match_info["what"]:
            case "start":
                simulator.start()
            case "stop":
                simulator.stop()
            case "rate":
                return self._tell_rate(request.query.get("trades_per_s", ""))
            case "fault":
                return self._tell_fault(await request.read())
            case "archive":
                return self._tell_archive(await request.read())
            case what:
                return _json({"error": f"no such switch: {what}"}, 404)
        return _json({"running": simulator.running})

    def _state(self, exchange: str) -> web.Response:
        simulator = self._simulator
        if exchange and not simulator.of(exchange):
            raise BadRequestError(f"{exchange} is not simulated")
        facts: dict[str, object] = {
            "running": simulator.running,
            "seed": simulator.options.seed,
            "exchanges": list(simulator.options.exchanges),
        }
        return _json(facts | simulator.state(exchange))

    def _tell_rate(self, text: str) -> web.Response:
        try:
            rate = float(text)
        except ValueError:
            rate = -1.0
        if not 0 <= rate <= TRADES_PER_S_MAX:
            return _json({"error": f"trades_per_s is a number from 0 to {TRADES_PER_S_MAX}"}, 400)
        self._simulator.set_rate(rate)
        return _json({"trades_per_s": rate})

    def _tell_fault(self, body: bytes) -> web.Response:
        try:
            fault = read_fault(body)
            exchange = self._exchange(fault.exchange, fault.market)
            touched = control.inflict(exchange, fault)
        except BadRequestError as e:
            return _json({"error": str(e)}, 400)
        log.info(
            "fault_inflicted",
            kind=fault.kind,
            exchange=exchange.name,
            market=fault.market,
            touched=touched,
        )
        return _json({"touched": touched})

    def _tell_archive(self, body: bytes) -> web.Response:
        troubles = self._simulator.archive.troubles
        try:
            troubles.change(body, self._simulator.markets)
        except BadRequestError as e:
            return _json({"error": str(e)}, 400)
        return _json(troubles.told())

    def _exchange(self, name: str, market: str) -> Exchange:
        found = self._simulator.of(name or self._simulator.options.exchanges[0])
        if not found:
            raise BadRequestError(f"{name} is not simulated")
        if market not in found:
            raise BadRequestError(f"market is one of {', '.join(found)}")
        return found[market]


async def _answer(what: str, exchange: Exchange, query: Mapping[str, str]) -> object:
    match what:
        case "klines":
            return await control.klines(exchange, query)
        case "books":
            return control.books(exchange, query)
        case "states":
            return control.states(exchange, query, time.time_ns() // 1_000_000)
        case "liquidations":
            return control.liquidations(exchange, query)
    return control.trades(exchange, query)


def _json(body: object, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")
