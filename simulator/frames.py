"""Binance's market messages as bytes, key order included; spot and USD-M differ in both."""

from simulator.candles import Candle
from simulator.ledger import Row
from simulator.symbols import Symbol
from simulator.venue import Venue

TEXT = 0x81  # a whole text message: FIN and opcode 1


def trade(venue: Venue, symbol: Symbol, row: Row, event_ms: int, kind: str = "MARKET") -> bytes:
    """``<symbol>@trade``: one fill; ``row.last`` is its trade id."""
    price, qty = venue.price_text(symbol, row.price), venue.qty_text(symbol, row.qty)
    maker = "true" if row.side < 0 else "false"
    if venue.market == "spot":
        return (
            f'{{"e":"trade","E":{event_ms},"s":"{symbol.name}","t":{row.last},"p":"{price}"'
            f',"q":"{qty}","T":{row.ts_ms},"m":{maker},"M":true}}'
        ).encode()
    return (
        f'{{"e":"trade","E":{event_ms},"T":{row.ts_ms},"s":"{symbol.name}","t":{row.last}'
        f',"p":"{price}","q":"{qty}","X":"{kind}","m":{maker}}}'
    ).encode()


def aggregate_trade(venue: Venue, symbol: Symbol, row: Row, event_ms: int) -> bytes:
    """``<symbol>@aggTrade``: ``row.id`` is the aggregate's id."""
    head = (
        f'"s":"{symbol.name}","a":{row.id}'
        if venue.market == "spot"
        else f'"a":{row.id},"s":"{symbol.name}"'
    )
    best_match = ',"M":true' if venue.market == "spot" else ""
    return (
        f'{{"e":"aggTrade","E":{event_ms},{head},"p":"{venue.price_text(symbol, row.price)}"'
        f',"q":"{venue.qty_text(symbol, row.qty)}","f":{row.first},"l":{row.last},"T":{row.ts_ms}'
        f',"m":{"true" if row.side < 0 else "false"}'
        f"{best_match}}}"
    ).encode()


def kline(
    venue: Venue,
    symbol: Symbol,
    candle: Candle,
    interval: tuple[str, int],
    *,
    closed: bool,
    event_ms: int,
) -> bytes:
    """``<symbol>@kline_<interval>``; ``interval`` is its name and its length in ms."""
    name, length_ms = interval
    price, qty, quote = venue.price_text, venue.qty_text, venue.quote_text
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


def wrapped(stream: str, payload: bytes) -> bytes:
    """The combined form of a message."""
    return b'{"stream":"' + stream.encode() + b'","data":' + payload + b"}"


def framed(message: bytes) -> bytes:
    """One unmasked WebSocket text frame (RFC 6455, 5.2): the same bytes for every client."""
    length = len(message)
    if length < 126:
        return bytes((TEXT, length)) + message
    if length < 65_536:
        return bytes((TEXT, 126)) + length.to_bytes(2, "big") + message
    return bytes((TEXT, 127)) + length.to_bytes(8, "big") + message
