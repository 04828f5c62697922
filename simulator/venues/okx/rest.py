"""OKX's REST: every answer is ``{"code", "msg", "data"}``, each endpoint has its own allowance."""

from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from simulator.dialect import Answer, Asked
from simulator.ledger import Ledger
from simulator.state import MarketState
from simulator.symbols import Symbol
from simulator.venues.okx import history, listing, rows
from simulator.venues.okx.feeds import DEPTH
from simulator.venues.okx.listing import SWAP, Json
from simulator.venues.okx.parameters import RefusedError, mandatory, whole

if TYPE_CHECKING:
    from simulator.exchange import Exchange

API = "/api/v5/"
WINDOW_MS = 2_000
ALLOWED = {  # requests in a window
    "market/books": 40,
    "market/candles": 40,
    "market/trades": 100,
    "public/funding-rate": 10,
    "public/mark-price": 10,
}
ALLOWED_ELSE = 20
HORIZON_MS = 90 * 86_400_000  # of history-trades
Body = Sequence[Mapping[str, object] | Sequence[str]]


class Rest:
    """One market's endpoints and how often each was asked lately."""

    def __init__(self, type_: str, idle: list[Symbol]) -> None:
        self._type = type_
        self._idle = idle
        self._asked_ms: dict[str, deque[int]] = {}
        make: dict[str, Callable[[Asked, Exchange], Awaitable[Body]]] = {
            "public/time": self._time,
            "public/instruments": self._instruments,
            "market/tickers": self._tickers,
            "market/ticker": self._ticker,
            "market/books": self._books,
            "market/trades": self._trades,
            "market/history-trades": self._history_trades,
            "market/candles": self._candles,
            "market/history-candles": self._candles,
        }
        if type_ == "SWAP":
            make |= {
                "public/open-interest": self._states(rows.open_interest),
                "public/funding-rate": self._states(rows.funding_rate, is_typed=False),
                "public/mark-price": self._states(rows.mark_price),
                "market/index-tickers": self._indices,
            }
        self._endpoints: Mapping[str, Callable[[Asked, Exchange], Awaitable[Body]]] = make

    async def answer(self, asked: Asked, exchange: "Exchange") -> Answer:
        """Answer a GET."""
        endpoint = asked.path.removeprefix(API)
        make = self._endpoints.get(endpoint)
        if asked.method != "GET" or not asked.path.startswith(API) or make is None:
            return Answer(body={"code": "404", "msg": "Not Found", "data": []}, status=404)
        if self._is_too_much(endpoint, asked.now_ms):
            return refused()
        try:
            body = await make(asked, exchange)
        except RefusedError as e:
            return Answer(body={"code": e.code, "msg": str(e), "data": []}, status=e.status)
        return Answer(body={"code": "0", "msg": "", "data": body})

    def _is_too_much(self, endpoint: str, now_ms: int) -> bool:
        allowed = ALLOWED.get(endpoint, ALLOWED_ELSE)
        asked_ms = self._asked_ms.setdefault(endpoint, deque(maxlen=allowed))
        if len(asked_ms) == allowed and now_ms - asked_ms[0] < WINDOW_MS:
            return True
        asked_ms.append(now_ms)
        return False

    # -- what is asked about

    def _typed(self, asked: Asked) -> None:
        if mandatory(asked.query, "instType") != self._type:
            raise RefusedError("51000", "Parameter instType error", status=400)

    def _ledger(self, asked: Asked, exchange: "Exchange") -> Ledger:
        ledger = exchange.ledgers.get(mandatory(asked.query, "instId"))
        if ledger is None:
            raise RefusedError("51001", "Instrument ID does not exist.")
        return ledger

    # -- endpoints

    async def _time(self, asked: Asked, _exchange: "Exchange") -> Body:
        return [{"ts": str(asked.now_ms)}]

    async def _instruments(self, asked: Asked, exchange: "Exchange") -> Body:
        self._typed(asked)
        listed = [listing.instrument(s) for s in (*exchange.symbols, *self._idle)]
        if self._type == "SWAP":
            listed.append(listing.inverse())
        name = asked.query.get("instId")
        return [row for row in listed if name in (None, row["instId"])]

    async def _tickers(self, asked: Asked, exchange: "Exchange") -> Body:
        self._typed(asked)
        return [self._one_ticker(name, asked, exchange) for name in exchange.ledgers]

    async def _ticker(self, asked: Asked, exchange: "Exchange") -> Body:
        return [self._one_ticker(self._ledger(asked, exchange).symbol.name, asked, exchange)]

    def _one_ticker(self, name: str, asked: Asked, exchange: "Exchange") -> Json:
        state, symbol = exchange.state(name, asked.now_ms), exchange.ledgers[name].symbol
        bid = exchange.flow.bid(exchange.index[name])  # all books would be too much
        best = (bid, symbol.lot), (bid + symbol.tick, symbol.lot)
        return rows.ticker(state, best) | {"ts": str(asked.now_ms)}

    async def _books(self, asked: Asked, exchange: "Exchange") -> Body:
        symbol = self._ledger(asked, exchange).symbol
        depth, book = whole(asked.query, "sz"), exchange.book(symbol.name)
        bids, asks = book.top(min(max(depth or 1, 1), DEPTH))
        return [
            {
                "asks": rows.levels(symbol, asks),
                "bids": rows.levels(symbol, bids),
                "ts": str(book.ts_ms or asked.now_ms),
                "seqId": book.last_id,
            }
        ]

    async def _trades(self, asked: Asked, exchange: "Exchange") -> Body:
        newest = {k: v for k, v in asked.query.items() if k in ("instId", "limit")}
        return history.trades(self._ledger(asked, exchange), newest, limit_max=500)

    async def _history_trades(self, asked: Asked, exchange: "Exchange") -> Body:
        ledger, oldest_ms = self._ledger(asked, exchange), asked.now_ms - HORIZON_MS
        return history.trades(ledger, asked.query, limit_max=100, oldest_ms=oldest_ms)

    async def _candles(self, asked: Asked, exchange: "Exchange") -> Body:
        ledger = self._ledger(asked, exchange)
        return await history.candles(ledger, asked.query, asked.now_ms, limit_max=300)

    async def _indices(self, asked: Asked, exchange: "Exchange") -> Body:
        name = mandatory(asked.query, "instId") + SWAP
        if name not in exchange.ledgers:
            raise RefusedError("51001", "Instrument ID does not exist.")
        row = rows.index_ticker(exchange.state(name, asked.now_ms))
        return [row | {"ts": str(asked.now_ms)}]

    def _states(
        self, row: Callable[[MarketState], Json], *, is_typed: bool = True
    ) -> "Callable[[Asked, Exchange], Awaitable[Body]]":
        async def make(asked: Asked, exchange: "Exchange") -> Body:
            if is_typed:
                self._typed(asked)
            names = [self._ledger(asked, exchange).symbol.name] if _is_one(asked) else None
            return [
                row(exchange.state(name, asked.now_ms)) | {"ts": str(asked.now_ms)}
                for name in names or exchange.ledgers
            ]

        return make


def _is_one(asked: Asked) -> bool:
    return asked.query.get("instId", "ANY") != "ANY"


def refused() -> Answer:
    """The answer to who asks too much; it never says for how long."""
    return Answer(body={"code": "50011", "msg": "Too Many Requests", "data": []}, status=429)
