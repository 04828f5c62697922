"""Chaos as a command: harmed workers end in exact candles, and lacking a safeguard they do not."""

import asyncio
import json
import os
import random
import sys
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

import pytest
from oracle import T, candles_of

from fibstream.chaos.oracle import consult
from fibstream.chaos.proxy import HOST, FaultProxy
from fibstream.chaos.tape import Record
from fibstream.chaos.truth import Hole

pytestmark = [pytest.mark.integration, pytest.mark.chaos, pytest.mark.timeout(420)]

ROOT = Path(__file__).parents[2]
DAY_MS = 86_400_000
FRAMES = ((1_000, ""), (7_000, ""))


async def chaos(tmp_path: Path, *arguments: str) -> tuple[int, dict, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "fibstream", "chaos", "--json", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env=os.environ | {"STREAMER_DATA_DIR": str(tmp_path)},
    )
    out, err = await process.communicate()
    assert out, err.decode()
    return process.returncode, json.loads(out.splitlines()[-1]), err.decode()


async def test_killed_frozen_and_cut_off_workers_end_in_exact_candles(tmp_path: Path) -> None:
    minutes = 0.6
    code, report, err = await chaos(
        tmp_path, "--minutes", str(minutes), "--seed", "16", "--rate", "200"
    )
    assert code == 0, (report["differences"], err)
    assert report["wrong"] == report["lost"] == report["duplicated"] == 0
    assert report["prices_wrong"] == report["trades_lost"] == 0
    assert report["kills"] >= 3 * minutes
    assert report["candles"] > 500
    assert report["revisions"] > 0
    assert report["flat"] > 0
    assert report["open"] > 0
    lines = err.splitlines()
    for act in report["schedule"]:
        assert any(f"{act['kind']} {act['target']}" in line for line in lines), "printed before"


@pytest.mark.soak
@pytest.mark.timeout(900)
async def test_without_a_safeguard_the_verdict_fails_and_with_all_of_them_it_does_not(
    tmp_path: Path,
) -> None:
    code, report, err = await chaos(tmp_path, "--self-test")
    assert code == 0, (report, err)
    assert report.pop("ok") is True
    assert report.pop("control")["ok"] is True
    assert report.pop("control-fence")["ok"] is True
    assert {name: lacking["ok"] for name, lacking in report.items()} == dict.fromkeys(
        ("position-guard", "awaiting", "order", "fence"), False
    )


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [2, 3])
async def test_minutes_of_chaos_end_in_exact_candles(tmp_path: Path, seed: int) -> None:
    code, report, err = await chaos(tmp_path, "--minutes", "2", "--seed", str(seed))
    assert code == 0, (report["differences"], err)
    assert report["kills"] >= 6


# -- the oracle


def group(trades: list[T], *, ids: str) -> dict:
    return {
        "symbol": "S",
        "price_scale": 2,
        "qty_scale": 1,
        "ids": ids,
        "id": [t.id for t in trades],
        "ts": [t.ts for t in trades],
        "price": [t.price for t in trades],
        "qty": [t.qty for t in trades],
        "side": [t.side for t in trades],
        "flags": [0 if t.id % 10 else 1 for t in trades],
    }


def record(offset: int, trades: list[T], *, ids: str = "dense", exchange: str = "x") -> Record:
    value = {"v": 1, "exchange": exchange, "channel": "spot", "symbols": [group(trades, ids=ids)]}
    return Record(0, offset, None, value)


