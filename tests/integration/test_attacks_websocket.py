"""WebSockets that shout, flood and nest, against a real gateway: others are served as before."""

import asyncio
import json
import random
import time
import zlib
from contextlib import suppress

import pytest
from attacked import ADMIN, Attacked
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode

pytestmark = pytest.mark.integration

MB = 1 << 20
NESTED = (
    "[" * 60_000,
    '{"a":' * 12_000,
    '{"action":"subscribe","subscriptions":' + "[" * 30_000,
    '{"action":"subscribe","subscriptions":[{"symbol":' + "[" * 5_000 + "]" * 5_000 + "}]}",
    '{"action":"ping","x":' + "[" * 20_000 + "]" * 20_000 + "}",
    '{"action":"ping","x":' + '{"y":' * 8_000 + "1" + "}" * 8_000 + "}",
)


@pytest.fixture(scope="module")
def gateway(kafka_bootstrap, tmp_path_factory):
    prefix, folder = f"attack{time.time_ns()}.", tmp_path_factory.mktemp("ws")
    with Attacked(kafka_bootstrap, prefix, folder) as gateway:
        yield gateway


@pytest.fixture
async def honest(gateway):
    async with connect(gateway.websocket()) as websocket:
        yield websocket
        await ping(websocket)
    gateway.assert_serves()


async def ping(websocket: ClientConnection) -> float:
    """Return how long the answer takes."""
    started_s = time.monotonic()
    await websocket.send('{"action":"ping"}')
    async with asyncio.timeout(5):
        while json.loads(await websocket.recv())["type"] != "pong":
            pass
    return time.monotonic() - started_s


async def ended(websocket: ClientConnection) -> int | None:
    async with asyncio.timeout(10):
        with suppress(ConnectionClosed):
            async for _ in websocket:
                pass
    return websocket.close_code


@pytest.mark.parametrize("text", NESTED, ids=range(len(NESTED)))
async def test_deep_nesting_gets_an_error_and_keeps_its_connection(gateway, honest, text):
    async with connect(gateway.websocket(), max_size=None) as bad:
        await bad.send(text)
        async with asyncio.timeout(5):
            assert json.loads(await bad.recv())["type"] in {"error", "pong"}
        await ping(bad)


@pytest.mark.parametrize("text", NESTED, ids=range(len(NESTED)))
async def test_deep_nesting_before_signing_in_is_a_refusal(gateway, honest, text):
    for first in (text, text[:4_000], '{"action":"auth","key":"x","y":' + "[" * 3_000):
        async with connect(gateway.websocket("stats=false")) as bad:
            await bad.send(first)
            assert await ended(bad) == 1008


async def test_messages_of_a_megabyte_whole_or_in_pieces_are_closed_with_1009(gateway, honest):
    before = gateway.rss_bytes
    for query in (f"key={ADMIN}", "stats=false"):  # signed in or not
        for text in ("x" * MB, b"\x00" * MB, ["x" * 1_000] * 1_049):
            async with connect(gateway.websocket(query), compression=None) as bad:
                with suppress(ConnectionClosed):
                    await bad.send(text)
                assert await ended(bad) in {1009, 1006}
    assert gateway.rss_bytes - before < 50 * MB


async def test_a_compressed_bomb_is_not_unpacked(gateway, honest):
    """Where compression is agreed on, a thousandfold: 60 MB in 60 KB."""
    before = gateway.rss_bytes
    async with connect(gateway.websocket()) as bad:
        with suppress(ConnectionClosed):
            await bad.send(" " * (60 * MB))
        assert await ended(bad) in {1009, 1006}
    assert gateway.rss_bytes - before < 30 * MB


