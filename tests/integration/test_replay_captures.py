"""``fibstream replay`` of recorded market data, through the real command, against the venue's."""

import gzip
import json
import random
import subprocess
import sys
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise
from operator import itemgetter
from pathlib import Path

import pytest

from fibstream.replay import Replay, ReplayOptions
from runtime.settings import Settings

pytestmark = pytest.mark.integration

INSURANCE_FUND_ID = 3_535_191_080
FIELDS = (
    *("open", "high", "low", "close", "volume", "quote_volume"),
    *("trade_count", "taker_buy_volume", "taker_buy_quote_volume"),
)


def run(*args: object, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "fibstream", "replay", *map(str, args)]
    return subprocess.run(command, input=stdin, capture_output=True, timeout=120, check=False)


def rows_of(done: subprocess.CompletedProcess[bytes]) -> list[dict]:
    assert done.returncode == 0, done.stderr.decode()
    return [exact(line) for line in done.stdout.splitlines()]


def exact(line: bytes) -> dict:
    return json.loads(line, parse_float=Decimal)


def replaying(path: Path, intervals: str) -> Replay:
    options = {"exchange": "binance", "channel": "linear", "to": "klines", "settings": Settings()}
    return Replay(ReplayOptions(**options, files=[str(path)], intervals=intervals))


def replayed(path: Path, intervals: str) -> list[dict]:
    return [exact(row) for row in replaying(path, intervals).rows()]


def lines_of(path: Path) -> list[bytes]:
    return gzip.decompress(path.read_bytes()).splitlines()


def told(done: subprocess.CompletedProcess[bytes]) -> dict:
    return json.loads(done.stderr)


@pytest.fixture(scope="module")
def binance(captures: Path) -> Path:
    return captures / "binance"


@pytest.fixture(scope="module")
def usdm(binance: Path) -> list[Path]:
    return [binance / f"usdm_btcusdt_2023040{day}.jsonl.gz" for day in (4, 5)]


def official(binance: Path) -> Iterator[tuple[int, dict]]:
    (path,) = (binance / "klines_official").glob("*.csv.gz")
    for line in gzip.decompress(path.read_bytes()).decode().split():
        at, o, h, l, c, v, _, q, n, V, Q, _ = line.split(",")  # noqa: E741, N806
        values = [Decimal(text) for text in (o, h, l, c, v, q)]
        yield int(at), dict(zip(FIELDS, [*values, int(n), Decimal(V), Decimal(Q)], strict=True))


def test_seven_full_minutes_equal_the_venues_own_candles_in_all_nine_fields(binance, usdm) -> None:
    done = run("--exchange", "binance", "--channel", "linear", *usdm, "--intervals", "1m")
    rows = {row["timestamp"]: row for row in rows_of(done)}
    theirs = dict(official(binance))
    assert sorted(rows) == sorted(theirs)
    _, *whole, _ = sorted(theirs)
    assert len(whole) == 7
    for at in whole:
        assert {name: rows[at][name] for name in FIELDS} == theirs[at]
        assert (rows[at]["closed"], rows[at]["quality"], rows[at]["missing"]) == (True, "proven", 0)
    assert rows[min(rows)]["quality"] == "gap"  # nobody saw how the first minute began
    assert not rows[max(rows)]["closed"]


def test_every_interval_is_in_order_and_adds_up(usdm) -> None:
    done = run("--channel", "linear", *usdm, "--intervals", "1s,1m,5m", "--summary-json")
    rows = rows_of(done)
    keys = [(row["timestamp"] + row["interval"], row["interval"], row["symbol"]) for row in rows]
    assert keys == sorted(set(keys))
    sums = {
        length: [
            sum(row[name] for row in rows if row["interval"] == length)
            for name in ("volume", "quote_volume", "trade_count", "taker_buy_volume")
        ]
        for length in (1_000, 60_000, 300_000)
    }
    assert sums[1_000] == sums[60_000] == sums[300_000]
    assert sums[1_000][2] == 2_197 + 10_738 - 1
    summary = told(done)
    assert summary["frames"] == 73_765
    assert summary["trades"] == 2_197 + 10_738
    assert (summary["refused"], summary["duplicates"]) == (0, 0)
    assert summary["rows"] == len(rows)


