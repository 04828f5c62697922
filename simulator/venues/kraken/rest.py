"""Kraken's REST: every answer is ``{"error", "result"}``, and about one a second is allowed."""

from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import orjson

from simulator.dialect import Answer, Asked
from simulator.ledger import Ledger, Row
from simulator.numbers import decimal_text
from simulator.symbols import Symbol
from simulator.venues.kraken import words

if TYPE_CHECKING:
    from simulator.exchange import Exchange

ASKED_MAX = 20
"""At once; one more each second."""
TRADES_MAX = 1_000
SECONDS_DIGITS_MAX = 11


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
        result = tell(exchange, asked)
        if result is None:
            return Answer(body={"error": ["EQuery:Unknown asset pair"]})
        return Answer(body={"error": [], "result": result})

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


def _trades(exchange: "Exchange", asked: Asked) -> dict[str, object] | None:
    """Rows after ``since`` (ns, or s) up to 1,000, oldest first; or the newest ones."""
    symbol = next((s for s in exchange.symbols if asked.query.get("pair") in _names(s)), None)
    if symbol is None:
        return None
    ledger, since = exchange.ledgers[symbol.name], asked.query.get("since", "")
    count = asked.query.get("count", "")
    limit = min(int(count), TRADES_MAX) if count.isdecimal() and int(count) else TRADES_MAX
    if since.isdecimal():
        ns = int(since) if len(since) > SECONDS_DIGITS_MAX else int(since) * 10**9
        low = ledger.id_at(ns // 10**6)
        while low < ledger.next_id and _stamp_ns(ledger, ledger.rows(low, low + 1)[0]) <= ns:
            low += 1
    else:
        low = max(ledger.next_id - limit, ledger.first_id)
    rows = ledger.rows(low, low + limit)
    last = str(_stamp_ns(ledger, rows[-1])) if rows else since
    return {_key(symbol, asked): [_trade(ledger, row) for row in rows], "last": last}


def _names(symbol: Symbol) -> tuple[str, ...]:
    old = words.old_name(symbol)
    return symbol.name, old, old.replace("/", ""), symbol.name.replace("/", "")


def _trade(ledger: Ledger, row: Row) -> list[object]:
    """A time is a JSON number with seven decimals."""
    symbol = ledger.symbol
    seconds, rest = divmod(_stamp_ns(ledger, row), 10**9)
    return [
        words.price(symbol, row.price),
        words.qty(symbol, row.qty),
        orjson.Fragment(f"{seconds}.{rest // 100:07d}"),
        "b" if row.side > 0 else "s",
        "m" if row.id % 3 else "l",
        "",
        row.id,
    ]


def _stamp_ns(ledger: Ledger, row: Row) -> int:
    """Trades of one millisecond stand a little apart, so that ``since`` can divide them."""
    place = row.id - ledger.id_at(row.ts_ms)
    return row.ts_ms * 10**6 + min(place, 9_999) * 100


METHODS: Mapping[str, Callable[["Exchange", Asked], object]] = {
    "/0/public/Time": lambda _exchange, asked: {"unixtime": asked.now_ms // 1_000},
    "/0/public/AssetPairs": _pairs,
    "/0/public/Ticker": _tickers,
    "/0/public/Trades": _trades,
}
