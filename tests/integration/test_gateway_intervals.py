"""/api/v1/intervals on a real broker: obeyed, remembered, and no business of streams' readers."""

import asyncio
import json
import re
import shlex
import time
from pathlib import Path

import pytest
import websockets

from ingest.control import Controls
from processors.intervals import Intervals
from schemas.intervals import parse_intervals
from schemas.topics import CONTROL
from sinks.knobs import Knobs
from sinks.metrics import CONTROLS_REFUSED
from tests.support.streaming import World

pytestmark = pytest.mark.integration

DOCS = Path(__file__).parents[2] / "docs" / "intervals.md"
PATH = "/api/v1/intervals"
WITHIN_S = 2.0


@pytest.fixture
async def world(kafka_bootstrap, topic_prefix):
    async with World(kafka_bootstrap, topic_prefix) as world:
        changes = {"kline_intervals": ("1m", "5m"), "gateway_intervals_on_demand_max": 0}
        world.settings = world.settings.model_copy(update=changes)
        yield world


def worker(world: World) -> Intervals:
    settings = parse_intervals(world.settings.kline_intervals)
    return Intervals(world.settings.kafka_bootstrap, world.name(CONTROL), settings)


async def subscribe(socket, text: str) -> dict:
    item = {"symbol": "BTCUSDT", "timeframes": [text]}
    await socket.send(json.dumps({"action": "subscribe", "subscriptions": [item]}))
    return json.loads(await socket.recv())


async def test_an_interval_is_added_obeyed_served_remembered_and_removed(world) -> None:
    async with worker(world) as intervals, world.gateway() as client:
        await intervals.ready()
        assert intervals.wanted == parse_intervals(["1m", "5m"])
        url = str(client.base_url).replace("http", "ws").rstrip("/") + "/ws/stream?stats=false"
        changes = intervals.changes()
        async with websockets.connect(url) as socket:
            (told,) = (await subscribe(socket, "1w"))["subscriptions"]
            assert told["hint"].startswith("no 1w@mon candles are made here")
            assert (await client.post(PATH, json={"interval": "1w"})).status_code == 202
            async with asyncio.timeout(WITHIN_S):
                assert await anext(changes) == parse_intervals(["1m", "5m", "1w@mon"])
            answer = await subscribe(socket, "1w")
            assert answer["subscriptions"][0]["hint"].startswith("no candle")
            removed = await client.request("DELETE", PATH, json={"interval": "5m"})
            assert removed.status_code == 202
            async with asyncio.timeout(WITHIN_S):
                assert await anext(changes) == parse_intervals(["1m", "1w@mon"])
            assert "5m candles are made no more" in (await subscribe(socket, "5m"))["error"]
    async with worker(world) as intervals, world.gateway() as client:  # after a restart of all
        await intervals.ready()
        assert intervals.wanted == parse_intervals(["1m", "1w@mon"])
        listed = (await client.get(PATH + "?removed=true")).json()["intervals"]
        assert [(each["interval"], each["enabled"]) for each in listed] == [
            ("1m", True), ("5m", False), ("1w@mon", True),
        ]  # fmt: skip
        now_ms = time.time_ns() // 1_000_000
        assert all(each["open_ms"] <= now_ms < each["end_ms"] + 1_000 for each in listed)
        assert (await client.get("/api/v1/series")).json()["intervals"] == ["1m", "1w@mon"]


async def test_who_obeys_streams_passes_intervals_over(world) -> None:
    knobs = Knobs(world.settings, "db_writes_enabled")
    controls = Controls(world.settings.kafka_bootstrap, world.name(CONTROL), "binance")
    refused = CONTROLS_REFUSED._value.get()
    async with world.gateway() as client:
        for text in ("1w@mon", "1M"):
            assert (await client.post(PATH, json={"interval": text})).status_code == 202
        assert (await client.delete(f"{PATH}/1M")).status_code == 200
        await knobs.open()
        try:
            async with controls:
                await controls.ready()
                assert not controls.keys()
        finally:
            await knobs.close()
        assert (await client.get("/streams?removed=true")).json()["count"] == 0
    assert CONTROLS_REFUSED._value.get() == refused


async def test_the_commands_of_the_page_work(world) -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```", DOCS.read_text(), re.DOTALL | re.MULTILINE)
    commands = [line for line in "".join(blocks).splitlines() if line.startswith("curl ")]
    assert len(commands) >= 5
    async with world.gateway() as client:
        base = str(client.base_url).rstrip("/")
        for command in commands:
            process = await asyncio.create_subprocess_exec(
                *shlex.split(command.replace("$BASE", base)),
                *("--fail", "--silent", "--show-error", "--noproxy", "*"),
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip
            out, err = await process.communicate()
            assert process.returncode == 0, (command, err)
            json.loads(out)


async def test_the_command_line_says_and_shows_the_same(world) -> None:
    from typer.testing import CliRunner

    from fibstream.intervals import app as intervals

    async with world.gateway() as client:
        url = str(client.base_url).rstrip("/")

        async def command(*words: str) -> tuple[int, str]:
            ran = await asyncio.to_thread(CliRunner().invoke, intervals, [*words, "--url", url])
            # The gateway of this process logs to the same output.
            said = [line for line in ran.output.splitlines() if "call_audited" not in line]
            return ran.exit_code, "\n".join(said).strip()

        assert await command("add", "1D@tz=Asia/Tokyo") == (0, "1D@tz=Asia/Tokyo wanted control")
        assert await command("remove", "5m") == (0, "5m not-wanted control")
        assert await command("list") == (0, "1m wanted settings\n1D@tz=Asia/Tokyo wanted control")
        assert await command("reset", "5m") == (0, "5m wanted settings")
        code, said = await command("reset", "1D@tz=Asia/Tokyo")
        assert (code, said) == (0, "1D@tz=Asia/Tokyo not-wanted settings")
        code, said = await command("add", "90s")
        assert code == 1
        assert "above one minute only whole minutes" in said
        code, said = await command("remove", "15m")
        assert code == 1
        assert "near: 5m, 1m" in said