async def test_a_thousand_subscriptions_at_most_whatever_is_sent(gateway, honest):
    async with connect(gateway.websocket(), max_size=None) as bad:
        taken, refused = 0, 0
        for at in range(30):
            wanted = [{"symbol": f"S{at}X{n}", "timeframes": ["1m"]} for n in range(100)]
            await bad.send(json.dumps({"action": "subscribe", "subscriptions": wanted}))
        async with asyncio.timeout(20):
            while refused + taken < 30:
                told = json.loads(await bad.recv())
                taken += told["type"] == "subscribed"
                refused += told["type"] == "error"
        assert 0 < taken <= 10
        assert refused >= 20
        for symbol in ("*", "B*", "?" * 50, "[a-z]" * 40):  # wildcards are counted, too
            wanted = [{"symbol": symbol, "timeframes": ["1m", "5m"]}]
            await bad.send(json.dumps({"action": "subscribe", "subscriptions": wanted}))
        await ping(bad)


async def test_fifty_clients_that_flood_do_not_slow_another(gateway, honest):
    subscribe = json.dumps(
        {"action": "subscribe", "subscriptions": [{"symbol": "*", "timeframes": ["1m"]}]}
    )
    unsubscribe = subscribe.replace('"subscribe"', '"unsubscribe"')

    async def flood(stop: asyncio.Event) -> None:
        async with connect(gateway.websocket(), max_queue=None) as bad:
            with suppress(ConnectionClosed, TimeoutError):
                while not stop.is_set():
                    async with asyncio.timeout(0.5):
                        await bad.send(random.choice((subscribe, unsubscribe, "{}", "[")))
                    await asyncio.sleep(0)

    stop, before = asyncio.Event(), gateway.rss_bytes
    floods = [asyncio.create_task(flood(stop)) for _ in range(50)]
    await asyncio.sleep(1)
    waited = [await ping(honest) for _ in range(10)]
    stop.set()
    await asyncio.gather(*floods)
    assert sorted(waited)[5] < 1.0, waited  # twenty messages a second of each, the rest waits there
    assert gateway.rss_bytes - before < 80 * MB


async def test_a_flood_of_pings_by_one_who_does_not_read_piles_up_nothing(gateway, honest):
    async with connect(gateway.websocket(), ping_interval=None) as bad:
        before, sent = gateway.rss_bytes, 0
        ping_frames = Frame(Opcode.PING, b"p" * 125).serialize(mask=True, extensions=[]) * 500
        bad.transport.pause_reading()
        while sent < 60 * MB and not bad.transport.is_closing():
            bad.transport.write(ping_frames)
            sent += len(ping_frames)
            async with asyncio.timeout(10):
                while bad.transport.get_write_buffer_size() > 4 * MB:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        assert gateway.rss_bytes - before < 30 * MB
        bad.transport.abort()


BROKEN = (
    b"\x81\xff" + b"\xff" * 8 + b"\x00" * 4,  # 2^64 bytes will follow
    b"\x81\x05hello",  # not masked
    b"\xf1\x80\x00\x00\x00\x00",  # reserved bits
    b"\x83\x80\x00\x00\x00\x00",  # an unknown opcode
    b"\x80\x80\x00\x00\x00\x00",  # goes on with what never began
    b"\x09\x80\x00\x00\x00\x00",  # a ping in pieces
    b"\x89\xfe\x00\x7e" + b"\x00" * 130,  # a ping that is too long
    b"\x88\x81\x00\x00\x00\x00x",  # a close with half a code
    b"\x88\x82\x00\x00\x00\x00\x00\x01",  # a close with a code that is none
    b"\x81\x82\x00\x00\x00\x00\xff\xfe",  # text that is not UTF-8
    b"\x88\x84\x00\x00\x00\x00\x03\xe8\xff\xfe",  # a reason that is not UTF-8
)


@pytest.mark.parametrize("frame", BROKEN, ids=range(len(BROKEN)))
async def test_frames_against_the_protocol_end_their_connection_only(gateway, honest, frame):
    for query in (f"stats=false&key={ADMIN}", "stats=false"):
        async with connect(gateway.websocket(query), ping_interval=None) as bad:
            bad.transport.write(frame)
            async with asyncio.timeout(10):
                await bad.wait_closed()


