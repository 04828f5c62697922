"""Kinds beside candles: what is known is folded, and who asked is told."""

import json
from decimal import Decimal

import msgspec
import pytest

from runtime.errors import Poison
from schemas.klines import Gap, GapEnvelope, Price, PriceEnvelope, StreamGap, StreamGapEnvelope
from schemas.trades import Flag, SymbolTrades, TradeBatch, encode_batch
from sinks.gateway import envelopes
from sinks.gateway.clients import Client, Turn
from sinks.gateway.kinds import Kinds, board, kinds, known
from sinks.gateway.kinds.known import Latest
from sinks.gateway.outbox import Outbox
from sinks.gateway.protocol import KINDS, KindKey
from tests.support.told import fits

encode = msgspec.json.Encoder(decimal_format="number").encode
BTC = KindKey("binance", "linear", "BTCUSDT", "prices")
EVERY = KindKey("*", "*", "*", "prices")


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


def told(client: Client) -> list[dict]:
    found = []
    while texts := client.outbox.take():
        found += [fits(json.loads(text)) for text in texts]
    return found


def rows(client: Client) -> list[dict]:
    return [row for message in told(client) for row in message["data"]]


# -- states


def test_a_snapshot_then_every_newer_state_digit_for_digit():
    world = World()
    client = world.client(BTC)
    assert world.wanted == ["prices"]
    world.kinds.take("prices", price(7, text="7.100000000000000000001"))
    assert [message["type"] for message in told(client)] == ["subscribed"]
    world.kinds.ready("prices")
    (text,) = client.outbox.take()
    assert b'"price":7.100000000000000000001,' in bytes(text)
    world.kinds.take("prices", price(8))
    (update,) = told(client)
    assert (update["recv_ms"], update.get("snapshot"), update["data_type"]) == (8, None, "prices")
    for rev in (8, 7, 3):  # as after a crash of the worker
        world.kinds.take("prices", price(rev))
    assert told(client) == []


def test_nobody_is_told_what_was_not_asked_for_and_nothing_twice():
    world = World("prices")
    only, every, gone = world.client(BTC), world.client(EVERY, BTC), world.client(BTC)
    for client in (only, every, gone):
        told(client)
    world.kinds.forget(gone)
    world.kinds.forget(gone)
    for symbol, exchange in (("BTCUSDT", "binance"), ("ETHUSDT", "binance"), ("BTCUSDT", "okx")):
        world.kinds.take("prices", price(5, symbol, exchange))
    assert [(row["symbol"], row["rev"]) for row in rows(only)] == [("BTCUSDT", 5)]
    assert len(rows(every)) == 3
    assert told(gone) == []


def test_what_is_given_up_is_told_no_more_but_by_another_key():
    world = World("prices")
    client = world.client(BTC, EVERY)
    world.kinds.take("prices", price(1))
    told(client)
    assert world.kinds.unsubscribe(client, [EVERY, BTC._replace(symbol="X")]) == [EVERY]
    world.kinds.take("prices", price(2))
    world.kinds.take("prices", price(2, "ETHUSDT"))
    assert [row["symbol"] for row in rows(client)] == ["BTCUSDT"]
    assert world.kinds.keys_of(client) == {BTC}
    assert world.kinds.unsubscribe(client, [BTC]) == [BTC]
    world.kinds.take("prices", price(3))
    assert told(client) == []
    assert not world.kinds.is_wanted("prices")


def test_a_pattern_gets_a_snapshot_of_each_exchange_and_an_unknown_symbol_an_empty_one():
    world = World()
    for exchange in ("binance", "okx"):
        for symbol in ("A", "B"):
            world.kinds.take("prices", price(1, symbol, exchange))
    world.kinds.ready("prices")
    client = world.client(EVERY._replace(symbol="A"))
    snapshots = told(client)[-2:]
    assert [(m["exchange"], m["snapshot"], len(m["data"])) for m in snapshots] == [
        ("binance", True, 1), ("okx", True, 1),
    ]  # fmt: skip
    (empty,) = told(world.client(BTC._replace(symbol="X")))[1:]
    assert (empty["snapshot"], empty["data"]) == (True, [])
    (empty,) = told(world.client(EVERY._replace(symbol="X")))[1:]
    assert (empty["exchange"], empty["channel"], empty["data"]) == ("*", "*", [])