def test_the_insurance_funds_trade_is_an_event_and_in_no_candle(usdm) -> None:
    done = run("--channel", "linear", *usdm, "--to", "events")
    events = [event for event in rows_of(done) if event["kind"] == "trades"]
    assert [event["id"] for event in events] == list(range(3_535_186_032, 3_535_198_967))
    assert [event["id"] for event in events if event["flags"]] == [INSURANCE_FUND_ID]
    assert done.stdout.splitlines()[1] == (
        b'{"exchange":"binance","channel":"linear","kind":"trades","symbol":"BTCUSDT","id":3535186032,'
        b'"ts":1680652700452,"price":28145.10,"qty":0.002,"side":-1,"flags":0,'
        b'"first":3535186032,"last":3535186032}'
    )


def test_events_and_candles_tell_the_same(usdm) -> None:
    told_all = rows_of(run("--channel", "linear", *usdm, "--to", "events"))
    events = [event for event in told_all if event["kind"] == "trades"]
    rows = rows_of(run("--channel", "linear", *usdm, "--intervals", "5m"))
    for row in rows:
        start, end = row["timestamp"], row["timestamp"] + row["interval"]
        inside = [e for e in events if start <= e["ts"] < end and not e["flags"]]
        assert row["volume"] == sum(e["qty"] for e in inside)
        assert row["quote_volume"] == sum(e["price"] * e["qty"] for e in inside)
        assert (row["open"], row["close"]) == (inside[0]["price"], inside[-1]["price"])
        assert (row["first_id"], row["last_id"]) == (inside[0]["id"], inside[-1]["id"])


def test_stdin_files_and_times_of_receipt_change_no_number(usdm, tmp_path) -> None:
    plain = b"".join(gzip.decompress(path.read_bytes()) for path in usdm)
    lonely = tmp_path / "no_times_beside_it.jsonl"
    lonely.write_bytes(plain)
    numbers = (*FIELDS, "timestamp", "interval", "first_id", "last_id")
    told_by = [
        [{name: row[name] for name in numbers} for row in rows_of(done)]
        for done in (
            run("--channel", "linear", *usdm, "--intervals", "1s,1m"),
            run("--channel", "linear", lonely, "--intervals", "1s,1m"),
            run("--channel", "linear", "-", "--intervals", "1s,1m", stdin=plain),
        )
    ]
    assert told_by[0] == told_by[1] == told_by[2]


def best_by_symbol(events: list[dict]) -> dict[str, list[tuple]]:
    """Return what bookTicker told: (update id, best prices and quantities), in order."""
    best = defaultdict(list)
    for e in events:
        if e["kind"] == "tickers" and "updateId" in e:
            best[e["symbol"]].append((e["updateId"], *(e[name] for name in BESTS)))
    return best


BESTS = ("bid1Price", "bid1Size", "ask1Price", "ask1Size")
TOPS = ("bid_price", "bid_qty", "ask_price", "ask_qty")


@pytest.mark.parametrize(
    ("channel", "names", "updates"),
    [
        ("linear", ("usdm_btcusdt_20230404", "usdm_btcusdt_20230405"), 16_109),
        ("linear", ("cf_usdm_20210722_rest", "cf_usdm_20210722_ws"), 722),
        ("linear", ("cf_usdm_20210722_ws", "cf_usdm_20210722_rest"), 722),
        ("spot", ("cf_spot_20211012_rest", "cf_spot_20211012_ws"), 141),
    ],
    ids=["usdm", "usdm_rest_first", "usdm_rest_last", "spot"],
)
def test_rebuilt_books_have_the_best_prices_that_the_venue_sent_beside_them(
    binance, channel, names, updates
) -> None:
    paths = [binance / f"{name}.jsonl.gz" for name in names]
    best = best_by_symbol(rows_of(run("--channel", channel, "--to", "events", *paths)))
    done = run("--channel", channel, "--to", "book-tops", "--summary-json", *paths)
    compared = 0
    for top in rows_of(done):
        theirs = best[top["symbol"]]
        at = bisect_right(theirs, top["update_id"], key=itemgetter(0))
        if 0 < at < len(theirs):  # the recording may have begun, or ended, between the two streams
            assert theirs[at - 1][1:] == tuple(top[name] for name in TOPS)
            compared += 1
    assert compared == updates
    assert (told(done)["refused"], told(done).get("void_books")) == (0, None)


