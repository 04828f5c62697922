"""The simulated Binance over real sockets: its streams, its truth, its process."""

import json
import os
import signal
import subprocess
import sys
from decimal import Decimal

import httpx
import pytest
from simulated import (
    CANONICAL,
    MARKETS,
    ask,
    connect_to,
    drain,
    fetch,
    listen,
    read_frames,
    simulating,
)

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("market", MARKETS)
async def test_a_listener_gets_exactly_the_rows_that_the_truth_calls_sent(market):
    _, key, _ = CANONICAL[market]
    async with simulating() as (sim, http):
        async with listen(sim, market, "BTCUSDT", "ETHUSDT") as ws:
            await read_frames(ws, 50)
            await http.post("/sim/stop")
            told = {}
            for symbol in ("BTCUSDT", "ETHUSDT"):
                told[symbol] = await fetch(http, "/sim/trades", market=market, symbol=symbol)
            rest = await drain(ws)
        state = await fetch(http, "/sim/state")
        sent = sum(s > 0 for columns in told.values() for s in columns["sent_ns"])
        assert not state["running"]
        assert state["delivered"][market] == sent == 50 + len(rest)
        for columns in told.values():
            assert columns["id"] == list(range(columns["id"][0], columns["id"][-1] + 1))
        last = json.loads(rest[-1])["data"] if rest else None
        if last:
            columns = told[last["s"]]
            at = columns["id"].index(last[key])
            facts = [Decimal(columns[c][at]) for c in ("ts", "price", "qty", "side")]
            assert facts == [
                last["T"],
                Decimal(last["p"]),
                Decimal(last["q"]),
                -1 if last["m"] else 1,
            ]


@pytest.mark.parametrize("market", MARKETS)
async def test_raw_and_combined_listeners_get_the_same_messages(market):
    kind, key, tier = CANONICAL[market]
    async with simulating() as (sim, _http):
        raw = connect_to(sim, market, f"{tier}/ws/btcusdt@{kind}")
        async with raw as a, listen(sim, market, "BTCUSDT") as b:
            plain = await read_frames(a, 30)
            wrapped = await read_frames(b, 30)
    assert {f["stream"] for f in wrapped} == {f"btcusdt@{kind}"}
    by_id = {f[key]: f for f in plain}
    shared = [f["data"] for f in wrapped if f["data"][key] in by_id]
    assert shared
    assert all(by_id[data[key]] == data for data in shared)


async def test_live_subscribing_starts_and_stops_the_data():
    async with simulating(symbols=1) as (sim, _), connect_to(sim, "linear", "/market/ws") as ws:
        assert await drain(ws) == []
        answer, _ = await ask(ws, method="SUBSCRIBE", params=["btcusdt@aggTrade"], id=5)
        assert answer == {"result": None, "id": 5}
        assert (await read_frames(ws, 1))[0]["e"] == "aggTrade"
        answer, _ = await ask(ws, method="LIST_SUBSCRIPTIONS", id=6)
        assert answer == {"result": ["btcusdt@aggTrade"], "id": 6}
        await ask(ws, method="UNSUBSCRIBE", params=["btcusdt@aggTrade"], id=7)
        assert await drain(ws) == []
        answer, _ = await ask(ws, method="NONSENSE", id=8)
        assert answer["error"]["code"] == 2


@pytest.mark.parametrize(
    ("market", "path"),
    [
        ("linear", "/ws/btcusdt@aggTrade"),
        ("linear", "/stream?streams=btcusdt@aggTrade"),
        ("linear", "/public/ws/btcusdt@aggTrade"),
        ("linear", "/market/ws/BTCUSDT@aggTrade"),
        ("linear", "/market/ws/btcusdt@trade"),
        ("spot", "/ws/nosuchusdt@trade"),
    ],
)
async def test_a_wrong_path_or_symbol_acknowledges_and_stays_silent(market, path):
    async with simulating() as (sim, _http), connect_to(sim, market, path) as ws:
        answer, data = await ask(ws, method="SUBSCRIBE", params=["xusdt@aggTrade"], id=1)
        assert (answer, data) == ({"result": None, "id": 1}, [])
        assert await drain(ws) == []


async def test_the_kline_stream_closes_the_candles_of_the_truth():
    async with simulating(symbols=1, trades_per_s=100) as (sim, http):
        async with listen(sim, "spot", "BTCUSDT", kind="kline_1s") as ws:
            closed = []
            while len(closed) < 3:
                (frame,) = await read_frames(ws, 1)
                closed += [frame["data"]["k"]] * frame["data"]["k"]["x"]
        told = await fetch(http, "/sim/klines", market="spot", symbol="BTCUSDT", interval_ms=1_000)
    truth = {row["timestamp"]: row for row in told}
    names = {
        "o": "open",
        "h": "high",
        "l": "low",
        "c": "close",
        "v": "volume",
        "q": "quote_volume",
        "V": "taker_buy_volume",
        "Q": "taker_buy_quote_volume",
        "n": "trade_count",
        "f": "first_id",
        "L": "last_id",
    }
    for kline in closed:
        row = truth[kline["t"]]
        assert all(Decimal(kline[k]) == Decimal(row[name]) for k, name in names.items())


def _start(*arguments):
    read, write = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "simulator", "--symbols", "2", *arguments],
        env={**os.environ, "FIBSTREAM_READY_FD": str(write)},
        pass_fds=[write],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    os.close(write)
    with os.fdopen(read) as ready:
        return process, json.loads(ready.readline())


def test_the_process_announces_its_port_and_stops_on_sigterm():
    process, ready = _start("--history", "5")
    try:
        assert httpx.get(f"http://127.0.0.1:{ready['port']}/sim/state").json()["running"]
        second, refused = _start("--port", str(ready["port"]))
        assert refused["misconfigured"][0] == "--port"
        assert second.wait(10) == 2
        assert b"--port" in second.stderr.read()
    finally:
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=10)
    assert process.returncode == 0
    assert out == b""


def test_bad_options_end_with_2_before_anything_listens():
    ran = subprocess.run(
        [sys.executable, "-m", "simulator", "--rate", "-1"],
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert ran.returncode == 2
    assert b"--rate" in ran.stderr
