"""``fibstream doctor`` through the real command: real servers, a simulated exchange, wrong ones."""

import asyncio
import json
import os
import socket
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from aiohttp import web
from simulated import simulating

from fibstream import doctor as doctors
from fibstream.doctor import services
from ingest.exchanges import EXCHANGES
from runtime.settings import Settings

pytestmark = pytest.mark.integration

REPOSITORY = Path(__file__).parents[2]
NOBODY = "127.0.0.1:9"
REST = "STREAMER_EXCHANGE_LINEAR_REST_URL"


@pytest.fixture
def doctor(tmp_path):
    async def run(*argv: str, **settings: str) -> tuple[int, str, str]:
        mine = {n: v for n, v in os.environ.items() if not n.startswith("STREAMER_")}
        fixed = {
            "PYTHONPATH": str(REPOSITORY),
            "STREAMER_WEBSOCKET_PORT": "0",
            REST: "http://" + NOBODY,
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "fibstream", "doctor", *argv),
            env={**mine, **fixed, **settings},
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(process.communicate(), 60)
        assert "Traceback" not in err.decode()
        return process.returncode, out.decode(), err.decode()

    return run


@pytest.fixture
def examined(doctor):
    async def run(**settings: str) -> tuple[int, dict[str, list[dict]]]:
        code, out, err = await doctor("--json", **settings)
        assert err == ""
        report = json.loads(out)
        assert report["ok"] is (code == 0)
        by_name: dict[str, list[dict]] = {}
        for check in report["checks"]:
            by_name.setdefault(check["name"], []).append(check)
        return code, by_name

    return run


async def test_a_machine_that_can_run_everything_is_well(examined) -> None:
    async with simulating() as (sim, _):
        code, checks = await examined(**{REST: sim.url("linear", "rest")})
    assert code == 0
    states = {name: {check["state"] for check in found} for name, found in checks.items()}
    assert states.pop("browser") <= {"ok", "warn"}  # only tests need one
    assert states.pop("kafka jars") <= {"ok", "warn"}
    assert set.union(*states.values()) == {"ok"}, checks
    assert {"python", "settings", "java", "redis", "clickhouse", "exchange"} <= states.keys()
    assert "openjdk" in checks["java"][0]["finding"]
    assert "chDB" in checks["clickhouse"][0]["finding"]
    assert "clocks differ by" in checks["exchange"][0]["finding"]


async def test_servers_of_ones_own_are_asked(examined, kafka_bootstrap, redis_url) -> None:
    at = urlsplit(redis_url)
    code, checks = await examined(
        STREAMER_KAFKA_BOOTSTRAP=kafka_bootstrap,
        STREAMER_REDIS_HOST=at.hostname,
        STREAMER_REDIS_PORT=str(at.port),
    )
    assert code == 0
    assert checks["kafka"][0]["finding"] == f"{kafka_bootstrap} answers"
    assert [check["finding"] for check in checks["redis"]] == [f"{at.hostname}:{at.port} answers"]


async def test_without_a_network_only_live_data_is_out_of_reach(examined) -> None:
    code, checks = await examined()
    assert code == 0
    (exchange,) = checks["exchange"]
    assert exchange["state"] == "warn"
    assert f"http://{NOBODY} cannot be reached" in exchange["finding"]
    assert "`make demo` works offline" in exchange["remedy"]


async def test_all_that_is_wrong_is_told_at_once_and_no_secret(doctor, tmp_path) -> None:
    (tmp_path / "file").touch()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, out, err = await doctor(
            "--json",
            STREAMER_KAFKA_PARTITIONS="many",
            STREAMER_KLINE_INTERVALS="7x",
            STREAMER_KAFKA_BOOTSTRAP=NOBODY,
            STREAMER_REDIS_HOST="127.0.0.1",
            STREAMER_REDIS_PORT="9",
            STREAMER_REDIS_PASSWORD="pass-of-redis",  # noqa: S106 - that is the point
            STREAMER_CLICKHOUSE_URL=f"http://me:pass-of-house@{NOBODY}/market",
            STREAMER_DATA_DIR=str(tmp_path / "file" / "data"),
            STREAMER_WEBSOCKET_PORT=str(port),
        )
    assert code == 2
    failed = {c["setting"]: c for c in json.loads(out)["checks"] if c["state"] == "fail"}
    assert failed.keys() == {
        "STREAMER_KAFKA_PARTITIONS",
        "STREAMER_KLINE_INTERVALS",
        "STREAMER_KAFKA_BOOTSTRAP",
        "STREAMER_REDIS_HOST",
        "STREAMER_CLICKHOUSE_URL",
        "STREAMER_DATA_DIR",
        "STREAMER_WEBSOCKET_PORT",
    }
    assert all(check["remedy"] for check in failed.values())
    assert "pass-of" not in out + err


async def test_the_table_is_for_the_terminal_and_not_for_pipes(doctor) -> None:
    code, out, err = await doctor(STREAMER_EXCHANG="binance")
    assert (code, out) == (0, "")
    assert "STREAMER_EXCHANG in the environment is no setting" in " ".join(
        part.strip() for line in err.splitlines() for part in line.split("│")[3:4]
    )


MARKETS = [(e.name, channel) for e in EXCHANGES.values() for channel in e.markets]


@pytest.mark.parametrize(("exchange", "channel"), MARKETS)
async def test_every_exchange_is_asked_and_its_clock_compared(exchange, channel) -> None:
    async with simulating(exchanges=(exchange,)) as (sim, _):
        settings = Settings(
            exchange=exchange,
            enable_spot_stream=channel == "spot",
            enable_linear_stream=channel == "linear",
            **{f"exchange_{channel}_rest_url": sim.url(channel, "rest", exchange=exchange)},
        )
        (finding,) = await doctors._all(settings, [services.exchange])
    assert finding.state == "ok", finding
    tells = EXCHANGES[exchange].markets[channel].clock is not None
    assert ("clocks differ by" if tells else "it tells no time") in finding.finding


async def serving(clock):
    app = web.Application()
    app.router.add_get("/fapi/v1/time", clock)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner, f"http://127.0.0.1:{runner.addresses[0][1]}"


@pytest.mark.parametrize(
    ("status", "clock", "state", "told", "code"),
    [
        (200, lambda: {"serverTime": time.time_ns() // 10**6 - 5_000}, "warn", "ahead of", 0),
        (200, lambda: {"serverTime": time.time_ns() // 10**6 + 5_000}, "warn", "behind", 0),
        (200, lambda: {"time": "noon"}, "fail", "not the time of Binance", 2),
        (404, dict, "fail", "HTTP 404", 2),
        (451, dict, "warn", "HTTP 451", 0),
    ],
)
async def test_an_odd_exchange_is_told(status, clock, state, told, code) -> None:
    async def tell(_request):
        return web.json_response(clock(), status=status)

    runner, url = await serving(tell)
    try:
        settings = Settings(exchange_linear_rest_url=url)
        (finding,) = await doctors._all(settings, [services.exchange])
    finally:
        await runner.cleanup()
    assert (doctors.exit_code([finding]), finding.state) == (code, state)
    assert told in finding.finding
    assert finding.remedy
