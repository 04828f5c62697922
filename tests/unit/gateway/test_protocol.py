"""Client messages are read or refused with words that help; nothing else happens."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.intervals import MINUTE_MS, PRESETS, Interval
from sinks.gateway import envelopes, protocol
from sinks.gateway.protocol import (
    DataStatus,
    Key,
    Refused,
    Subscribe,
    Unsubscribe,
    Wanted,
    parse,
)

STATUS = DataStatus(gap_recovery=True)


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
    mine = [Key("binance", "linear", "BTCUSDT", Interval(ms)) for ms in (1_000, 60_000)]
    assert message.meant([*mine, mine[0]._replace(channel="spot")]) == mine
    items = [{"symbol": "BTCUSDT", "timeframes": ["1m", "1s"]}, {"symbol": "X"}]
    text = json.dumps({"action": "unsubscribe", "subscriptions": items})
    others = [mine[0]._replace(symbol="X"), mine[0]._replace(interval=Interval(5_000))]
    assert parse(text).meant([*mine, *others]) == [*mine, others[0]]


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
    head = envelopes.market_head("binance", "spot")
    text = envelopes.updates_text(head, 5, [row, row])
    assert text.count(row) == 2
    assert json.loads(text) | {"data": 0} == {
        "exchange": "binance", "channel": "spot", "data_type": "klines", "recv_ms": 5, "data": 0,
    }  # fmt: skip
    whole = json.loads(envelopes.updates_text(head, 1, [], {3: 4}, snapshot=True, status=STATUS))
    assert (whole["snapshot"], whole["seq"]) == (True, {"3": 4})
    assert whole["data_status"] == STATUS._asdict()


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


def test_timeframes_are_bounded_and_each_series_is_wanted_once_as_named_last():
    with pytest.raises(Refused, match="at most 1000 items"):
        parse(subscribe(*[1] * 1_001))
    with pytest.raises(Refused, match="at most 1000 items"):
        parse(subscribe(*[1] * 1_001).replace('"subscribe"', '"unsubscribe"'))
    one = {"symbol": "A", "timeframes": ["1m", {"timeframe": 1, "initial_candles": 7}] * 400}
    message = parse(json.dumps({"action": "subscribe", "subscriptions": [one] * 2}))
    assert message.wanted == [Wanted(Key("binance", "linear", "A", Interval(60_000)), 7)]


def test_of_positions_the_highest_of_each_partition_is_read():
    items = [
        {"symbol": "A", "timeframes": ["1m"], "from_seq": {"0": 5, "1": 9}},
        {"symbol": "B", "timeframes": ["1m"], "from_seq": {"0": 7}},
        {"symbol": "C", "timeframes": ["1m"]},
        {"symbol": "C", "data_type": "trades"},
    ]
    message = parse(json.dumps({"action": "subscribe", "subscriptions": items}))
    assert message.positions == {0: 7, 1: 9}
