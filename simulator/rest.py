"""Binance's REST endpoints for public market data, answered from the same rows as the streams."""

import asyncio
import time
from collections.abc import Callable, Mapping

import orjson
from aiohttp import web

from simulator.candles import INTERVALS_MS, Candle, fold, open_time, series
from simulator.exchange import Exchange
from simulator.ledger import Ledger
from simulator.listing import exchange_info, ticker_24h
from simulator.symbols import Symbol

HOUR_MS = 3_600_000
DIGITS_MAX = 20


class _Refused(Exception):  # noqa: N818 - becomes the body of an answer
    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Rest:
    """One market's endpoints and the weight that was used in this minute."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._spot = exchange.market == "spot"
        self._minute = 0
        self._weight = 0

    async def answer(self, path: str, query: Mapping[str, str]) -> web.Response:
        """Answer a GET; ``path`` is without the market's prefix."""
        endpoint = path.removeprefix(self._exchange.venue.api).strip("/")
        if not path.startswith(self._exchange.venue.api + "/"):
            return web.Response(status=404)
        self._use(self._weight_of(endpoint, query))
        headers = {
            "x-mbx-used-weight": str(self._weight),
            "x-mbx-used-weight-1m": str(self._weight),
        }
        limit = self._exchange.venue.weight_per_minute
        if self._weight > limit:
            headers["Retry-After"] = str(60 - int(time.time()) % 60)
            text = (
                f"Too much request weight used; current limit is {limit} request weight per 1"
                " MINUTE. Please use WebSocket Streams for live updates to avoid polling the API."
            )
            return _json({"code": -1003, "msg": text}, headers, status=429)
        try:
            body = await self._body(endpoint, query)
        except _Refused as e:
            return _json({"code": e.code, "msg": str(e)}, headers, status=400)
        if body is None:
            return web.Response(status=404, headers=headers)
        return _json(body, headers)

    def _use(self, weight: int) -> None:
        minute = int(time.time()) // 60
        if minute != self._minute:
            self._minute, self._weight = minute, 0
        self._weight += weight

    def _weight_of(self, endpoint: str, query: Mapping[str, str]) -> int:
        if endpoint == "ticker/24hr":
            return (2 if self._spot else 1) if "symbol" in query else (80 if self._spot else 40)
        if self._spot:
            return {"exchangeInfo": 20, "klines": 2, "aggTrades": 4}.get(endpoint, 1)
        return {"exchangeInfo": 1, "klines": 5, "aggTrades": 20}.get(endpoint, 1)

    async def _body(self, endpoint: str, query: Mapping[str, str]) -> object | None:
        now_ms = time.time_ns() // 1_000_000
        if endpoint == "klines":
            return await self._klines(query, now_ms)
        answers: dict[str, Callable[[], object]] = {
            "ping": dict,
            "time": lambda: {"serverTime": now_ms},
            "exchangeInfo": lambda: exchange_info(self._exchange, self._symbols(query), now_ms),
            "ticker/24hr": lambda: self._tickers(query, now_ms),
            "aggTrades": lambda: self._aggregate_trades(query),
        }
        answer = answers.get(endpoint)
        return answer() if answer else None

    def _symbols(self, query: Mapping[str, str]) -> list[Symbol]:
        every = [*self._exchange.symbols, *self._exchange.idle_symbols]
        if "symbol" not in query or not self._spot:  # USD-M knows no parameter here
            return every
        found = [symbol for symbol in every if symbol.name == query["symbol"]]
        if not found:
            raise _Refused(-1121, "Invalid symbol.")
        return found

    def _tickers(self, query: Mapping[str, str], now_ms: int) -> object:
        if "symbol" in query:
            return ticker_24h(self._exchange, self._ledger(query), now_ms)
        ledgers = self._exchange.ledgers.values()
        return [ticker_24h(self._exchange, ledger, now_ms) for ledger in ledgers]

    def _ledger(self, query: Mapping[str, str]) -> Ledger:
        name = query.get("symbol", "")
        if not name:
            raise _Refused(
                -1102,
                "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed.",
            )
        ledger = self._exchange.ledgers.get(name)
        if ledger is None:
            raise _Refused(-1121, "Invalid symbol.")
        return ledger

    # -- aggTrades

    def _aggregate_trades(self, query: Mapping[str, str]) -> object:
        ledger = self._ledger(query)
        limit = self._limit(query, 500, 1_000)
        from_id = _whole(query, "fromId")
        start_ms, end_ms = _whole(query, "startTime"), _whole(query, "endTime")
        if from_id is not None and (start_ms is not None or end_ms is not None):
            raise _Refused(-1128, "Combination of optional parameters invalid.")
        if start_ms is not None and end_ms is not None:
            if start_ms > end_ms:
                raise _Refused(-1128, "Combination of optional parameters invalid.")
            if not self._spot and end_ms - start_ms >= HOUR_MS:
                raise _Refused(-1127, "More than 1 hours between startTime and endTime.")
        low, high = 0, ledger.next_aggregate_id
        if end_ms is not None:
            high = ledger.aggregate_at(end_ms + 1)
        if from_id is not None:
            low = from_id
        elif start_ms is not None:
            low = ledger.aggregate_at(start_ms)
        else:  # the newest ones
            low = high - limit
        oldest = ledger.aggregate_at(0)
        rows = ledger.aggregates(low, min(high, max(low, oldest) + limit))
        venue, symbol = self._exchange.venue, ledger.symbol
        best_match = {"M": True} if self._spot else {}
        return [
            {
                "a": row.id,
                "p": venue.price_text(symbol, row.price),
                "q": venue.qty_text(symbol, row.qty),
                "f": row.first,
                "l": row.last,
                "T": row.ts_ms,
                "m": row.side < 0,
                **best_match,
            }
            for row in rows
        ]

    def _limit(self, query: Mapping[str, str], default: int, most: int) -> int:
        limit = _whole(query, "limit")
        if limit is None:
            return default
        if limit == 0 or (limit > most and not self._spot):
            raise _Refused(-1130, "Data sent for parameter 'limit' is not valid.")
        return min(limit, most)

    # -- klines

    async def _klines(self, query: Mapping[str, str], now_ms: int) -> object:
        ledger = self._ledger(query)
        name = query.get("interval", "")
        if not name:
            raise _Refused(
                -1102,
                "Mandatory parameter 'interval' was not sent, was empty/null, or malformed.",
            )
        length_ms = INTERVALS_MS.get(name)
        if length_ms is None or (name == "1s" and not self._spot):
            raise _Refused(-1120, "Invalid interval.")
        limit = self._limit(query, 500, 1_000 if self._spot else 1_500)
        start_ms, end_ms = _whole(query, "startTime"), _whole(query, "endTime")
        if start_ms is not None and end_ms is not None and start_ms > end_ms:
            raise _Refused(-1128, "Combination of optional parameters invalid.")
        opens_ms = _open_times(ledger, length_ms, limit, start_ms, min(end_ms or now_ms, now_ms))
        if not opens_ms:
            return []
        low, high = ledger.id_at(opens_ms[0]), ledger.id_at(opens_ms[-1] + length_ms)
        before = ledger.rows(low - 1, low)
        rows = ledger.copy(low, high)
        candles = await asyncio.to_thread(lambda: fold(rows.rows(low, high), length_ms))
        close = before[0].price if before else None
        return [
            self._kline(ledger.symbol, candle, length_ms)
            for candle in series(candles, opens_ms, close)
        ]

    def _kline(self, symbol: Symbol, candle: Candle, length_ms: int) -> list[object]:
        venue = self._exchange.venue
        return [
            candle.open_ms,
            venue.price_text(symbol, candle.open),
            venue.price_text(symbol, candle.high),
            venue.price_text(symbol, candle.low),
            venue.price_text(symbol, candle.close),
            venue.qty_text(symbol, candle.volume),
            candle.open_ms + length_ms - 1,
            venue.quote_text(symbol, candle.quote_volume),
            candle.trade_count,
            venue.qty_text(symbol, candle.taker_buy_volume),
            venue.quote_text(symbol, candle.taker_buy_quote_volume),
            "0",
        ]


def _open_times(
    ledger: Ledger, length_ms: int, limit: int, start_ms: int | None, end_ms: int
) -> range:
    """Which candles to show: whole ones only, where old rows were forgotten."""
    if not len(ledger):
        return range(0)
    last_ms = open_time(end_ms, length_ms)
    oldest_ms = open_time(max(ledger.ts_ms[0], ledger.complete_from_ms), length_ms)
    if ledger.complete_from_ms > oldest_ms:
        oldest_ms += length_ms
    if start_ms is None:
        first_ms = max(last_ms - (limit - 1) * length_ms, oldest_ms)
    else:
        first_ms = max(open_time(start_ms + length_ms - 1, length_ms), oldest_ms)
    end_of_page_ms = first_ms + limit * length_ms
    return range(first_ms, min(last_ms + 1, end_of_page_ms), length_ms)


def _whole(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > DIGITS_MAX:
        raise _Refused(
            -1100,
            f"Illegal characters found in parameter '{name}'; legal range is '^[0-9]{{1,20}}$'.",
        )
    return int(text)


def _json(body: object, headers: Mapping[str, str], status: int = 200) -> web.Response:
    return web.Response(
        body=orjson.dumps(body), headers=headers, status=status, content_type="application/json"
    )
