"""Faults: what may be asked for, and what is held back for how long."""

import json

import pytest

from simulator.faults import HELD_ROWS_MAX, BadRequestError, Fault, Trouble, read_fault


def test_a_fault_is_read_with_its_defaults():
    assert read_fault(b'{"kind":"disconnect","market":"spot"}') == Fault("disconnect", "spot")
    wish = {"kind": "delay", "market": "linear", "symbol": "btcusdt", "seconds": 2, "count": 5}
    assert read_fault(json.dumps(wish).encode()) == Fault("delay", "linear", "BTCUSDT", 2.0, 5)


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
        (b'{"kind":"delay","market":"spot"}', "needs a symbol"),
        (b'{"kind":"silence","market":"spot","symbol":7}', "symbol is text"),
        (b'{"kind":"silence","market":"spot","colour":7}', "unknown field 'colour'"),
    ],
)
def test_a_senseless_fault_is_refused_with_the_reason(body, words):
    with pytest.raises(BadRequestError, match=words):
        read_fault(body)


def test_silence_covers_a_symbol_or_all_and_ends():
    trouble = Trouble()
    trouble.silent_until_ms["BTCUSDT"] = 1_000
    assert trouble.silent("BTCUSDT", 999)
    assert not trouble.silent("ETHUSDT", 999)
    assert not trouble.silent("BTCUSDT", 1_000)
    trouble.silent_until_ms[""] = 2_000
    assert trouble.silent("ETHUSDT", 1_999)
    assert not trouble.silent("ETHUSDT", 2_000)
    assert not trouble.silent_until_ms


def test_so_many_rows_are_held_back_for_so_long():
    trouble = Trouble()
    trouble.to_delay["BTCUSDT"] = (2, 500)
    held = [trouble.hold("BTCUSDT", row_id, 0) for row_id in (1, 2, 3)]
    assert held == [True, True, False]
    assert not trouble.hold("ETHUSDT", 9, 0)
    assert trouble.due(499) == []
    assert trouble.due(500) == [("BTCUSDT", 1), ("BTCUSDT", 2)]
    assert trouble.due(10_000) == []


def test_rows_held_back_are_bounded():
    trouble = Trouble()
    trouble.to_delay["BTCUSDT"] = (HELD_ROWS_MAX + 5, 500)
    held = [trouble.hold("BTCUSDT", row_id, 0) for row_id in range(HELD_ROWS_MAX + 1)]
    assert held[-2:] == [True, False]
