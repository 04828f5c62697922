"""`fibstream up` and the demo tell what crosses, with nothing started by hand."""

import httpx
import pytest
from alerting import Webhook

from fibstream.machine import Plan, machine
from runtime.settings import Settings
from simulator import SimulatorOptions

pytestmark = [pytest.mark.integration, pytest.mark.soak]


@pytest.mark.timeout(240)
async def test_everything_on_one_machine_delivers_what_crosses(tmp_path):
    settings = Settings(
        _env_file=None,
        data_dir=tmp_path,
        enabled_consumers=("websocket",),
        process_agents=("klines",),
        exchange_load_all_symbols=True,
        kline_intervals=("1s",),
        websocket_port=0,
        kafka_partitions=2,
    )
    simulator = SimulatorOptions(symbols=1, trades_per_s=50, exchanges=("binance",))
    plan = Plan(settings=settings, simulator=simulator, is_ephemeral=True)
    async with Webhook() as webhook, machine(plan) as running:
        url = f"http://127.0.0.1:{running.stages.facts['gateway']['port']}"
        rule = {"data_type": "price-moves", "id": "any", "symbol": "*", "within_s": 60}
        rule |= {"percent": "0.0001", "to": [webhook.url]}
        async with httpx.AsyncClient(base_url=url, timeout=20) as client:
            answer = await client.post("/api/v1/alerts", json=rule)
            assert answer.status_code == 202, answer.text
            (first, *_) = await webhook.heard(1, within_s=60)
            assert "the price moved" in first["message"]
            assert (await client.get("/api/v1/alerts/any")).json()["crossings"] >= 1
