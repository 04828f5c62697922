"""Faults: what may be asked for, and what is held back for how long."""

import json

import pytest

from simulator.faults import HELD_MAX, BadRequestError, Fault, Trouble, read_fault
from simulator.feeds import Stream

DEPTH = Stream("books", "BTCUSDT", "depth")


def test_a_fault_is_read_with_its_defaults():
    assert read_fault(b'{"kind":"disconnect","market":"spot"}') == Fault("disconnect", "spot")
    wish = {"kind": "delay", "market": "linear", "symbol": "btcusdt", "seconds": 2, "count": 5}
    assert read_fault(json.dumps(wish).encode()) == Fault("late", "linear", "btcusdt", 2.0, 5)
    wish = b'{"kind":"late","market":"spot","stream":"books","exchange":"okx"}'
    assert read_fault(wish) == Fault("late", "spot", "", 2.0, 1, "books", "okx")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"no json", "not JSON"),
        (b"[]", "not a JSON object"),
        (b'{"kind":"flood","market":"spot"}', "kind is one of"),
        (b'{"kind":"silence","market":"moon"}', "market is one of"),
        (b'{"kind":"silence","market":"spot","seconds":0}', "seconds"),
        (b'{"kind":"silence","market":"spot","seconds":601}', "seconds"),
        (b'{"kind":"silence","market":"spot","seconds":"1"}', "seconds"),
        (b'{"kind":"duplicate","market":"spot","count":1001}', "count"),
        (b'{"kind":"duplicate","market":"spot","count":1.5}', "count"),
        (b'{"kind":"duplicate","market":"spot","count":true}', "count"),
        (b'{"kind":"reset","market":"spot","stream":"trades"}', "happens to books"),
        (b'{"kind":"hole","market":"spot","stream":"gossip"}', "stream is one of"),
        (b'{"kind":["hole"],"market":"spot"}', "kind is text"),
        (b'{"kind":"silence","market":"spot","symbol":7}', "symbol is text"),
        (b'{"kind":"silence","market":"spot","colour":7}', "unknown field 'colour'"),
    ],
)
def test_a_senseless_fault_is_refused_with_the_reason(body, words):
    with pytest.raises(BadRequestError, match=words):
        read_fault(body)


def test_silence_covers_a_symbol_a_kind_or_all_and_ends():
    trouble = Trouble()
    trouble.silent_until_ms["", "BTCUSDT"] = 1_000
    assert trouble.silent("trades", "BTCUSDT", 999)
    assert not trouble.silent("trades", "ETHUSDT", 999)
    assert not trouble.silent("trades", "BTCUSDT", 1_000)
    trouble.silent_until_ms["books", ""] = 2_000
    assert trouble.silent("books", "ETHUSDT", 1_999)
    assert not trouble.silent("trades", "ETHUSDT", 1_999)
    assert not trouble.silent("books", "ETHUSDT", 2_000)
    trouble.silent_until_ms["", ""] = 3_000
    assert trouble.silent("tickers", "ETHUSDT", 2_999)
    assert not trouble.silent("tickers", "ETHUSDT", 3_000)
    assert not trouble.silent_until_ms


def test_so_many_rows_are_held_back_for_so_long():
    trouble = Trouble()
    trouble.wish(Fault("late", "spot", "BTCUSDT", seconds=0.5, count=2), 0)
    held = [trouble.hold_row("BTCUSDT", row_id, 0) for row_id in (1, 2, 3)]
    assert held == [True, True, False]
    assert not trouble.hold_row("ETHUSDT", 9, 0)
    assert trouble.due_rows(499) == []
    assert trouble.due_rows(500) == [("BTCUSDT", 1), ("BTCUSDT", 2)]
    assert trouble.due_rows(10_000) == []


def test_what_is_held_back_is_bounded():
    trouble = Trouble()
    trouble.wish(Fault("late", "spot", "BTCUSDT", count=HELD_MAX + 5), 0)
    held = [trouble.hold_row("BTCUSDT", row_id, 0) for row_id in range(HELD_MAX + 1)]
    assert held[-2:] == [True, False]
    trouble.wish(Fault("late", "spot", stream="books", count=HELD_MAX + 5), 0)
    held = [trouble.hold_message(DEPTH, b"x", 0) for _ in range(HELD_MAX + 1)]
    assert held[-2:] == [True, False]


def test_a_wish_hits_its_kind_and_symbol_so_often_and_not_for_ever():
    trouble = Trouble()
    trouble.wish(Fault("hole", "spot", "BTCUSDT", count=2), 0)
    assert not trouble.hit("hole", "trades", "BTCUSDT", 1)
    assert not trouble.hit("hole", "books", "ETHUSDT", 1)
    assert not trouble.hit("late", "books", "BTCUSDT", 1)
    assert [bool(trouble.hit("hole", "books", "BTCUSDT", 1)) for _ in range(3)] == [
        True,
        True,
        False,
    ]
    trouble.wish(Fault("hole", "spot"), 0)
    assert not trouble.hit("hole", "books", "BTCUSDT", 600_000)
    assert not trouble.wishes


def test_rest_is_refused_for_a_while_and_who_asks_on_is_banned():
    trouble = Trouble()
    trouble.limited_until_ms = 5_000
    asked = [trouble.refuses(1_500) for _ in range(5)]
    assert asked == [(4, False)] * 3 + [(4, True)] * 2
    assert trouble.refuses(5_000) is None
    trouble.limited_until_ms = 9_000
    assert trouble.refuses(8_999) == (1, False)


def test_the_last_messages_are_found_by_kind_and_symbol():
    trouble = Trouble()
    other = Stream("trades", "BTCUSDT")
    for i in range(3):
        trouble.remember(DEPTH, b"%d" % i)
        trouble.remember(other, b"t")
    trouble.remember(DEPTH, b"x" * 100_000)
    assert trouble.last("books", "BTCUSDT", 2) == [(DEPTH, b"1"), (DEPTH, b"2")]
    assert trouble.last("trades", "ETHUSDT", 2) == []
    assert len(trouble.last("books", "", 100)) == 3
