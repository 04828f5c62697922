"""Trades and gaps: every one is told, in order, and each once."""

import json

from schemas.trades import Flag
from sinks.gateway.kinds import known
from tests.support.kinds import (
    BTC,
    EVERY,
    TRADES,
    World,
    gap,
    ids,
    price,
    rows,
    silence,
    told,
    trades,
)


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


def test_a_repeat_is_known_among_thousands_and_beyond_them_memory_is_bounded(monkeypatch):
    world = World("trades")
    client = world.client(TRADES)
    told(client)
    many = [f"t{n}" for n in range(known.KEYS_PER_SYMBOL)]
    world.kinds.take("trades", trades(*many))
    told(client)
    world.kinds.take("trades", trades("t0", "new", "t1", *many[-200:]))
    assert ids(rows(client)) == ["new"]
    monkeypatch.setattr(known, "KEYS_MAX", 1)  # a great many symbols: each keeps a hundred
    world.kinds.take("trades", trades("newer"))
    tape = world.kinds._boards["trades"]._known._tapes[TRADES[:3]]
    assert len(tape._keys) == known.ROWS_PER_SYMBOL
    world.kinds.take("trades", trades("t2", *many[-50:]))
    assert ids(rows(client)) == ["newer", "t2"]


def test_a_trade_that_is_late_by_more_than_a_snapshot_is_told():
    world = World("trades")
    client = world.client(TRADES)
    world.kinds.take("trades", trades(*(n for n in range(1, 1_000) if n != 500)))
    told(client)
    world.kinds.take("trades", trades(500))
    world.kinds.take("trades", trades(500, 499))
    assert ids(rows(client)) == ["500"]


def test_what_was_fetched_later_and_what_no_candle_counts_is_no_trade_of_the_tape():
    world = World("trades")
    client = world.client(TRADES)
    told(client)
    world.kinds.take("trades", trades(1, 2, source="archive"))
    world.kinds.take("trades", trades(1, 2, source="rest"))
    world.kinds.take("trades", trades(3, 4, flags=[int(Flag.NON_MARKET), 0]))
    assert ids(rows(client)) == ["4"]


def test_of_a_pattern_each_symbol_has_its_share_of_the_snapshot(monkeypatch):
    monkeypatch.setattr(known, "PAST_ROWS_MAX", 20)
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


def test_what_is_told_of_a_socket_goes_on_while_any_symbol_of_it_is_wanted():
    world = World("gaps")
    world.kinds.take("gaps", silence(""))
    gaps = BTC._replace(kind="gaps")
    client = world.client(EVERY._replace(kind="gaps"), gaps)
    told(client)
    world.kinds.unsubscribe(client, [EVERY._replace(kind="gaps")])
    world.kinds.take("gaps", silence(""))
    assert len(rows(client)) == 1
    world.kinds.unsubscribe(client, [gaps])
    world.kinds.take("gaps", silence(""))
    assert told(client) == []
