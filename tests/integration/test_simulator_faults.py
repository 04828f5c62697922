"""Limits, switches and faults of the simulated Binance."""

import asyncio
import json
from decimal import Decimal
from itertools import accumulate

import pytest
from simulated import (
    CANONICAL,
    MARKETS,
    ask,
    connect_to,
    drain,
    fetch,
    inflict,
    listen,
    read_frames,
    simulating,
)
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

pytestmark = pytest.mark.integration

UPGRADE = (
    b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


@pytest.mark.parametrize(("market", "most"), [("spot", 5), ("linear", 10)])
async def test_too_many_messages_in_a_second_end_the_connection(market, most):
    async with simulating() as (sim, _http), connect_to(sim, market, "/ws") as ws:
        for i in range(most):
            await ws.send(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": i}))
        assert len(await read_frames(ws, most)) == most
        await ws.ping()  # pings count too
        with pytest.raises(ConnectionClosed) as closed:
            await ws.recv()
        assert closed.value.rcvd.code == 1008


async def test_too_many_streams_end_the_connection():
    async with simulating() as (sim, _http), connect_to(sim, "linear", "/market/ws") as ws:
        names = [f"s{i}usdt@aggTrade" for i in range(201)]
        await ws.send(json.dumps({"method": "SUBSCRIBE", "params": names, "id": 1}))
        with pytest.raises(ConnectionClosed) as closed:
            await ws.recv()
        assert closed.value.rcvd.code == 1008


async def test_who_answers_pings_stays_and_who_does_not_is_dropped():
    async with simulating(linear_ping_s=0.2, linear_pong_timeout_s=0.7) as (sim, _http):
        async with connect_to(sim, "linear", "/ws") as ws:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(ws.recv(), 1.5)
            assert (await ask(ws, method="LIST_SUBSCRIPTIONS", id=1))[0]["id"] == 1
        reader, writer = await asyncio.open_connection("127.0.0.1", sim.port)
        writer.write(b"GET /binance/linear/ws HTTP/1.1\r\nHost: x\r\n" + UPGRADE)
        await reader.readuntil(b"\r\n\r\n")
        said = await asyncio.wait_for(reader.readuntil(b"Pong timeout"), 5)
        assert said[0] == 0x89  # a ping came first
        writer.close()


async def test_a_client_that_does_not_read_is_dropped():
    options = {"trades_per_s": 20_000, "write_buffer_bytes_max": 65_536}
    async with simulating(**options) as (sim, http):
        _, writer = await asyncio.open_connection("127.0.0.1", sim.port, limit=1_024)
        writer.write(
            b"GET /binance/linear/market/ws/btcusdt@aggTrade HTTP/1.1\r\nHost: x\r\n" + UPGRADE
        )
        counts = []
        while counts[-2:] != [1, 0]:
            await asyncio.sleep(0.01)
            state = await fetch(http, "/sim/state")
            counts.append(state["connections"]["linear"])
        writer.close()


async def test_connection_attempts_and_lifetime_are_limited():
    options = {"connection_attempts_max": 2, "connection_lifetime_s": 0.3}
    async with simulating(**options) as (sim, http):
        async with connect_to(sim, "spot", "/ws") as ws:
            with pytest.raises(ConnectionClosed) as closed:
                await asyncio.wait_for(ws.recv(), 5)
            assert closed.value.rcvd.code == 1001
        async with connect_to(sim, "spot", "/ws"):
            pass
        answer = await http.get("/binance/spot/ws", headers={"Upgrade": "websocket"})
        assert answer.status_code == 429


async def test_stop_ends_the_trading_and_start_resumes_it():
    async with simulating() as (sim, http):
        assert (await http.post("/sim/stop")).json() == {"running": False}
        first = (await fetch(http, "/sim/state"))["trades"]
        await asyncio.sleep(0.2)
        assert (await fetch(http, "/sim/state"))["trades"] == first
        async with listen(sim, "spot", "BTCUSDT") as ws:
            await http.post("/sim/start")
            (frame,) = await read_frames(ws, 1)
        assert 0 <= frame["data"]["E"] - frame["data"]["T"] < 1_100


async def test_the_rate_can_be_changed_within_bounds():
    async with simulating(trades_per_s=0) as (sim, http):
        assert (await fetch(http, "/sim/state"))["trades"] == {"spot": 0, "linear": 0}
        assert (await http.post("/sim/rate?trades_per_s=5000")).status_code == 200
        async with listen(sim, "linear", "BTCUSDT") as ws:
            await read_frames(ws, 5)
        for wrong in ("-1", "nan", "1e9", "x", ""):
            assert (await http.post(f"/sim/rate?trades_per_s={wrong}")).status_code == 400


async def test_the_same_seed_gives_the_same_trades_over_http():
    told = []
    for _ in range(2):
        async with simulating(seed=11, history_s=20) as (_sim, http):
            columns = {}
            for market in MARKETS:
                rows = await fetch(http, "/sim/trades", market=market, symbol="BTCUSDT", limit=500)
                times = [t - rows["ts"][0] for t in rows["ts"]]
                columns[market] = [times] + [
                    rows[c] for c in ("id", "price", "qty", "side", "last")
                ]
            told.append(columns)
    assert told[0] == told[1]
    assert len(told[0]["spot"][0]) == 500


async def test_disconnect_drops_every_socket_of_the_market_without_a_close_frame():
    async with simulating() as (sim, http):
        async with listen(sim, "linear", "BTCUSDT") as a, listen(sim, "spot", "BTCUSDT") as b:
            await read_frames(a, 1)
            assert await inflict(http, kind="disconnect", market="linear") == 1
            await drain(a, quiet_s=5)
            assert a.state is State.CLOSED
            assert a.protocol.close_rcvd is None
            await read_frames(b, 5)
        async with listen(sim, "linear", "BTCUSDT") as again:
            await read_frames(again, 1)


async def test_silence_loses_trades_but_answers_requests():
    async with simulating(symbols=1) as (sim, http):
        async with listen(sim, "linear", "BTCUSDT") as ws:
            await read_frames(ws, 1)
            assert await inflict(http, kind="silence", market="linear", seconds=0.5) == 1
            _, before = await ask(ws, method="LIST_SUBSCRIPTIONS", id=1)
            (after,) = await read_frames(ws, 1)
        told = await fetch(http, "/sim/trades", market="linear", symbol="BTCUSDT", limit=10_000)
    lost = [i for i, sent in zip(told["id"], told["sent_ns"], strict=True) if not sent]
    first = before[-1]["data"]["a"] if before else None
    assert after["data"]["a"] - 1 in lost
    assert first is None or first not in lost


async def test_duplicates_repeat_the_last_messages():
    async with simulating(symbols=1) as (sim, http):
        async with listen(sim, "spot", "BTCUSDT") as ws:
            await read_frames(ws, 20)
            await http.post("/sim/stop")
            seen = await drain(ws)
            touched = await inflict(
                http, kind="duplicate", market="spot", symbol="BTCUSDT", count=10
            )
            again = await drain(ws)
        delivered = (await fetch(http, "/sim/state"))["delivered"]["spot"]
    assert touched == len(again) == 10
    assert delivered == 20 + len(seen)
    assert len(seen) < 10 or again == seen[-10:]


async def test_delayed_trades_arrive_late_and_complete():
    async with simulating(symbols=1) as (sim, http), listen(sim, "linear", "BTCUSDT") as ws:
        await read_frames(ws, 1)
        await inflict(http, kind="delay", market="linear", symbol="BTCUSDT", seconds=0.4, count=5)
        frames = await read_frames(ws, 150)
        await http.post("/sim/stop")
        frames += [json.loads(f) for f in await drain(ws, quiet_s=0.8)]
    ids = [f["data"]["a"] for f in frames]
    assert ids != sorted(ids)
    assert sorted(ids) == list(range(min(ids), max(ids) + 1))
    newest = list(accumulate(ids, max))
    late = [f["data"] for f, top in zip(frames, newest, strict=True) if f["data"]["a"] < top]
    assert len(late) == 5
    assert all(data["E"] - data["T"] >= 400 for data in late)


async def test_garbage_and_text_for_a_number_come_beside_the_real_trades():
    async with simulating(symbols=1) as (sim, http), listen(sim, "linear", "BTCUSDT") as ws:
        await read_frames(ws, 5)
        await http.post("/sim/stop")
        await drain(ws)
        assert await inflict(http, kind="garbage", market="linear") == 1
        (garbage,) = await drain(ws)
        assert await inflict(http, kind="text_number", market="linear") == 1
        (spoiled,) = await drain(ws)
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        json.loads(garbage)
    assert json.loads(spoiled)["data"]["p"] == "abc"
    assert Decimal(json.loads(spoiled)["data"]["q"]) > 0


@pytest.mark.parametrize("market", MARKETS)
async def test_a_hole_loses_one_trade_and_the_ids_go_on(market):
    async with simulating(symbols=1) as (sim, http), listen(sim, market, "BTCUSDT") as ws:
        frames = await read_frames(ws, 5)
        wish = {"kind": "hole", "market": market, "stream": "trades", "symbol": "BTCUSDT"}
        assert await inflict(http, **wish) == 1
        frames += await read_frames(ws, 60)
        told = await fetch(http, "/sim/trades", market=market, symbol="BTCUSDT", limit=10_000)
    key = CANONICAL[market][1]
    ids = [f["data"][key] for f in frames]
    (lost,) = set(range(ids[0], ids[-1])) - set(ids)
    assert told["sent_ns"][told["id"].index(lost)] == 0
    assert ids == sorted(ids)


async def test_a_big_frame_is_one_true_trade_in_five_megabytes():
    async with simulating(symbols=1) as (sim, http), listen(sim, "spot", "BTCUSDT") as ws:
        await inflict(http, kind="big_frame", market="spot", symbol="BTCUSDT")
        frames = []
        while max(map(len, frames), default=0) < 5_000_000:
            frames.append(await ws.recv())
        (after,) = await read_frames(ws, 1)
        told = await fetch(http, "/sim/trades", market="spot", symbol="BTCUSDT", limit=10_000)
    ids = [json.loads(frame)["data"]["t"] for frame in frames] + [after["data"]["t"]]
    assert ids == list(range(ids[0], ids[0] + len(ids)))
    assert set(ids) <= set(told["id"])


async def test_rest_refuses_for_a_while_and_bans_who_asks_on():
    async with simulating(symbols=1) as (_sim, http):
        assert await inflict(http, kind="rate_limit", market="spot", seconds=1) == 1
        answers = [await http.get("/binance/spot/api/v3/time") for _ in range(6)]
        assert [a.status_code for a in answers] == [429] * 3 + [418] * 3
        assert {a.headers["retry-after"] for a in answers} == {"1"}
        assert answers[0].json()["code"] == -1003
        assert (await http.get("/binance/linear/fapi/v1/time")).status_code == 200
        await asyncio.sleep(1.05)
        assert (await http.get("/binance/spot/api/v3/time")).status_code == 200


@pytest.mark.parametrize("words", ["depth@100ms", "bookTicker"])
async def test_a_word_may_stand_for_the_price_of_a_book_too(words):
    kind = "books" if words.startswith("depth") else "tickers"
    async with (
        simulating(symbols=1) as (sim, http),
        listen(sim, "spot", "BTCUSDT", kind=words) as ws,
    ):
        await read_frames(ws, 3)
        await http.post("/sim/stop")
        await drain(ws)
        assert await inflict(http, kind="text_number", market="spot", stream=kind) == 1
        (spoiled,) = await drain(ws)
    assert '"abc"' in spoiled
    assert json.loads(spoiled)["data"]["s"] == "BTCUSDT"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/sim/nosuch", 404),
        ("POST", "/sim/nosuch", 404),
        ("GET", "/sim/trades?market=moon&symbol=BTCUSDT", 400),
        ("GET", "/sim/trades?market=spot&symbol=NOSUCH", 400),
        ("GET", "/sim/trades?market=spot&symbol=BTCUSDT&limit=x", 400),
        ("GET", "/sim/trades?market=spot&symbol=BTCUSDT&exchange=moon", 400),
        ("GET", "/sim/state?exchange=okx", 400),
        ("GET", "/sim/books?market=spot&symbol=NOSUCH", 400),
        ("GET", "/sim/klines?market=spot&symbol=BTCUSDT&interval_ms=0", 400),
        ("POST", "/sim/fault", 400),
    ],
)
async def test_senseless_questions_are_refused_with_a_reason(method, path, status):
    async with simulating() as (_sim, http):
        answer = await http.request(method, path)
    assert answer.status_code == status
    assert answer.json()["error"]