def test_a_book_without_its_snapshot_is_void_and_gives_no_row(binance) -> None:
    path = binance / "spot_btcusdt_20230405.jsonl.gz"
    done = run("--channel", "spot", "--to", "book-tops", "--summary-json", path)
    assert rows_of(done) == []
    assert told(done)["books"] == 3_929
    assert told(done)["void_books"] == ["BTCUSDT"]


@pytest.mark.parametrize(("name", "books"), [("cf_20220227_ws", 3_679), ("cf_20220513_ws", 290)])
def test_every_book_of_okx_has_the_checksum_that_the_venue_sent(captures, name, books) -> None:
    path = captures / "okx" / f"{name}.jsonl.gz"
    exchange = ("--exchange", "okx", "--channel", "linear")
    done = run(*exchange, "--to", "book-tops", "--summary-json", path)
    rows, summary = rows_of(done), told(done)
    assert len(rows) == summary["books"] == summary["checksums_right"] == books
    assert "book_gaps" not in summary
    assert {row["unit"] for row in rows} == {"contracts"}


def test_parallel_connections_that_cut_the_same_changes_differently_are_told_apart(
    captures, tmp_path
) -> None:
    by_book: dict[str, list[dict]] = defaultdict(list)
    for line in lines_of(captures / "okx" / "cf_20220227_ws.jsonl.gz"):
        frame = json.loads(line)
        if frame["arg"]["channel"] == "books-l2-tbt" and "data" in frame:
            by_book[frame["arg"]["instId"]].append(frame)
    first, *updates = max(by_book.values(), key=len)
    assert len(updates) > 500
    rng = random.Random(3)
    received = [(0.0, first), (0.0, first)]
    received += [(float(at), frame) for at, frame in enumerate(updates, start=1)]
    at, came = 0, 0.0
    while at < len(updates):
        part = updates[at : at + rng.randrange(1, 4)]
        at += len(part)
        came = max(came, at + 3 * rng.random())
        received.append((came, merged(part)))
    received.sort(key=itemgetter(0))
    path = tmp_path / "parallel.jsonl"
    path.write_text("\n".join(json.dumps(frame) for _, frame in received))
    exchange = ("--exchange", "okx", "--channel", "spot")
    summary = told(run(*exchange, "--to", "book-tops", "--summary-json", path))
    assert summary["checksums_right"] == summary["rows"] == summary["books"] == len(received)
    assert "book_gaps" not in summary


def merged(frames: list[dict]) -> dict:
    """Return updates of one book as one, as another connection may send them."""
    data = {**frames[-1]["data"][0]}
    for side in ("bids", "asks"):
        data[side] = list({row[0]: row for f in frames for row in f["data"][0][side]}.values())
    return {**frames[-1], "data": [data]}


def test_files_that_overlap_double_nothing(usdm) -> None:
    once = run("--channel", "linear", *usdm, "--intervals", "1m", "--summary-json")
    twice = run("--channel", "linear", usdm[0], *usdm, "--intervals", "1m", "--summary-json")
    volumes = [[(r["timestamp"], r["volume"]) for r in rows_of(done)] for done in (once, twice)]
    assert volumes[0] == volumes[1]
    assert told(twice)["duplicates"] == 2_197


def test_spot_minutes_are_whole_and_proven(binance) -> None:
    path = binance / "spot_btcusdt_20230405.jsonl.gz"
    done = run("--channel", "spot", path, "--intervals", "1m", "--summary-json")
    rows = rows_of(done)
    assert [row["quality"] for row in rows] == ["gap", *["proven"] * 6, "assumed"]
    assert [row["closed"] for row in rows] == [True] * 7 + [False]
    assert sum(row["trade_count"] for row in rows) == told(done)["trades"] == 3_144
    for row, after in pairwise(rows):
        assert row["last_id"] + 1 == after["first_id"]


