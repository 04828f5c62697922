"""The benchmarks run, whatever the figures: each on real servers, with a small load."""

import pytest

from fibstream.bench import processor
from fibstream.bench.close import bench_close
from fibstream.bench.day import Load as Day
from fibstream.bench.day import bench_day
from fibstream.bench.latency import bench_latency
from fibstream.bench.live import Load
from runtime.settings import Settings

pytestmark = [pytest.mark.integration, pytest.mark.soak, pytest.mark.timeout(400)]

LIVE = Load(trades_per_s=300, symbols=12, run_for_s=4, warm_s=2, throttle_ms=20)


async def test_a_worker_folds_all_that_was_produced_and_tells_its_cost(monkeypatch):
    monkeypatch.setattr(processor, "TRADES_OF", {"live": 600_000})
    report = (await processor.bench_processor(Settings()))["live"]
    assert report["trades"] == 600_000
    assert report["trades_per_s"] > 0
    assert report["cpu_s_per_million"] > 0
    assert report["peak_rss_mb"] > 20
    assert report["outputs"] > 0


async def test_a_small_day_goes_through_one_worker_whole():
    report = await bench_day(Settings(), Day(trades=4_000_000, symbols=50, partitions=4))
    assert 3_900_000 < report["trades"] <= 4_000_000
    assert report["seconds"] > 0
    assert report["differences"] == []
    assert report["candles_right"] > 100_000


async def test_every_stage_of_a_latency_is_told():
    report = await bench_latency(Settings(), LIVE)
    whole, parts = report["latency_ms"], report["stages_ms"]
    assert whole["count"] > 300
    assert set(parts) == {
        "sent_to_ingest",
        "ingest_to_record",
        "record_to_candle",
        "candle_to_client",
        "all",
    }
    assert all(part["count"] == parts["all"]["count"] > 0 for part in parts.values())
    assert report["cores"].keys() >= {"kafka", "simulator", "ingest", "process", "gateway"}


async def test_closed_candles_come_after_their_end():
    report = await bench_close(Settings(), LIVE)
    assert report["by_interval_ms"]["1s"]["count"] > 12
    assert report["close_delay_ms"]["p50"] > 0
