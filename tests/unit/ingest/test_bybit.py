"""Bybit's trades, books, answers and what is not ours."""

import json

import pytest
from bybit_frames import (
    BOOK,
    KLINE,
    LINEAR_TRADE,
    LIQUIDATION,
    SPOT_TICKER,
    SPOT_TRADE,
    TICKER,
    frame,
    one,
)

from ingest.exchanges.base import Ack, BookRow, Chain, Other, Rejected, TradeRow
from ingest.exchanges.bybit import EXCHANGE, LINEAR, SPOT
from runtime.errors import Poison
from schemas.trades import BUY, SELL, Flag

# -- trades


def test_a_linear_trade_keeps_its_uuid_and_is_ordered_by_the_venues_sequence() -> None:
    assert one(frame("publicTrade.BTCUSDT", [LINEAR_TRADE])) == TradeRow(
        kind="publicTrade",
        symbol="BTCUSDT",
        id=549792210006,
        ts=1774021164272,
        price=6991680,
        price_scale=2,
        qty=1,
        qty_scale=3,
        side=SELL,
        flags=0,
        first=549792210006,
        last=549792210006,
        uid="8c931d9a-b703-5c34-9aeb-860867cf1f66",
    )


def test_a_spot_trades_own_id_is_a_number() -> None:
    row = one(frame("publicTrade.SOLUSDT", [SPOT_TRADE]), SPOT)
    assert (row.id, row.uid, row.side) == (2210000001608762408, "", BUY)


@pytest.mark.parametrize(
    ("told", "flags"),
    [
        ({"BT": False, "RPI": False}, 0),
        ({"BT": True, "RPI": False}, Flag.BLOCK),
        ({"BT": False, "RPI": True}, Flag.RPI),
        ({"BT": True, "RPI": True}, Flag.BLOCK | Flag.RPI),
    ],
)
def test_block_and_rpi_trades_are_flagged(told: dict[str, bool], flags: int) -> None:
    assert one(frame("publicTrade.BTCUSDT", [LINEAR_TRADE | told])).flags == flags


def test_the_trades_of_a_frame_stay_in_its_order() -> None:
    many = [LINEAR_TRADE | {"i": f"u-{n}", "seq": 9 - n % 3} for n in range(1_024)]
    rows = LINEAR.parse(frame("publicTrade.BTCUSDT", many))
    assert [row.uid for row in rows] == [f"u-{n}" for n in range(1_024)]


def test_a_trade_of_before_the_sequence_was_told_is_ordered_by_its_time() -> None:
    old = {k: v for k, v in LINEAR_TRADE.items() if k not in ("seq", "RPI")}
    assert one(frame("publicTrade.BTCUSDT", [old])).id == old["T"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("T", "1774021164272"),
        ("T", 1774021164),
        ("T", 1774021164272000),
        ("s", ""),
        ("S", "buy"),
        ("S", None),
        ("v", 0.001),
        ("v", "-1"),
        ("v", "1e3"),
        ("p", ""),
        ("p", "NaN"),
        ("p", "9" * 30),
        ("i", 7),
        ("i", "9" * 20),
        ("BT", "false"),
        ("seq", -1),
        ("seq", 2**63),
    ],
)
def test_a_bad_field_of_a_trade_is_refused_with_the_frame(field: str, value: object) -> None:
    bad = frame("publicTrade.BTCUSDT", [LINEAR_TRADE, LINEAR_TRADE | {field: value}])
    with pytest.raises(Poison, match=rf"publicTrade.BTCUSDT: .*\b{field}\b") as refused:
        LINEAR.parse(bad)
    assert refused.value.payload == bad


@pytest.mark.parametrize("field", ["T", "s", "S", "v", "p", "i"])
def test_a_missing_field_of_a_trade_is_refused_by_name(field: str) -> None:
    trade = {k: v for k, v in LINEAR_TRADE.items() if k != field}
    with pytest.raises(Poison, match=rf"`{field}`"):
        LINEAR.parse(frame("publicTrade.BTCUSDT", [trade]))


# -- books


def test_a_books_time_is_the_matching_engines_where_it_is_told() -> None:
    row = one(frame("orderbook.200.BTCUSDT", BOOK, "delta", cts=1790134716094))
    assert row == BookRow(
        symbol="BTCUSDT",
        ts=1790134716094,
        is_snapshot=False,
        first_id=7,
        last_id=7,
        prev_id=None,
        bids=[("86723.40", "0.194")],
        asks=[("86723.50", "0")],
        stream="orderbook.200",
    )
    assert one(frame("orderbook.200.BTCUSDT", BOOK, "delta")).ts == 1790134716101


def test_a_snapshot_and_the_first_update_after_a_restart_overwrite_the_book() -> None:
    assert one(frame("orderbook.200.BTCUSDT", BOOK)).is_snapshot
    assert one(frame("orderbook.200.BTCUSDT", BOOK | {"u": 1}, "delta")).is_snapshot
    assert not one(frame("orderbook.200.BTCUSDT", BOOK | {"u": 2}, "delta")).is_snapshot


