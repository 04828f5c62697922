"""The venue's objects, the same on its sockets and over REST; the caller adds ``ts`` last."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from simulator.book import Levels
from simulator.candles import Candle
from simulator.feeds import Forced
from simulator.ledger import Row
from simulator.numbers import decimal_text, trimmed
from simulator.state import HOUR_MS, MarketState
from simulator.symbols import Symbol
from simulator.venues.okx.listing import (
    Json,
    base_text,
    index_of,
    is_swap,
    price_text,
    quote_text,
    size_text,
    type_of,
)

RPI_EVERY = 41  # one in so many orders
RATE_SCALE = 8

Best = tuple[tuple[int, int], tuple[int, int]]


class Single(NamedTuple):
    """One trade out of a row: OKX tells them apart on ``trades-all`` and over REST."""

    row: Row
    id: int
    qty: int


def singles(symbol: Symbol, row: Row) -> Iterator[Single]:
    """Yield the trades of a row: all but the last are of one lot."""
    count = row.last - row.first + 1
    for at in range(count):
        is_last = at == count - 1
        qty = row.qty - (count - 1) * symbol.lot if is_last else symbol.lot
        yield Single(row, row.first + at, qty)


def _source(row: Row) -> str:
    return "1" if row.id % RPI_EVERY == 0 else "0"


def trade(symbol: Symbol, row: Row) -> Json:
    """Return what an order took at one price."""
    return {
        "instId": symbol.name,
        "tradeId": str(row.last),
        "px": price_text(symbol, row.price),
        "sz": size_text(symbol, row.qty),
        "side": "buy" if row.side > 0 else "sell",
        "ts": str(row.ts_ms),
        "count": str(row.last - row.first + 1),
        "source": _source(row),
        "seqId": row.id,
    }


def single(symbol: Symbol, one: Single) -> Json:
    """Return one trade."""
    return {
        "instId": symbol.name,
        "side": "buy" if one.row.side > 0 else "sell",
        "sz": size_text(symbol, one.qty),
        "px": price_text(symbol, one.row.price),
        "source": _source(one.row),
        "tradeId": str(one.id),
        "ts": str(one.row.ts_ms),
    }


def levels(symbol: Symbol, side: Levels) -> list[tuple[str, str, str, str]]:
    """Return a side of a book; "0" orders stand where nothing stands."""
    return [
        (price_text(symbol, price), size_text(symbol, qty), "0", "1" if qty else "0")
        for price, qty in side
    ]


def ticker(state: MarketState, best: Best) -> Json:
    """Return the last 24 hours; numbers that do not exist are empty."""
    symbol, ((bid, bid_qty), (ask, ask_qty)) = state.symbol, best
    swap = is_swap(symbol)

    def price(told: int) -> str:
        return price_text(symbol, told) if told else ""

    return {
        "instType": type_of(symbol),
        "instId": symbol.name,
        "last": price(state.last),
        "lastSz": size_text(symbol, state.last_qty) if state.last else "",
        "askPx": price(ask),
        "askSz": size_text(symbol, ask_qty),
        "bidPx": price(bid),
        "bidSz": size_text(symbol, bid_qty),
        "open24h": price(state.open),
        "high24h": price(state.high),
        "low24h": price(state.low),
        "sodUtc0": price(state.open),
        "sodUtc8": price(state.open),
        "volCcy24h": base_text(symbol, state.volume)
        if swap
        else quote_text(symbol, state.turnover),
        "vol24h": size_text(symbol, state.volume),
    }


def funding_rate(state: MarketState) -> Json:
    """Return what will be paid at the end of the running interval."""
    after_ms = state.next_funding_ms + state.funding_hours * HOUR_MS
    return {
        "formulaType": "withRate",
        "fundingRate": trimmed(decimal_text(state.funding_rate, RATE_SCALE)),
        "fundingTime": str(state.next_funding_ms),
        "impactValue": "20000",
        "instId": state.symbol.name,
        "instType": "SWAP",
        "interestRate": "0.0001",
        "maxFundingRate": "0.00375",
        "method": "current_period",
        "minFundingRate": "-0.00375",
        "nextFundingRate": "",
        "nextFundingTime": str(after_ms),
        "premium": "0.0000327",
        "settFundingRate": "0.0001",
        "settState": "settled",
    }


def mark_price(state: MarketState) -> Json:
    """Return the mark price."""
    symbol = state.symbol
    return {
        "instId": symbol.name,
        "instType": type_of(symbol),
        "markPx": price_text(symbol, state.mark),
    }


def index_ticker(state: MarketState) -> Json:
    """Return the index that the swap follows."""
    symbol, index = state.symbol, price_text(state.symbol, state.index)
    return {
        "instId": index_of(symbol),
        "idxPx": index,
        "open24h": price_text(symbol, state.open or state.index),
        "high24h": price_text(symbol, max(state.high, state.index)),
        "low24h": price_text(symbol, min(state.low or state.index, state.index)),
        "sodUtc0": index,
        "sodUtc8": index,
    }


def open_interest(state: MarketState) -> Json:
    """Return the open contracts, also as base coins and dollars."""
    symbol, held = state.symbol, state.open_interest
    return {
        "instId": symbol.name,
        "instType": type_of(symbol),
        "oi": size_text(symbol, held),
        "oiCcy": base_text(symbol, held),
        "oiUsd": quote_text(symbol, held * state.mark),
    }


def liquidations(forced: Sequence[Forced]) -> list[Json]:
    """Return forced orders, each instrument with its own."""
    by_symbol: dict[Symbol, list[Json]] = {}
    for one in forced:
        detail: Json = {
            "bkLoss": "0",
            "bkPx": price_text(one.symbol, one.price),
            "ccy": "",
            "posSide": "short" if one.side > 0 else "long",
            "side": "buy" if one.side > 0 else "sell",
            "sz": size_text(one.symbol, one.qty),
            "ts": str(one.ts_ms),
        }
        by_symbol.setdefault(one.symbol, []).append(detail)
    return [
        {
            "details": details,
            "instFamily": index_of(symbol),
            "instId": symbol.name,
            "instType": type_of(symbol),
            "uly": index_of(symbol),
        }
        for symbol, details in by_symbol.items()
    ]


def candle(symbol: Symbol, one: Candle, *, closed: bool) -> list[str]:
    """Return a candle: its volume as sizes, then in base (swaps) or quote coins, then in quote."""
    quote = quote_text(symbol, one.quote_volume)
    return [
        str(one.open_ms),
        price_text(symbol, one.open),
        price_text(symbol, one.high),
        price_text(symbol, one.low),
        price_text(symbol, one.close),
        size_text(symbol, one.volume),
        base_text(symbol, one.volume) if is_swap(symbol) else quote,
        quote,
        "1" if closed else "0",
    ]
