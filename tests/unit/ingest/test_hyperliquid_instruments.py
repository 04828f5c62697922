"""Hyperliquid's meta and the contexts beside it."""

import json

import pytest

from ingest.exchanges.hyperliquid import LINEAR
from runtime.errors import Poison

UNIVERSE = [
    {"name": "BTC", "szDecimals": 5, "maxLeverage": 40},
    {"name": "MATIC", "szDecimals": 1, "maxLeverage": 20, "isDelisted": True},
    {"name": "kPEPE", "szDecimals": 0, "maxLeverage": 10, "onlyIsolated": True},
]
META = {"universe": UNIVERSE, "marginTables": [], "collateralToken": 0}


def read(meta: object) -> dict:
    return {i.symbol: i for i in LINEAR.read_instruments([json.dumps(meta).encode()])}


def test_scales_and_steps_follow_from_the_decimals_of_the_size() -> None:
    found = read(META)
    btc, pepe = found["BTC"], found["kPEPE"]
    assert (btc.price_scale, btc.qty_scale, btc.tick, btc.step) == (1, 5, "0.1", "0.00001")
    assert (pepe.price_scale, pepe.qty_scale, pepe.tick, pepe.step) == (6, 0, "0.000001", "1")
    assert btc.contract_size == "1"


def test_names_keep_their_case_and_are_settled_in_usdc() -> None:
    found = read(META)
    assert found["BTC"].unified == "BTC/USDC:USDC"
    assert found["kPEPE"].unified == "kPEPE/USDC:USDC"


def test_what_is_delisted_is_known_and_not_streamed() -> None:
    found = read(META)
    assert (found["MATIC"].status, found["MATIC"].is_streamed) == ("delisted", False)
    assert (found["BTC"].status, found["BTC"].is_streamed) == ("listed", True)


@pytest.mark.parametrize(
    "odd", [{"name": "X"}, {"name": "", "szDecimals": 1}, {"name": "X", "szDecimals": 9}, 5, None]
)
def test_one_asset_that_cannot_be_read_is_left_out_not_all(odd: object) -> None:
    assert set(read({"universe": [odd, *UNIVERSE]})) == {"BTC", "MATIC", "kPEPE"}


def test_activity_is_the_turnover_of_the_day_by_position() -> None:
    odd = {"universe": [UNIVERSE[0], {"name": 5}, UNIVERSE[2], UNIVERSE[1]]}
    contexts = [{"dayNtlVlm": "12.5"}, {"dayNtlVlm": "99"}, {"dayNtlVlm": "NaN"}, {}]
    body = json.dumps([odd, contexts]).encode()
    assert LINEAR.read_activity(body) == {"BTC": 12.5, "kPEPE": 0.0, "MATIC": 0.0}


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b"{}", b'{"universe":[]}', b'{"universe":5}', b"[" * 9_999]
)
def test_what_is_no_meta_is_poison(body: bytes) -> None:
    with pytest.raises(Poison):
        LINEAR.read_instruments([body])
    with pytest.raises(Poison):
        LINEAR.read_activity(body)


def test_both_are_asked_by_post_and_within_the_budget() -> None:
    (asked,) = LINEAR.instruments
    assert (asked.path, json.loads(asked.body)) == ("/info", {"type": "meta"})
    assert json.loads(LINEAR.activity.body) == {"type": "metaAndAssetCtxs"}
    assert asked.weight + LINEAR.activity.weight <= LINEAR.rest_budget.weight_max
