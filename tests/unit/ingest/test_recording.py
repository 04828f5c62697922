"""Recorded frames through the production parser."""

import gzip
import json
from collections import Counter
from pathlib import Path

import pytest

from ingest.exchanges.base import KIND_OF, BookRow, Other, TradeRow
from ingest.recording import Refused, batch_of, read_events, read_frames
from runtime.errors import Misconfigured
from schemas.trades import Flag, rows


def told(folder: Path, name: str, channel: str = "linear") -> Counter:
    events = read_events(read_frames(folder / "binance" / name), "binance", channel)
    return Counter(name_of(event) for event in events)


def name_of(event) -> str:
    if isinstance(event, Refused):
        return f"refused: {event.reason}"
    return event.kind if isinstance(event, Other) else KIND_OF[type(event)]


def refusals(counted: Counter) -> list[str]:
    return [kind for kind in counted if kind.startswith("refused")]


@pytest.mark.parametrize(
    ("name", "channel", "trades", "frames"),
    [
        ("usdm_btcusdt_20230404.jsonl.gz", "linear", 2_197, 13_384),
        ("usdm_btcusdt_20230405.jsonl.gz", "linear", 10_738, 60_381),
        ("spot_btcusdt_20230405.jsonl.gz", "spot", 3_144, 15_088),
    ],
)
def test_a_recorded_stream_is_read_without_a_refusal(captures, name, channel, trades, frames):
    counted = told(captures, name, channel)
    assert refusals(counted) == []
    assert counted["trades"] == trades
    assert counted.total() == frames


@pytest.mark.parametrize(
    "name",
    ["cf_spot_20211012_ws", "cf_usdm_20210722_ws", "cf_spot_20211012_rest", "cf_usdm_20210722_rest",
     "gct_rest_mock"],
)  # fmt: skip
def test_control_frames_and_rest_bodies_are_recognised(captures, name: str) -> None:
    assert refusals(told(captures, name + ".jsonl.gz")) == []


@pytest.mark.parametrize(
    ("name", "reasons"),
    [
        ("single_cmp_binance", ["unknown event 'trade_all'", "unknown event 'ticker_all'"]),
        ("single_tardis", ["aggTrade: Object missing required field `a`"]),
    ],
)
def test_only_dead_versions_of_the_protocol_are_refused(captures, name, reasons) -> None:
    refused = refusals(told(captures, name + ".jsonl.gz"))
    assert len(refused) == len(reasons)
    assert all(any(reason in r for r in refused) for reason in reasons)


def test_the_one_trade_outside_the_market_is_flagged(captures) -> None:
    frames = read_frames(captures / "binance" / "usdm_btcusdt_20230405.jsonl.gz")
    flagged = [
        e for e in read_events(frames, "binance", "linear") if isinstance(e, TradeRow) and e.flags
    ]
    assert [(e.id, e.flags) for e in flagged] == [(3535191080, Flag.NON_MARKET)]


TRADE = b'{"e":"trade","s":"A","t":%d,"p":"%s","q":"2","T":1700000000000,"m":true}'
AGG = b'{"e":"aggTrade","s":"A","a":7,"p":"1.5","q":"2","f":1,"l":1,"T":1700000000000,"m":true}'


def test_two_streams_of_one_symbol_never_mix() -> None:
    events = list(read_events([TRADE % (1, b"1.5"), AGG, TRADE % (2, b"1.5")], "binance", "spot"))
    assert [e.kind for e in events] == ["trade", "aggTrade_beside_trade", "trade"]
    assert isinstance(events[1], Other)


DEPTH = b'{"e":"depthUpdate","E":1700000000000,"s":"%s","U":1,"u":2,"b":[["1","2"]],"a":[]}'
SNAPSHOT = b'{"lastUpdateId": 7, "bids": [["1.5", "2"]], "asks": []}'


def books(*lines: bytes, channel: str = "spot") -> list[tuple[str, bool]]:
    events = read_events(lines, "binance", channel, lambda: 123)
    return [(e.symbol, e.is_snapshot) for e in events if isinstance(e, BookRow)]


