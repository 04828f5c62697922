"""Binance's market messages as bytes, key order included; spot and USD-M differ in both."""

from collections.abc import Iterable

from simulator.book import Levels
from simulator.candles import Candle
from simulator.feeds import Forced
from simulator.ledger import Row
from simulator.numbers import decimal_text
from simulator.state import MarketState
from simulator.symbols import Symbol
from simulator.venues.binance.market import Market

DAY_MS = 86_400_000
Best = tuple[tuple[int, int], tuple[int, int]]


def trade(market: Market, symbol: Symbol, row: Row, event_ms: int) -> bytes:
    """``<symbol>@trade``: one fill; ``row.last`` is its trade id."""
    price, qty = market.price_text(symbol, row.price), market.qty_text(symbol, row.qty)
    maker = "true" if row.side < 0 else "false"
    if market.is_spot:
        return (
            f'{{"e":"trade","E":{event_ms},"s":"{symbol.name}","t":{row.last},"p":"{price}"'
            f',"q":"{qty}","T":{row.ts_ms},"m":{maker},"M":true}}'
        ).encode()
    kind = "INSURANCE_FUND" if row.is_fund else "MARKET"
    return (
        f'{{"e":"trade","E":{event_ms},"T":{row.ts_ms},"s":"{symbol.name}","t":{row.last}'
        f',"p":"{price}","q":"{qty}","X":"{kind}","m":{maker}}}'
    ).encode()


def aggregate_trade(market: Market, symbol: Symbol, row: Row, event_ms: int) -> bytes:
    """``<symbol>@aggTrade``: ``row.id`` is the aggregate's id."""
    head = (
        f'"s":"{symbol.name}","a":{row.id}'
        if market.is_spot
        else f'"a":{row.id},"s":"{symbol.name}"'
    )
    best_match = ',"M":true' if market.is_spot else ""
    return (
        f'{{"e":"aggTrade","E":{event_ms},{head},"p":"{market.price_text(symbol, row.price)}"'
        f',"q":"{market.qty_text(symbol, row.qty)}","f":{row.first},"l":{row.last},"T":{row.ts_ms}'
        f',"m":{"true" if row.side < 0 else "false"}'
        f"{best_match}}}"
    ).encode()


def kline(
    market: Market,
    symbol: Symbol,
    candle: Candle,
    interval: tuple[str, int],
    *,
    closed: bool,
    event_ms: int,
) -> bytes:
    """``<symbol>@kline_<interval>``; ``interval`` is its name and its length in ms."""
    name, length_ms = interval
    price, qty, quote = market.price_text, market.qty_text, market.quote_text
    return (
        f'{{"e":"kline","E":{event_ms},"s":"{symbol.name}","k":{{"t":{candle.open_ms}'
        f',"T":{candle.open_ms + length_ms - 1},"s":"{symbol.name}","i":"{name}"'
        f',"f":{candle.first_trade_id},"L":{candle.last_trade_id}'
        f',"o":"{price(symbol, candle.open)}","c":"{price(symbol, candle.close)}"'
        f',"h":"{price(symbol, candle.high)}","l":"{price(symbol, candle.low)}"'
        f',"v":"{qty(symbol, candle.volume)}","n":{candle.trade_count}'
        f',"x":{"true" if closed else "false"},"q":"{quote(symbol, candle.quote_volume)}"'
        f',"V":"{qty(symbol, candle.taker_buy_volume)}"'
        f',"Q":"{quote(symbol, candle.taker_buy_quote_volume)}","B":"0"}}}}'
    ).encode()


def depth(
    market: Market,
    symbol: Symbol,
    ids: tuple[int, int, int],
    sides: tuple[Levels, Levels],
    times: tuple[int, int],
) -> bytes:
    """``<symbol>@depth``: ids are (before, first, last), times (of the event, of the book)."""
    prev_id, first_id, last_id = ids
    event_ms, book_ms = times
    bids, asks = sides
    if market.is_spot:
        return (
            f'{{"e":"depthUpdate","E":{event_ms},"s":"{symbol.name}","U":{first_id},"u":{last_id}'
            f',"b":{levels(market, symbol, bids)},"a":{levels(market, symbol, asks)}}}'
        ).encode()
    # Bids ascend here. Ids of other symbols' updates lie between those of this one.
    step = market.update_id(1)
    return (
        f'{{"e":"depthUpdate","E":{event_ms},"T":{book_ms},"s":"{symbol.name}"'
        f',"U":{first_id * step - 1},"u":{last_id * step},"pu":{prev_id * step}'
        f',"b":{levels(market, symbol, reversed(bids))},"a":{levels(market, symbol, asks)}}}'
    ).encode()


