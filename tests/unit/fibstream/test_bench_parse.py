"""The benchmark measures trades, all of them, in every venue's words."""

import json

import pytest

from fibstream.bench import parse as bench
from ingest.exchanges import EXCHANGES
from ingest.exchanges.base import TradeRow


def test_every_venue_is_measured() -> None:
    assert set(bench.FRAMES_OF) == set(EXCHANGES)


@pytest.mark.parametrize("venue", bench.FRAMES_OF)
def test_every_frame_is_one_trade(venue: str) -> None:
    for channel, frame in bench.trade_frames(venue, 200):
        rows = EXCHANGES[venue].markets[channel].parse(frame)
        assert [type(row) for row in rows] == [TradeRow]


def test_the_same_seed_makes_the_same_frames() -> None:
    assert bench.trade_frames("binance", 50) == bench.trade_frames("binance", 50)
    assert bench.trade_frames("binance", 50) != bench.trade_frames("binance", 50, seed=2)


def test_the_report_is_json_with_binance_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "FRAMES", 2_000)
    monkeypatch.setattr(bench, "ROUNDS", 3)
    report = json.loads(json.dumps(bench.bench_parse()))
    assert set(report["venues"]) == set(bench.FRAMES_OF)
    assert report["frames_per_s"] > 1_000
    assert report["ratio"] == report["venues"]["binance"]["ratio"]
