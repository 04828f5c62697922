"""Recordings through the production parser and engine: exact, ordered, bounded, and told."""

import gzip
import io
import json
import random
import sys
from collections import Counter
from decimal import Decimal
from functools import partial
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from oracle import Candle, T, candles_of
from recordings import START_MS, frame, replay, steady, write_recording

from fibstream.replay import Replay
from fibstream.replay import candles as replayed
from fibstream.replay.candles import HeldRows
from fibstream.replay.summary import OTHER, REASONS_MAX, Summary
from fibstream.replay.tape import Tape, stamp_ns
from runtime.errors import Misconfigured
from schemas.intervals import Interval, parse_interval

SECOND_MS = 1_000
GRACE_MS = 80


def candles(run: Replay) -> list[dict]:
    return [json.loads(row, parse_float=Decimal) for row in run.rows()]


@pytest.fixture
def record(tmp_path):
    return partial(write_recording, tmp_path)


# -- the tape


@pytest.mark.parametrize(
    ("stamp", "ns"),
    [
        (b"1680652700423575\n", 1_680_652_700_423_575_000),
        (b"1633998512.0633569\n", 1_633_998_512_063_356_900),
        (b"1633998512.06335691234", 1_633_998_512_063_356_912),
        (b"1633998512", 1_633_998_512_000_000_000),
        (b"1633998512063", 1_633_998_512_063_000_000),
        (b"1737850000123456789", 1_737_850_000_123_456_789),
        (b"", None),
        (b"0", None),
        (b"-1633998512", None),
        (b"1633998512.x", None),
        (b"yesterday!", None),
    ],
)
def test_the_unit_of_a_receive_time_is_told_by_its_magnitude(stamp, ns) -> None:
    assert stamp_ns(stamp) == ns


def test_blank_lines_shift_neither_line_numbers_nor_receive_times(tmp_path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"one\n\ntwo\n")
    (tmp_path / "a.recv_ts").write_bytes(b"1700000001\n1700000002\n1700000003\n")
    tape = Tape([str(tmp_path / "a.jsonl")])
    seen = [(f, tape.line, tape.recv_ns) for f in tape]
    assert seen == [(b"one", 1, 1_700_000_001 * 10**9), (b"two", 3, 1_700_000_003 * 10**9)]


def test_a_glob_may_bring_the_receive_times_along(record) -> None:
    path = record("a", [b"one"], [START_MS])
    tape = Tape([str(path), str(path.with_name("a.recv_ts.gz"))])
    assert list(tape) == [b"one"]
    with pytest.raises(Misconfigured, match="no frames"):
        Tape([str(path.with_name("a.recv_ts.gz"))])


@pytest.mark.parametrize("pack", [gzip.compress, bytes], ids=["gz", "plain"])
def test_stdin_is_read_packed_or_plain(monkeypatch, pack) -> None:
    stdin = SimpleNamespace(buffer=io.BufferedReader(io.BytesIO(pack(b"one\ntwo"))))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert list(Tape(["-"])) == [b"one", b"two"]