async def test_half_a_message_and_silence_do_not_disturb(gateway, honest):
    async with connect(gateway.websocket(), ping_interval=None) as bad:
        bad.transport.write(b"\x01\x85\x00\x00\x00\x00hello" + b"\x00\x80\x00\x00\x00\x00" * 20_000)
        assert await ping(honest) < 2


VALUES = (
    None,
    True,
    -1,
    0.5,
    10**30,
    "",
    "*",
    "1m",
    "\ud83d\udca9",
    "a" * 300,
    [],
    {},
    [[]],
    "NaN",
)
FIELDS = ("action", "subscriptions", "symbol", "exchange", "channel", "timeframes", "data_type",
          "from_seq", "format", "stream", "id")  # fmt: skip


def anything(pick: random.Random, depth: int = 3) -> object:
    kind = pick.random()
    if depth and kind < 0.45:
        return {name: anything(pick, depth - 1) for name in pick.sample(FIELDS, pick.randrange(6))}
    if depth and kind < 0.6:
        return [anything(pick, depth - 1) for _ in range(pick.randrange(4))]
    return pick.choice(VALUES)


async def test_no_message_whatever_it_holds_breaks_its_connection(gateway, honest):
    pick = random.Random(7)
    async with connect(gateway.websocket(), max_size=None) as odd:
        for _ in range(120):
            said = anything(pick)
            if isinstance(said, dict):
                said["action"] = pick.choice(("subscribe", "unsubscribe", "ping", "history", None))
                said.setdefault("subscriptions", [anything(pick)])
            await odd.send(json.dumps(said))
            async with asyncio.timeout(5):
                assert isinstance(json.loads(await odd.recv()), dict), said
        await ping(odd)


async def test_a_thousand_small_bombs_are_closed_with_1009_before_they_are_unpacked(
    gateway, honest
):
    """Each is a message that would be allowed; 256 KB of them are a quarter of a gigabyte."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = deflate.compress(b" " * 250_000) + deflate.flush(zlib.Z_SYNC_FLUSH)
    bomb = b"\xc1\xfe" + (len(data) - 4).to_bytes(2, "big") + bytes(4) + data[:-4]
    before = gateway.rss_bytes
    for _ in range(5):
        async with connect(gateway.websocket("stats=false"), ping_interval=None) as bad:
            bad.transport.write(bomb * (MB // 4 // len(bomb)))
            assert await ended(bad) in {1009, 1006}
    assert gateway.rss_bytes - before < 30 * MB
    assert await ping(honest) < 1


async def test_fragments_of_nothing_without_end_are_closed(gateway, honest):
    before = gateway.rss_bytes
    async with connect(gateway.websocket(), ping_interval=None) as bad:
        bad.transport.write(b"\x01\x80\x00\x00\x00\x00")
        with suppress(TimeoutError):
            async with asyncio.timeout(5):
                while not bad.transport.is_closing():
                    bad.transport.write(b"\x00\x80\x00\x00\x00\x00" * 10_000)
                    await asyncio.sleep(0.01)
        assert await ended(bad) in {1009, 1006}
    assert gateway.rss_bytes - before < 30 * MB


async def test_patterns_by_the_thousand_are_refused_and_hold_nobody_up(gateway, honest):
    items = [{"symbol": "*", "exchange": f"e{n}", "timeframes": ["1m"]} for n in range(900)]
    async with connect(gateway.websocket(), max_size=None) as bad:
        await bad.send(json.dumps({"action": "subscribe", "subscriptions": items}))
        assert await ping(honest) < 1
        async with asyncio.timeout(5):
            while (told := json.loads(await bad.recv()))["type"] != "error":
                pass
        assert "50 are allowed" in told["error"]
