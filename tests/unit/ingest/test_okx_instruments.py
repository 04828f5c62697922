"""Instruments of OKX, and contracts as base coins."""

import gzip
import json
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.decimals import Unfit
from ingest.exchanges.base import BookRow, TradeRow
from ingest.exchanges.okx import EXCHANGE
from runtime.errors import Poison
from schemas.numbers import text
from schemas.updates import Funding, Liquidation, OpenInterest, Ticker

REST = Path(__file__).parents[4] / "shared" / "captures" / "okx" / "cf_20220513_rest.jsonl.gz"
SPOT, LINEAR = EXCHANGE.markets["spot"], EXCHANGE.markets["linear"]
BTC_SWAP = {
    "baseCcy": "",
    "ctMult": "1",
    "ctType": "linear",
    "ctVal": "0.01",
    "ctValCcy": "BTC",
    "instFamily": "BTC-USDT",
    "instId": "BTC-USDT-SWAP",
    "instIdCode": 10459,
    "instType": "SWAP",
    "lotSz": "0.01",
    "quoteCcy": "",
    "settleCcy": "USDT",
    "state": "live",
    "tickSz": "0.1",
    "tradeQuoteCcyList": [],
    "uly": "BTC-USDT",
}
BTC_SPOT = BTC_SWAP | {
    "baseCcy": "BTC",
    "quoteCcy": "USDT",
    "instId": "BTC-USDT",
    "instType": "SPOT",
}
BTC_SPOT |= {"ctType": "", "ctVal": "", "ctMult": "", "ctValCcy": "", "lotSz": "0.00000001"}


def body(*data, code: str = "0") -> bytes:
    return json.dumps({"code": code, "msg": "no", "data": list(data)}).encode()


def test_a_linear_swap_is_streamed_with_its_contract_size() -> None:
    (found,) = LINEAR.read_instruments([body(BTC_SWAP)])
    assert (found.symbol, found.unified) == ("BTC-USDT-SWAP", "BTC/USDT:USDT")
    assert (found.status, found.is_streamed) == ("live", True)
    assert (found.tick, found.step, found.contract_size) == ("0.1", "0.01", "0.01")
    assert (found.price_scale, found.qty_scale) == (1, 4)  # 0.01 contracts of 0.01 BTC


def test_a_contract_is_its_value_times_its_multiplier() -> None:
    (found,) = LINEAR.read_instruments([body(BTC_SWAP | {"ctVal": "1000", "ctMult": "10"})])
    assert (found.contract_size, found.qty_scale) == ("10000", 0)


@pytest.mark.parametrize(
    "changed",
    [{"state": "suspend"}, {"state": "preopen"}, {"ctType": "inverse", "ctValCcy": "USD"},
     {"ctValCcy": "USDT"}],
)  # fmt: skip
def test_what_is_not_live_or_not_linear_is_listed_and_not_streamed(changed) -> None:
    (found,) = LINEAR.read_instruments([body(BTC_SWAP | changed)])
    assert not found.is_streamed


def test_a_swap_without_an_underlying_is_named_by_its_family() -> None:
    (found,) = LINEAR.read_instruments([body(BTC_SWAP | {"uly": ""})])
    assert (found.unified, found.is_streamed) == ("BTC/USDT:USDT", True)


def test_spot_is_traded_in_coins() -> None:
    (found,) = SPOT.read_instruments([body(BTC_SPOT)])
    assert (found.unified, found.contract_size, found.qty_scale) == ("BTC/USDT", "1", 8)


def test_one_unreadable_instrument_is_left_out_and_not_all() -> None:
    found = LINEAR.read_instruments([body(BTC_SWAP | {"tickSz": ""}, {"a": 1}, 5, BTC_SWAP)])
    assert [i.symbol for i in found] == ["BTC-USDT-SWAP"]


@pytest.mark.parametrize(
    "answer", [b"", b"<html>", b"[]", body(code="50011"), body({"a": 1}), b"[" * 5_000, b"\xff"]
)
def test_an_answer_that_lists_nothing_readable_is_refused(answer: bytes) -> None:
    with pytest.raises(Poison):
        LINEAR.read_instruments([answer])


