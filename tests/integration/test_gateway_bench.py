"""The benchmark of the gateway runs and loses nothing, whatever its figures."""

import pytest

from fibstream.bench.gateway import Plan, bench_gateway
from runtime.settings import Settings

pytestmark = [pytest.mark.integration, pytest.mark.soak, pytest.mark.timeout(400)]


async def test_gateway_and_broadcast_deliver_the_same_rows_in_turns():
    plan = Plan(
        clients=100, rate=5_000, rounds=1, slice_s=2, many=150, many_rate=2_000, many_s=2
    )  # fmt: skip
    report = await bench_gateway(Settings(_env_file=None), plan)
    crowd = report["crowd"]
    assert report["closed_candles_lost"] == crowd["closed_candles_lost"] == 0
    assert report["broadcast_lost"] == crowd["connections_lost"] == 0
    assert report["delivered_per_core_s"] > 0
    assert crowd["closed_candles"] > 0
    assert crowd["delay_ms"]["count"] > 0
