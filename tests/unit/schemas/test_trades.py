from decimal import Decimal

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from market import BASE_MS, group, trade_batch

from schemas.numbers import INT64_MAX
from schemas.trades import (
    BUY,
    SELL,
    Flag,
    SymbolTrades,
    Trade,
    TradeBatch,
    UnreadableBatch,
    decode_batch,
    encode_batch,
    rows,
)


def record(**changes) -> bytes:
    """One record as JSON, a field of its only group replaced (None removes it)."""
    written = orjson.loads(msgspec.json.encode(trade_batch(group(count=3))))
    for name, value in changes.items():
        if value is None:
            del written["symbols"][0][name]
        else:
            written["symbols"][0][name] = value
    return orjson.dumps(written)


def envelope(**changes) -> bytes:
    """One record as JSON, a field of the envelope replaced."""
    return orjson.dumps(orjson.loads(record()) | changes)


def spelt_out(batch: TradeBatch) -> list[SymbolTrades]:
    """Return the groups with a value of each column for every trade."""
    return [msgspec.structs.replace(g, side=g.sides(), flags=g.flag_list()) for g in batch.symbols]


def refusal(value: bytes) -> str:
    with pytest.raises(UnreadableBatch) as refused:
        decode_batch(value)
    return str(refused.value)


int64 = st.integers(-INT64_MAX, INT64_MAX)
groups = st.integers(1, 5).flatmap(
    lambda n: st.builds(
        SymbolTrades,
        symbol=st.sampled_from(["BTCUSDT", "1000SHIBUSDT", "币安人生USDT"]),
        price_scale=st.integers(0, 18),
        qty_scale=st.integers(0, 18),
        id=st.lists(int64, min_size=n, max_size=n),
        ts=st.lists(st.integers(0, 2**43), min_size=n, max_size=n),
        price=st.lists(int64, min_size=n, max_size=n),
        qty=st.lists(int64, min_size=n, max_size=n),
        side=st.sampled_from([1, -1]) | st.lists(st.sampled_from([1, -1]), min_size=n, max_size=n),
        flags=st.integers(0, 15) | st.lists(st.integers(0, 15), min_size=n, max_size=n),
        uid=st.none() | st.lists(st.text(max_size=9), min_size=n, max_size=n),
    )
)


@given(
    st.lists(groups, min_size=1, max_size=4, unique_by=lambda g: g.symbol),
    st.sampled_from(["live", "rest", "archive"]),
)
def test_what_is_encoded_is_decoded_the_same(symbols, source):
    batch = TradeBatch("binance", "spot", source, 1_680_652_700_455_123_000, symbols)
    assert spelt_out(decode_batch(encode_batch(batch))) == spelt_out(batch)
    assert len(list(rows(batch))) == len(batch)


@pytest.mark.parametrize("column", ["id", "ts", "price", "qty"])
def test_columns_of_different_length_are_refused_with_the_symbol(column):
    assert "BTCUSDT: columns of different length" in refusal(record(**{column: [1, 2]}))


@pytest.mark.parametrize("column", ["side", "flags", "uid"])
def test_an_optional_column_of_another_length_is_refused(column):
    wrong = ["a"] if column == "uid" else [1, 1]
    assert "BTCUSDT: columns of different length" in refusal(record(**{column: wrong}))


def test_two_groups_of_one_symbol_are_refused():
    """The second would be taken for a repeat of the first, and lost without a word."""
    group = orjson.loads(record())["symbols"][0]
    assert "two groups" in refusal(envelope(symbols=[group, group]))


@pytest.mark.parametrize(
    "changes",
    [{"symbols": []}, {"exchange": ""}, {"exchange": "a:b"}, {"exchange": 'a"b'}, {"v": 2}],
)
def test_what_would_stop_a_worker_for_good_is_refused(changes):
    assert refusal(envelope(**changes))


