"""Bybit's public market endpoints: a refusal is HTTP 200 with a ``retCode``, but for the address.

An address that asks more than 600 times in 5 s gets 403 and is to stay away for ten minutes.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from simulator.dialect import Answer, Asked
from simulator.symbols import Symbol
from simulator.venues.bybit import history, listing
from simulator.venues.bybit.topics import INTERVALS_MS

if TYPE_CHECKING:
    from simulator.exchange import Exchange

PREFIX = "/v5/market/"
ASKS_MAX = 600
WINDOW_MS = 5_000
BAD_PARAMETER = 10_001
HOUR_MS = 3_600_000
INTEREST_MS = {
    "5min": 300_000,
    "15min": 900_000,
    "30min": 1_800_000,
    "1h": HOUR_MS,
    "4h": 4 * HOUR_MS,
    "1d": 24 * HOUR_MS,
}


class RefusedError(Exception):
    """A request that is answered with an error code of the venue."""


def refused() -> Answer:
    """The answer to who asks too often."""
    return Answer(body=b"403, access too frequent", status=403)


class Rest:
    """The endpoints of one market."""

    def __init__(self, channel: str) -> None:
        self._channel = channel
        self._is_linear = channel == "linear"
        self._asked_ms: deque[int] = deque(maxlen=ASKS_MAX)

    async def answer(self, asked: Asked, exchange: "Exchange") -> Answer:
        """Answer one request."""
        asks = self._asked_ms
        if len(asks) == ASKS_MAX and asked.now_ms - asks[0] < WINDOW_MS:
            return refused()
        asks.append(asked.now_ms)
        if not asked.path.startswith(PREFIX):
            return Answer(body=b"404 page not found", status=404)
        code, said, result = 0, "OK", None
        try:
            result = await self._result(asked.path.removeprefix(PREFIX), asked, exchange)
        except RefusedError as e:
            code, said, result = BAD_PARAMETER, str(e), {}
        if result is None:
            return Answer(body=b"404 page not found", status=404)
        body = {"retCode": code, "retMsg": said, "result": result, "retExtInfo": {}}
        return Answer(body=body | {"time": asked.now_ms})

    async def _result(
        self, endpoint: str, asked: Asked, exchange: "Exchange"
    ) -> Mapping[str, object] | None:
        query, now_ms = asked.query, asked.now_ms
        if endpoint == "time":
            return {"timeSecond": str(now_ms // 1_000), "timeNano": str(now_ms * 1_000_000)}
        if query.get("category") != self._channel:
            raise RefusedError("Illegal category")
        match endpoint:
            case "instruments-info":
                return self._instruments(query, exchange)
            case "tickers":
                found = self._named(query, exchange.symbols)
                rows = [
                    listing.ticker(exchange, symbol, now_ms, is_linear=self._is_linear)
                    for symbol in found
                ]
                return {"category": self._channel, "list": rows}
            case "orderbook" | "recent-trade" | "kline" | "open-interest":
                return await self._of_symbol(endpoint, asked, exchange)
        return None

    async def _of_symbol(
        self, endpoint: str, asked: Asked, exchange: "Exchange"
    ) -> Mapping[str, object]:
        query, now_ms, is_linear = asked.query, asked.now_ms, self._is_linear
        ledger = exchange.ledgers.get(query.get("symbol", ""))
        if ledger is None:
            raise RefusedError("params error: symbol invalid")
        head = {"category": self._channel}
        if endpoint == "orderbook":
            depth = _limit(query, 25 if is_linear else 1, 1_000)
            return listing.order_book(exchange, ledger.symbol, depth, now_ms, is_linear=is_linear)
        if endpoint == "recent-trade":
            limit = _limit(query, 500 if is_linear else 60, 1_000 if is_linear else 60)
            return head | {"list": history.recent_trades(ledger, limit, is_linear=is_linear)}
        head["symbol"] = ledger.symbol.name
        if endpoint == "kline":
            length_ms = INTERVALS_MS.get(query.get("interval", ""))
            if length_ms is None:
                raise RefusedError("Invalid period!")
            numbers = {name: _whole(query, name) for name in ("start", "end", "limit")}
            told = {name: number for name, number in numbers.items() if number is not None}
            return head | {"list": await history.klines(ledger, length_ms, told, now_ms)}
        return head | {"list": [self._interest(query, exchange, now_ms)], "nextPageCursor": ""}

    def _instruments(self, query: Mapping[str, str], exchange: "Exchange") -> dict[str, object]:
        status = query.get("status", listing.TRADING)
        every = [*exchange.symbols, *exchange.dialect.idle_symbols()]
        found = self._named(query, [symbol for symbol in every if symbol.status == status])
        told: dict[str, object] = {"category": self._channel}
        if self._is_linear:
            found = sorted(found, key=lambda symbol: symbol.name)
            before = unquote(query.get("cursor", "")).rpartition("last=")[2]
            limit = _limit(query, 500, 1_000)
            found = [symbol for symbol in found if symbol.name > before][:limit]
            is_full = len(found) == limit
            names = f"first={found[0].name}&last={found[-1].name}" if is_full else ""
            told["nextPageCursor"] = quote(names, safe="")
        rows = [listing.instrument(symbol, is_linear=self._is_linear) for symbol in found]
        return told | {"list": rows}

    def _named(self, query: Mapping[str, str], symbols: Sequence[Symbol]) -> list[Symbol]:
        """Return the symbol that is asked for, or all; spot has an empty list for a wrong one."""
        if "symbol" not in query:
            return list(symbols)
        found = [symbol for symbol in symbols if symbol.name == query["symbol"]]
        if not found and self._is_linear:
            raise RefusedError("params error: symbol invalid")
        return found

    def _interest(
        self, query: Mapping[str, str], exchange: "Exchange", now_ms: int
    ) -> dict[str, object]:
        every_ms = INTEREST_MS.get(query.get("intervalTime", ""))
        if every_ms is None or not self._is_linear:
            raise RefusedError("params error: intervalTime invalid")
        row = listing.open_interest(exchange, query["symbol"], now_ms)
        return row | {"timestamp": str(now_ms - now_ms % every_ms)}


def _limit(query: Mapping[str, str], default: int, most: int) -> int:
    limit = _whole(query, "limit")
    if limit == 0:
        raise RefusedError("params error: limit invalid")
    return default if limit is None else min(limit, most)


def _whole(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise RefusedError(f"params error: {name} invalid")
    return int(text)