def test_the_busiest_has_the_highest_turnover_in_the_quote_coin() -> None:
    rows = [
        {"instId": "A-USDT-SWAP", "last": "10", "volCcy24h": "5"},
        {"instId": "A-USDT", "last": "10", "volCcy24h": "5"},
        {"instId": "B-USDT", "last": "", "volCcy24h": ""},
        {"instId": "C-USDT", "last": "1", "volCcy24h": "x"},
    ]
    assert LINEAR.read_activity(body(*rows)) == {"A-USDT-SWAP": 50.0, "A-USDT": 5.0, "B-USDT": 0.0}
    with pytest.raises(Poison):
        LINEAR.read_activity(body(code="50011"))


def test_every_instrument_of_a_recording_is_read() -> None:
    if not REST.exists():
        pytest.skip(f"no recording at {REST}")
    with gzip.open(REST) as lines:
        answers = [json.loads(line) for line in lines]
    counts = {"SPOT": SPOT.read_instruments, "SWAP": LINEAR.read_instruments}
    for answer in answers:
        kind = answer["url"].partition("instType=")[2]
        if kind in counts:
            raw = answer["raw"].encode()
            found = counts[kind]([raw])
            assert len(found) == len(json.loads(raw)["data"])
            btc = next(i for i in found if i.symbol.startswith("BTC-USDT"))
            assert btc.is_streamed


def trade(qty: int, scale: int) -> TradeRow:
    return TradeRow("trades", "X-USDT-SWAP", 1, 1, 5, 0, qty, scale, 1, 0, 1, 1)


@given(
    st.integers(0, 10**9), st.integers(0, 4), st.sampled_from(["0.01", "0.1", "10", "1000", "1"])
)
def test_a_trade_in_base_coins_is_exact(qty: int, scale: int, size: str) -> None:
    row = LINEAR.in_base(trade(qty, scale), size)
    assert Decimal(text(row.qty, row.qty_scale)) == Decimal(text(qty, scale)) * Decimal(size)
    assert (row.price, row.price_scale) == (5, 0)


def test_a_quantity_that_leaves_64_bits_is_said_to_be_unfit() -> None:
    with pytest.raises(Unfit):
        LINEAR.in_base(trade(2**62 + 1, 0), "1000")


def test_zeros_at_the_end_do_not_make_a_quantity_unfit() -> None:
    row = LINEAR.in_base(trade(10**18, 17), "100.1")
    assert Decimal(text(row.qty, row.qty_scale)) == Decimal(1001)


def test_levels_are_exact_and_deletes_stay_deletes() -> None:
    row = BookRow("X", 1, False, 2, 2, 1, [("10.5", "7")], [("11", "0"), ("12", "0.3")])
    base = LINEAR.in_base(row, "0.01")
    assert base.bids == [("10.5", "0.07")]
    assert [(p, Decimal(q)) for p, q in base.asks] == [("11", Decimal(0)), ("12", Decimal("0.003"))]


def test_sizes_become_base_coins_and_what_is_told_in_base_coins_stays() -> None:
    ticker = Ticker(symbol="X", ts=1, is_snapshot=True, last_size=Decimal(3), volume_24h=Decimal(9))
    base = LINEAR.in_base(ticker, "0.1")
    assert (base.last_size, base.volume_24h, base.bid1_size) == (Decimal("0.3"), Decimal(9), None)
    forced = Liquidation(symbol="X", ts=1, side=1, price=Decimal(5), qty=Decimal(13))
    assert LINEAR.in_base(forced, "0.1").qty == Decimal("1.3")
    interest = OpenInterest(symbol="X", ts=1, open_interest=Decimal(5))
    funding = Funding(symbol="X", ts=1, mark_price=Decimal(5))
    assert LINEAR.in_base(interest, "0.1") is interest
    assert LINEAR.in_base(funding, "0.1") is funding
