"""Kraken's REST: every answer is ``{"error", "result"}``, and about one a second is allowed."""

from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from simulator.dialect import Answer, Asked
from simulator.numbers import decimal_text
from simulator.symbols import Symbol
from simulator.venues.kraken import words

if TYPE_CHECKING:
    from simulator.exchange import Exchange

ASKED_MAX = 20
"""At once; one more each second."""


class Rest:
    """Answers questions, and counts them."""

    def __init__(self) -> None:
        self._asked_ms: deque[int] = deque(maxlen=ASKED_MAX)

    def answer(self, asked: Asked, exchange: "Exchange") -> Answer:
        """Answer one request; errors of the question come with status 200."""
        if self._is_too_much(asked.now_ms):
            return refusal()
        tell = METHODS.get(asked.path) if asked.method == "GET" else None
        if tell is None:
            return Answer(body={"error": ["EGeneral:Unknown method"]})
        return Answer(body={"error": [], "result": tell(exchange, asked)})

    def _is_too_much(self, now_ms: int) -> bool:
        asked = self._asked_ms
        full = len(asked) == ASKED_MAX and now_ms - asked[0] < ASKED_MAX * 1_000
        if not full:
            asked.append(now_ms)
        return full


def refusal() -> Answer:
    """The venue's answer to who asks too much."""
    return Answer(body={"error": ["EGeneral:Too many requests"]}, status=429)


def _key(symbol: Symbol, asked: Asked) -> str:
    """``BTC/USD`` in the new version of the answer, ``XBTUSD`` in the old."""
    is_new = asked.query.get("assetVersion") == "1"
    return symbol.name if is_new else words.old_name(symbol).replace("/", "")


def _pairs(exchange: "Exchange", asked: Asked) -> dict[str, object]:
    listed = [*exchange.symbols, *exchange.dialect.idle_symbols()]
    return {_key(symbol, asked): _pair(symbol) for symbol in listed}


def _pair(symbol: Symbol) -> dict[str, object]:
    name = words.old_name(symbol)
    return {
        "altname": name.replace("/", ""),
        "wsname": name,
        "aclass_base": "currency",
        "base": symbol.base,
        "aclass_quote": "currency",
        "quote": symbol.quote,
        "lot": "unit",
        "cost_decimals": 5,
        "pair_decimals": symbol.price_scale,
        "lot_decimals": words.QTY_DECIMALS,
        "lot_multiplier": 1,
        "ordermin": decimal_text(symbol.lot, symbol.qty_scale),
        "tick_size": decimal_text(symbol.tick, symbol.price_scale),
        "status": "online" if symbol.status == "TRADING" else symbol.status,
    }


def _tickers(exchange: "Exchange", asked: Asked) -> dict[str, object]:
    return {
        _key(symbol, asked): _ticker(exchange, symbol, asked.now_ms) for symbol in exchange.symbols
    }


def _ticker(exchange: "Exchange", symbol: Symbol, now_ms: int) -> dict[str, object]:
    """Each pair of numbers is of today and of 24 hours; here they are one."""
    state = exchange.state(symbol.name, now_ms)
    bid = exchange.flow.bid(exchange.index[symbol.name])
    volume = words.qty(symbol, state.volume)
    return {
        "a": [words.price(symbol, bid + symbol.tick), "1", "1.000"],
        "b": [words.price(symbol, bid), "1", "1.000"],
        "c": [words.price(symbol, state.last or bid), words.qty(symbol, state.last_qty)],
        "v": [volume, volume],
        "t": [state.trades, state.trades],
        "l": [words.price(symbol, state.low)] * 2,
        "h": [words.price(symbol, state.high)] * 2,
        "o": words.price(symbol, state.open),
    }


METHODS: Mapping[str, Callable[["Exchange", Asked], object]] = {
    "/0/public/Time": lambda _exchange, asked: {"unixtime": asked.now_ms // 1_000},
    "/0/public/AssetPairs": _pairs,
    "/0/public/Ticker": _tickers,
}
