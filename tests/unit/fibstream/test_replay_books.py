"""Recorded books, rebuilt; and every kind of event as a row."""

import json
from decimal import Decimal
from functools import partial

import pytest
from recordings import START_MS, frame, replay, steady, write_recording


@pytest.fixture
def record(tmp_path):
    return partial(write_recording, tmp_path)


def depth(first: int, last: int, prev: int, bids=(), asks=(), symbol: str = "BTCUSDT") -> bytes:
    event = {"e": "depthUpdate", "E": START_MS + last, "T": START_MS + last, "s": symbol}
    event |= {"U": first, "u": last, "pu": prev, "b": list(bids), "a": list(asks)}
    return json.dumps({"stream": "x@depth", "data": event}).encode()


SNAPSHOT = b'{"lastUpdateId": 12, "T": 1700000000012, "bids": [["5.10","2"]], "asks": [["6","1"]]}'


def test_a_row_follows_every_update_that_was_applied(record) -> None:
    frames = [
        depth(1, 10, 0, bids=[("5.30", "9")]),
        depth(11, 13, 10, bids=[("5.20", "1")]),
        SNAPSHOT,
        depth(14, 15, 13, asks=[("6", "0")]),
        depth(14, 15, 13, asks=[("6", "7")]),
        depth(18, 19, 17, bids=[("1", "1")]),
    ]
    run = replay(record("a", frames), to="book-tops")
    rows = list(run.rows())
    assert rows[0].decode() == (
        '{"exchange":"binance","channel":"linear","symbol":"BTCUSDT","ts":1700000000012,'
        '"update_id":12,"bid_price":5.1,"bid_qty":2,"ask_price":6.0,"ask_qty":1}\n'
    )
    tops = [json.loads(row) for row in rows]
    assert [(t["update_id"], t["bid_price"], t["ask_price"], t["ask_qty"]) for t in tops] == [
        (12, 5.1, 6, 1),
        (13, 5.2, 6, 1),
        (15, 5.2, None, None),
    ]
    assert run.summary.notes == {"void_books": ["BTCUSDT"], "book_gaps": {"hole_found": 1}}


def test_books_of_several_symbols_do_not_mix(record) -> None:
    body = SNAPSHOT.decode()
    url = "https://x/fapi/v1/depth?symbol={}&limit=5"
    frames = [
        *(json.dumps({"ts": 1.0, "url": url.format(s), "raw": body}).encode() for s in "AB"),
        depth(12, 13, 9, bids=[("5.5", "1")], symbol="A"),
        depth(12, 14, 9, bids=[("4.5", "1")], symbol="B"),
    ]
    rows = [json.loads(row) for row in replay(record("a", frames), to="book-tops").rows()]
    assert [(r["symbol"], r["update_id"], r["bid_price"]) for r in rows] == [
        ("A", 12, 5.1),
        ("B", 12, 5.1),
        ("A", 13, 5.5),
        ("B", 14, 5.1),
    ]


def test_a_recorded_crossed_book_is_told_and_not_given_up(record) -> None:
    frames = [depth(11, 12, 10), SNAPSHOT]
    frames += [depth(i, i, i - 1, bids=[("7", "1")]) for i in range(13, 40)]
    path = record("a", frames, [START_MS + i * 1_000 for i in range(len(frames))])
    run = replay(path, to="book-tops")
    assert len(list(run.rows())) == 29
    assert run.summary.notes == {"crossed_rows": 27}


def okx(action: str, prev: int, seq: int, *bids: tuple[str, str]) -> bytes:
    arg = {"channel": "books", "instId": "BTC-USDT-SWAP"}
    rows = [[price, qty, "0", "1"] for price, qty in bids]
    data = {"asks": [], "bids": rows, "ts": str(START_MS + seq), "checksum": 0}
    data |= {"prevSeqId": prev, "seqId": seq}
    return json.dumps({"arg": arg, "action": action, "data": [data]}).encode()


