"""What is missing now, folded from the log of gaps and what recovery wrote down."""

import msgspec
import pytest

from ingest.recovery.gaps import OpenGaps
from ingest.recovery.telling import recompute_asked, told
from schemas.klines import Gap, GapEnvelope, StreamGap, StreamGapEnvelope, decode_gaps
from schemas.recompute import Recompute, decode_recompute
from schemas.recovery import Recovery

T0 = 1_700_000_000_000


def row(state: str, first: int, last: int, missing: int | None = None, rev: int = 10) -> Gap:
    ids = last - first + 1
    left = {"found": ids, "recovered": 0}.get(state, ids) if missing is None else missing
    return Gap("BTCUSDT", first, last, T0, T0 + 9, left, state, rev)


def take(gaps: OpenGaps, *rows: Gap, at_ms: int = T0) -> None:
    for each in rows:
        gaps.take(GapEnvelope("binance", "linear", [each]), at_ms)


def left(gaps: OpenGaps) -> list[tuple[int, int]]:
    return sorted(found for gap in gaps for found in gap.left)


@pytest.fixture
def gaps() -> OpenGaps:
    return OpenGaps("binance", by_time=frozenset({"spot"}))


def test_a_gap_is_open_until_it_is_told_recovered(gaps):
    take(gaps, row("found", 5, 9))
    assert left(gaps) == [(5, 9)]
    take(gaps, row("recovered", 5, 9, rev=12))
    assert left(gaps) == []


def test_gaps_of_another_exchange_or_of_a_market_that_is_not_there_are_not_ours(gaps):
    gaps.take(GapEnvelope("okx", "linear", [row("found", 5, 9)]), T0)
    assert left(gaps) == []
    only_linear = OpenGaps("binance", frozenset({"linear"}))
    only_linear.take(GapEnvelope("binance", "spot", [row("found", 5, 9)]), T0)
    assert left(only_linear) == []


def test_a_gap_that_is_filled_piece_by_piece_is_closed_by_the_last_piece(gaps):
    take(
        gaps,
        row("found", 100, 199),
        row("recovering", 100, 199, missing=50, rev=11),  # 100..149 came
        row("recovering", 150, 199, missing=10, rev=12),
        row("recovered", 190, 199, rev=13),
    )
    assert left(gaps) == []


def test_a_worker_that_replays_opens_nothing_again(gaps):
    events = [row("found", 5, 9), row("recovering", 5, 9, missing=2, rev=11)]
    take(gaps, *events)
    assert len(left(gaps)) == 1
    take(gaps, *events, row("recovered", 8, 9, rev=12))
    assert left(gaps) == []
    take(gaps, *events)
    assert left(gaps) == []


def test_a_gap_that_is_told_anew_under_a_higher_rev_is_open_again(gaps):
    take(gaps, row("found", 5, 9), row("recovered", 5, 9, rev=12), row("found", 5, 9, rev=40))
    assert left(gaps) == [(5, 9)]


def test_ids_that_two_gaps_name_are_wanted_once(gaps):
    take(gaps, row("found", 5, 9), row("found", 1, 20, rev=11))
    assert left(gaps) == [(1, 4), (5, 9), (10, 20)]


def progress(gaps: OpenGaps, **changes) -> Recovery:
    (found,) = list(gaps)
    return msgspec.structs.replace(found, **changes)


def test_progress_is_resumed_whether_it_is_read_before_or_after_the_log(gaps):
    take(gaps, row("found", 5, 9))
    done = progress(gaps, left=[(8, 9)], trades=3)
    gaps.learn(done)
    assert left(gaps) == [(8, 9)]
    again = OpenGaps("binance")
    again.learn(done)
    take(again, row("found", 5, 9))
    assert left(again) == [(8, 9)]


def test_what_was_given_up_is_never_tried_again(gaps):
    take(gaps, row("found", 5, 9))
    given_up = progress(gaps, left=[(8, 9)], state="unrecoverable")
    for fold in (gaps, OpenGaps("binance")):
        fold.learn(given_up)
        take(fold, row("found", 5, 9), row("found", 8, 9, rev=90), row("found", 7, 12, rev=91))
        assert left(fold) == [(7, 7), (10, 12)]


def test_only_what_recovery_itself_wrote_down_is_given_up(gaps):
    take(gaps, row("found", 5, 9), row("unrecoverable", 5, 9, rev=11))
    assert left(gaps) == [(5, 9)]
    gaps.learn(progress(gaps, state="unrecoverable"))
    take(gaps, row("unrecoverable", 5, 9, rev=12))
    assert left(gaps) == []


def test_the_candles_of_a_gap_are_asked_for_as_of_the_last_trade_published_for_it(gaps):
    take(gaps, row("found", 5, 9))
    asked = decode_recompute(recompute_asked(progress(gaps, rev=33), "dense"))
    assert (asked.exchange, asked.channel) == ("binance", "linear")
    assert asked.data == [Recompute("BTCUSDT", T0, T0 + 9, 33)]


def test_a_gap_that_still_moves_is_left_alone_until_recovery_has_begun_with_it(gaps):
    take(gaps, row("found", 5, 9), at_ms=T0)
    take(gaps, row("recovering", 5, 9, missing=4, rev=11), at_ms=T0 + 500)
    assert list(gaps.settled(T0 + 499)) == []
    assert gaps.next_settled_ms(T0 + 499) == T0 + 500
    (found,) = gaps.settled(T0 + 500)
    assert gaps.begin(found)
    assert not gaps.begin(found)
    take(gaps, row("recovering", 6, 9, missing=3, rev=12), at_ms=T0 + 900)
    assert len(list(gaps.settled(T0))) == 1


def stream(state: str, to_ms: int = 0, symbol: str = "BTCUSDT", kind: str = "trades"):
    return StreamGap(
        symbol=symbol, kind=kind, reason="disconnected", state=state, from_ms=T0, to_ms=to_ms
    )


def test_a_stream_that_is_whole_again_leaves_a_span_where_ids_prove_nothing(gaps):
    for channel in ("spot", "linear"):
        for each in (stream("found"), stream("recovered", T0 + 7_000)):
            gaps.take(StreamGapEnvelope("binance", channel, [each]), T0)
    (found,) = list(gaps)
    assert (found.channel, found.from_ms, found.to_ms) == ("spot", T0, T0 + 7_000)
    gaps.learn(msgspec.structs.replace(found, state="recovered"))
    gaps.take(StreamGapEnvelope("binance", "spot", [stream("recovered", T0 + 7_000)]), T0)
    assert list(gaps) == []


@pytest.mark.parametrize("event", [stream("recovered", T0 + 5, kind="books"), stream("found")])
def test_other_streams_and_open_ones_are_no_work(gaps, event):
    gaps.take(StreamGapEnvelope("binance", "spot", [event]), T0)
    assert list(gaps) == []


def test_what_is_told_of_a_gap_names_how_many_ids_are_left(gaps):
    take(gaps, row("found", 5, 9))
    given_up = progress(gaps, left=[(8, 9)], rev=33)
    envelope = decode_gaps(told(given_up, "unrecoverable") or b"")
    assert envelope.data == [Gap("BTCUSDT", 5, 9, T0, T0 + 9, 2, "unrecoverable", 33)]
    assert told(progress(gaps, last_id=0, first_id=0), "recovering") is None