def test_a_group_without_trades_is_refused():
    empty = {name: [] for name in ("id", "ts", "price", "qty")}
    assert "or empty" in refusal(record(**empty))


@pytest.mark.parametrize(
    "pair",
    [
        {"first": [1, 2, 3]},
        {"last": [1, 2, 3]},
        {"first": [1, 2], "last": [1, 2]},
        {"first": [1, 2, 3], "last": [1, 2]},
    ],
)
def test_first_and_last_come_together_or_not_at_all(pair):
    assert "first and last come together" in refusal(record(**pair))


@pytest.mark.parametrize(
    "changes",
    [
        {"price": [28145.1, 28145.2, 28145.3]},
        {"price": ["2814510", "2814511", "2814512"]},
        {"qty": [1, 2, None]},
        {"qty": [1, 2, 0.5]},
        {"id": ["a", "b", "c"]},
        {"ts": [True, False, True]},
        {"side": "buy"},
        {"side": 0.5},
        {"price_scale": "2"},
        {"price_scale": 2.5},
        {"symbol": 7},
        {"price": [2**63, 1, 1]},
        {"id": [2**64 - 1, 1, 1]},
        {"ts": [1_680_652_700_452_000, 1, 1]},  # microseconds
        {"ts": [-1, 1, 1]},
        {"price_scale": -1},
        {"qty_scale": 19},
    ],
)
def test_what_is_no_integer_within_its_bounds_is_refused(changes):
    (name,) = changes
    assert name in refusal(record(**changes))


@pytest.mark.parametrize(
    "name", ["symbol", "price_scale", "qty_scale", "id", "ts", "price", "side"]
)
def test_a_missing_field_is_refused_by_name(name):
    assert f"missing required field `{name}`" in refusal(record(**{name: None}))


@pytest.mark.parametrize(
    "value", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"exchange":"binance"}', b"{}{}"]
)
def test_what_is_no_batch_is_refused(value):
    assert refusal(value)


@pytest.mark.parametrize(("name", "value"), [("channel", "margin"), ("source", "guess")])
def test_an_unknown_channel_or_source_is_refused(name, value):
    written = orjson.loads(record())
    written[name] = value
    assert name in refusal(orjson.dumps(written))


@given(st.binary(max_size=64))
def test_arbitrary_bytes_are_refused_and_nothing_else(value):
    with pytest.raises(UnreadableBatch):
        decode_batch(value)


def test_fields_of_a_newer_writer_are_ignored():
    written = orjson.loads(record(liquidation=[1, 1, 1]))
    written["partition_hint"] = {"any": ["thing"]}
    assert decode_batch(orjson.dumps(written)) == decode_batch(record())


def test_a_column_sent_as_one_number_means_every_trade():
    (scalar,) = decode_batch(record(side=1, flags=9)).symbols
    (listed,) = decode_batch(record(side=[1, 1, 1], flags=[9, 9, 9])).symbols
    assert scalar.sides() == listed.sides() == [1, 1, 1]
    assert scalar.flag_list() == listed.flag_list() == [9, 9, 9]
    assert decode_batch(record()).symbols[0].flag_list() == [0, 0, 0]


def test_an_aggregate_counts_the_trades_inside_it():
    plain = group(count=3)
    assert plain.trade_count() == len(plain) == 3
    assert group(count=3, first=[10, 11, 20], last=[10, 19, 20]).trade_count() == 11


def test_a_row_has_exact_decimals_and_its_own_ids():
    batch = trade_batch(
        group(first_id=5, count=1, price=[2_814_510], qty=[7], side=BUY, flags=int(Flag.RPI)),
        group(first_id=9, count=1, symbol="PEPEUSDT", price=[1], price_scale=10, qty_scale=0,
              qty=[2**63 - 1], first=[90], last=[99]),
    )  # fmt: skip
    assert list(rows(batch)) == [
        Trade("binance", "linear", "BTCUSDT", 5, BASE_MS + 5, Decimal("28145.10"),
              Decimal("0.007"), BUY, 4, 5, 5),
        Trade("binance", "linear", "PEPEUSDT", 9, BASE_MS + 9, Decimal("0.0000000001"),
              Decimal(2**63 - 1), SELL, 0, 90, 99),
    ]  # fmt: skip
    assert [trade.symbol for trade in rows(batch, "PEPEUSDT")] == ["PEPEUSDT"]
    assert list(rows(batch, "ETHUSDT")) == []