@pytest.mark.parametrize("damage", ["cut", "rotten"])
def test_what_is_readable_of_a_damaged_file_comes_and_the_next_file_too(tmp_path, damage) -> None:
    lines = [random.Random(i).randbytes(40).hex().encode() for i in range(2_000)]
    packed = gzip.compress(b"\n".join(lines))
    middle = len(packed) // 2
    broken = packed[:middle] if damage == "cut" else packed[:middle] + b"\xff" * (len(packed) // 2)
    (tmp_path / "bad.gz").write_bytes(broken)
    (tmp_path / "good").write_bytes(b"last\n")
    tape = Tape([str(tmp_path / "bad.gz"), str(tmp_path / "good")])
    *some, last = list(tape)
    assert last == b"last"
    assert 100 < len(some) < 2_000
    assert some == lines[: len(some)]
    assert len(tape.damaged) == 1
    assert f"bad.gz: broken off after line {len(some)}" in tape.damaged[0]


@pytest.mark.parametrize("name", ["missing.gz", "folder"])
def test_what_is_no_file_is_told_before_anything_is_read(tmp_path, name) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(Misconfigured, match=name):
        Tape([str(tmp_path / name)])


# -- rows


def test_events_are_exact_rows_and_come_once(record) -> None:
    trades = steady(5)
    path = record("a", map(frame, trades))
    again = record("b", map(frame, steady(7)))
    run = replay(path, again, to="events")
    rows = list(run.rows())
    assert rows[0].decode() == (
        '{"exchange":"binance","channel":"linear","kind":"trades","symbol":"BTCUSDT","id":100,'
        f'"ts":{START_MS},"price":28000.00,"qty":0.001,"side":1,"flags":0,'
        '"first":1000,"last":1000}\n'
    )
    assert [json.loads(row)["id"] for row in rows] == list(range(100, 107))
    assert run.summary.duplicates == 5
    assert run.summary.frames == 12


def test_a_refused_frame_is_told_with_its_reason_and_place(record) -> None:
    text = frame(steady(1)[0]).replace(b'"28000.00"', b'"abc"')
    path = record("a", [frame(steady(1)[0]), b"{broken", text, b'{"result":null,"id":1}', text])
    run = replay(path, to="events")
    assert len(list(run.rows())) == 1
    told = run.summary.as_dict()
    assert (told["events"], told["control"], told["trades"]) == (1, 1, 1)
    assert told["control_kinds"] == {"ack": 1}
    assert told["refused"] == 3
    assert [(r["count"], r["first"]) for r in told["refusals"]] == [
        (1, f"{path}:2"),
        (2, f"{path}:3"),
    ]
    assert "'abc' is not a decimal number" in told["refusals"][1]["reason"]
    assert f"2 x aggTrade: p: 'abc' is not a decimal number (first: {path}:3)" in (
        run.summary.as_text()
    )


def test_a_flood_of_reasons_stays_bounded() -> None:
    summary = Summary()
    for i in range(REASONS_MAX + 50):
        summary.refuse(f"reason {i}", f"line {i}")
    assert len(summary.refused) == REASONS_MAX + 1
    assert summary.refused[OTHER] == (50, f"line {REASONS_MAX}")
    assert summary.refused_count == REASONS_MAX + 50


@st.composite
def recordings(draw):
    """Trades of two symbols, received in a disturbed order, cut into files."""
    rng = random.Random(draw(st.integers(0, 2**32)))
    received = []
    for symbol in ("ETHUSDT", "BTCUSDT"):
        now = START_MS
        for id_ in range(1_000, 1_000 + draw(st.integers(1, 80))):
            now += rng.choice((0, 0, 1, 400, 990, 30_000))
            price, qty = rng.randrange(1, 500_000), rng.randrange(1, 90_000)
            trade = T(id_, now, price, qty, rng.choice((1, -1)), rng.randrange(1, 4))
            received.append((now + rng.randrange(2_000), symbol, trade))
    received.sort(key=lambda each: each[0])
    files, rest = [], received
    while rest:
        n = rng.randrange(1, 60)
        files.append(rest[:n])
        rest = rest[n:]
    return files, draw(st.booleans())


@given(recordings())
@hypothesis_settings(max_examples=60, deadline=None)
def test_any_cut_into_files_gives_the_candles_of_the_plain_fold_in_order(tmp_path_factory, given_):
    files, has_times = given_
    folder = tmp_path_factory.mktemp("recording")
    names = []
    for at, part in enumerate(files):
        names.append(folder / f"{at}.jsonl")
        names[-1].write_bytes(b"\n".join(frame(t, symbol) for _, symbol, t in part))
        if has_times:
            stamps = "\n".join(str(recv_ms) for recv_ms, _, _ in part)
            (folder / f"{at}.recv_ts").write_text(stamps)
    run = replay(*names)
    rows = candles(run)
    ended_ms = max(recv_ms if has_times else t.ts for p in files for recv_ms, _, t in p)
    keys = [(r["timestamp"] + r["interval"], r["interval"], r["symbol"]) for r in rows]
    assert keys == sorted(set(keys))
    assert not run.summary.notes.get("late_trades")
    for symbol in ("ETHUSDT", "BTCUSDT"):
        trades = [t for part in files for _, s, t in part if s == symbol]
        for length in (SECOND_MS, 60_000, 120_000):
            mine = [r for r in rows if (r["symbol"], r["interval"]) == (symbol, length)]
            assert {r["timestamp"]: plain(r) for r in mine} == candles_of(trades, length)
            if symbol not in run.summary.notes.get("unsettled", ()):
                # The next trade proves a candle; nobody saw what was before the first one.
                assert all(r["quality"] != "assumed" for r in mine[:-1])
                assert all(r["quality"] != "gap" for r in mine[1:])
            latest_ms = max(t.ts for t in trades)
            for r in mine:
                end_ms = r["timestamp"] + length
                assert r["closed"] or end_ms + GRACE_MS > latest_ms
                assert not r["closed"] or end_ms <= ended_ms


def plain(row: dict) -> Candle:
    return Candle(
        *(int(row[n] * 100) for n in ("open", "high", "low", "close")),
        int(row["volume"] * 1_000),
        int(row["quote_volume"] * 100_000),
        int(row["taker_buy_volume"] * 1_000),
        int(row["taker_buy_quote_volume"] * 100_000),
        row["trade_count"],
        row["first_id"],
        row["last_id"],
    )


def test_one_file_per_symbol_is_sorted_all_the_same(record) -> None:
    btc = record("btc", [frame(t, "BTCUSDT") for t in steady(300)])
    eth = record("eth", [frame(t, "ETHUSDT") for t in steady(300)])
    rows = candles(replay(btc, eth))
    keys = [(r["timestamp"] + r["interval"], r["interval"], r["symbol"]) for r in rows]
    assert keys == sorted(keys)
    assert {r["symbol"] for r in rows[:2]} == {"BTCUSDT", "ETHUSDT"}


def test_candles_come_before_the_end_of_a_long_recording(record) -> None:
    run = replay(record("a", map(frame, steady(200))))
    first = json.loads(next(run.rows()))
    assert first["timestamp"] == START_MS - START_MS % SECOND_MS
    assert run.tape.line < 60  # asked every 10 s, for 10 s of corrections, two trades a second


def test_how_often_the_engine_is_asked_changes_no_byte(record, monkeypatch) -> None:
    rng = random.Random(7)
    trades = [t for t in steady(400, step_ms=333) if rng.random() > 0.1]
    trades.sort(key=lambda t: t.ts + rng.randrange(3_000))
    path = record("a", map(frame, trades), [t.ts + rng.randrange(5_000) for t in trades])
    seldom = list(replay(path).rows())
    monkeypatch.setattr(replayed, "PULSE_NS", 1_000_000)
    assert list(replay(path).rows()) == seldom


def test_the_end_of_the_recording_closes_what_ended_before_it(record) -> None:
    trades = steady(3)
    minute_end_ms = trades[0].ts - trades[0].ts % 60_000 + 60_000
    recv_ms = [t.ts for t in trades]
    quiet = [b'{"result":null,"id":1}']
    open_ = record("open", [*map(frame, trades), *quiet], [*recv_ms, minute_end_ms + 50])
    ended = record("ended", [*map(frame, trades), *quiet], [*recv_ms, minute_end_ms + 500])
    assert [r["closed"] for r in candles(replay(open_, intervals="1m"))] == [False]
    assert [r["closed"] for r in candles(replay(ended, intervals="1m"))] == [True]


def test_the_trade_after_a_silence_proves_the_candle_before_it(record) -> None:
    first, *_ = steady(1)
    later = steady(10, start_ms=START_MS + 60_000)[1:]
    busy = [frame(T(1 + i, START_MS + i * 9_000, 5, 1, 1), "BUSY") for i in range(400)]
    after = T(110, START_MS + 3_600_000, 5, 1, 1)
    frames = [*map(frame, [first, *later]), *busy]
    for more, qualities in ([], ["gap", "assumed"]), ([frame(after)], ["gap", "proven", "assumed"]):
        rows = candles(replay(record("a", [*frames, *more]), intervals="1m"))
        assert [r["quality"] for r in rows if r["symbol"] == "BTCUSDT"] == qualities


def test_a_trade_too_late_for_its_candle_is_told(record) -> None:
    early, *rest = steady(100)
    run = replay(record("a", [*map(frame, rest), frame(early)]), intervals="1s")
    assert len(candles(run)) == 50
    assert run.summary.notes["late_trades"] == 1
    assert run.summary.notes["unsettled"] == {"BTCUSDT": (early.ts, rest[0].ts)}


def test_missing_ids_mark_their_candles_and_are_told(record) -> None:
    trades = steady(100)
    run = replay(record("a", map(frame, trades[:50] + trades[57:])), intervals="1m")
    rows = candles(run)
    assert [r["missing"] for r in rows if r["missing"]] == [7]
    assert run.summary.notes == {"gaps": {"found": 1}, "missing_ids": 7}


def test_a_number_that_no_candle_can_hold_is_refused(record) -> None:
    _, good, bad = steady(3)  # 28000.01 needs two decimals, which the next number cannot have
    huge = frame(bad).replace(b'"28000.02"', b'"9000000000000000000"')
    run = replay(record("a", [frame(good), huge]), intervals="1m")
    assert [r["trade_count"] for r in candles(run)] == [1]
    assert run.summary.refused_count == 1


def test_months_and_days_of_a_time_zone_are_made_of_a_recording_too(record) -> None:
    eve_ms = 1_717_167_600_000  # 2024-05-31 15:00 UTC, when June begins in Tokyo
    hours = (-30, -6, -1, 0, 8, 9, 23)
    trades = [T(10 + i, eve_ms + hour * 3_600_000, 5, 1, 1) for i, hour in enumerate(hours)]
    texts = ("1D@tz=Asia/Tokyo", "1M", "1M@tz=Asia/Tokyo", "1w@sat@tz=Asia/Tokyo")
    rows = candles(replay(record("a", map(frame, trades)), intervals=",".join(texts)))
    for text in texts:
        interval = parse_interval(text)
        expected = Counter(interval.open_ms(trade.ts) for trade in trades)
        mine = [r for r in rows if (r["interval"], r.get("anchor", "")) == interval]
        assert {r["timestamp"]: r["trade_count"] for r in mine} == expected, text
    ends = [Interval(r["interval"], r["anchor"]).end_ms(r["timestamp"]) for r in rows]
    assert ends == sorted(ends)


def test_windows_that_do_not_nest_close_in_time(record) -> None:
    start_ms = 1_700_000_000_000 // (104 * 60_000) * 104 * 60_000  # opens 8m and 13m at once
    trades = [T(1 + i, start_ms + i * 30_000, 5, 1, 1) for i in range(18, 28)]  # 9 to 14 minutes
    rows = candles(replay(record("a", map(frame, trades)), intervals="8m,13m"))
    assert [(r["interval"] // 60_000, r["closed"]) for r in rows] == [
        (13, True),
        (8, False),
        (13, False),
    ]


@pytest.mark.parametrize(
    ("changes", "setting", "told"),
    [
        ({"exchange": "krakenx"}, "--exchange", "binance"),
        ({"channel": "options"}, "--channel", "spot, linear"),
        ({"to": "books"}, "--to", "events, klines, book-tops"),
        ({"intervals": "7x"}, "--intervals", "'7x'"),
        ({"intervals": ""}, "--intervals", "1m"),
    ],
)
def test_a_bad_option_is_named_with_what_would_do(record, changes, setting, told) -> None:
    with pytest.raises(Misconfigured, match=told) as refused:
        replay(record("a", []), **changes)
    assert refused.value.setting == setting


# -- rows held back


def key(end_s: int, symbol: bytes = b"S") -> tuple[int, int, bytes]:
    return end_s * 1_000, 1_000, symbol


def test_the_last_revision_of_a_held_candle_goes_out_in_order() -> None:
    held = HeldRows()
    held.put(key(2), b"two")
    held.put(key(1), b"one, old")
    held.put(key(3), b"three")
    held.put(key(1), b"one")
    assert list(held.until(2_000)) == [b"one", b"two"]
    assert list(held.until(2_000)) == []
    assert list(held.until(3_000)) == [b"three"]


def test_a_silent_symbol_cannot_fill_the_memory() -> None:
    held, final = HeldRows(rows_max=10), {b"S": 10**9, b"silent": -1}
    held.put(key(0, b"silent"), b"silent")
    for i in range(1, 10):
        held.put(key(i), b"%d" % i)
    assert list(held.excess(final)) == []
    held.put(key(10), b"10")
    assert list(held.excess(final)) == [b"silent", b"1", b"2", b"3", b"4", b"5"]
    held.put(key(0, b"silent"), b"silent, sealed")  # it was told already, as it stood then
    assert held.outdated == 1
    assert list(held.until(10**6)) == [b"6", b"7", b"8", b"9", b"10"]
