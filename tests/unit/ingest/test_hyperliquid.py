"""Hyperliquid's documented and recorded frames, shortened only in their number of rows."""

import gzip
import json
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.exchanges.base import Ack, BookRow, Chain, Other, Rejected, TradeRow
from ingest.exchanges.hyperliquid import EXCHANGE, LINEAR, parse
from runtime.errors import Poison
from schemas.trades import BUY, SELL
from schemas.updates import Funding, OpenInterest, Ticker, VenueKline

TRADE = {
    "coin": "BTC",
    "side": "A",
    "px": "84143.0",
    "sz": "0.00036",
    "time": 1790232216193,
    "hash": "0x" + "0" * 64,
    "tid": 1045359869404765,
    "users": ["0x9aa5", "0x8269"],
}
BOOK = {
    "coin": "BTC",
    "time": 1790232236546,
    "levels": [
        [{"px": "84143.0", "sz": "10.25923", "n": 36}, {"px": "84142.0", "sz": "1.65875", "n": 7}],
        [{"px": "84144.0", "sz": "50.66449", "n": 18}],
    ],
}
CONTEXT = {
    "funding": "0.0000018952",
    "openInterest": "36585.31848",
    "prevDayPx": "86627.0",
    "dayNtlVlm": "4161029539.6949653625",
    "premium": "-0.0006413454",
    "oraclePx": "84198.0",
    "markPx": "84148.0",
    "midPx": "84143.5",
    "impactPxs": ["84143.0", "84144.0"],
    "dayBaseVlm": "49116.08533",
}
CANDLE = {
    "t": 1790232180000,
    "T": 1790232239999,
    "s": "BTC",
    "i": "1m",
    "o": "84143.0",
    "c": "84143.5",
    "h": "84144.0",
    "l": "84142.0",
    "v": "14.27847",
    "n": 114,
}


def frame(channel: str, data: object) -> bytes:
    return json.dumps({"channel": channel, "data": data}).encode()


def context(**changed: object) -> bytes:
    return frame("activeAssetCtx", {"coin": "BTC", "ctx": CONTEXT | changed})


FRAMES = {
    "trades": frame("trades", [TRADE, TRADE | {"tid": 7, "side": "B"}]),
    "l2Book": frame("l2Book", BOOK),
    "activeAssetCtx": context(),
    "candle": frame("candle", CANDLE),
}


def test_a_trade_keeps_every_digit_and_is_told_apart_by_its_tid() -> None:
    first, second = parse(FRAMES["trades"])
    assert first == TradeRow(
        kind="trades",
        symbol="BTC",
        id=1045359869404765,
        ts=1790232216193,
        price=841430,
        price_scale=1,
        qty=36,
        qty_scale=5,
        side=SELL,
        flags=0,
        first=1045359869404765,
        last=1045359869404765,
    )
    assert (second.id, second.side, second.uid) == (7, BUY, "")


def test_trades_before_users_and_a_frame_without_trades_are_read() -> None:
    (row,) = parse(frame("trades", [{k: v for k, v in TRADE.items() if k != "users"}]))
    assert row.id == TRADE["tid"]
    assert list(parse(frame("trades", []))) == []


def test_a_book_is_a_whole_snapshot_whose_id_is_its_time() -> None:
    assert list(parse(FRAMES["l2Book"])) == [
        BookRow(
            symbol="BTC",
            ts=1790232236546,
            is_snapshot=True,
            first_id=1790232236546,
            last_id=1790232236546,
            prev_id=None,
            bids=[("84143.0", "10.25923"), ("84142.0", "1.65875")],
            asks=[("84144.0", "50.66449")],
        )
    ]


def test_an_empty_book_and_new_fields_are_no_reason_to_refuse() -> None:
    (row,) = parse(frame("l2Book", BOOK | {"levels": [[], []], "fast": True}))
    assert (row.bids, row.asks) == ([], [])


def test_every_frame_is_a_whole_book_and_nothing_is_a_hole() -> None:
    (row,) = parse(FRAMES["l2Book"])
    assert row.is_snapshot
    assert LINEAR.book.is_whole
    assert LINEAR.book.chain(row.last_id - 60_000, row, True) is Chain.NEXT


def test_one_context_tells_ticker_funding_and_open_interest() -> None:
    ticker, funding, interest = parse(context())
    assert ticker == Ticker(
        symbol="BTC",
        ts=0,
        is_snapshot=True,
        prev_price_24h=Decimal("86627.0"),
        volume_24h=Decimal("49116.08533"),
        turnover_24h=Decimal("4161029539.6949653625"),
        mark_price=Decimal("84148.0"),
        index_price=Decimal("84198.0"),
        open_interest=Decimal("36585.31848"),
        funding_rate=Decimal("0.0000018952"),
        funding_interval_hour=Decimal(1),
    )
    assert funding == Funding(
        symbol="BTC",
        ts=0,
        funding_rate=Decimal("0.0000018952"),
        interval_hours=Decimal(1),
        mark_price=Decimal("84148.0"),
        index_price=Decimal("84198.0"),
    )
    assert interest == OpenInterest(symbol="BTC", ts=0, open_interest=Decimal("36585.31848"))


