"""Rows of ``--to events``: what each frame tells, one JSON object an event, its ``kind`` in it."""

from collections.abc import Sequence

import msgspec
import orjson

from ingest.decimals import digits
from ingest.exchanges.base import KIND_OF, BookRow, Data, TradeRow
from schemas.numbers import text

_encode = msgspec.json.Encoder(decimal_format="number").encode


class EventRows:
    """Makes rows of the events of one exchange and channel."""

    def __init__(self, head: str, *, in_contracts: bool) -> None:
        self._head = head
        self._tail = ',"unit":"contracts"}\n' if in_contracts else "}\n"
        self._names: dict[str, str] = {}

    def row(self, event: Data) -> bytes:
        """Return the line; raise ValueError where a number of a book is none."""
        if type(event) is TradeRow:
            return self._trade(event)
        if type(event) is BookRow:
            return self._book(event)
        body = _encode(event)[1:-1].decode()
        return f'{self._head}"kind":"{KIND_OF[type(event)]}",{body}{self._tail}'.encode()

    def _trade(self, t: TradeRow) -> bytes:
        uid = f',"uid":{_quoted(t.uid)}' if t.uid else ""
        return (
            f'{self._head}"kind":"trades","symbol":{self._name(t.symbol)},"id":{t.id},"ts":{t.ts}'
            f',"price":{text(t.price, t.price_scale)},"qty":{text(t.qty, t.qty_scale)}'
            f',"side":{t.side},"flags":{t.flags},"first":{t.first},"last":{t.last}{uid}{self._tail}'
        ).encode()

    def _book(self, b: BookRow) -> bytes:
        type_ = "snapshot" if b.is_snapshot else "delta"
        prev_id = "null" if b.prev_id is None else b.prev_id
        signed = "" if b.checksum is None else f',"checksum":{b.checksum}'
        stream = f',"stream":{_quoted(b.stream)}' if b.stream else ""
        return (
            f'{self._head}"kind":"books","symbol":{self._name(b.symbol)},"ts":{b.ts}'
            f',"type":"{type_}","first_id":{b.first_id},"last_id":{b.last_id},"prev_id":{prev_id}'
            f',"bids":{_levels(b.bids)},"asks":{_levels(b.asks)}{signed}{stream}{self._tail}'
        ).encode()

    def _name(self, symbol: str) -> str:
        name = self._names.get(symbol)
        if name is None:
            name = self._names[symbol] = _quoted(symbol)
        return name


def _quoted(word: str) -> str:
    return orjson.dumps(word).decode()


def _levels(levels: Sequence[tuple[str, str]]) -> str:
    return f"[{','.join(f'[{_number(price)},{_number(qty)}]' for price, qty in levels)}]"


def _number(told: str) -> str:
    return text(*digits(told))  # "007" and "5." are texts of a number, and no JSON
