"""What the benchmarks take for CPU, memory, rate and latency."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from fibstream.bench.close import _by_interval, _seen
from fibstream.bench.footprint import footprint
from fibstream.bench.latency import Taken, latencies, stages
from fibstream.bench.live import Run, percentiles
from fibstream.bench.processor import Sample, _counts, _report
from fibstream.truth import TruthTrade
from runtime.settings import Settings
from schemas.intervals import Interval
from schemas.klines import Kline, KlineEnvelope

SERIES = ("binance", "linear", "BTCUSDT")
MS = 1_000_000
SECOND = Interval(1_000)


def kline(last_id: int, *, open_ms: int = 0, closed: bool = False) -> Kline:
    one = Decimal(1)
    prices = (one,) * 8
    return Kline("BTCUSDT", 1_000, open_ms, *prices, 1, 1, last_id, closed, 1, "live", "proven", 0)


def message(at_ms: float, *rows: Kline) -> tuple[int, bytes]:
    envelope = KlineEnvelope("binance", "linear", list(rows), 0)
    return int(at_ms * MS), msgspec.json.encode(envelope)


def run(messages: Sequence[tuple[int, bytes]], sent_ms: dict[int, float]) -> Run:
    one = Decimal(1)
    trades = [
        TruthTrade(id_, int(ms), one, one, 1, id_, id_, "", int(ms * MS))
        for id_, ms in sent_ms.items()
    ]
    return Run(
        settings=Settings(),
        from_ns=1_000 * MS,
        to_ns=3_000 * MS,
        messages=messages,
        trades={SERIES: trades},
        cores={},
    )


def test_a_trade_that_a_later_candle_holds_is_as_late_as_that_candle():
    seen = run([message(1_040, kline(3))], {1: 1_010, 2: 1_020, 3: 1_030})
    assert latencies(seen, seen.seen()) == pytest.approx([30, 20, 10])


def test_a_trade_ends_with_the_first_candle_that_holds_it():
    seen = run([message(1_020, kline(1)), message(1_050, kline(1))], {1: 1_010})
    assert latencies(seen, seen.seen()) == pytest.approx([10])


def test_trades_before_and_after_the_clock_and_those_nobody_heard_do_not_count():
    sent = {1: 999, 2: 3_000, 3: 0}
    seen = run([message(3_500, kline(9))], sent)
    assert latencies(seen, seen.seen()) == []


def test_what_is_no_candle_is_no_sight():
    seen = run([(1, b'{"type":"subscribed"}')], {})
    assert list(seen.seen()) == []


def test_the_stages_add_up_to_the_whole():
    seen = run([message(1_100, kline(1))], {1: 1_010})
    key = (SERIES, 1)
    found = stages(seen, seen.seen(), {key: Taken(1_015, 1_030)}, {key: 1_070})
    middle = {name: part["p50"] for name, part in found.items()}
    assert middle.pop("all") == sum(middle.values()) == 90
    assert middle == {
        "sent_to_ingest": 5,
        "ingest_to_record": 15,
        "record_to_candle": 40,
        "candle_to_client": 30,
    }


def test_a_close_is_taken_at_its_first_sight_and_from_the_candles_end():
    seen = _seen(
        run(
            [
                message(2_090, kline(1, open_ms=1_000, closed=True)),
                message(2_500, kline(1, open_ms=1_000, closed=True)),  # a correction
                message(2_600, kline(2, open_ms=2_000)),  # still open
            ],
            {},
        )
    )
    assert seen == {(SERIES, SECOND, 1_000): 2_090}
    delays = _by_interval(seen, dict.fromkeys(seen, 2_000))
    assert delays["1s"]["p99"] == 90


def test_candles_that_ended_outside_the_time_measured_do_not_count():
    rows = [kline(1, open_ms=-1_000, closed=True), kline(1, open_ms=2_000, closed=True)]
    assert _seen(run([message(3_100, *rows)], {})) == {}


def test_percentiles_of_nothing_are_told_as_none():
    assert percentiles([])["p99"] is None
    assert percentiles([1.0, 2.0, 3.0])["max"] == 3.0


SAMPLES = [
    Sample(at_s=10.0, trades=100, records=1, outputs=1, cpu_s=5.0, peak_rss_mb=50.0),
    Sample(at_s=11.0, trades=500, records=5, outputs=5, cpu_s=6.0, peak_rss_mb=60.0),
    Sample(at_s=13.0, trades=1_000, records=10, outputs=9, cpu_s=6.5, peak_rss_mb=70.0),
]


def test_a_rate_is_taken_between_two_checkpoints():
    report = _report(SAMPLES, 0)
    assert report["trades_per_s"] == 300
    assert report["cpu_s_per_million"] == round(1.5 / 900 * 1e6, 3)
    assert report["peak_rss_mb"] == 70
    assert (report["trades"], report["records"], report["outputs"]) == (1_000, 10, 9)


def test_the_warm_half_begins_at_the_first_checkpoint_beyond_it():
    assert _report(SAMPLES, 500)["trades_per_s"] == 250


def test_one_checkpoint_is_no_measurement():
    with pytest.raises(RuntimeError, match="more trades"):
        _report(SAMPLES, 1_000)


def test_counts_are_sums_over_labels():
    page = (
        "# HELP fibstream_process_trades_total x\n"
        'fibstream_process_trades_total{agent="a"} 2.0\n'
        'fibstream_process_trades_total{agent="b"} 3.0\n'
        "fibstream_process_trades_created 9.0\n"
    )
    assert _counts(page) == {"trades": 5.0, "records": 0.0, "outputs": 0.0}


linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="Linux counts here")


@linux
def test_a_footprint_is_that_of_the_process():
    own = footprint(os.getpid())
    assert own.cpu_s > time.process_time() / 2  # and of its children, whoever started them
    assert own.peak_rss_mb > 10


@linux
def test_a_footprint_holds_the_children():
    before = footprint(os.getpid())
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        alone = footprint(child.pid)
        while alone.peak_rss_mb < 2:
            alone = footprint(child.pid)
        assert footprint(os.getpid()).peak_rss_mb > before.peak_rss_mb + 1
        child.kill()


@linux
def test_who_is_gone_used_nothing():
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait()
    assert footprint(child.pid) == (0.0, 0.0)