def test_the_record_of_the_first_release_decodes_for_ever():
    value = (
        b'{"v":1,"exchange":"binance","channel":"linear","source":"live",'
        b'"recv_ns":1680652700455123000,"symbols":[{"symbol":"BTCUSDT","price_scale":2,'
        b'"qty_scale":3,"id":[3535186032,3535186033],"ts":[1680652700452,1680652700452],'
        b'"price":[2814510,2814510],"qty":[2,20],"side":[-1,-1],"flags":0}]}'
    )
    batch = decode_batch(value)
    assert [(t.price, t.qty, t.side) for t in rows(batch)] == [
        (Decimal("28145.10"), Decimal("0.002"), SELL),
        (Decimal("28145.10"), Decimal("0.020"), SELL),
    ]


def test_an_absent_optional_column_costs_no_bytes():
    written = msgspec.json.decode(msgspec.json.encode(trade_batch(group())))
    assert not {"flags", "first", "last", "uid"} & written["symbols"][0].keys()


RANGE = {"ids": "range", "first": [1, 4, 5], "last": [3, 4, 9]}
UNIQUE = {"ids": "unique", "uid": ["a", "b", "c"]}


@pytest.mark.parametrize("changes", [RANGE, UNIQUE, {"ids": "unique"}, {"contract_size": "0.001"}])
def test_every_rule_of_ids_is_decoded_as_it_was_encoded(changes):
    batch = trade_batch(group(count=3, **changes))
    assert spelt_out(decode_batch(encode_batch(batch))) == spelt_out(batch)


@pytest.mark.parametrize(
    "span", [{"first": [5, 6, 7], "last": [4, 6, 7]}, {"first": [0, 1, 2], "last": [0, 1, 2**41]}]
)
def test_an_aggregate_of_no_trade_or_of_too_many_is_refused(span):
    assert "no trade, or too many" in refusal(record(**span))


@pytest.mark.parametrize("side", [0, 2, [1, 0, 1]])
def test_a_side_that_is_none_is_refused(side):
    assert "neither 1 nor -1" in refusal(record(side=side))


@pytest.mark.parametrize(
    "changes",
    [
        {"ids": "range"},
        RANGE | {"first": [1, 4, 10]},  # ends before it begins
        RANGE | {"last": None},
        UNIQUE | {"uid": ["a", "b", "a"]},
        UNIQUE | {"uid": ["a", "", "c"]},
        UNIQUE | {"uid": ["a", "b"]},
        {"ids": "sparse"},
        {"uid": ["a", "b", "c" * 73]},
        {"contract_size": "-1"},
        {"contract_size": "1e3"},
        {"contract_size": ""},
        {"contract_size": "1" * 30},
    ],
    ids=str,
)
def test_ids_that_contradict_their_rule_are_refused(changes):
    assert refusal(record(**{k: v for k, v in changes.items() if v is not None}))


def test_a_row_has_the_textual_id_and_a_plain_one_has_none():
    told = [t.uid for t in rows(trade_batch(group(count=3, **UNIQUE), group(symbol="B")))]
    assert told == ["a", "b", "c", "", "", ""]


def test_what_every_venue_says_without_words_costs_no_bytes():
    written = msgspec.json.decode(msgspec.json.encode(trade_batch(group(ids="dense"))))
    assert not {"ids", "contract_size", "uid"} & written["symbols"][0].keys()
