"""Whatever fits the OpenAPI document, and what does not: no answer is an error of ours.

Everything that a gateway asks runs: Kafka, the warehouse, Redis. So a 503 has no excuse.
"""

import asyncio
import time
from urllib.parse import quote

import httpx
import hypothesis
import pytest
from attacked import ADMIN, Attacked, Stage
from hypothesis import HealthCheck, given
from hypothesis.errors import Unsatisfiable
from market import kline, klines_value

from runtime.ports import free_port
from schemas.topics import KLINES, KLINES_LIVE, TRADES, symbol_key
from schemas.trades import encode_batch
from sinks import topics
from tests.support.history import batch
from tests.support.streaming import World

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis asks the questions")

pytestmark = pytest.mark.integration

SHOWN = {"X-API-Key": ADMIN}
KNOWN = {"symbol": "BTCUSDT", "exchange": "binance", "kind": "trades", "transport": "ws",
         "interval": "1m", "rule_id": "btc", "key_id": "0123456789ab"}  # fmt: skip
EXAMPLES = 2  # of an operation, valid and not, with known names and any
MANY = 300


@pytest.fixture(scope="module")
def gateway(kafka_bootstrap, redis_url, tmp_path_factory):
    prefix, folder = f"fuzz{time.time_ns()}.", tmp_path_factory.mktemp("fuzz")
    redis = httpx.URL(redis_url)
    fields = {
        "redis_host": redis.host, "redis_port": redis.port, "redis_main_key": prefix,
        "clickhouse_http_port": free_port(), "data_dir": folder / "data",
        "gateway_jwt_keys": "k1:" + "s" * 32,
    }  # fmt: skip
    asyncio.run(told(kafka_bootstrap, prefix))
    attacked = Attacked(kafka_bootstrap, prefix, folder, **fields)
    with Stage(attacked.settings, folder, "sink", "clickhouse"), attacked as gateway:
        end_s = time.monotonic() + 60
        while True:
            asked = "/api/v1/data/trades/BTCUSDT?exchange=binance&channel=linear&limit=1"
            answer = httpx.get(gateway.url + asked, headers=SHOWN, timeout=20)
            if answer.status_code == 200 and answer.json()["data"]:
                break
            assert time.monotonic() < end_s, answer.text
            time.sleep(0.2)
        yield gateway


async def told(bootstrap: str, prefix: str) -> None:
    """Tell of symbols, trades and candles, so that not every name is unknown."""
    world = World(bootstrap, prefix)
    world.settings = world.settings.model_copy(update={"kafka_partitions": 1})
    async with world:
        await topics.ensure(world.settings, (TRADES, KLINES, KLINES_LIVE))
        await world.put(TRADES, b"", encode_batch(batch(1, 1_500)))
        key = symbol_key("binance", "linear", "BTCUSDT")
        for minute in range(20):
            row = kline(timestamp=minute * 60_000, rev=minute)
            await world.put(KLINES, key, klines_value([row]))


def operations(gateway: Attacked) -> list:
    document = httpx.get(f"{gateway.url}/openapi.json", headers=SHOWN).json()
    schema = schemathesis.openapi.from_dict(document)
    schema.config.base_url = gateway.url
    return [result.ok() for result in schema.get_all_operations()]


def ask(gateway: Attacked, examples: int) -> tuple[int, list[str]]:
    """Ask everything; return how many calls that were, and each that broke something."""
    asked, broken = 0, []
    modes = schemathesis.GenerationMode
    for operation in operations(gateway):
        names = {p.name for p in operation.path_parameters}
        known = {name: KNOWN[name] for name in names if name in KNOWN}
        for mode, fixed in ((modes.POSITIVE, {}), (modes.POSITIVE, known), (modes.NEGATIVE, {})):
            strategy = operation.as_strategy(mode, **({"path_parameters": fixed} if fixed else {}))

            @hypothesis.settings(
                max_examples=examples,
                derandomize=True,
                database=None,
                deadline=None,
                phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=strategy)
            def one(case) -> None:
                nonlocal asked
                asked += 1
                answer = case.call(headers=SHOWN, timeout=30)
                if answer.status_code >= 500:
                    broken.append(
                        f"{answer.status_code} {case.as_curl_command()} {answer.text[:300]}"
                    )

            try:
                one()
            except Unsatisfiable:
                continue  # there is nothing in it that could be wrong
    return asked, broken


@pytest.mark.timeout(300)
def test_no_call_of_the_document_is_answered_with_a_5xx(gateway):
    asked, broken = ask(gateway, EXAMPLES)
    assert broken == []
    assert asked > 200
    gateway.assert_serves()


def test_names_of_any_characters_reach_the_warehouse_as_they_are(gateway):
    for name in (
        "a\tb",
        "a\nb",
        "\\N",
        "a\\",
        "\\'",
        '"',
        "'; DROP TABLE trades; --",
        "\x00",
        "\x85",
    ):
        said = quote(name, safe="")
        for place in (
            f"/api/v1/integrity?symbol={said}", f"/api/v1/integrity/gaps?symbol={said}",
            f"/api/v1/data/klines/{said}?interval=1m", f"/api/v1/data/trades/{said}",
            f"/api/v1/integrity?exchange={said}&channel={said}", f"/tick/{said}", f"/ohlc/{said}",
            f"/udf/history?symbol=binance.linear:{said}&resolution=1&from=1&to=9999999999",
        ):  # fmt: skip
            answer = httpx.get(gateway.url + place, headers=SHOWN, timeout=20)
            assert answer.status_code < 500, (place, answer.text)
    trades = f"{gateway.url}/api/v1/data/trades/BTCUSDT?exchange=binance&channel=linear&limit=1"
    assert httpx.get(trades, headers=SHOWN, timeout=20).json()["data"]


@pytest.mark.soak
@pytest.mark.timeout(3_600)
def test_no_call_of_the_document_is_answered_with_a_5xx_however_long_one_tries(gateway):
    asked, broken = ask(gateway, MANY)
    assert broken == []
    assert asked > 5_000
    gateway.assert_serves()
