"""Rows of candles and trades as text that ClickHouse writes: JSON, every decimal as it came.

A candle's text equals the engine's own, zeros at the end included, as long as the venue has not
begun to send fewer decimals; the numbers are equal always.
"""
# ruff: noqa: S608 - what is put in is numbers and our own words

from typing import NamedTuple

import msgspec

from schemas.clickhouse.any_interval import COLUMNS, Coverage
from schemas.clickhouse.pieces import SERIES, Query, Series, at, ms

_PRICES = ("open", "high", "low", "close")
_SIZES = ("volume", "taker_buy_volume")
_QUOTES = ("quote_volume", "taker_buy_quote_volume")
_TEXTS = ("cause", "quality", "anchor")
QUOTE_SCALE_MAX = 18

TRADE_COLUMNS = (
    *("id", "uid", "timestamp", "price", "quantity", "side", "is_buyer_maker", "flags"),
    *("first_id", "last_id", "source", "recv_ns"),
)


class Place(NamedTuple):
    """A trade's place in the order of a series: by time, then by id."""

    ms: int
    id: int
    uid: str


class TradesAsked(NamedTuple):
    """Trades of ``[start_ms, end_ms)``, the newest ``limit`` or the oldest.

    ``after`` (or before, of the newest) is where the last page ended.
    """

    series: Series
    start_ms: int | None
    end_ms: int | None
    limit: int
    newest: bool = True
    after: Place | None = None


def trades(asked: TradesAsked) -> Query:
    """Ask for trades, oldest first; columns are ``TRADE_COLUMNS``."""
    bounds, parameters = [SERIES], asked.series.bound()
    if asked.start_ms is not None:
        bounds.append(f"ts >= {at(asked.start_ms)}")
    if asked.end_ms is not None:
        bounds.append(f"ts < {at(asked.end_ms)}")
    if asked.after is not None:
        than = "<" if asked.newest else ">"
        moment = at(asked.after.ms)
        parameters = {**parameters, "uid": asked.after.uid}
        bounds.append(f"ts {than}= {moment}")  # the key's own order, which the index knows
        bounds.append(f"(ts, id, uid) {than} ({moment}, {asked.after.id}, {{uid:String}})")
    direction = " DESC" if asked.newest else ""
    order = ", ".join(f"{name}{direction}" for name in ("ts", "id", "uid"))
    rows = f"""
SELECT id, uid, {ms("ts")} AS timestamp, price, qty AS quantity, side,
    CAST(side < 0 AS Bool) AS is_buyer_maker, flags, first_id, last_id, source,
    toUnixTimestamp64Nano(recv_time) AS recv_ns, price_int, price_scale, qty_int, qty_scale
FROM trades FINAL
WHERE {" AND ".join(bounds)}
ORDER BY {order}
LIMIT {asked.limit}"""
    return Query(f"SELECT * FROM ({rows})\nORDER BY timestamp, id, uid", parameters)


def trades_text(query: Query) -> Query:
    """Ask for the same trades as JSON rows, one a line; ``aggregate_id`` is the id of old."""
    number = {"price": "price", "quantity": "qty"}
    fields = ["'{\"aggregate_id\":', toString(id)"]
    for name in TRADE_COLUMNS:
        if name in number:
            value = _fixed(number[name])
        elif name in ("uid", "source"):
            value = f"toJSONString(toString({name}))"
        else:
            value = f"toString({name})"
        fields.append(f"',\"{name}\":', {value}")
    return Query(f"SELECT concat({', '.join(fields)}, '}}') FROM ({query.sql})", query.parameters)


class Counted(NamedTuple):
    """Of candles: how many, when the first opens, the last, and the last one that is closed."""

    rows: int
    first_ms: int
    last_ms: int
    closed_ms: int


class Ends(NamedTuple):
    """Of trades: how many, the first and the last."""

    rows: int
    first: Place
    last: Place


def counted(query: Query) -> Query:
    """Ask what is in the answer to a question about candles; one row, ``Counted``."""
    what = "count(), min(timestamp), max(timestamp), maxIf(timestamp, closed)"
    return Query(f"SELECT {what} FROM ({query.sql})", query.parameters)


def trade_ends(query: Query) -> Query:
    """Ask what is in the answer to a question about trades; ``ends`` reads the row."""
    place = "(timestamp, id, uid)"
    picked = ", ".join(
        f"tupleElement({function}({place}), {n})" for function in ("min", "max") for n in (1, 2, 3)
    )
    return Query(f"SELECT count(), {picked} FROM ({query.sql})", query.parameters)


def ends(text: str) -> Ends:
    """Read the answer to ``trade_ends``: a row of texts between tabs."""
    number, *places = text.rstrip("\n").split("\t")
    first, last = (Place(int(ms_), int(id_), uid) for ms_, id_, uid in (places[:3], places[3:]))
    return Ends(int(number), first, last)


def trade_table(query: Query) -> Query:
    """Ask for trades as a table."""
    return Query(f"SELECT {', '.join(TRADE_COLUMNS)} FROM ({query.sql})", query.parameters)


def klines_text(query: Query, there: Coverage) -> Query:
    """Ask for the same candles as JSON rows, one a line."""
    scales = dict.fromkeys(_PRICES, there.price_scale) | dict.fromkeys(_SIZES, there.qty_scale)
    quote = min(there.price_scale + there.qty_scale, QUOTE_SCALE_MAX)
    scales |= dict.fromkeys(_QUOTES, quote)
    fields: list[str] = []
    for name in COLUMNS:
        if name in scales:
            value = _decimal(name, scales[name])
        elif name == "symbol":
            value = "{symbol_json:String}"
        elif name in _TEXTS:
            value = f"'\"', {name}, '\"'"
        else:
            value = f"toString({name})"
        start = "{" if not fields else ","
        fields.append(f"'{start}\"{name}\":', {value}")
    symbol = msgspec.json.encode(query.parameters.get("symbol", "")).decode()
    text = f"SELECT concat({', '.join(fields)}, '}}') FROM ({query.sql})"
    return Query(text, {**query.parameters, "symbol_json": symbol})


def _decimal(name: str, scale: int) -> str:
    """Return a number at a scale, or at as many decimals as it has where those are more."""
    padded = f"toDecimalString({name}, {scale})"
    return f"if(round({name}, {scale}) = {name}, {padded}, toString({name}))"


def _fixed(name: str) -> str:
    """Return a fixed-point integer of a trade as the text that came: ``schemas.numbers.text``."""
    value, scale = f"{name}_int", f"{name}_scale"
    whole = f"toString(intDiv({value}, toInt64(intExp10({scale}))))"
    rest = f"leftPad(toString({value} % toInt64(intExp10({scale}))), {scale}, '0')"
    return f"{whole}, if({scale} = 0, '', concat('.', {rest}))"