def test_two_connections_of_one_recording_keep_their_own_chains(record) -> None:
    frames = [
        okx("snapshot", -1, 10, ("5", "1")),
        okx("snapshot", -1, 12, ("5", "1")),
        okx("update", 10, 14, ("5", "2")),
        okx("update", 12, 15, ("5", "3")),
        okx("update", 14, 16, ("5", "4")),
        okx("update", 15, 16, ("5", "4")),
        okx("update", 16, 18, ("6", "1")),
        okx("update", 16, 17, ("5", "0")),
    ]
    run = replay(record("a", frames), to="book-tops", exchange="okx")
    rows = [json.loads(row) for row in run.rows()]
    assert [(r["update_id"], r["bid_price"], r["bid_qty"]) for r in rows] == [
        (10, 5, 1), (12, 5, 1), (14, 5, 2), (15, 5, 3),
        (16, 5, 4), (16, 5, 4), (18, 6, 1), (17, None, None),
    ]  # fmt: skip
    assert {r["unit"] for r in rows} == {"contracts"}
    assert run.summary.notes == {}


def test_a_hole_that_no_connection_fills_is_told_and_the_others_stand(record) -> None:
    frames = [
        okx("snapshot", -1, 10, ("5", "1")),
        okx("snapshot", -1, 12, ("5", "1")),
        okx("update", 90, 99, ("5", "2")),
        okx("update", 12, 13, ("5", "7")),
    ]
    run = replay(record("a", frames), to="book-tops", exchange="okx")
    assert [json.loads(row)["update_id"] for row in run.rows()] == [10, 12, 13]
    assert run.summary.notes == {"book_gaps": {"hole_found": 1}}


def test_a_snapshot_heals_a_hole(record) -> None:
    frames = [
        okx("snapshot", -1, 10, ("5", "1")),
        okx("update", 11, 12, ("5", "2")),
        okx("update", 12, 13, ("5", "2")),
        okx("snapshot", -1, 20, ("5", "3")),
        okx("update", 20, 21, ("5", "4")),
    ]
    run = replay(record("a", frames), to="book-tops", exchange="okx")
    assert [json.loads(row)["update_id"] for row in run.rows()] == [10, 20, 21]
    assert run.summary.notes == {"book_gaps": {"hole_found": 1, "hole_recovered": 1}}


def test_every_kind_is_a_row_that_names_it_with_exact_numbers(record) -> None:
    mark = {"e": "markPriceUpdate", "E": START_MS, "s": "BTCUSDT", "p": "5.50", "i": "5.4"}
    mark |= {"P": "5.5", "r": "0.00010000", "T": START_MS + 1}
    frames = [
        depth(1, 2, -1, bids=[("5.30", "0.000")], asks=[("7", "12345678.123456789")]),
        SNAPSHOT,
        json.dumps({"stream": "btcusdt@markPrice", "data": mark}).encode(),
        frame(steady(1)[0]),
    ]
    rows = list(replay(record("a", frames), to="events").rows())
    assert rows[0].decode() == (
        '{"exchange":"binance","channel":"linear","kind":"books","symbol":"BTCUSDT",'
        f'"ts":{START_MS + 2},"type":"delta","first_id":1,"last_id":2,"prev_id":-1,'
        '"bids":[[5.30,0.000]],"asks":[[7,12345678.123456789]]}\n'
    )
    read = [json.loads(row, parse_float=Decimal) for row in rows]
    assert [row["kind"] for row in read] == ["books", "books", "funding", "trades"]
    assert (read[1]["type"], read[1]["bids"]) == ("snapshot", [[Decimal("5.10"), 2]])
    assert (read[2]["mark_price"], read[2]["funding_rate"]) == (Decimal("5.50"), Decimal("0.0001"))


def test_the_summary_counts_what_was_read_by_kind(record) -> None:
    frames = [depth(1, 2, -1), frame(steady(1)[0]), b'{"result":null,"id":1}', b"{"]
    run = replay(record("a", frames), to="book-tops")
    list(run.rows())
    told = run.summary.as_dict()
    counts = {"frames": 4, "events": 2, "refused": 1, "control": 1, "trades": 1, "books": 1}
    assert counts.items() <= told.items()
    assert (told["tickers"], told["venue-klines"]) == (0, 0)