def test_an_empty_side_and_an_empty_book_are_books() -> None:
    row = one(frame("orderbook.200.BTCUSDT", BOOK | {"b": [], "a": []}))
    assert (row.bids, row.asks) == ([], [])


@pytest.mark.parametrize("u", [5, 6, 7, 8, 9, 100])
def test_a_delta_follows_only_its_predecessor(u: int) -> None:
    assert LINEAR.book
    row = one(frame("orderbook.200.BTCUSDT", BOOK | {"u": u}, "delta"))
    expected = {7: Chain.OLD, 8: Chain.NEXT, 9: Chain.HOLE}[min(9, max(7, u))]
    assert LINEAR.book.chain(7, row, False) is expected
    assert LINEAR.book.chain(7, row, True) is expected


@pytest.mark.parametrize(
    "level",
    [
        ["1"],
        ["1", "2", "3"],
        ["1 1", "2"],
        ["1", ""],
        ["-1", "2"],
        ["1", "2e5"],
        [1, 2],
        ["NaN", "2"],
        ["9" * 20, "2"],
        ["1\n", "2"],
        ["\u0661", "2"],
    ],
)
@pytest.mark.parametrize("side", ["b", "a"])
def test_a_level_that_is_no_pair_of_numbers_is_refused(side: str, level: list[object]) -> None:
    with pytest.raises(Poison, match="orderbook"):
        LINEAR.parse(frame("orderbook.200.BTCUSDT", BOOK | {side: [["1", "2"], level]}))


def test_a_book_that_is_neither_snapshot_nor_delta_is_refused() -> None:
    for type_ in ("", "Snapshot"):
        with pytest.raises(Poison, match="type"):
            LINEAR.parse(frame("orderbook.200.BTCUSDT", BOOK, type_))


# -- what is not ours


@pytest.mark.parametrize(
    ("topic", "data", "kind"),
    [
        ("orderbook.rpi.BTCUSDT", {"b": [["1", "2", "3"]]}, "orderbook_rpi"),
        ("orderbook.full.MNTUSDT", {"s": "MNTUSDT", "u": 1}, "orderbook_full"),
        ("tickers.BTC-27MAR26-70000-P-USDT", {"symbol": "x"}, "option_tickers"),
        ("orderbook.25.SOL-28APR23-30-C", {"u": 0}, "option_orderbook"),
        ("orderbook.25.SOLUSDT_SOL/USDT", {"u": 64892}, "spread_orderbook"),
        ("tickers.BTCUSD", TICKER, "inverse_tickers"),
        ("publicTrade.BTCUSDU26", [LINEAR_TRADE], "inverse_publicTrade"),
        ("insurance.USDT", [{"balance": "25614.9"}], "insurance"),
        ("priceLimit.BTCUSDT", {"buyLmt": "1"}, "price_limit"),
        ("adlAlert.USDT", [{"b": -5421.2}], "adl_alert"),
        ("system.status", [], "system_status"),
        ("liquidation.GALAUSDT", {"price": "1"}, "liquidation"),
        ("kline_lt.5.EOS3LUSDT", [], "leveraged_token"),
    ],
)
def test_a_documented_topic_that_is_not_ours_is_left_alone(topic, data, kind) -> None:
    assert LINEAR.parse(frame(topic, data)) == (Other(kind),)


def test_a_frame_with_an_id_is_an_options() -> None:
    assert LINEAR.parse(frame("publicTrade.BTC", [LINEAR_TRADE], id="x")) == (
        Other("option_publicTrade"),
    )


def test_an_options_trade_is_known_by_its_contract() -> None:
    option = LINEAR_TRADE | {"s": "BTC-28APR26-29500-C-USDT"}
    assert LINEAR.parse(frame("publicTrade.BTC", [option])) == (Other("option_publicTrade"),)


def test_a_spot_pair_in_dollars_is_no_inverse_contract() -> None:
    assert one(frame("tickers.BTCUSD", SPOT_TICKER | {"symbol": "BTCUSD"}), SPOT).symbol == "BTCUSD"


def test_dated_futures_are_linear() -> None:
    future = TICKER | {"symbol": "BTC-26JUN26"}
    assert LINEAR.parse(frame("tickers.BTC-26JUN26", future))[0].symbol == "BTC-26JUN26"


@pytest.mark.parametrize(
    "topic", ["instrument_info.100ms.BTCUSD", "orderBookL2_25.BTCUSD", "trade", "", "orderbook.x.A"]
)
def test_retired_and_unknown_topics_are_refused(topic: str) -> None:
    with pytest.raises(Poison):
        LINEAR.parse(frame(topic, {}))


