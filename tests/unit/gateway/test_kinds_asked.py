"""Asking for kinds: what is said is read or refused, and why nothing may come is told."""

import json

import msgspec
import pytest

from runtime.settings import Settings
from schemas.control import StreamStatus
from schemas.streams import StreamKey
from schemas.topics import STREAMS
from sinks.gateway.control import StreamTable
from sinks.gateway.kinds import hints
from sinks.gateway.kinds.hints import Hints
from sinks.gateway.protocol import KINDS, KindKey, Refused, Subscribe, Unsubscribe, parse
from tests.support.told import heard

BTC = KindKey("binance", "linear", "BTCUSDT", "prices")
TRADES = BTC._replace(kind="trades")
EVERY = KindKey("*", "*", "*", "prices")


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_is_subscribed_to_and_given_up_without_timeframes(kind):
    item = {"symbol": "BTCUSDT", "data_type": kind}
    for action, its in (("subscribe", Subscribe), ("unsubscribe", Unsubscribe)):
        message = {"action": action, "subscriptions": [item, {**item, "exchange": "*"}, item]}
        found = parse(json.dumps(heard(message)))
        assert isinstance(found, its)
        assert found.kinds == [
            KindKey("binance", "linear", "BTCUSDT", kind),
            KindKey("*", "linear", "BTCUSDT", kind),
        ]


def test_candles_and_kinds_share_a_message():
    items = [{"symbol": "BTCUSDT", "data_type": "trades"}, {"symbol": "BTCUSDT", "timeframes": [1]}]
    items.append({"symbol": "BTCUSDT", "data_type": "klines", "timeframes": ["5m"]})
    found = parse(json.dumps(heard({"action": "subscribe", "subscriptions": items})))
    assert [w.key.interval.text for w in found.wanted] == ["1m", "5m"]
    assert [key.kind for key in found.kinds] == ["trades"]


def test_a_position_is_read_as_partitions_and_offsets():
    item = {"symbol": "BTCUSDT", "timeframes": ["1m", "5m"], "from_seq": {"3": 12345, "0": -1}}
    found = parse(json.dumps(heard({"action": "subscribe", "subscriptions": [item]})))
    assert {w.from_seq for w in found.wanted} == {((0, -1), (3, 12345))}
    del item["from_seq"]
    found = parse(json.dumps({"action": "subscribe", "subscriptions": [item]}))
    assert {w.from_seq for w in found.wanted} == {None}


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"data_type": "candles"}, "subscriptions[0].data_type"),
        ({"data_type": 7}, "subscriptions[0].data_type"),
        ({"data_type": None}, "subscriptions[0].data_type"),
        ({"data_type": "trades", "symbol": "BTC USDT"}, "subscriptions[0].symbol"),
        ({"data_type": "trades", "channel": "margin"}, "subscriptions[0].channel"),
        ({"data_type": "klines"}, "subscriptions[0].timeframes is missing"),
        ({"timeframes": [1], "from_seq": 5}, "subscriptions[0].from_seq"),
        ({"timeframes": [1], "from_seq": {"x": 5}}, "subscriptions[0].from_seq"),
        ({"timeframes": [1], "from_seq": {"-1": 5}}, "subscriptions[0].from_seq"),
        ({"timeframes": [1], "from_seq": {"1": -2}}, "subscriptions[0].from_seq"),
        ({"timeframes": [1], "from_seq": {"1": 1 << 63}}, "subscriptions[0].from_seq"),
        ({"timeframes": [1], "from_seq": {str(n): 0 for n in range(1_001)}}, "from_seq"),
    ],
)
def test_what_means_nothing_is_refused_by_naming_it(more, named):
    item = {"symbol": "BTCUSDT", **more}
    with pytest.raises(Refused) as refusal:
        parse(json.dumps({"action": "subscribe", "subscriptions": [item]}))
    assert named in refusal.value.error


def table(*running: StreamKey) -> StreamTable:
    found = StreamTable()
    for key in running:
        status = StreamStatus(**key._asdict(), state="live", since_ms=1)
        found.take(STREAMS.name, str(key).encode(), msgspec.json.encode(status))
    return found


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (TRADES, None),
        (BTC, None),
        (EVERY, None),
        (TRADES._replace(symbol="*", exchange="okx"), "no stream of trades runs for okx"),
        (TRADES._replace(symbol="ETHUSDT"), "no stream of trades runs for binance linear ETHUSDT"),
        (TRADES._replace(kind="books"), "no stream of books runs"),
        (TRADES._replace(kind="ticks"), "the agent 'ticks'"),
        (TRADES._replace(kind="tickers", exchange="kraken", channel="*"), "no tickers of kraken"),
        (TRADES._replace(exchange="nasdaq"), "no trades of nasdaq"),
        (TRADES._replace(kind="gaps"), None),
    ],
)
def test_a_kind_that_nobody_makes_or_streams_is_said_to_be_so(key, said):
    running = StreamKey("binance", "linear", "BTCUSDT", "trades", "ws")
    advice = Hints(Settings(_env_file=None), table(running))
    hint = advice.of(key, lambda: True)
    assert hint is None if said is None else said in (hint or "")


def test_candles_of_the_exchange_need_its_candles_not_its_trades():
    settings = Settings(_env_file=None, aggregator_mode="klines")
    advice = Hints(settings, table(StreamKey("binance", "linear", "BTCUSDT", "venue-klines", "ws")))
    assert advice.of(BTC, lambda: False) is None
    assert "no stream of trades" in (advice.of(TRADES, lambda: False) or "")


def test_near_names_are_looked_for_where_it_may_be_and_anew_when_others_are_listed(monkeypatch):
    looks, asked = [], []
    near = hints.get_close_matches
    monkeypatch.setattr(hints, "get_close_matches", lambda *a: looks.append(a) or near(*a))
    found = table()
    names = found.instruments[("binance", "linear")] = {"BTCUSDT": None}
    advice = Hints(Settings(_env_file=None), found)

    def of(symbol: str, *, may: bool = True) -> str:
        return advice.of(TRADES._replace(symbol=symbol), lambda: asked.append(may) or may) or ""

    assert "similar" not in of("BTCUSD", may=False)
    assert (asked, looks) == ([False], [])
    for _ in range(3):
        assert of("BTCUSD").endswith("; similar: BTCUSDT")
    assert len(looks) == 1
    names["BTCUSDC"] = None
    assert "BTCUSDC" in of("BTCUSD")
    del names["BTCUSDT"]
    assert of("BTCUSD").endswith("; similar: BTCUSDC")
    asked.clear()
    of("BTCUSDC")
    of("*")
    advice.of(TRADES._replace(kind="ticks"), lambda: asked.append(True) or True)
    assert not asked, "a look that is not needed is left for one that is"