def test_states_that_waited_do_not_come_after_a_snapshot_with_newer_ones():
    world = World("prices")
    client = world.client(BTC)
    for rev in range(1, 30):
        world.kinds.take("prices", price(rev))
    world.ask(client, BTC)
    world.kinds.take("prices", price(99))
    revs = [row["rev"] for message in told(client) for row in message.get("data", [])]
    assert revs == sorted(revs)
    assert revs[-2:] == [29, 99]


def test_older_states_are_told_of_symbols_of_which_no_newer_one_is_known():
    world = World()
    world.kinds.take("prices", price(9))
    world.kinds.ready("prices")
    client = world.client(EVERY)
    told(client)
    older = Latest()
    for record in (price(3), price(4), price(2, "ETHUSDT")):
        list(older.take(record, lambda _: False))
    world.kinds.merge("prices", older)
    assert [(row["symbol"], row["rev"]) for row in rows(client)] == [("ETHUSDT", 2)]


def test_a_long_snapshot_goes_on_in_messages_without_the_word(monkeypatch):
    monkeypatch.setattr(board, "SNAPSHOT_ROWS_MAX", 2)
    world = World()
    for symbol in "ABCDE":
        world.kinds.take("prices", price(1, symbol))
    world.kinds.ready("prices")
    client = world.client(EVERY)
    flags = [message.get("snapshot") for message in told(client)[1:]]
    assert flags[0] is True
    assert set(flags[1:]) == {None}
    monkeypatch.setattr(board, "MESSAGE_BYTES_MAX", 1)
    world.ask(client, EVERY)
    assert max(len(m["data"]) for m in told(client)[1:]) >= 1


def test_a_snapshot_beyond_what_may_wait_is_given_up_with_the_reason(monkeypatch):
    monkeypatch.setattr(kinds, "SNAPSHOT_BYTES_MAX", 250)
    world = World()
    for symbol in ("BTCUSDT", "ETHUSDT", "XRPUSDT", "SOLUSDT"):
        world.kinds.take("prices", price(1, symbol))
    world.kinds.ready("prices")
    client = world.client(EVERY)
    (_, refused) = told(client)
    assert refused["type"] == "unsubscribed"
    assert "fewer symbols" in refused["reason"]
    assert not world.kinds.is_wanted("prices")
    world.ask(client, BTC)
    assert told(client)[-1]["type"] == "unsubscribed", "the turn is over for this client"
    world.kinds.tick()
    world.ask(client, BTC)
    assert rows_of_snapshot(told(client)) == ["BTCUSDT"]


def rows_of_snapshot(messages: list[dict]) -> list[str]:
    return [row["symbol"] for m in messages if m.get("snapshot") for row in m["data"]]


def test_when_reading_ends_all_is_forgotten_and_begins_anew():
    world = World()
    world.kinds.take("prices", price(5))
    world.kinds.ready("prices")
    world.kinds.stop("prices")
    client = world.client(BTC)
    assert [m["type"] for m in told(client)] == ["subscribed"]
    assert world.wanted == ["prices"]
    world.kinds.take("prices", price(2))
    world.kinds.ready("prices")
    assert [row["rev"] for row in rows(client)] == [2]


def test_symbols_are_bounded_and_a_bad_record_is_poison(monkeypatch):
    monkeypatch.setattr(known, "SYMBOLS_MAX", 1)
    world = World("prices", "trades", "gaps")
    world.kinds.take("prices", price(1))
    with pytest.raises(Poison, match="more than 1 symbols"):
        world.kinds.take("prices", price(1, "ETHUSDT"))
    for kind in KINDS:
        for bad in (b"", b"{", b"[]", b'{"exchange":"x"}', b"\xff"):
            with pytest.raises(Poison):
                world.kinds.take(kind, bad)


# -- trades


TRADES = BTC._replace(kind="trades")


def ids(messages) -> list[str]:
    return [row["id"] for row in messages]


def test_trades_come_in_order_none_left_out_numbers_as_text():
    world = World("trades")
    client = world.client(TRADES)
    told(client)
    world.kinds.take("trades", trades(*range(1, 700)))
    world.kinds.take("trades", trades(700, symbol="ETHUSDT"))
    found = rows(client)
    assert ids(found) == [str(n) for n in range(1, 700)]
    assert found[0] == {
        "symbol": "BTCUSDT", "id": "1", "price": "28145.10", "qty": "0.100", "side": -1, "ts": 5,
    }  # fmt: skip


