"""Kinds beside candles: what is known is folded, and who asked is told."""

from decimal import Decimal

import pytest

from runtime.errors import Poison
from schemas.klines import Gap, GapEnvelope, Price, PriceEnvelope
from sinks.gateway import metrics
from sinks.gateway.kinds import board, kinds, known
from sinks.gateway.kinds.known import Latest
from sinks.gateway.protocol import KINDS, KindKey
from tests.support.kinds import (
    BTC,
    EVERY,
    World,
    encode,
    price,
    rows,
    told,
    trades,
)


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


def test_symbols_are_bounded_and_the_rows_of_known_ones_go_on_behind_one_too_many(monkeypatch):
    monkeypatch.setattr(known, "SYMBOLS_MAX", 1)
    world = World("prices", "trades", "gaps")
    keys = [EVERY._replace(kind=kind) for kind in ("prices", "trades", "gaps")]
    client = world.client(*keys)
    left_out = metrics.LEFT_OUT._value.get()
    for rev in (1, 2):
        prices = [Price(s, Decimal(rev), ts=rev, rev=rev) for s in ("A", "B", "A")[rev - 1 :]]
        world.kinds.take("prices", encode(PriceEnvelope("binance", "linear", prices, recv_ms=1)))
        world.kinds.take("trades", trades(rev, symbol="A"))
        world.kinds.take("trades", trades(rev, symbol="B"))
        gaps = [Gap(s, rev, rev, 1, 2, 1, "found", 3) for s in ("A", "B", "A")[rev - 1 :]]
        world.kinds.take("gaps", encode(GapEnvelope("binance", "linear", gaps)))
    found = [m for m in told(client) if m.get("data")]
    rows_of = {m: [r for each in found if each["data_type"] == m for r in each["data"]]
               for m in ("prices", "trades", "gaps")}  # fmt: skip
    assert {row["symbol"] for each in rows_of.values() for row in each} == {"A"}
    assert rows_of["prices"][-1]["rev"] == 2
    assert [row["id"] for row in rows_of["trades"]] == ["1", "2"]
    assert [row["first_id"] for row in rows_of["gaps"]] == [1, 1, 2]
    assert metrics.LEFT_OUT._value.get() - left_out == 6


def test_a_bad_record_is_poison():
    world = World("prices", "trades", "gaps")
    for kind in KINDS:
        for bad in (b"", b"{", b"[]", b'{"exchange":"x"}', b"\xff"):
            with pytest.raises(Poison):
                world.kinds.take(kind, bad)


def test_names_that_are_near_are_looked_for_once_a_second():
    asked = []

    def advise(key: KindKey, may_look) -> str:
        asked.append(may_look())
        return "no"

    world = World("prices")
    world.kinds.advise = advise
    client = world.client()
    answers = world.kinds.subscribe(client, [BTC._replace(symbol=f"S{n}") for n in range(10)])
    assert asked == [True] + [False] * 9
    assert {answer.hint for answer in answers} == {"no"}
    client.has_looked = False  # a second later
    world.kinds.subscribe(client, [BTC])
    assert asked[10:] == [True]


def test_of_what_is_more_than_there_is_room_for_nothing_more_is_made(monkeypatch):
    monkeypatch.setattr(kinds, "SNAPSHOT_BYTES_MAX", 1_000)
    world = World("prices")
    made = []

    def snapshot(key: KindKey):
        for _ in range(100):
            made.append(key)
            yield "x" * 400

    monkeypatch.setattr(world.kinds._boards["prices"], "snapshot", snapshot)
    client = world.client(BTC)
    assert len(made) == 3
    world.ask(client, BTC)
    assert len(made) == 3, "nothing is left of this second"
    assert not world.kinds.keys_of(client)


def test_many_keys_cost_a_look_each_when_one_is_given_up(monkeypatch):
    looked = []
    is_of = board.is_of
    monkeypatch.setattr(board, "is_of", lambda *each: looked.append(each) or is_of(*each))
    world = World("gaps", "prices")
    for n in range(300):
        world.kinds.take("prices", price(1, f"S{n}"))
    keys = [BTC._replace(symbol=f"S{n}") for n in range(300)]
    client = world.client(EVERY, *keys)
    told(client)
    looked.clear()
    assert world.kinds.unsubscribe(client, [EVERY]) == [EVERY]
    assert len(looked) == 1
    world.kinds.take("prices", price(2, "S7"))
    world.kinds.take("prices", price(2, "X"))
    assert [row["symbol"] for row in rows(client)] == ["S7"]
