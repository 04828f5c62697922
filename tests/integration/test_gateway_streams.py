"""/streams and /instruments on a real broker: remembered, shared, and refused with a reason."""

import asyncio
import json
import re
import shlex
import time
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest

from ingest.control import Controls
from runtime.ports import free_port
from runtime.servers.kafka import EmbeddedKafka
from schemas.streams import StreamKey
from schemas.topics import CONTROL
from tests.support.streaming import LISTED, World

pytestmark = pytest.mark.integration

DOCS = Path(__file__).parents[2] / "docs" / "control.md"
BTC = StreamKey("binance", "linear", "BTCUSDT", "trades", "ws")
ADD = {"exchange": "BinanceLinear", "symbol": "BTCUSDT", "kind": "Trades", "transport": "Ws"}
KRAKEN = {"exchange": "kraken", "symbol": "BTC/USD", "kind": "books", "transport": "ws"}


async def delete(client: httpx.AsyncClient, body: dict) -> httpx.Response:
    return await client.request("DELETE", "/streams", json=body)


async def until(client: httpx.AsyncClient, path: str, done, within_s: float = 2.0) -> dict:
    async with asyncio.timeout(within_s):
        while True:
            found = (await client.get(path)).json()
            if done(found):
                return found
            await asyncio.sleep(0.02)


@pytest.fixture
async def world(kafka_bootstrap, topic_prefix):
    async with World(kafka_bootstrap, topic_prefix) as world:
        yield world


async def test_a_stream_is_added_obeyed_remembered_and_removed(world) -> None:
    one = "/streams/BinanceLinear/BTCUSDT/Trades/Ws"
    controls = Controls(world.settings.kafka_bootstrap, world.name(CONTROL), "binance")
    async with controls, world.gateway() as client:
        await controls.ready()
        assert (await client.get(one)).status_code == 404
        answer = await client.post("/streams", json=ADD)
        assert answer.status_code == 202
        view = answer.json()
        assert [view[name] for name in BTC._fields] == list(BTC)
        assert (view["enabled"], view["state"], view["source"]) == (True, None, "control")
        async with asyncio.timeout(2):
            assert await anext(controls.changes()) == BTC
        assert controls.wanted(BTC).enabled is True
        assert (await client.post("/streams", json=ADD)).status_code == 200
        await world.tell(BTC, "live")
        assert (await until(client, one, lambda view: view["state"]))["state"] == "live"
    async with world.gateway() as client:  # after a restart
        assert (await client.get(one)).json()["state"] == "live"
        assert (await delete(client, ADD)).status_code == 202
        await world.tell(BTC, "stopped")
        await until(client, one, lambda view: view["state"] == "stopped")
        assert (await client.get("/streams")).json() == {"count": 0, "streams": []}
        assert (await client.get("/streams?removed=true")).json()["count"] == 1
    written = await world.controls()
    assert [(key, control.enabled) for key, control in written] == [
        (str(BTC), True),
        (str(BTC), False),
    ]
    assert abs(written[0][1].changed_ms - time.time() * 1_000) < 60_000


async def test_knobs_are_shown_patched_and_taken_back(world) -> None:
    knobs = "/streams/BinanceLinear/BTCUSDT/Trades/Ws/knobs"
    await world.tell(BTC, "live")
    async with world.gateway() as client:
        everything = {"enabled": True, "db_writes_enabled": True, "redis_publishes_enabled": True}
        assert (await client.get(knobs)).json() == everything
        patched = await client.patch(knobs, json={"db_writes_enabled": False})
        assert patched.json() == {**everything, "db_writes_enabled": False}
        patched = await client.patch(knobs, json={"redis_publishes_enabled": False})
        off = {**everything, "db_writes_enabled": False, "redis_publishes_enabled": False}
        assert patched.json() == (await client.get(knobs)).json() == off
        assert (await client.delete(knobs)).json()["source"] == "settings"
        assert (await client.get(knobs)).json() == everything
    assert (await world.controls())[-1] == (str(BTC), None)


@pytest.mark.parametrize("symbol", ["BTC/USD", "BTC%2FUSD"])
async def test_symbols_with_slashes_have_paths_too(world, symbol) -> None:
    async with world.gateway() as client:
        await client.post("/streams", json=KRAKEN)
        view = (await client.get(f"/streams/kraken/{symbol}/books/ws")).json()
        assert (view["symbol"], view["kind"]) == ("BTC/USD", "books")
        knobs = f"/streams/kraken/{symbol}/books/ws/knobs"
        assert (await client.patch(knobs, json={"enabled": False})).json()["enabled"] is False
        assert (await client.get(knobs)).json()["enabled"] is False


