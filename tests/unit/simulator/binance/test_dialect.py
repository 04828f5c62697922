"""What Binance as a dialect refuses, spoils and serves."""

import json

import pytest

from runtime.errors import Misconfigured
from simulator.options import SimulatorOptions
from simulator.venues import VENUES, dialects
from simulator.venues.binance.market import LINEAR
from simulator.venues.binance.streams import name_of, read, silent

SPOT, USDM = dialects(SimulatorOptions())


@pytest.mark.parametrize(
    ("message", "key"),
    [
        ('{"e":"trade","s":"A","p":"1.5","q":"2"}', "p"),
        ('{"e":"depthUpdate","U":1,"b":[["1.5","2"]],"a":[["3","4"]]}', "b"),
        ('{"e":"bookTicker","b":"1.5","B":"2"}', "b"),
        ('{"e":"kline","k":{"i":"1m","o":"1.5"}}', "k"),
        ('{"e":"24hrTicker","p":"-1.5"}', "p"),
    ],
)
def test_one_word_is_spoiled_and_the_rest_stays(message, key):
    spoiled = SPOT.spoil(message.encode()).decode()
    assert spoiled.count('"abc"') == 1
    before, after = json.loads(message), json.loads(spoiled)
    assert {k for k in before if before[k] != after[k]} == {key}


def test_a_forced_order_keeps_its_type_when_its_price_is_spoiled():
    message = '{"e":"forceOrder","o":{"s":"A","o":"LIMIT","p":"1.5"}}'
    assert json.loads(SPOT.spoil(message.encode()))["o"] == {"s": "A", "o": "LIMIT", "p": "abc"}


@pytest.mark.parametrize("dialect", [SPOT, USDM])
def test_refusals_say_how_long(dialect):
    warned, banned = dialect.refuse(7, is_banned=False), dialect.refuse(7, is_banned=True)
    assert (warned.status, banned.status) == (429, 418)
    assert warned.headers == banned.headers == {"Retry-After": "7"}


@pytest.mark.parametrize(
    "name",
    [
        "btcusdt@trade",
        "btcusdt@depth@100ms",
        "btcusdt@kline_1m",
        "!forceOrder@arr",
        "BTC@trade",
        "x",
    ],
)
def test_a_stream_is_called_what_it_was_asked_for(name):
    assert name_of(read(name)) == name_of(silent(name)) == name


def test_ids_of_linear_books_leave_room():
    assert LINEAR.update_id(5) - LINEAR.update_id(4) > 1


def test_every_exchange_that_can_be_named_has_a_dialect_that_bears_its_name():
    for name, venue in VENUES.items():
        made = [make(SimulatorOptions(exchanges=(name,))) for make in venue.channels.values()]
        assert {(d.exchange, d.channel) for d in made} == {(name, c) for c in venue.channels}


def test_markets_that_no_exchange_has_are_refused():
    channels = {c for c in ("spot", "linear") if c not in VENUES["hyperliquid"].channels}
    if channels:
        with pytest.raises(Misconfigured, match="--markets"):
            dialects(SimulatorOptions(exchanges=("hyperliquid",), markets=tuple(channels)))