def test_an_inline_snapshot_belongs_to_the_only_book_of_the_recording() -> None:
    assert books(DEPTH % b"A", SNAPSHOT, DEPTH % b"A") == [("A", False), ("A", True), ("A", False)]
    (event,) = read_events([SNAPSHOT], "binance", "spot")
    assert event == Other("depth_snapshot")


def test_an_inline_snapshot_before_its_book_waits_for_the_name() -> None:
    events = list(read_events([SNAPSHOT, AGG, DEPTH % b"A"], "binance", "spot", lambda: 123))
    assert [name_of(e) for e in events] == ["trades", "books", "books"]
    assert (events[1].symbol, events[1].last_id, events[1].ts) == ("A", 7, 123)


def test_an_inline_snapshot_among_several_books_is_nobodys() -> None:
    assert books(DEPTH % b"A", DEPTH % b"B", SNAPSHOT) == [("A", False), ("B", False)]


@pytest.mark.parametrize(
    ("channel", "symbol"), [("spot", ["A"]), ("linear", [])], ids=["its own", "another market"]
)
def test_a_wrapped_snapshot_is_named_by_the_url_that_it_answers(channel, symbol) -> None:
    url = b"https://x/api/v3/depth?limit=9&symbol=A"
    line = b'{"ts":1.5,"url":"%s","raw":%s}' % (url, json.dumps(SNAPSHOT.decode()).encode())
    query = b'{"path":"/api/v3/depth","query":"symbol=A","data":%s}' % SNAPSHOT
    assert books(line, query, channel=channel) == [(s, True) for s in symbol * 2]


@pytest.mark.parametrize(
    "line",
    [
        b'{"ts":1.5,"url":"https://x/api","raw":"{\\"unknown\\":1}"}',
        b'{"path":"/api/v3/x","query":"","data":null}',
    ],
)
def test_any_rest_body_of_a_recorder_is_recognised(line: bytes) -> None:
    assert list(read_events([line], "binance", "spot")) == [Other("rest_body")]


def test_a_wrapped_frame_is_unwrapped_and_a_broken_one_refused() -> None:
    wrapped = b'{"test":"x","raw":%s}' % (TRADE % (1, b"1.5"))
    as_text = b'{"test":"x","raw":"{\\"result\\":null,\\"id\\":1}"}'
    good, ack, bad, torn = read_events(
        [wrapped, as_text, b'{"raw": 5}', b'{"raw"'], "binance", "spot"
    )
    assert good.price == 15
    assert ack == Other("ack")
    assert isinstance(bad, Refused)
    assert isinstance(torn, Refused)


def test_scales_grow_until_every_text_fits() -> None:
    lines = [TRADE % (1, b"1.5"), TRADE % (2, b"1.2345"), TRADE % (3, b"2.000000")]
    batch = batch_of(read_events(lines, "binance", "spot"), "binance", "spot")
    assert [str(t.price) for t in rows(batch)] == ["1.5000", "1.2345", "2.0000"]


@pytest.mark.parametrize("pack", [gzip.compress, bytes], ids=["gz", "plain"])
def test_files_are_read_packed_or_plain_by_their_content(tmp_path, pack) -> None:
    path = tmp_path / "frames"
    path.write_bytes(pack(b"one\n\n two \r\n"))
    assert list(read_frames(path)) == [b"one", b"two"]


@pytest.mark.parametrize(
    "content",
    [None, gzip.compress(b"x" * 9_999)[:-12], b"\x1f\x8bnonsense"],
    ids=["absent", "cut", "nonsense"],
)
def test_an_unreadable_file_is_the_operators_error(tmp_path, content) -> None:
    path = tmp_path / "frames.gz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Misconfigured, match=r"frames\.gz"):
        list(read_frames(path))


def test_an_unknown_channel_is_the_operators_error() -> None:
    with pytest.raises(Misconfigured):
        list(read_events([], "binance", "options"))
