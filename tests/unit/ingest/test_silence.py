"""Silent or only quiet: time is a number, and so is the evidence."""

from decimal import Decimal
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ingest.silence import (
    FIRST_DATA_WITHIN_S,
    OVERDUE_MIN_S,
    RENEW_FIRST_S,
    Activity,
    Change,
    Watch,
)
from schemas.updates import Ticker, VenueKline

NEVER = 0.0


def ticking(*, every_s: float = 1.0, until_s: float = 100.0) -> Watch:
    """A stream that was heard in a steady rhythm."""
    watch = Watch("trades", "BTCUSDT", 0.0)
    now_s = 0.0
    while now_s < until_s:
        now_s += every_s
        watch.rows += 1
        assert watch.pulse(now_s, now_s) is None
    return watch


def changes(watch: Watch, from_s: int, to_s: int, traded_s: float | None = None) -> list:
    found = []
    for now_s in range(from_s, to_s):
        change = watch.pulse(float(now_s), float(now_s) if traded_s is None else traded_s)
        if change is not None:
            found.append((change, now_s))
    return found


def test_a_stream_that_stops_while_its_symbol_trades_is_silent() -> None:
    ((change, at_s), *_) = changes(ticking(every_s=0.1), 100, 130)
    assert change is Change.SILENT
    assert OVERDUE_MIN_S <= at_s - 100 <= OVERDUE_MIN_S + 2


def test_a_quiet_symbol_is_never_silent() -> None:
    assert changes(ticking(every_s=0.1), 100, 10_000, traded_s=NEVER) == []
    assert changes(ticking(every_s=0.1), 100, 10_000, traded_s=101.0) == []  # told of the last one


def test_acknowledged_and_never_any_data_is_silent_once_the_symbol_trades() -> None:
    watch = Watch("trades", "BTCUSDT", 0.0)
    assert changes(watch, 0, 1_000, traded_s=NEVER) == []
    watch = Watch("trades", "BTCUSDT", 0.0)
    ((change, at_s), *_) = changes(watch, 0, 60)
    assert change is Change.SILENT
    assert FIRST_DATA_WITHIN_S < at_s <= FIRST_DATA_WITHIN_S + 2


def test_a_slow_rhythm_is_given_its_time() -> None:
    watch = ticking(every_s=30.0, until_s=3_000.0)
    assert changes(watch, 3_000, 3_000 + 290) == []
    assert changes(watch, 3_290, 3_000 + 700)[0][0] is Change.SILENT


def test_it_is_subscribed_again_ever_more_rarely_and_recovers_with_the_first_row() -> None:
    watch = ticking(every_s=0.1)
    found = changes(watch, 100, 1_000)
    assert [change for change, _ in found[1:]] == [Change.STILL_SILENT] * (len(found) - 1)
    times = [at_s for _, at_s in found]
    pauses = [b - a for a, b in pairwise(times)]
    assert pauses[0] == RENEW_FIRST_S
    assert pauses == sorted(pauses)
    assert len(pauses) <= 6
    watch.rows += 1
    assert watch.pulse(1_000.0, 1_000.0) is Change.RECOVERED
    assert watch.pulse(1_000.5, 1_000.5) is None


def test_liquidations_are_never_expected() -> None:
    assert changes(Watch("liquidations", "BTCUSDT", 0.0), 0, 1_000) == []


def test_our_own_pause_is_not_the_venues_silence() -> None:
    watch = ticking(every_s=0.1)
    watch.restart(160.0)
    assert changes(watch, 160, 160 + int(OVERDUE_MIN_S)) == []


@given(st.lists(st.floats(0.05, 20.0), min_size=3, max_size=200))
def test_no_rhythm_makes_a_stream_flap_that_tells_every_trade(distances) -> None:
    watch, now_s = Watch("trades", "BTCUSDT", 0.0), 0.0
    for distance_s in distances:
        now_s += distance_s
        watch.rows += 1
        assert watch.pulse(now_s, now_s) is None  # other channels tell of the same trades
        assert watch.pulse(now_s + 2.0, now_s + 2.0) is None


def ticker(price: str | None, volume: str | None) -> Ticker:
    return Ticker(
        symbol="A",
        ts=0,
        is_snapshot=False,
        last_price=None if price is None else Decimal(price),
        volume_24h=None if volume is None else Decimal(volume),
    )


def test_a_ticker_is_evidence_when_its_price_moves_or_its_volume_grows() -> None:
    activity = Activity()
    told = []
    for now_s, row in enumerate(
        [
            ticker("1", "10"),
            ticker("1", "9"),  # a day ago leaves the window
            ticker(None, None),
            ticker("1", "9.5"),
            ticker("2", None),
            ticker(None, "9.5"),
        ],
        start=1,
    ):
        activity.ticker(row, float(now_s))
        told.append(activity.traded_s("A"))
    assert told == [0.0, 0.0, 0.0, 2.0, 4.0, 4.0], "the time of the look before"


def kline(timestamp: int, volume: str) -> VenueKline:
    one = Decimal(1)
    return VenueKline(
        symbol="A", interval=60_000, name="1m", timestamp=timestamp, open=one, high=one, low=one,
        close=one, volume=Decimal(volume), closed=False, ts=timestamp,
    )  # fmt: skip


def test_a_candle_of_the_venue_is_evidence_when_its_volume_grows() -> None:
    activity = Activity()
    told = []
    for now_s, row in enumerate([kline(0, "1"), kline(0, "1"), kline(0, "2"), kline(60_000, "5")]):
        activity.venue_kline(row, float(now_s))
        told.append(activity.traded_s("A"))
    assert told == [0.0, 0.0, 1.0, 1.0]


def test_the_venues_day_is_evidence_when_it_grew_between_two_questions() -> None:
    activity = Activity()
    activity.counted({"A": 5.0, "B": 7.0}, ["A", "B", "C"], 10.0)
    activity.counted({"A": 6.0, "B": 7.0}, ["A", "B"], 70.0)
    assert (activity.traded_s("A"), activity.traded_s("B")) == (10.0, 0.0)


@given(st.lists(st.tuples(st.integers(60, 1_200), st.integers(1, 5)), min_size=1, max_size=12))
def test_a_faultless_stream_of_rare_trades_is_never_silent_whatever_the_venues_day_says(
    bursts,
) -> None:
    watch, activity = Watch("trades", "A", 0.0), Activity()
    ends, at_s = {}, 0
    for pause_s, trades in bursts:
        at_s += pause_s
        ends[at_s] = trades
    total, asked_s = 0, -1_000
    for now_s in range(at_s + 600):
        total += ends.get(now_s, 0)
        watch.rows = total
        assert watch.pulse(float(now_s), activity.traded_s("A")) is None
        if watch.is_overdue(float(now_s)) and now_s - asked_s > 60:
            asked_s = now_s
            activity.counted({"A": float(total)}, ["A"], float(now_s))


def test_a_reconnect_is_no_trade() -> None:
    watch = Watch("trades", "A", 0.0)
    watch.restart(500.0)
    assert watch.heard_s == 0.0
    watch.rows += 1
    watch.pulse(510.0, 0.0)
    assert watch.heard_s == 510.0