@pytest.mark.parametrize("word", ["NaN", "", None])
def test_a_number_that_the_venue_does_not_have_is_left_out(word: str | None) -> None:
    everything = dict.fromkeys(CONTEXT, word)
    (ticker,) = parse(context(**everything))
    assert ticker.mark_price is None
    kinds = [type(row) for row in parse(context(openInterest=word, premium=word, midPx=word))]
    assert kinds == [Ticker, Funding]


def test_zeros_and_a_negative_open_interest_stay_what_the_venue_says() -> None:
    _, funding, interest = parse(context(funding="0.0", openInterest="-12.5"))
    assert funding.funding_rate == 0
    assert interest.open_interest == Decimal("-12.5")


def test_a_candle_grows_and_is_never_said_to_be_closed() -> None:
    assert list(parse(FRAMES["candle"])) == [
        VenueKline(
            symbol="BTC",
            interval=60_000,
            name="1m",
            timestamp=1790232180000,
            open=Decimal("84143.0"),
            high=Decimal("84144.0"),
            low=Decimal("84142.0"),
            close=Decimal("84143.5"),
            volume=Decimal("14.27847"),
            closed=False,
            ts=0,
            trade_count=114,
        )
    ]
    (month,) = parse(frame("candle", CANDLE | {"i": "1M"}))
    assert (month.name, month.interval) == ("1M", 30 * 86_400_000)


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("trades", "px", "1e5"),
        ("trades", "px", "-1"),
        ("trades", "px", "NaN"),
        ("trades", "sz", 0.5),
        ("trades", "sz", "9" * 30),
        ("trades", "tid", "7"),
        ("trades", "tid", 2**63),
        ("trades", "tid", -1),
        ("trades", "time", 1790232216),
        ("trades", "side", "S"),
        ("trades", "coin", ""),
        ("l2Book", "time", 1790232216193000),
        ("l2Book", "levels", [[]]),
        ("l2Book", "levels", [[], [], []]),
        ("l2Book", "levels", [[{"px": "x", "sz": "1", "n": 1}], []]),
        ("l2Book", "levels", [[["1", "2"]], []]),
        ("candle", "v", "Infinity"),
        ("candle", "i", "7m"),
        ("candle", "n", -1),
    ],
)
def test_a_bad_field_is_refused_by_name(kind: str, field: str, value: object) -> None:
    data = {"trades": TRADE, "l2Book": BOOK, "candle": CANDLE}[kind] | {field: value}
    bad = frame(kind, [data] if kind == "trades" else data)
    inner = "px" if field == "levels" and "x" in json.dumps(value) else field
    with pytest.raises(Poison, match=rf"^{kind}: .*\b{inner}\b") as refused:
        parse(bad)
    assert refused.value.payload == bad


@pytest.mark.parametrize("value", ["Infinity", "1e400", "\u0661", " 1", "9" * 61, 1.5])
def test_a_context_with_a_wrong_number_is_refused(value: object) -> None:
    with pytest.raises(Poison, match=r"^activeAssetCtx: .*markPx"):
        parse(context(markPx=value))


def test_one_bad_trade_refuses_its_whole_frame() -> None:
    with pytest.raises(Poison):
        parse(frame("trades", [TRADE, TRADE | {"px": "?"}]))


READ = {TradeRow, BookRow, Ticker, Funding, OpenInterest, VenueKline, Ack, Rejected, Other}
TOPICS = ["trades:BTC", "l2Book:kPEPE", "activeAssetCtx:xyz:SP500", "candle:xyz:SP500:1m"]


@pytest.mark.parametrize("topic", TOPICS)
def test_the_answer_to_a_request_names_its_topic(topic: str) -> None:
    request = json.loads(EXCHANGE.subscribe([topic], 7))
    assert request["method"] == "subscribe"
    defaults = {"nSigFigs": None, "mantissa": None, "fast": False}
    answer = request | {"subscription": request["subscription"] | defaults}
    assert list(parse(frame("subscriptionResponse", answer))) == [Ack(None, topic)]
    assert json.loads(EXCHANGE.unsubscribe([topic], 8)) == request | {"method": "unsubscribe"}


@pytest.mark.parametrize("topic", TOPICS)
def test_a_refusal_names_the_topic_that_it_quotes(topic: str) -> None:
    request = EXCHANGE.subscribe([topic], 7).decode()
    said = f"Error parsing JSON into valid websocket request: {request}"
    assert list(parse(frame("error", said))) == [Rejected(None, said, topic)]