def test_unknown_fields_and_the_order_of_keys_mean_nothing() -> None:
    for topic, data, type_ in [
        ("publicTrade.BTCUSDT", LINEAR_TRADE, "snapshot"),
        ("orderbook.200.BTCUSDT", BOOK, "delta"),
        ("tickers.BTCUSDT", TICKER, "delta"),
        ("kline.1.BTCUSDT", KLINE, "snapshot"),
        ("allLiquidation.BTCUSDT", LIQUIDATION, "snapshot"),
    ]:
        turned = dict(reversed((data | {"new": {"deep": [1, None]}}).items()))
        listed = topic.startswith(("publicTrade", "kline", "allLiquidation"))
        usual = frame(topic, [data] if listed else data, type_)
        message = json.loads(usual) | {"data": [turned] if listed else turned, "newer": 1}
        strange = json.dumps(dict(reversed(message.items())), indent=1).encode()
        assert LINEAR.parse(strange) == LINEAR.parse(usual)


# -- answers


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (
            {"success": True, "ret_msg": "subscribe", "req_id": "7", "op": "subscribe"},
            Ack(7),
        ),
        ({"success": True, "ret_msg": "", "req_id": "8", "op": "unsubscribe"}, Ack(8)),
        ({"success": True, "ret_msg": "", "req_id": "", "op": "subscribe"}, Ack(None)),
        ({"success": True, "ret_msg": "subscribe", "op": "subscribe"}, Ack(None)),
        ({"success": True, "ret_msg": "pong", "conn_id": "x", "op": "ping"}, Other("pong")),
        ({"success": True, "ret_msg": "pong", "req_id": "", "op": "ping"}, Other("pong")),
        ({"op": "pong", "args": ["1672916271846"]}, Other("pong")),
        ({"success": True, "ret_msg": "", "op": "auth"}, Other("answer")),
    ],
)
def test_answers_are_read(answer: dict[str, object], expected: object) -> None:
    assert SPOT.parse(json.dumps(answer).encode()) == (expected,)
    assert LINEAR.parse(json.dumps(answer).encode()) == (expected,)


NOT_FOUND = "error:handler not found,topic:orderbook.50.NOPEUSDT"


@pytest.mark.parametrize(
    ("req_id", "reason", "expected"),
    [
        ("7", NOT_FOUND, Rejected(7, NOT_FOUND)),
        ("", NOT_FOUND, Rejected(None, NOT_FOUND, "orderbook.50.NOPEUSDT")),
        (
            "",
            "Invalid symbol :[tickers.NOPEUSDT]",
            Rejected(None, "Invalid symbol :[tickers.NOPEUSDT]", "tickers.NOPEUSDT"),
        ),
        ("9", "args size >10", Rejected(9, "args size >10")),
        ("", "error:invalid op", Rejected(None, "error:invalid op")),
    ],
)
def test_a_refusal_is_the_whole_requests(req_id: str, reason: str, expected: Rejected) -> None:
    answer = {"success": False, "ret_msg": reason, "req_id": req_id, "op": "subscribe"}
    assert SPOT.parse(json.dumps(answer).encode()) == (expected,)


def test_a_topic_that_is_subscribed_already_is_no_refusal() -> None:
    answer = {
        "success": False,
        "ret_msg": "error:already subscribed,topic:orderbook.1.ETHUSDT",
        "req_id": "5",
        "op": "subscribe",
    }
    assert LINEAR.parse(json.dumps(answer).encode()) == (Ack(None, "orderbook.1.ETHUSDT"),)


# -- what we send


def test_a_request_names_its_id_as_text_and_every_topic() -> None:
    assert json.loads(EXCHANGE.subscribe(["tickers.A", "kline.1.A"], 3)) == {
        "req_id": "3",
        "op": "subscribe",
        "args": ["tickers.A", "kline.1.A"],
    }
    assert json.loads(EXCHANGE.unsubscribe(["tickers.A"], 4))["op"] == "unsubscribe"
    assert EXCHANGE.heartbeat
    assert json.loads(EXCHANGE.heartbeat.frame) == {"op": "ping"}


def test_funding_and_open_interest_share_the_topic_of_the_ticker() -> None:
    topics = {s.kind: s.topics("BTCUSDT") for s in LINEAR.subscriptions}
    assert topics["funding"] == topics["open-interest"] == topics["tickers"]
    assert {s.path for s in LINEAR.subscriptions} == {"/v5/public/linear"}
    assert {s.kind for s in SPOT.subscriptions} == {"trades", "books", "tickers", "venue-klines"}


def test_every_topic_that_we_subscribe_is_one_that_we_read() -> None:
    data = {
        "publicTrade": [LINEAR_TRADE],
        "orderbook": BOOK,
        "tickers": TICKER,
        "kline": [KLINE],
        "allLiquidation": [LIQUIDATION],
    }
    for market in (SPOT, LINEAR):
        for subscription in market.subscriptions:
            (topic,) = subscription.topics("BTCUSDT")
            assert market.parse(frame(topic, data[topic.split(".")[0]]))