def levels(market: Market, symbol: Symbol, side: Iterable[tuple[int, int]]) -> str:
    """One side of a book as JSON."""
    price, qty = market.price_text, market.qty_text
    return "[" + ",".join(f'["{price(symbol, p)}","{qty(symbol, q)}"]' for p, q in side) + "]"


def book_ticker(
    market: Market, symbol: Symbol, best: Best, book_id: int, times: tuple[int, int]
) -> bytes:
    """``<symbol>@bookTicker``; times are (of the event, of the book)."""
    (bid, bid_qty), (ask, ask_qty) = best
    body = (
        f'"u":{market.update_id(book_id)},"s":"{symbol.name}"'
        f',"b":"{market.price_text(symbol, bid)}"'
        f',"B":"{market.qty_text(symbol, bid_qty)}","a":"{market.price_text(symbol, ask)}"'
        f',"A":"{market.qty_text(symbol, ask_qty)}"'
    )
    if market.is_spot:
        return f"{{{body}}}".encode()
    event_ms, book_ms = times
    return f'{{"e":"bookTicker",{body},"T":{book_ms},"E":{event_ms}}}'.encode()


def ticker(market: Market, state: MarketState, best: Best, event_ms: int) -> bytes:
    """``<symbol>@ticker``: statistics of the last 24 hours (of all the simulated time)."""
    symbol, price, qty = state.symbol, market.price_text, market.qty_text
    (bid, bid_qty), (ask, ask_qty) = best
    average = state.turnover // state.volume if state.volume else 0
    quotes = (
        f',"b":"{price(symbol, bid)}","B":"{qty(symbol, bid_qty)}"'
        f',"a":"{price(symbol, ask)}","A":"{qty(symbol, ask_qty)}"'
    )
    first = f',"x":"{price(symbol, state.open)}"'
    return (
        f'{{"e":"24hrTicker","E":{event_ms},"s":"{symbol.name}","p":"{price(symbol, state.change)}"'
        f',"P":"{decimal_text(state.change_e5, 3)}","w":"{price(symbol, average)}"'
        f'{first if market.is_spot else ""},"c":"{price(symbol, state.last)}"'
        f',"Q":"{qty(symbol, state.last_qty)}"{quotes if market.is_spot else ""}'
        f',"o":"{price(symbol, state.open)}","h":"{price(symbol, state.high)}"'
        f',"l":"{price(symbol, state.low)}","v":"{qty(symbol, state.volume)}"'
        f',"q":"{market.total_text(symbol, state.turnover)}","O":{event_ms - DAY_MS}'
        f',"C":{event_ms},"F":{state.first_trade_id},"L":{state.last_trade_id}'
        f',"n":{state.trades}}}'
    ).encode()


def mark_price(state: MarketState, event_ms: int) -> bytes:
    """``<symbol>@markPrice``, USD-M only: eight decimals always."""
    scale = state.symbol.price_scale
    mark, index = decimal_text(state.mark, scale, 8), decimal_text(state.index, scale, 8)
    return (
        f'{{"e":"markPriceUpdate","E":{event_ms},"s":"{state.symbol.name}","p":"{mark}"'
        f',"P":"{mark}","i":"{index}","r":"{decimal_text(state.funding_rate, 8)}"'
        f',"T":{state.next_funding_ms}}}'
    ).encode()


def force_order(market: Market, forced: Forced, event_ms: int) -> bytes:
    """``<symbol>@forceOrder``, USD-M only."""
    symbol = forced.symbol
    price, qty = market.price_text(symbol, forced.price), market.qty_text(symbol, forced.qty)
    return (
        f'{{"e":"forceOrder","E":{event_ms},"o":{{"s":"{symbol.name}"'
        f',"S":"{"BUY" if forced.side > 0 else "SELL"}","o":"LIMIT","f":"IOC","q":"{qty}"'
        f',"p":"{price}","ap":"{price}","X":"FILLED","l":"{qty}","z":"{qty}"'
        f',"T":{forced.ts_ms}}}}}'
    ).encode()