@pytest.mark.parametrize("ids", ["dense", "unique"])
def test_the_sql_oracle_agrees_with_the_plain_one(tmp_path: Path, ids: str) -> None:
    pick = random.Random(1)
    made = [
        T(
            n,
            1_000_000 + n * 40,
            pick.randrange(100, 999),
            pick.randrange(1, 99),
            pick.choice((1, -1)),
        )
        for n in range(1, 1_000)
        if n not in (500, 501)
    ]
    made = [t._replace(ts=t.ts // 100 * 100) for t in made]  # several of one millisecond
    late = sorted(made, key=lambda t: t.id + pick.randrange(30))
    told = late + pick.sample(late, 50)  # some come twice
    batches = [told[at : at + 7] for at in range(0, len(told), 7)]
    records = [record(offset, trades, ids=ids) for offset, trades in enumerate(batches)]
    truth = consult(records, tmp_path, FRAMES)

    real = [t for t in late if t.id % 10]
    expected = {
        ("x", "spot", "S", length, "", open_ms): candle
        for length, _ in FRAMES
        for open_ms, candle in candles_of(real, length, by_arrival=ids == "unique").items()
    }
    assert truth.trades == len(told)
    assert {key: in_small_units(each.candle) for key, each in truth.candles.items()} == expected
    stream = truth.streams["x", "spot", "S"]
    assert stream.last_ms == max(t.ts for t in real)
    neighbours = made[498].ts, made[499].ts
    assert stream.holes == ([Hole(500, 501, *neighbours)] if ids == "dense" else [])


def test_a_venue_that_opens_at_the_close_before_has_its_way(tmp_path: Path) -> None:
    trades = [T(1, 1_000, 100, 1, 1), T(2, 2_500, 110, 1, 1), T(3, 3_000, 90, 1, 1)]
    trades += [T(4, 9_999, 95, 1, 1)]
    truth = consult([record(0, trades, exchange="bybit")], tmp_path, [(1_000, "")])
    traded = [each.candle for _, each in sorted(truth.candles.items()) if each.candle.trade_count]
    assert [in_small_units(candle)[:4] for candle in traded] == [
        (100, 100, 100, 100),
        (100, 110, 100, 110),
        (110, 110, 90, 90),
        (90, 95, 90, 95),
    ]


def test_a_window_without_a_trade_is_flat_where_the_venue_draws_it(tmp_path: Path) -> None:
    trades = [T(1, 1_000, 100, 1, 1), T(2, 4_500, 110, 1, 1)]
    truth = consult([record(0, trades, exchange="bybit")], tmp_path, [(1_000, "")])
    flat = {
        key[-1]: in_small_units(each.candle)
        for key, each in truth.candles.items()
        if not each.candle.trade_count
    }
    assert list(flat)[:4] == [2_000, 3_000, 5_000, 6_000]
    assert flat[2_000] == flat[3_000] == (*(100,) * 4, *(0,) * 7)
    assert flat[5_000] == (*(110,) * 4, *(0,) * 7), "as long as a clock may close it"
    plain = consult([record(0, trades, exchange="binance")], tmp_path, [(1_000, "")])
    assert len(plain.candles) == 2


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1_000)


@pytest.mark.parametrize(
    ("frame", "opens", "ends"),
    [
        ((7 * DAY_MS, "mon"), "2023-11-13T00:00Z", "2023-11-20T00:00Z"),
        ((DAY_MS, "tz=Asia/Tokyo"), "2023-11-15T00:00+09:00", "2023-11-16T00:00+09:00"),
        ((30 * DAY_MS, "month"), "2023-11-01T00:00Z", "2023-12-01T00:00Z"),
    ],
)
def test_calendars_are_told_without_the_code_that_is_judged(tmp_path, frame, opens, ends) -> None:
    inside, last, after = ms("2023-11-14T22:13Z"), ms(ends) - 1, ms(ends)
    trades = [T(n, at, 100 + n, 1, 1) for n, at in enumerate((inside, last, after), 1)]
    if frame[1].startswith("tz"):
        assert inside >= ms(opens), "the day there has begun already"
    truth = consult([record(0, trades)], tmp_path, [frame])
    found = {key[3:]: each for key, each in truth.candles.items()}
    assert list(found) == [(*frame, ms(opens)), (*frame, ms(ends))]
    whole = found[*frame, ms(opens)]
    assert (whole.end_ms, whole.candle.trade_count) == (ms(ends), 2)


@pytest.mark.parametrize(
    ("arrivals", "cause"),
    [
        ([(1, 100), (2, 900), (3, 1_000)], "live"),
        ([(1, 100), (3, 1_000), (2, 900)], "late"),
        ([(2, 900), (1, 100), (3, 1_000)], "live"),  # late within its window corrects nothing
        ([(1, 100), (3, 1_000), (1, 100)], "live"),  # a repeat is no trade
        ([(1, 100), (10, 1_000), (2, 900)], "live"),  # the tenth is none that counts
    ],
)
def test_a_candle_is_late_when_its_last_trade_came_after_a_later_windows(
    tmp_path: Path, arrivals: list[tuple[int, int]], cause: str
) -> None:
    records = [
        record(offset, [T(id_, at_ms, 100, 1, 1)]) for offset, (id_, at_ms) in enumerate(arrivals)
    ]
    truth = consult(records, tmp_path, [(1_000, "")])
    assert truth.candles["x", "spot", "S", 1_000, "", 0].cause == cause


def in_small_units(candle) -> tuple[int, ...]:
    units = (*(10**10,) * 4, 10**11, 10**21, 10**11, 10**21, 1, 1, 1)
    assert all(value % unit == 0 for value, unit in zip(candle, units, strict=True))
    return tuple(value // unit for value, unit in zip(candle, units, strict=True))


# -- the proxy


class Echo:
    """A server that remembers what it was told, and says it again."""

    def __init__(self) -> None:
        self.heard = b""

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(1_000):
            self.heard += piece
            writer.write(piece)
        writer.close()


@asynccontextmanager
async def proxied():
    echo, proxy = Echo(), FaultProxy()
    server = await asyncio.start_server(echo.talk, HOST, proxy.target_port)
    await proxy.start()
    reader, writer = await asyncio.open_connection(HOST, proxy.port)
    try:
        writer.write(b"a")
        assert await asyncio.wait_for(reader.readexactly(1), 5) == b"a"
        yield echo, proxy, reader, writer
    finally:
        writer.transport.abort()
        await proxy.stop()
        server.close()


async def test_a_delayed_connection_answers_later() -> None:
    async with proxied() as (_, proxy, reader, writer):
        proxy.inflict("delay", delay_s=0.2)
        began_s = asyncio.get_running_loop().time()
        writer.write(b"b")
        assert await reader.readexactly(1) == b"b"
        assert asyncio.get_running_loop().time() - began_s >= 0.4, "there and back"


async def test_what_was_held_arrives_even_when_its_sender_is_gone() -> None:
    async with proxied() as (echo, proxy, _, writer):
        proxy.inflict("hold")
        writer.write(b"last words")
        await writer.drain()
        writer.close()
        await asyncio.sleep(0.2)
        assert echo.heard == b"a"
        proxy.heal()
        async with asyncio.timeout(5):
            while echo.heard != b"alast words":  # noqa: ASYNC110 - a socket has no event here
                await asyncio.sleep(0.01)


async def test_a_half_open_connection_swallows_and_then_breaks() -> None:
    async with proxied() as (echo, proxy, reader, writer):
        proxy.inflict("half-open")
        writer.write(b"b")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.readexactly(1), 0.2)
        proxy.heal()
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await asyncio.wait_for(reader.readexactly(1), 5)
        assert echo.heard == b"a"


async def test_a_cut_connection_breaks_and_a_new_one_stands_only_after() -> None:
    async with proxied() as (_, proxy, reader, _):
        proxy.inflict("cut")
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await asyncio.wait_for(reader.readexactly(1), 5)
        refused, _ = await asyncio.open_connection(HOST, proxy.port)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await asyncio.wait_for(refused.readexactly(1), 5)
        proxy.heal()
        again, writer = await asyncio.open_connection(HOST, proxy.port)
        writer.write(b"c")
        assert await asyncio.wait_for(again.readexactly(1), 5) == b"c"
        writer.transport.abort()