async def test_a_name_of_two_streams_is_answered_with_both(world) -> None:
    both = {"exchange": "HyperliquidPerp", "symbol": "BTC", "kind": "FundingOpenInterest",
            "transport": "Ws"}  # fmt: skip
    async with world.gateway() as client:
        answer = (await client.post("/streams", json=both)).json()
        assert answer["count"] == 2
        assert [view["kind"] for view in answer["streams"]] == ["funding", "open-interest"]
        path = "/streams/HyperliquidPerp/BTC/FundingOpenInterest/Ws"
        assert (await client.get(path)).json()["count"] == 2
        await client.patch(path + "/knobs", json={"db_writes_enabled": False})
        assert (await client.get("/streams/hyperliquid/BTC/funding/ws/knobs")).json() == {
            "enabled": True, "db_writes_enabled": False, "redis_publishes_enabled": True,
        }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "code", "reason"),
    [
        ({"exchange": "binanse"}, 404, "no exchange"),
        ({"symbol": "BTCUSD"}, 404, "lists no symbol"),
        ({"symbol": "LUNAUSDT"}, 422, "SETTLING"),
        ({"kind": "quotes"}, 422, "no kind"),
        ({"transport": "http"}, 422, "comes by ws"),
        ({"transport": "pigeon"}, 422, "no transport"),
        ({"channel": "spot"}, 422, "no channel"),
        ({"channel": "option"}, 422, None),
        ({"symbol": ""}, 422, None),
        ({"symbol": 5}, 422, None),
        ({"symbol": "x" * 100}, 422, None),
        ({"colour": "red"}, 422, None),
        ({"kind": None}, 422, None),
    ],
)
async def test_a_wrong_wish_is_refused_with_a_reason_and_writes_nothing(
    gateway, change, code, reason
) -> None:
    world, client = gateway
    answer = await client.post("/streams", json={**ADD, **change})
    assert answer.status_code == code
    if reason:
        assert reason in answer.json()["detail"]["reason"]
    assert await world.controls() == []


@pytest.fixture
async def gateway(world):
    async with world.gateway() as client:
        yield world, client


async def test_wrong_bodies_and_near_names(gateway) -> None:
    world, client = gateway
    headers = {"content-type": "application/json"}
    for body in (b"", b"{", b"[]", b'"BTCUSDT"'):
        assert (await client.post("/streams", content=body, headers=headers)).status_code == 422
    assert (await client.post("/streams", content=b"\xff", headers=headers)).status_code == 400
    plain = await client.post(
        "/streams", content=json.dumps(ADD), headers={"content-type": "text/plain"}
    )
    assert plain.status_code == 422  # what a foreign page could send without asking
    near = (await client.post("/streams", json={**ADD, "symbol": "btcusdt"})).json()["detail"]
    assert near["near"][0] == "BTCUSDT"
    await client.post("/streams", json=ADD)
    knobs = "/streams/binance/BTCUSDT/trades/ws/knobs"
    for patch in ({}, {"enabled": "yes"}, {"enabled": 1}, {"enabled": None}, {"volume": True}):
        assert (await client.patch(knobs, json=patch)).status_code == 422
    unknown = {**ADD, "symbol": "ETHUSDT"}
    assert (await delete(client, unknown)).status_code == 404
    path = "/streams/binance/ETHUSDT/trades/ws/knobs"
    assert (await client.patch(path, json={"enabled": True})).status_code == 404
    assert len(await world.controls()) == 1


async def test_lists_are_filtered_counted_and_paged(gateway) -> None:
    world, client = gateway
    streams = [BTC, BTC._replace(symbol="ETHUSDT"), BTC._replace(channel="spot")]
    streams.append(StreamKey("kraken", "spot", "BTC/USD", "books", "ws"))
    for key, state in zip(streams, ["live", "silent", "live", "refused"], strict=True):
        await world.tell(key, state)
    await until(client, "/streams", lambda found: found["count"] == 4)

    async def count(query: str) -> int:
        return (await client.get("/streams?" + query)).json()["count"]

    assert await count("exchange=binance") == 3
    assert await count("exchange=BinanceLinear") == 2
    assert await count("exchange=binance&channel=spot") == 1
    assert await count("kind=L2Book") == 1
    assert await count("state=live") == 2
    assert await count("symbol=BTCUSDT") == 2
    page = (await client.get("/streams?limit=1&offset=3")).json()
    assert page["count"] == 4
    assert [view["symbol"] for view in page["streams"]] == ["BTC/USD"]
    counted = (await client.get("/streams/count")).json()
    assert counted["by_state"] == {"live": 2, "silent": 1, "refused": 1}
    assert counted["by_exchange"] == {"binance": 3, "kraken": 1}
    for query in ("limit=0", "limit=100000", "offset=-1", "state=dancing", "kind=quotes"):
        assert (await client.get("/streams?" + query)).status_code == 422
    assert (await client.get("/streams?exchange=nyse")).status_code == 404


