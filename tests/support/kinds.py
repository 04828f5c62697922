"""Kinds beside candles without a broker: records of them, and clients whose outboxes are read."""

import json
from decimal import Decimal

import msgspec

from schemas.klines import Gap, GapEnvelope, Price, PriceEnvelope, StreamGap, StreamGapEnvelope
from schemas.trades import SymbolTrades, TradeBatch, encode_batch
from sinks.gateway import envelopes
from sinks.gateway.clients import Client, Turn
from sinks.gateway.kinds import Kinds
from sinks.gateway.outbox import Outbox
from sinks.gateway.protocol import KindKey
from tests.support.told import fits

encode = msgspec.json.Encoder(decimal_format="number").encode
BTC = KindKey("binance", "linear", "BTCUSDT", "prices")
EVERY = KindKey("*", "*", "*", "prices")
TRADES = BTC._replace(kind="trades")


def price(rev: int, symbol: str = "BTCUSDT", exchange: str = "binance", text: str = "") -> bytes:
    row = Price(symbol, Decimal(text or f"{rev}.10"), ts=rev, rev=rev)
    return encode(PriceEnvelope(exchange, "linear", [row], recv_ms=rev))


def trades(*ids: int | str, symbol: str = "BTCUSDT", source: str = "live", **more) -> bytes:
    n = len(ids)
    has_uid = isinstance(ids[0], str)
    if has_uid:
        more = {"uid": list(ids), "ids": "unique", **more}
    group = SymbolTrades(
        symbol, 2, 3, [0] * n if has_uid else list(ids), [5] * n, [2814510] * n, [100] * n, -1,
        **more,
    )  # fmt: skip
    return encode_batch(TradeBatch("binance", "linear", source, 7_000_000, [group]))


class World:
    """Kinds, and clients whose outboxes are read at will."""

    def __init__(self, *ready: str) -> None:
        self.turn = Turn()
        self.kinds = Kinds(self.turn)
        self.wanted: list[str] = []
        self.kinds.on_wanted = self.wanted.append
        for kind in ready:
            self.kinds.ready(kind)

    def client(self, *keys: KindKey) -> Client:
        client = Client(lambda: None, Outbox(), self.turn, wants_stats=False)
        self.ask(client, *keys)
        return client

    def ask(self, client: Client, *keys: KindKey) -> None:
        answers = self.kinds.subscribe(client, keys)
        client.tell(envelopes.subscribed_text(answers))
        self.kinds.begin(client, keys)


def gap(first: int, symbol: str = "BTCUSDT") -> bytes:
    return encode(
        GapEnvelope("binance", "linear", [Gap(symbol, first, first, 1, 2, 1, "found", 3)])
    )


def silence(symbol: str, kind: str = "trades") -> bytes:
    row = StreamGap(symbol=symbol, kind=kind, reason="silent", state="found", from_ms=5)
    return encode(StreamGapEnvelope("binance", "linear", [row]))


def told(client: Client) -> list[dict]:
    found = []
    while texts := client.outbox.take():
        found += [fits(json.loads(text)) for text in texts]
    return found


def rows(client: Client) -> list[dict]:
    return [row for message in told(client) for row in message["data"]]


def ids(messages) -> list[str]:
    return [row["id"] for row in messages]