def test_a_tape_begins_with_the_last_trades_and_each_comes_once():
    world = World()
    for first in range(1, 301, 50):
        world.kinds.take("trades", trades(*range(first, first + 50)))
    world.kinds.ready("trades")
    client = world.client(TRADES)
    assert ids(told(client)[-1]["data"]) == [str(n) for n in range(201, 301)]
    world.kinds.take("trades", trades(299, 300, 301))  # an ingestor that began anew
    world.kinds.take("trades", trades(5, 6, 302, 304))
    world.kinds.take("trades", trades(303))  # a late one
    assert ids(rows(client)) == ["301", "302", "304", "303"]
    assert ids(told(world.client(TRADES))[-1]["data"])[-4:] == ["301", "302", "304", "303"]


def test_ids_without_an_order_are_told_apart_by_what_is_remembered():
    world = World("trades")
    client = world.client(TRADES)
    told(client)
    for batch in (("b", "a"), ("a", "c"), ("B",)):
        world.kinds.take("trades", trades(*batch))
    assert ids(rows(client)) == ["b", "a", "c", "B"]


def test_what_was_fetched_later_and_what_no_candle_counts_is_no_trade_of_the_tape():
    world = World("trades")
    client = world.client(TRADES)
    told(client)
    world.kinds.take("trades", trades(1, 2, source="archive"))
    world.kinds.take("trades", trades(1, 2, source="rest"))
    world.kinds.take("trades", trades(3, 4, flags=[int(Flag.NON_MARKET), 0]))
    assert ids(rows(client)) == ["4"]


def test_of_a_pattern_each_symbol_has_its_share_of_the_snapshot(monkeypatch):
    monkeypatch.setattr(known, "SNAPSHOT_ROWS_MAX", 20)
    world = World()
    for symbol in ("A", "B", "C"):
        world.kinds.take("trades", trades(*range(50), symbol=symbol))
    world.kinds.ready("trades")
    client = world.client(TRADES._replace(symbol="*"))
    found = told(client)[-1]["data"]
    assert {s: [r["id"] for r in found if r["symbol"] == s][-1] for s in "ABC"} == dict.fromkeys(
        "ABC", "49"
    )
    assert len(found) == 18


def test_trades_wait_one_by_one_and_prices_only_the_newest():
    world = World("trades", "prices")
    client = world.client(TRADES, BTC)
    told(client)
    for n in range(1, 500):
        world.kinds.take("trades", trades(n))
        world.kinds.take("prices", price(n))
    client.outbox.settle()
    found = rows(client)
    assert [row["id"] for row in found if "id" in row] == [str(n) for n in range(1, 500)]
    assert [row["rev"] for row in found if "rev" in row][-1] == 499
    assert sum("rev" in row for row in found) < 5


# -- gaps


def gap(first: int, symbol: str = "BTCUSDT") -> bytes:
    return encode(
        GapEnvelope("binance", "linear", [Gap(symbol, first, first, 1, 2, 1, "found", 3)])
    )


def silence(symbol: str, kind: str = "trades") -> bytes:
    row = StreamGap(symbol=symbol, kind=kind, reason="silent", state="found", from_ms=5)
    return encode(StreamGapEnvelope("binance", "linear", [row]))


def test_gaps_come_as_they_are_those_of_a_socket_to_all_its_symbols():
    world = World()
    records = [gap(1), gap(2, "ETHUSDT"), silence(""), silence("BTCUSDT", "books"), gap(3)]
    for record in records:
        world.kinds.take("gaps", record)
    world.kinds.ready("gaps")
    client = world.client(BTC._replace(kind="gaps"))
    every = world.client(EVERY._replace(kind="gaps"))
    snapshot = told(client)[-1]
    assert [row.get("first_id", row.get("reason")) for row in snapshot["data"]] == [
        1, "silent", "silent", 3,
    ]  # fmt: skip
    assert snapshot["data"][0] == json.loads(gap(1))["data"][0]
    assert len(told(every)[-1]["data"]) == 5
    for record in (silence(""), gap(9, "ETHUSDT"), gap(9), gap(9)):
        world.kinds.take("gaps", record)
    assert len(rows(client)) == 3
    assert len(rows(every)) == 4


def test_only_the_first_entries_of_a_message_are_looked_up_in_names():
    asked = []

    def advise(key: KindKey, *, looks_near: bool) -> str:
        asked.append(looks_near)
        return "no"

    world = World("prices")
    world.kinds.advise = advise
    client = world.client()
    answers = world.kinds.subscribe(client, [BTC._replace(symbol=f"S{n}") for n in range(10)])
    assert asked == [True] * 3 + [False] * 7
    assert {answer.hint for answer in answers} == {"no"}
