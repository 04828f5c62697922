"""Hyperliquid's one endpoint, ``POST /info``, within 1,200 weight a minute."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import orjson

from simulator.candles import INTERVALS_MS, fold
from simulator.dialect import Answer, Asked
from simulator.kline_streams import Update
from simulator.symbols import Symbol
from simulator.venues.hyperliquid.feeds import DEPTHS, book, candle, context_of, trade
from simulator.venues.hyperliquid.symbols import number

if TYPE_CHECKING:
    from simulator.exchange import Exchange

WEIGHT_PER_MINUTE = 1_200
WEIGHT, LIGHT = 20, 2
LIGHT_KINDS = {"l2Book", "allMids"}
TRADES_MAX = 100
CANDLES_MAX = 5_000
EMPTY_CONTEXT = {
    **dict.fromkeys(("funding", "openInterest", "dayNtlVlm", "dayBaseVlm"), "0.0"),
    **dict.fromkeys(("prevDayPx", "oraclePx", "markPx"), "0.5"),
    "premium": None,
    "midPx": None,
    "impactPxs": None,
}

Wish = Mapping[str, Any]


class Info:
    """Answers questions, and counts their weight."""

    def __init__(self) -> None:
        self._minute = self._used = 0
        self._answers: Mapping[str, Callable[[Wish, Exchange, int], object]] = {
            "meta": lambda _wish, exchange, _now_ms: _meta(exchange),
            "metaAndAssetCtxs": _meta_and_contexts,
            "allMids": _mids,
            "l2Book": _book,
            "recentTrades": _recent_trades,
            "candleSnapshot": _candles,
        }

    def answer(self, asked: Asked, exchange: "Exchange") -> Answer:
        """Answer one request."""
        if asked.path != "/info":
            return Answer(status=404)
        if asked.method != "POST":
            return Answer(status=405)
        try:
            wish = orjson.loads(asked.body)
        except ValueError:
            wish = None
        kind = str(wish.get("type")) if isinstance(wish, dict) else ""
        if kind not in self._answers:
            said = b"Failed to deserialize the JSON body into the target type"
            return Answer(body=said, status=422)
        if self._is_used_up(LIGHT if kind in LIGHT_KINDS else WEIGHT, asked.now_ms):
            return refusal()
        return Answer(body=self._answers[kind](wish, exchange, asked.now_ms))

    def _is_used_up(self, weight: int, now_ms: int) -> bool:
        minute = now_ms // 60_000
        if minute != self._minute:
            self._minute, self._used = minute, 0
        self._used += weight
        return self._used > WEIGHT_PER_MINUTE


def refusal() -> Answer:
    """The venue's answer to who asks too much: a status and nothing else."""
    return Answer(body=b"null", status=429)


def _listed(exchange: "Exchange") -> list[Symbol]:
    return [*exchange.symbols, *exchange.dialect.idle_symbols()]


def _meta(exchange: "Exchange") -> dict[str, object]:
    universe = []
    for symbol in _listed(exchange):
        asset = {"name": symbol.name, "szDecimals": symbol.qty_scale, "maxLeverage": 10}
        universe.append(asset | ({"isDelisted": True} if symbol.status == "delisted" else {}))
    return {"universe": universe, "marginTables": [], "collateralToken": 0}


def _meta_and_contexts(_wish: Wish, exchange: "Exchange", now_ms: int) -> object:
    contexts: list[object] = [context_of(s.name, exchange, now_ms) for s in exchange.symbols]
    return [_meta(exchange), contexts + [EMPTY_CONTEXT for _ in exchange.dialect.idle_symbols()]]


def _mids(_wish: Wish, exchange: "Exchange", _now_ms: int) -> object:
    return {
        symbol.name: number((2 * exchange.flow.bid(at) + symbol.tick) * 5, symbol.price_scale + 1)
        for at, symbol in enumerate(exchange.symbols)
    }


def _book(wish: Wish, exchange: "Exchange", now_ms: int) -> object:
    coin = str(wish.get("coin"))
    if coin not in exchange.ledgers:
        return None
    truth = exchange.book(coin)
    return book(truth.symbol, truth.ts_ms or now_ms, truth.top(DEPTHS[""]))


def _recent_trades(wish: Wish, exchange: "Exchange", _now_ms: int) -> object:
    ledger = exchange.ledgers.get(str(wish.get("coin")))
    if ledger is None:
        return None
    rows = ledger.rows(ledger.next_id - TRADES_MAX, ledger.next_id)
    tid = exchange.dialect.trade_id
    return [trade(row, ledger.symbol, tid(ledger.symbol, row)) for row in reversed(rows)]


def _candles(wish: Wish, exchange: "Exchange", now_ms: int) -> object:
    request = wish.get("req")
    wanted = request if isinstance(request, dict) else {}
    ledger = exchange.ledgers.get(str(wanted.get("coin")))
    interval = str(wanted.get("interval"))
    start_ms, end_ms = wanted.get("startTime", 0), wanted.get("endTime", now_ms)
    if ledger is None or interval not in INTERVALS_MS:
        return []
    if not (type(start_ms) is type(end_ms) is int):
        return []
    rows = ledger.rows(ledger.id_at(start_ms), ledger.id_at(end_ms + 1))
    made = fold(rows, INTERVALS_MS[interval])[-CANDLES_MAX:]
    return [candle(Update(c, closed=True), ledger.symbol, interval) for c in made]