def test_what_is_subscribed_already_counts_as_accepted() -> None:
    quoted = '{"type":"l2Book","coin":"SOL","nSigFigs":null,"mantissa":null,"fast":false}'
    (said,) = parse(frame("error", f"Already subscribed: {quoted}"))
    assert said == Ack(None, "l2Book:SOL")


@pytest.mark.parametrize("said", ["Too many subscriptions", "Odd: {", 'Odd: {"type":"webData2"}'])
def test_a_refusal_that_quotes_nothing_of_ours_is_about_the_connection(said: str) -> None:
    assert list(parse(frame("error", said))) == [Rejected(None, said, "")]


@pytest.mark.parametrize(
    ("message", "name"),
    [
        ({"channel": "pong"}, "pong"),
        ({"channel": "bbo", "data": {"coin": "BTC", "time": 1, "bbo": [{"px": "1"}]}}, "bbo"),
        ({"channel": "activeSpotAssetCtx", "data": {"coin": "@2"}}, "activeSpotAssetCtx"),
        ({"universe": [{"name": "BTC", "szDecimals": 5}]}, "rest_meta"),
        ([{"universe": []}, [{"funding": "0"}]], "rest_meta_and_contexts"),
        ([CANDLE], "rest_candle"),
        ([{"coin": "BTC", "fundingRate": "0.1", "premium": "NaN", "time": 1}], "rest_funding_rate"),
        ([TRADE], "rest_trade"),
        (BOOK, "rest_book"),
        ({f"C{n}": "1.5" for n in range(28)}, "rest_all_mids"),
        ([], "rest_empty"),
    ],
)  # fmt: skip
def test_other_frames_are_recognised(message: object, name: str) -> None:
    assert list(parse(json.dumps(message).encode())) == [Other(name)]


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"null",
        b"1",
        b'{"channel":"news","data":1}',
        b'{"channel":"trades"}',
        b'{"channel":"subscriptionResponse","data":1}',
        b'{"channel":"error","data":{}}',
        b'{"a":"1"}',
        b"[" * 100_000,
        b'{"channel":"trades","data":' + b"[" * 100_000,
        b'{"channel":"error","data":' + b"[" * 900 + b"]" * 900 + b"}",
        b'{"channel":"trades","data":"\xff"}',
        b'[{"e":1},' * 900 + b"1" + b"]" * 900,
    ],
    ids=lambda frame: frame[:40].decode("latin-1"),
)
def test_what_nobody_can_name_is_refused(bad: bytes) -> None:
    with pytest.raises(Poison) as refused:
        parse(bad)
    assert refused.value.payload == bad
    assert refused.value.reason


@settings(max_examples=500)
@given(data=st.data())
def test_a_frame_with_bytes_changed_is_read_or_refused_and_nothing_else(data) -> None:
    changed = bytearray(FRAMES[data.draw(st.sampled_from(sorted(FRAMES)))])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(changed) - 1))
        changed[at : at + data.draw(st.integers(0, 5))] = data.draw(st.binary(max_size=5))
    with suppress(Poison):
        assert {type(row) for row in parse(bytes(changed))} <= READ


def recorded(captures: Path, name: str) -> list[bytes]:
    lines = gzip.decompress((captures / "hyperliquid" / name).read_bytes()).splitlines()
    return [unwrapped(line) for line in lines]


def unwrapped(line: bytes) -> bytes:
    body = json.loads(line).get("raw")
    if body is None:
        return line
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()


def test_every_recorded_frame_is_read(captures: Path) -> None:
    rows = [r for f in recorded(captures, "ws_btcusd_20250126.jsonl.gz") for r in parse(f)]
    trades = [row for row in rows if isinstance(row, TradeRow)]
    books = [row for row in rows if isinstance(row, BookRow)]
    assert len(trades) + len(books) == len(rows)
    assert len(books) == 46
    assert len({trade.id for trade in trades}) == len(trades) > 30
    assert all(len(book.bids) == len(book.asks) == 20 for book in books)
    assert all(Decimal(b.bids[0][0]) < Decimal(b.asks[0][0]) for b in books)
    assert [b.ts for b in books] == sorted(b.ts for b in books)


def test_recorded_single_messages_and_rest_bodies_are_recognised(captures: Path) -> None:
    single = [row for f in recorded(captures, "single_tardis.jsonl.gz") for row in parse(f)]
    assert [row.kind for row in single if isinstance(row, Other)] == [
        "activeSpotAssetCtx",
        "bbo",
        "bbo",
    ]
    rest = [row for f in recorded(captures, "rest_info_20230717.jsonl.gz") for row in parse(f)]
    assert [row.kind for row in rest] == [
        "rest_meta",
        "rest_candle",
        "rest_all_mids",
        "rest_book",
        "rest_funding_rate",
        "rest_funding_rate",
    ]
