"""``tickers``: linear tells a snapshot and then what changed, spot always everything."""

import orjson

from simulator.exchange import Exchange
from simulator.feeds import Frames, TimedFeed
from simulator.numbers import decimal_text, trimmed
from simulator.state import MarketState
from simulator.symbols import Symbol
from simulator.venues.bybit.texts import (
    TURNOVER_DECIMALS,
    VALUE_DECIMALS,
    percent_text,
    price_text,
    qty_text,
    quote_text,
)
from simulator.venues.bybit.trades import direction, sequence

PUSH_MS = 100
RATE_SCALE = 8
FUNDING_CAP = "0.005"
SLOW = frozenset({"openInterest", "singleOpenInterest", "fundingRate"})
SLOW_MS = 2_000  # these are told anew only so often
Fields = dict[str, str]


def common(symbol: Symbol, state: MarketState, bid: int, *, is_linear: bool) -> Fields:
    """Return the statistics of a day; a symbol that never traded stands at its best bid."""
    last, first = state.last or bid, state.open or bid
    prices = {
        "lastPrice": last,
        "prevPrice24h": first,
        "highPrice24h": state.high or last,
        "lowPrice24h": state.low or last,
    }
    told = {name: price_text(symbol, p, is_linear=is_linear) for name, p in prices.items()}
    turnover = quote_text(symbol, state.turnover, TURNOVER_DECIMALS)
    return told | {
        "price24hPcnt": percent_text(last - first, first),
        "turnover24h": turnover if is_linear else trimmed(turnover),
        "volume24h": qty_text(symbol, state.volume, is_linear=is_linear),
    }


def derivative(symbol: Symbol, state: MarketState) -> Fields:
    """Return what only a contract has; ``openInterest`` is the truth, and counts both sides."""
    interest, mark = state.open_interest, state.mark
    half = trimmed(decimal_text(interest * 5, symbol.qty_scale + 1))
    return {
        "markPrice": price_text(symbol, mark, is_linear=True),
        "indexPrice": price_text(symbol, state.index, is_linear=True),
        "openInterest": decimal_text(interest, symbol.qty_scale),
        "openInterestValue": quote_text(symbol, interest * mark, VALUE_DECIMALS),
        "fundingIntervalHour": str(state.funding_hours),
        "fundingCap": FUNDING_CAP,
        "singleOpenInterest": half,
        "singleOpenInterestValue": quote_text(symbol, interest * mark // 2, VALUE_DECIMALS),
        "nextFundingTime": str(state.next_funding_ms),
        "fundingRate": trimmed(decimal_text(state.funding_rate, RATE_SCALE)),
    }


def best(exchange: Exchange, symbol: Symbol, *, is_linear: bool) -> Fields:
    """Return the best prices of the book."""
    (bid, bid_qty), (ask, ask_qty) = exchange.book(symbol.name).best()
    return {
        "bid1Price": price_text(symbol, bid, is_linear=is_linear),
        "bid1Size": qty_text(symbol, bid_qty, is_linear=is_linear),
        "ask1Price": price_text(symbol, ask, is_linear=is_linear),
        "ask1Size": qty_text(symbol, ask_qty, is_linear=is_linear),
    }


def bid_of(exchange: Exchange, symbol: Symbol) -> int:
    """Return where the flow's best bid is."""
    return exchange.flow.bid(exchange.index[symbol.name])


class _Linear:
    """What the stream of one contract has told; deltas leave out what is as it was."""

    def __init__(self, exchange: Exchange, symbol: Symbol) -> None:
        self._exchange = exchange
        self._symbol = symbol
        self._last = 0
        self._direction = "PlusTick"
        self._told: Fields = {}
        self._ts_ms = 0
        self._slow_from_ms = 0

    def delta(self, now_ms: int) -> Frames:
        """Tell what changed since the last time."""
        if not self._told:
            return ()  # nobody was welcomed: the snapshot comes first
        before, self._told = self._told, self._read(now_ms)
        changed = {k: v for k, v in self._told.items() if before.get(k) != v}
        return (self._frame("delta", changed),) if changed else ()

    def snapshot(self, now_ms: int) -> Frames:
        """Tell everything as of the last update, so that the next one fits."""
        self._told = self._told or self._read(now_ms)
        return (self._frame("snapshot", self._told),)

    def _read(self, now_ms: int) -> Fields:
        symbol, exchange = self._symbol, self._exchange
        state = exchange.state(symbol.name, now_ms)
        self._ts_ms = now_ms
        bid = bid_of(exchange, symbol)
        if (state.last or bid) != self._last:
            self._direction = direction(self._last, state.last or bid, self._direction)
            self._last = state.last or bid
        fields = {
            "tickDirection": self._direction,
            **common(symbol, state, bid, is_linear=True),
            **derivative(symbol, state),
            **best(exchange, symbol, is_linear=True),
            "preOpenPrice": "",
            "preQty": "",
            "curPreListingPhase": "",
        }
        if now_ms - self._slow_from_ms < SLOW_MS:
            return fields | {name: self._told[name] for name in SLOW}
        self._slow_from_ms = now_ms
        return fields

    def _frame(self, type_: str, fields: Fields) -> bytes:
        name = self._symbol.name
        message = {
            "topic": f"tickers.{name}",
            "type": type_,
            "data": {"symbol": name} | fields,
            "cs": sequence(self._ts_ms),
            "ts": self._ts_ms,
        }
        return orjson.dumps(message)


class _Spot:
    """What the stream of one pair has told: everything, each time that something changed."""

    def __init__(self, exchange: Exchange, symbol: Symbol) -> None:
        self._exchange = exchange
        self._symbol = symbol
        self._told: Fields = {}

    def update(self, now_ms: int) -> Frames:
        """Tell everything, if it is not as it was."""
        before, self._told = self._told, self._read(now_ms)
        return self._frame(now_ms) if self._told != before else ()

    def snapshot(self, now_ms: int) -> Frames:
        """Tell everything."""
        self._told = self._read(now_ms)
        return self._frame(now_ms)

    def _read(self, now_ms: int) -> Fields:
        exchange, symbol = self._exchange, self._symbol
        state, bid = exchange.state(symbol.name, now_ms), bid_of(exchange, symbol)
        price = price_text(symbol, state.index, is_linear=False)
        return common(symbol, state, bid, is_linear=False) | {"usdIndexPrice": price}

    def _frame(self, now_ms: int) -> Frames:
        name = self._symbol.name
        message = {
            "topic": f"tickers.{name}",
            "ts": now_ms,
            "type": "snapshot",
            "cs": sequence(now_ms),
            "data": {"symbol": name} | self._told,
        }
        return (orjson.dumps(message),)


def ticker_feed(exchange: Exchange, symbol: Symbol, *, is_linear: bool) -> TimedFeed:
    """Return what tells the state of a symbol."""
    if is_linear:
        contract = _Linear(exchange, symbol)
        return TimedFeed(encode=contract.delta, every_ms=PUSH_MS, welcome=contract.snapshot)
    pair = _Spot(exchange, symbol)
    return TimedFeed(encode=pair.update, every_ms=PUSH_MS, welcome=pair.snapshot)
