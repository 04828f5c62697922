"""Planned ends of connections under load: make before break, or trades are lost."""

import asyncio

import pytest

from fibstream.bench.rotation import Load, measure
from ingest import feed
from ingest.link import Link
from runtime.settings import load_settings

pytestmark = pytest.mark.integration

LOAD = Load(rotations=20, trades_per_s=1_500, lifetime_s=0.5)


@pytest.fixture(autouse=True)
def short_overlaps(monkeypatch) -> None:
    monkeypatch.setattr(feed, "OVERLAP_S", 0.3)


@pytest.mark.parametrize(  # ids without holes, ids of any kind
    "exchange", ["binance", pytest.param("bybit", marks=pytest.mark.soak)]
)
async def test_twenty_rotations_lose_and_double_no_trade(exchange: str) -> None:
    report = await measure(load_settings(), exchange, "trades", LOAD)
    assert report["rotations"] >= LOAD.rotations
    assert report["trades_sent"] > LOAD.rotations * LOAD.lifetime_s * LOAD.trades_per_s / 2
    assert (report["lost"], report["doubled"]) == (0, 0)


async def test_a_successor_that_is_not_waited_for_loses_trades(monkeypatch) -> None:
    class Hasty(Link):
        def __init__(self, *arguments, **named) -> None:
            super().__init__(*arguments, **named)
            self.live.set()  # before it is connected, so that the old one ends at once

        async def run(self) -> str:
            await asyncio.sleep(0.1)  # a venue that is not next door
            return await super().run()

    monkeypatch.setattr(feed, "Link", Hasty)
    monkeypatch.setattr(feed, "OVERLAP_S", 0.0)
    load = Load(rotations=4, trades_per_s=1_500, lifetime_s=0.5)
    report = await measure(load_settings(), "binance", "trades", load)
    assert report["lost"] > 0
    assert report["ok"] is False


@pytest.mark.parametrize(  # snapshots by REST, by subscription
    "exchange", [pytest.param("binance", marks=pytest.mark.soak), "bybit"]
)
async def test_books_go_on_over_a_rotation(exchange: str) -> None:
    load = Load(rotations=6, trades_per_s=300, lifetime_s=0.6)
    report = await measure(load_settings(), exchange, "books", load)
    assert report["deltas"] > 100
    assert report["broken"] == 0
    assert report["pause_ms_max"] < 2_000