async def test_instruments_are_searched_and_counted(gateway) -> None:
    _, client = gateway

    async def symbols(query: str) -> list[str]:
        rows = (await client.get("/instruments?" + query)).json()["instruments"]
        return [row["symbol"] for row in rows]

    assert await symbols("exchange=BinanceLinear") == ["BTCUSDT", "ETHUSDT", "LUNAUSDT"]
    assert await symbols("search=btc%2Fusdt") == ["BTCUSDT", "BTCUSDT"]
    assert await symbols("status=settling") == ["LUNAUSDT"]
    assert await symbols("channel=spot&exchange=kraken") == ["BTC/USD"]
    assert await symbols("channel=spot") == ["BTCUSDT", "BTC/USD"]
    assert await symbols("limit=2&offset=1") == ["ETHUSDT", "LUNAUSDT"]
    found = (await client.get("/instruments?exchange=binance&search=ETH")).json()
    assert found["instruments"][0]["unified"] == "ETH/USDT:USDT"
    counted = (await client.get("/instruments/count")).json()
    assert (counted["count"], counted["streamed"]) == (6, 5)
    assert counted["by_exchange"] == {"binance": 4, "kraken": 1, "hyperliquid": 1}


async def test_capabilities_say_what_can_be_asked_for(gateway) -> None:
    _, client = gateway
    found = (await client.get("/streams/capabilities")).json()
    assert found["binance"]["linear"]["open-interest"] == "http"
    assert "liquidations" not in found["hyperliquid"]["linear"]


async def test_two_gateways_agree(world) -> None:
    one = "/streams/binance/BTCUSDT/trades/ws"
    async with AsyncExitStack() as stack:
        left = await stack.enter_async_context(world.gateway())
        right = await stack.enter_async_context(world.gateway())
        await left.post("/streams", json=ADD)
        await until(right, one, lambda view: view.get("enabled"))
        await right.patch(one + "/knobs", json={"db_writes_enabled": False})
        await until(left, one, lambda view: not view["db_writes_enabled"])
        assert (await left.get("/streams")).json() == (await right.get("/streams")).json()


async def test_while_kafka_is_away_nothing_is_promised(tmp_path: Path) -> None:
    port = free_port()
    kafka = EmbeddedKafka(tmp_path, port=port, heap_mb=256)
    async with AsyncExitStack() as stack:
        world = await stack.enter_async_context(World(await kafka.start(), ""))
        client = await stack.enter_async_context(world.gateway())
        await kafka.stop()
        answer = await client.post("/streams", json=ADD)
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        assert "Kafka" in answer.json()["detail"]["reason"]
        assert (await client.get("/instruments/count")).json()["count"] == len(LISTED)
        again = EmbeddedKafka(tmp_path, port=port, heap_mb=256)
        await again.start()
        stack.push_async_callback(again.stop)
        async with asyncio.timeout(40):
            code = 503
            while code == 503:
                await asyncio.sleep(0.5)
                code = (await client.post("/streams", json=ADD)).status_code
        assert (await client.get("/streams")).json()["count"] == 1


async def test_the_commands_of_the_page_work(world) -> None:
    text = DOCS.read_text()
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    commands = [line for line in lines if line.startswith("curl ")]
    assert len(commands) > 8
    await world.tell(BTC, "live")
    async with world.gateway() as client:
        for command in commands:
            base = str(client.base_url).rstrip("/")
            words = shlex.split(command.replace("$BASE", base))
            process = await asyncio.create_subprocess_exec(
                *words, "--fail", "--silent", "--show-error", "--noproxy", "*",
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip
            out, err = await process.communicate()
            assert process.returncode == 0, (command, err)
            json.loads(out)


async def test_the_command_line_says_and_shows_the_same(gateway) -> None:
    from typer.testing import CliRunner

    from fibstream.streams import app as streams

    world, client = gateway
    url = str(client.base_url).rstrip("/")

    async def command(*words: str) -> tuple[int, str]:
        ran = await asyncio.to_thread(CliRunner().invoke, streams, [*words, "--url", url])
        # The gateway of this process logs to the same output.
        said = [line for line in ran.output.splitlines() if "call_audited" not in line]
        return ran.exit_code, "\n".join(said).strip()

    wanted = "binance linear BTCUSDT trades ws wanted"
    assert await command("add", "binance", "BTCUSDT", "trades") == (0, f"{wanted} not-told")
    await world.tell(BTC, "live")
    await until(client, "/streams?state=live", lambda found: found["count"] == 1)
    assert await command("list", "--state", "live") == (0, f"{wanted} live")
    code, said = await command("knobs", "binance", "BTCUSDT", "trades", "--no-db-writes-enabled")
    assert (code, json.loads(said)["db_writes_enabled"]) == (0, False)
    assert await command("list") == (0, f"{wanted} live no-db_writes")
    code, said = await command("remove", "binance", "BTCUSDT", "trades")
    assert (code, said.split()[5]) == (0, "not-wanted")
    code, said = await command("add", "binance", "btcusdt", "trades")
    assert code == 1
    assert "near: BTCUSDT" in said
    code, said = await command("knobs", "kraken", "BTC/USD", "books")
    assert code == 1
    assert "POST /streams adds it" in said
