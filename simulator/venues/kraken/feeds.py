"""Kraken's channels, message by message: trades, the book with its checksum, candles, the beat."""

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING
from zlib import crc32

from simulator.book import BookChange, DepthView, Levels
from simulator.candles import fold, open_time
from simulator.feeds import BookFeed, Feed, Frames, Stream, TimedFeed, TradeFeed
from simulator.kline_streams import KlineRules, Update, kline_feed
from simulator.ledger import Row
from simulator.symbols import Symbol
from simulator.venues.kraken.words import message, price, qty, time

if TYPE_CHECKING:
    from simulator.candles import Candle
    from simulator.exchange import Exchange

MINUTE_MS = 60_000
PAST_TRADES = 50
PAST_CANDLES = 10
CHECKED_LEVELS = 10
DEPTHS = (10, 25, 100, 500, 1000)
INTERVALS = (1, 5, 15, 30, 60, 240, 1440, 10080, 21600)
SNAPSHOT = ":snapshot"
"""Ends the parameter of a stream that begins with one."""
BEAT = Stream("tickers", "", "heartbeat")
KLINES = KlineRules(push_ms=500)


def feed(stream: Stream, exchange: "Exchange") -> Feed | None:
    """What fills a stream."""
    if stream == BEAT:
        return TimedFeed(
            encode=lambda _now_ms: (b'{"channel":"heartbeat"}',), every_ms=1_000, while_stopped=True
        )
    if stream.symbol not in exchange.ledgers:
        return None
    parameter, snapshot, _ = stream.parameter.partition(SNAPSHOT)
    if stream.kind == "trades":
        return _trades(stream.symbol, exchange, greets=bool(snapshot))
    if stream.kind == "books":
        return _books(stream.symbol, exchange, int(parameter))
    return _candles(stream.symbol, exchange, int(parameter), greets=bool(snapshot))


# -- trades


def _trade(row: Row, symbol: Symbol) -> str:
    side, kind = ("buy" if row.side > 0 else "sell"), ("market" if row.id % 3 else "limit")
    return (
        f'{{"symbol":"{symbol.name}","side":"{side}","price":{price(symbol, row.price)},'
        f'"qty":{qty(symbol, row.qty)},"ord_type":"{kind}","trade_id":{row.id},'
        f'"timestamp":"{time(row.ts_ms)}"}}'
    )


def _trades(name: str, exchange: "Exchange", *, greets: bool) -> TradeFeed:
    ledger = exchange.ledgers[name]

    def told(kind: str, rows: Sequence[Row]) -> Frames:
        return (message("trade", kind, ",".join(_trade(row, ledger.symbol) for row in rows)),)

    def encode(rows: Sequence[Row], _now_ms: int) -> Frames:
        return told("update", rows)

    def welcome(_now_ms: int) -> Frames:
        past = ledger.rows(ledger.next_id - PAST_TRADES, ledger.next_id) if greets else []
        return told("snapshot", past) if past else ()

    return TradeFeed(encode=encode, source="fills", welcome=welcome)


# -- the book


def checksum(symbol: Symbol, bids: Levels, asks: Levels) -> int:
    """Of the ten best asks, then bids: what is written, without the points and the first zeros."""
    digits = (
        text.replace(".", "").lstrip("0")
        for units, amount in chain(asks[:CHECKED_LEVELS], bids[:CHECKED_LEVELS])
        for text in (price(symbol, units), qty(symbol, amount))
    )
    return crc32("".join(digits).encode())


def _side(symbol: Symbol, levels: Levels) -> str:
    return ",".join(
        f'{{"price":{price(symbol, units)},"qty":{qty(symbol, amount)}}}'
        for units, amount in levels
    )


def _books(name: str, exchange: "Exchange", depth: int) -> BookFeed:
    truth = exchange.book(name)
    symbol, view = truth.symbol, DepthView(truth, depth)

    def told(kind: str, sides: tuple[Levels, Levels], ts_ms: int) -> Frames:
        bids, asks = (_side(symbol, side) for side in sides)
        row = (
            f'{{"symbol":"{name}","bids":[{bids}],"asks":[{asks}],'
            f'"checksum":{checksum(symbol, *view.now())},"timestamp":"{time(ts_ms)}"}}'
        )
        return (message("book", kind, row),)

    def encode(change: BookChange, _now_ms: int) -> Frames:
        (bids, asks), now = view.changes(), view.now()
        sides = _in_view(bids, now[0], depth, 1), _in_view(asks, now[1], depth, -1)
        return told("update", sides, change.ts_ms) if any(sides) else ()

    def welcome(now_ms: int) -> Frames:
        return told("snapshot", view.now(), truth.ts_ms or now_ms)

    return BookFeed(encode=encode, welcome=welcome)


def _in_view(changes: Levels, now: Levels, depth: int, sign: int) -> Levels:
    """Leave out what fell below the depth: the client is to cut it off by itself."""
    if len(now) < depth:
        return changes
    worst = sign * now[-1][0]
    told = [(units, amount) for units, amount in changes if sign * units >= worst]
    return told[1::2] + told[::2]  # the venue tells changes in no order


# -- candles


def _candle(candle: "Candle", symbol: Symbol, minutes: int) -> str:
    volume = candle.volume or 1
    vwap = candle.quote_volume // volume  # cut, not rounded
    return (
        f'{{"symbol":"{symbol.name}","open":{price(symbol, candle.open)},'
        f'"high":{price(symbol, candle.high)},"low":{price(symbol, candle.low)},'
        f'"close":{price(symbol, candle.close)},"trades":{candle.trade_count},'
        f'"volume":{qty(symbol, candle.volume)},"vwap":{price(symbol, vwap)},'
        f'"interval_begin":"{time(candle.open_ms, 9)}","interval":{minutes},'
        f'"timestamp":"{time(candle.open_ms + minutes * MINUTE_MS)}"}}'
    )


def _candles(name: str, exchange: "Exchange", minutes: int, *, greets: bool) -> TimedFeed:
    ledger, length_ms = exchange.ledgers[name], minutes * MINUTE_MS

    def told(kind: str, candles: Sequence["Candle"], now_ms: int) -> Frames:
        rows = ",".join(_candle(candle, ledger.symbol, minutes) for candle in candles)
        return (message("ohlc", kind, rows, now_ms),)

    def encode(updates: Sequence[Update], now_ms: int) -> Frames:
        return told("update", [update.candle for update in updates], now_ms)

    def welcome(now_ms: int) -> Frames:
        since = ledger.id_at(open_time(now_ms, length_ms) - PAST_CANDLES * length_ms)
        past = fold(ledger.rows(since, ledger.next_id), length_ms) if greets else []
        return told("snapshot", past, now_ms) if past else ()

    made = kline_feed(exchange, name, length_ms, KLINES, encode)
    made.welcome = welcome
    return made
