"""The forms of other programs: what they are told, what is left out, and digits as they were."""

import json

import pytest

from schemas.intervals import parse_interval, parse_intervals
from sinks.gateway.protocol import ANY, Refused
from sinks.gateway.seeds.forms import Envelopes, OhlcvUpdates, Seconds, form_of, minutes

WHOLE = {"historical_loading": False, "gap_recovery": False, "data_quality": "complete"}
GAP = {**WHOLE, "data_quality": "gap"}
ROW = (
    '{"symbol":"BTCUSDT","interval":%d,"timestamp":%d,"open":1.10,"high":2.00,"low":1.00,'
    '"close":1.50,"volume":0.10000000000000000010,"quote_volume":1,"trade_count":7,"closed":%s,'
    '"rev":3}'
)


def row(at_ms=0, interval=1_000, closed="true") -> str:
    return ROW % (interval, at_ms, closed)


def klines(*rows: str, channel="linear", **more) -> str:
    head = {"exchange": "binance", "channel": channel, "data_type": "klines", "recv_ms": 1, **more}
    return json.dumps(head)[:-1] + f',"data":[{",".join(rows)}]}}'


def told(form, *texts: str) -> list[dict]:
    return [json.loads(text) for text in form.frames(texts)]


def test_rows_become_updates_with_the_state_of_their_series():
    form = OhlcvUpdates()
    first = told(form, klines(row(interval=900_000), data_status=GAP, snapshot=True))
    assert [(each["timeframe"], each["data_status"]) for each in first] == [("15m", GAP)]
    assert told(form, klines(row(interval=60_000)))[0]["data_status"] == WHOLE
    assert told(form, klines(row(interval=900_000), channel="spot"))[0]["data_status"] == WHOLE
    changed = {"type": "data_status", "symbol": "BTCUSDT", "exchange": "binance",
               "channel": "linear", "timeframes": ["15m"], "data_status": WHOLE}  # fmt: skip
    assert told(form, json.dumps(changed)) == []
    (update,) = form.frames([klines(row(interval=900_000))])
    assert json.loads(update)["data_status"] == WHOLE
    assert '"volume":0.10000000000000000010,"trades_count":7' in update
    assert '"open":1.10,' in update


@pytest.mark.parametrize(
    ("interval", "text"),
    [("15m", "15m"), ("1h", "60m"), ("2850m", "2850m"), ("1s", "1s"), ("1w@mon", "1w@mon")],
)
def test_old_timeframes_are_minutes(interval, text):
    assert minutes(parse_interval(interval)) == text


def test_what_is_no_candle_is_told_as_it_is_or_not_at_all():
    head = {"exchange": "binance", "channel": "linear", "data_type": "prices", "recv_ms": 1}
    text = json.dumps({**head, "data": [{"symbol": "BTCUSDT", "price": 1.5, "ts": 5, "rev": 7}]})
    assert OhlcvUpdates().frames([text]) == [text]
    assert Envelopes(ANY, ANY).frames([text]) == Seconds({}, "binance").frames([text]) == []


def test_only_closed_candles_and_errors_are_pushed():
    form = Envelopes(ANY, ANY)
    error = '{"type":"error","error":"no","hint":""}'
    stats = '{"type":"stats","symbols":3,"clients":1}'
    (envelope, answer) = form.frames(
        ['{"type":"subscribed","subscriptions":[]}', klines(row(), row(1_000, closed="false")),
         klines(row(closed="false")), stats, error]
    )  # fmt: skip
    assert answer == error
    assert [each["timestamp"] for each in json.loads(envelope)["data"]] == [0]


def test_a_second_is_told_once_and_never_an_older_one():
    form = Seconds({"tz": "UTC"}, "binance")
    texts = [klines(row(at_ms)) for at_ms in (5_000, 5_000, 4_000, 6_000)]
    assert [each["timestamp"][-6:] for each in told(form, *texts)] == ["05 UTC", "06 UTC"]


def test_what_is_pushed_unasked_is_what_is_made():
    made = parse_intervals(["1s", "173m"])
    (everything,) = Envelopes("binance", ANY).opening(made).subscriptions
    assert (everything.exchange, everything.channel, everything.symbol) == ("binance", "*", "*")
    assert [wanted.key.interval for wanted in everything.wanted()] == list(made)
    (seconds,) = Seconds({}, "HyperliquidPerp").opening(made).subscriptions
    assert (seconds.exchange, seconds.channel) == ("hyperliquid", "linear")
    assert {wanted.initial_candles for wanted in seconds.wanted()} == {0}
    with pytest.raises(Refused, match="1s candles are not made"):
        Seconds({}, "binance").opening(made[1:])
    assert OhlcvUpdates().opening(made) is None


def test_our_own_form_is_what_nothing_names():
    assert form_of({}, "binance") is form_of({"format": "native"}, "binance") is None
