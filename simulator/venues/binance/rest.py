"""Binance's REST endpoints for public market data, answered from the same truth as the streams."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from simulator.dialect import Answer, Asked
from simulator.symbols import Symbol
from simulator.venues.binance import history, listing
from simulator.venues.binance.market import Market
from simulator.venues.binance.parameters import RefusedError, limit_of, symbol_of

if TYPE_CHECKING:
    from simulator.exchange import Exchange

MINUTE_MS = 60_000
TOO_MUCH = -1003
ASKS_BEFORE_BAN = 10  # over the weight, in one minute
BAN_S = 120
DEPTHS = (5, 10, 20, 50, 100, 500, 1_000)  # of USD-M; spot takes any number up to the last
SPOT_DEPTH_MAX = 5_000


class Rest:
    """One market's endpoints and the weight that was used in this minute."""

    def __init__(self, market: Market, idle: list[Symbol], horizon_ms: int) -> None:
        self._market = market
        self._idle = idle
        self._horizon_ms = horizon_ms
        self._minute = 0
        self._weight = 0
        self._asked_on = 0

    async def answer(self, asked: Asked, exchange: "Exchange") -> Answer:
        """Answer a GET."""
        market = self._market
        endpoint = asked.path.removeprefix(market.api).strip("/")
        if asked.method != "GET" or not asked.path.startswith(market.api + "/"):
            return Answer(status=404)
        self._use(weight_of(market, endpoint, asked.query), asked.now_ms)
        used = str(self._weight)
        headers = {"x-mbx-used-weight": used, "x-mbx-used-weight-1m": used}
        if self._weight > market.weight_per_minute:
            self._asked_on += 1
            is_banned = self._asked_on > ASKS_BEFORE_BAN
            left_s = BAN_S if is_banned else 60 - asked.now_ms % MINUTE_MS // 1_000
            answer = refused(market.weight_per_minute, left_s, is_banned=is_banned)
            return Answer(
                body=answer.body, status=answer.status, headers={**headers, **answer.headers}
            )
        try:
            body = await self._body(endpoint, asked, exchange)
        except RefusedError as e:
            return Answer(body={"code": e.code, "msg": str(e)}, status=400, headers=headers)
        return Answer(body=body, headers=headers, status=404 if body is None else 200)

    def _use(self, weight: int, now_ms: int) -> None:
        minute = now_ms // MINUTE_MS
        if minute != self._minute:
            self._minute, self._weight, self._asked_on = minute, 0, 0
        self._weight += weight

    async def _body(self, endpoint: str, asked: Asked, exchange: "Exchange") -> object | None:
        market, query, now_ms = self._market, asked.query, asked.now_ms
        if endpoint == "klines":
            return await history.klines(market, exchange, query, now_ms)
        answers: dict[str, Callable[[], object]] = {
            "ping": dict,
            "time": lambda: {"serverTime": now_ms},
            "exchangeInfo": lambda: listing.exchange_info(
                market, self._symbols(query, exchange), now_ms
            ),
            "ticker/24hr": lambda: self._tickers(asked, exchange),
            "aggTrades": lambda: history.aggregate_trades(
                market, exchange, query, now_ms - self._horizon_ms
            ),
            "depth": lambda: _depth(market, asked, exchange),
        }
        if market.is_spot:
            answers["historicalTrades"] = lambda: history.trades(market, exchange, query)
        else:
            answers |= {
                "premiumIndex": lambda: self._premiums(asked, exchange),
                "openInterest": lambda: listing.open_interest(
                    exchange, market, symbol_of(query, exchange).name, now_ms
                ),
                "fundingInfo": list,  # no symbol is paid at other times than each 8 hours
            }
        answer = answers.get(endpoint)
        return answer() if answer else None

    def _symbols(self, query: Mapping[str, str], exchange: "Exchange") -> list[Symbol]:
        every = [*exchange.symbols, *self._idle]
        if "symbol" not in query or not self._market.is_spot:  # USD-M knows no parameter here
            return every
        found = [symbol for symbol in every if symbol.name == query["symbol"]]
        if not found:
            raise RefusedError(-1121, "Invalid symbol.")
        return found

    def _tickers(self, asked: Asked, exchange: "Exchange") -> object:
        market, now_ms = self._market, asked.now_ms
        if "symbol" in asked.query:
            name = symbol_of(asked.query, exchange).name
            return listing.ticker_24h(exchange, market, name, now_ms)
        return [listing.ticker_24h(exchange, market, n, now_ms) for n in exchange.ledgers]

    def _premiums(self, asked: Asked, exchange: "Exchange") -> object:
        if "symbol" in asked.query:
            name = symbol_of(asked.query, exchange).name
            return listing.premium_index(exchange, name, asked.now_ms)
        return [listing.premium_index(exchange, n, asked.now_ms) for n in exchange.ledgers]


def refused(limit: int, retry_after_s: int, *, is_banned: bool) -> Answer:
    """429 for who asked too much, 418 for who asked on."""
    text = (
        f"Way too much request weight used; IP banned for {retry_after_s} s."
        if is_banned
        else f"Too much request weight used; current limit is {limit} request weight per 1 MINUTE."
    )
    return Answer(
        body={"code": TOO_MUCH, "msg": f"{text} Please use WebSocket Streams for live updates."},
        status=418 if is_banned else 429,
        headers={"Retry-After": str(retry_after_s)},
    )


def weight_of(market: Market, endpoint: str, query: Mapping[str, str]) -> int:
    """What a request costs."""
    spot = market.is_spot
    if endpoint == "ticker/24hr":
        return (2 if spot else 1) if "symbol" in query else (80 if spot else 40)
    if endpoint == "premiumIndex":
        return 1 if "symbol" in query else 10
    if endpoint == "depth":
        text = query.get("limit", "")
        limit = int(text) if text.isascii() and text.isdigit() else (100 if spot else 500)
        steps = (
            ((100, 5), (500, 25), (1_000, 50), (SPOT_DEPTH_MAX, 250))
            if spot
            else ((50, 2), (100, 5), (500, 10), (1_000, 20))
        )
        return next((weight for most, weight in steps if limit <= most), steps[-1][1])
    if spot:
        costs = {"exchangeInfo": 20, "klines": 2, "aggTrades": 4, "historicalTrades": 25}
    else:
        costs = {"exchangeInfo": 1, "klines": 5, "aggTrades": 20}
    return costs.get(endpoint, 1)


def _depth(market: Market, asked: Asked, exchange: "Exchange") -> object:
    symbol = symbol_of(asked.query, exchange)
    if market.is_spot:
        limit = limit_of(market, asked.query, 100, SPOT_DEPTH_MAX)
    else:
        limit = limit_of(market, asked.query, 500, DEPTHS[-1])
        if limit not in DEPTHS:
            raise RefusedError(-4021, f"{limit} is not valid depth limit.")
    book = exchange.book(symbol.name)
    bids, asks = (
        [[market.price_text(symbol, p), market.qty_text(symbol, q)] for p, q in side]
        for side in book.top(limit)
    )
    times = {} if market.is_spot else {"E": asked.now_ms, "T": book.ts_ms or asked.now_ms}
    update_id = market.update_id(book.last_id)
    return {"lastUpdateId": update_id, **times, "bids": bids, "asks": asks}
