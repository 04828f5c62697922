"""Client messages are read or refused with words that help; nothing else happens."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.intervals import MINUTE_MS, PRESETS, Interval
from sinks.gateway import envelopes, protocol
from sinks.gateway.protocol import Key, Refused, Subscribe, Unsubscribe, Wanted, parse


def subscribe(*timeframes, **more) -> str:
    item = {"symbol": "BTCUSDT", "timeframes": list(timeframes), **more}
    return json.dumps({"action": "subscribe", "subscriptions": [item]})


def wanted(text: str) -> list[Wanted]:
    message = parse(text)
    assert isinstance(message, Subscribe)
    return [w for s in message.subscriptions for w in s.wanted()]


def test_timeframes_are_text_or_minutes_bare_or_with_initial_candles():
    found = wanted(
        subscribe({"timeframe": "173m", "initial_candles": 7}, 15, "1s", {"timeframe": 5})
    )
    assert [(w.key.interval, w.initial_candles) for w in found] == [
        (Interval(173 * MINUTE_MS), 7),
        (Interval(15 * MINUTE_MS), protocol.INITIAL_CANDLES_DEFAULT),
        (Interval(1_000), protocol.INITIAL_CANDLES_DEFAULT),
        (Interval(5 * MINUTE_MS), protocol.INITIAL_CANDLES_DEFAULT),
    ]


def test_an_old_clients_message_means_binance_linear():
    text = (
        '{"action":"subscribe","subscriptions":[{"symbol":"BTCUSDT","timeframes":'
        '[{"timeframe":15,"initial_candles":100},{"timeframe":173,"initial_candles":20}]}]}'
    )
    assert wanted(text) == [
        Wanted(Key("binance", "linear", "BTCUSDT", Interval(15 * MINUTE_MS)), 100),
        Wanted(Key("binance", "linear", "BTCUSDT", Interval(173 * MINUTE_MS)), 20),
    ]


def test_a_preset_stands_for_all_its_intervals():
    assert len(wanted(subscribe("fibonacci"))) == len(PRESETS["fibonacci"])


def test_the_example_in_every_hint_is_itself_valid():
    assert len(wanted(protocol.EXAMPLE)) == 2


def test_unsubscribe_without_timeframes_means_all_of_the_symbol():
    message = parse('{"action":"unsubscribe","subscriptions":[{"symbol":"BTCUSDT"}]}')
    assert isinstance(message, Unsubscribe)
    selection = message.subscriptions[0]
    assert selection.means(Key("binance", "linear", "BTCUSDT", Interval(1_000)))
    assert not selection.means(Key("binance", "spot", "BTCUSDT", Interval(1_000)))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "not JSON"),
        ("[1]", "[1]"),
        ("{}", '"action" is missing'),
        ('{"action":"buy"}', "'buy'"),
        ('{"action":"subscribe"}', "subscriptions is missing"),
        ('{"action":"subscribe","subscriptions":[]}', "subscriptions"),
        (subscribe(), "subscriptions[0].timeframes"),
        (subscribe("7x"), "'7x'"),
        (subscribe("31D"), "'31D'"),
        (subscribe(0), "'0m'"),
        (subscribe(1.5), "'1.5'"),
        (subscribe(True), "'True'"),
        (subscribe(None), "'None'"),
        (subscribe({"timeframe": "90s"}), "'90s'"),
        (subscribe({"initial_candles": 5}), "timeframe is missing"),
        (subscribe({"timeframe": "1m", "initial_candles": "ten"}), "'ten'"),
        (subscribe({"timeframe": "1m", "initial_candles": -1}), "-1"),
        (subscribe("1m", symbol="BTC USDT"), "'BTC USDT'"),
        (subscribe("1m", symbol=""), "symbol"),
        (subscribe("1m", channel="margin"), "'margin'"),
        (subscribe("1m", exchange=7), "7"),
        ("[" * 5_000, "not JSON"),
        (" " * (protocol.MESSAGE_BYTES_MAX + 1), "bytes"),
        (b"\xff\xfe", "not JSON"),
    ],
)
def test_a_bad_message_is_refused_by_naming_what_is_wrong(text, named):
    with pytest.raises(Refused) as refusal:
        parse(text)
    answer = json.loads(envelopes.error_text(refusal.value))
    assert answer["type"] == "error"
    assert named in answer["error"]
    assert answer["hint"]


@given(st.text(max_size=300) | st.binary(max_size=300))
def test_arbitrary_text_is_read_or_refused_and_nothing_else(text):
    try:
        parse(text)
    except Refused as refused:
        json.loads(envelopes.error_text(refused))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=12,
)


@given(
    action=st.sampled_from(["subscribe", "unsubscribe", "ping"]),
    symbol=st.just("BTCUSDT") | json_values,
    timeframes=st.lists(json_values, max_size=3) | json_values,
)
def test_arbitrary_values_in_place_are_read_or_refused(action, symbol, timeframes):
    item = {"symbol": symbol, "timeframes": timeframes}
    text = json.dumps({"action": action, "subscriptions": [item]})
    try:
        said = parse(text).action
    except Refused as refused:
        said = refused.error
    assert len(said) < 400


def test_a_pattern_covers_a_series_exactly_when_it_is_among_its_covering_keys():
    series = Key("binance", "spot", "ETHUSDT", Interval(60_000))
    others = [series._replace(**{part: other}) for part in Key._fields[:3] for other in ("x", "*")]
    for key in [
        series,
        series._replace(interval=Interval(1_000)),
        Key("*", "*", "*", Interval(60_000)),
        *others,
    ]:
        assert key.covers(series) == (key in series.covering())


def test_rows_keep_their_digits_in_the_envelope():
    row = '{"symbol":"X","open":0.10000000000000000001,"volume":1E+3}'
    text = envelopes.klines_text(envelopes.klines_head("binance", "spot", 5), [row, row])
    assert text.count(row) == 2
    assert json.loads(text) | {"data": 0} == {
        "exchange": "binance", "channel": "spot", "data_type": "klines", "recv_ms": 5, "data": 0,
    }  # fmt: skip
    assert json.loads(envelopes.klines_text(envelopes.klines_head("b", "c", 1, snapshot=True), []))[
        "snapshot"
    ]


def test_anchored_timeframes_are_read_and_answered_in_their_canonical_text():
    texts = ["1w", "1M", "1D@tz=Asia/Tokyo", "8h@funding", "1D@tz=UTC"]
    found = wanted(subscribe(*texts))
    answer = json.loads(envelopes.subscribed_text([protocol.Answer(w, 0, None) for w in found]))
    assert [(s["timeframe"], s["anchor"]) for s in answer["subscriptions"]] == [
        ("1w@mon", "mon"),
        ("1M", "month"),
        ("1D@tz=Asia/Tokyo", "tz=Asia/Tokyo"),
        ("8h@funding", "funding"),
        ("1D", ""),
    ]


def test_a_zone_that_does_not_exist_is_refused_with_what_would_be_right():
    with pytest.raises(Refused, match="no time zone 'Mars/Olympus'") as refused:
        parse(subscribe("1D@tz=Mars/Olympus"))
    assert "1D@tz=Asia/Tokyo" in refused.value.hint