def test_aggregates_give_every_candle_that_the_venue_sent_beside_them(binance, tmp_path) -> None:
    path = binance / "cf_usdm_20210722_ws.jsonl.gz"
    frames = [(line, json.loads(line)["data"]) for line in lines_of(path)]
    compared = 0
    for k in (data["k"] for _, data in frames if data["e"] == "kline"):
        trades = [(line, d) for line, d in frames if d["e"] == "aggTrade" and d["s"] == k["s"]]
        until = [(line, d) for line, d in trades if d["l"] <= k["L"]]
        inside = [d for _, d in until if k["t"] <= d["T"] <= k["T"]]
        if not inside or (inside[0]["f"], inside[-1]["l"]) != (k["f"], k["L"]):
            continue  # it began before the recording, or tells of half an aggregate
        (tmp_path / "a.jsonl").write_bytes(b"\n".join(line for line, _ in until))
        rows = {row["timestamp"]: row for row in replayed(tmp_path / "a.jsonl", "1m")}
        theirs = [Decimal(k[name]) for name in ("o", "h", "l", "c", "v", "q")]
        theirs += [k["n"], Decimal(k["V"]), Decimal(k["Q"])]
        assert [rows[k["t"]][name] for name in FIELDS] == theirs
        compared += 1
    assert compared == 15


@pytest.mark.parametrize(
    "name", ["cf_spot_20211012_rest", "cf_usdm_20210722_rest", "gct_rest_mock"]
)
def test_rest_bodies_are_recognised_and_refuse_nothing(binance, name) -> None:
    done = run("--channel", "spot", binance / f"{name}.jsonl.gz", "--summary-json", "--strict")
    assert rows_of(done) == []
    assert told(done)["refused"] == 0
    assert told(done)["frames"] > 0


def test_refused_frames_fail_only_when_asked_to(binance) -> None:
    path = binance / "single_cmp_binance.jsonl.gz"
    lenient = run("--channel", "linear", path, "--to", "events")
    assert lenient.returncode == 0
    assert f"1 x e: unknown event 'trade_all' (first: {path}:6)" in lenient.stderr.decode()
    strict = run("--channel", "linear", path, "--to", "events", "--strict")
    assert strict.returncode == 1
    assert strict.stdout == lenient.stdout
    for done in (lenient, strict):
        assert json.loads(done.stderr.splitlines()[-1])["refused"] == 2
    assert "2 frames were refused" in strict.stderr.decode()


def test_a_cut_file_gives_what_was_readable_and_then_an_error(usdm, tmp_path) -> None:
    cut = tmp_path / "cut.jsonl.gz"
    cut.write_bytes(usdm[0].read_bytes()[:300_000])
    done = run("--channel", "linear", cut, "--intervals", "1m")
    assert done.returncode == 1
    assert len(done.stdout.splitlines()) == 2
    message = done.stderr.decode()
    assert f"{cut}: broken off after line" in message
    assert "Traceback" not in message


def test_a_reader_that_has_seen_enough_ends_it_quietly(usdm) -> None:
    command = [sys.executable, "-m", "fibstream", "replay", "--channel", "linear", "--to", "events"]
    with subprocess.Popen(
        [*command, *map(str, usdm)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout.readline().startswith(b'{"exchange"')
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(30) == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_behind_stdout_is_an_error(usdm) -> None:
    command = [sys.executable, "-m", "fibstream", "replay", "--channel", "linear", str(usdm[0])]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr == b"stdout cannot be written to (No space left on device)\n"


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (("--channel", "linear", "nowhere.jsonl.gz"), "nowhere.jsonl.gz"),
        (("--channel", "options", "-"), "--channel"),
        (("--channel", "linear", "--exchange", "krakenx", "-"), "--exchange"),
        (("--channel", "linear", "--intervals", "7x", "-"), "--intervals: '7x'"),
        (("--channel", "linear", "--to", "books", "-"), "--to"),
    ],
)
def test_a_bad_option_is_one_message_and_exit_code_2(args, named) -> None:
    done = run(*args, stdin=b"")
    assert done.returncode == 2
    assert done.stdout == b""
    assert named in done.stderr.decode()
    assert "Traceback" not in done.stderr.decode()


def test_a_long_recording_needs_no_more_memory_than_a_short_one(tmp_path) -> None:
    path = tmp_path / "long.jsonl"
    event = '{"e":"aggTrade","s":"S","a":%d,"p":"1.5","q":"2","f":%d,"l":%d,"T":%d,"m":true}\n'
    with path.open("w") as file:
        file.writelines(event % (i, i, i, 1_700_000_000_000 + i * 1_000) for i in range(100_000))
    replay = replaying(path, "1s")
    held = 0
    for rows, _ in enumerate(replay.rows(), start=1):
        held = max(held, replay.tape.line - rows)
    assert rows == 100_000
    assert held < 60
