"""What the simulated OKX says on its sockets."""

from decimal import Decimal
from itertools import pairwise

import pytest

BTC = "BTC-USDT-SWAP"
PUBLIC = [
    ("trades", BTC), ("books", BTC), ("tickers", BTC), ("funding-rate", BTC), ("mark-price", BTC),
    ("index-tickers", "BTC-USDT"), ("open-interest", BTC), ("liquidation-orders", "SWAP"),
]  # fmt: skip


def data(messages, channel):
    return [m for m in messages if "data" in m and m["arg"]["channel"] == channel]


def test_every_argument_has_an_answer_of_its_own(linear):
    told = linear.client().ask("subscribe", *PUBLIC)
    acks = [m for m in told if "event" in m]
    assert [(m["event"], m["id"]) for m in acks] == [("subscribe", "7")] * len(PUBLIC)
    assert [m["arg"]["channel"] for m in acks] == [channel for channel, _ in PUBLIC]
    assert all(len(m["connId"]) == 8 for m in acks)


@pytest.mark.parametrize(
    ("path", "channel", "name"),
    [
        ("/ws/v5/public", "candle1m", BTC),
        ("/ws/v5/business", "trades", BTC),
        ("/ws/v5/public", "trades", "BTC-USDT"),
        ("/ws/v5/public", "nonsense", BTC),
        ("/ws/v5/business", "candle7m", BTC),
    ],
)
def test_what_is_not_there_is_refused_by_name(linear, path, channel, name):
    (told,) = linear.client(path).ask("subscribe", (channel, name))
    assert (told["event"], told["code"], told["id"]) == ("error", "60018", "7")
    assert told["msg"].startswith(f"Wrong URL or channel:{channel},instId:{name} doesn't exist.")


def test_spot_has_no_funding_and_no_path_of_its_own(spot):
    (told,) = spot.client().ask("subscribe", ("funding-rate", "BTC-USDT"))
    assert told["code"] == "60018"
    assert spot.exchange.dialect.open("/ws/v5/private", {}) is None


@pytest.mark.parametrize("text", ["", "[]", '{"op":"login"}', '{"op":"subscribe","args":[1]}',
                                  '{"op":"subscribe","args":[]}', "x" * 70_000])  # fmt: skip
def test_what_is_no_request_is_an_error(linear, text):
    (told,) = linear.client().say(text)
    assert (told["event"], told["code"]) == ("error", "60012")


def test_a_text_ping_is_answered_by_a_text_pong(linear):
    assert linear.client().say("ping") == [b"pong"]


def test_481_requests_in_an_hour_are_one_too_many(linear):
    client = linear.client()
    for _ in range(480):
        client.ask("unsubscribe", ("trades", BTC))
    (told,) = client.ask("subscribe", ("trades", BTC), now_s=3_599.0)
    assert (told["event"], told["code"]) == ("error", "60014")
    assert client.ask("subscribe", ("trades", BTC), now_s=3_600.0)[0]["event"] == "subscribe"


def test_subscribing_brings_the_last_trade_and_then_every_one(linear):
    linear.run(1_000)
    client = linear.client()
    welcome = data(client.ask("subscribe", ("trades", BTC)), "trades")
    assert len(welcome) == 1
    linear.run(1_000)
    rows = [m["data"][0] for m in welcome + data(client.told(), "trades")]
    ids = [(int(r["tradeId"]) - int(r["count"]) + 1, int(r["tradeId"])) for r in rows]
    assert len(ids) > 20
    assert all(first == last_before + 1 for (_, last_before), (first, _) in pairwise(ids))
    assert any(int(r["count"]) > 1 for r in rows)
    assert {r["source"] for r in rows} <= {"0", "1"}


def test_a_truth_in_base_coins_is_told_in_contracts(linear):
    client = linear.client()
    client.ask("subscribe", ("trades", BTC))
    linear.run(500)
    told = [m["data"][0] for m in data(client.told(), "trades")]
    ledger = linear.exchange.ledgers[BTC]
    truth = ledger.rows(ledger.first_kept_id, ledger.next_id)[-len(told) :]
    scale = ledger.symbol.qty_scale
    assert [Decimal(r["sz"]) / 100 for r in told] == [Decimal(t.qty).scaleb(-scale) for t in truth]


def test_trades_one_by_one_add_up_to_the_orders(linear):
    singles, orders = linear.client("/ws/v5/business"), linear.client()
    singles.ask("subscribe", ("trades-all", BTC))
    orders.ask("subscribe", ("trades", BTC))
    linear.run(500)
    alone = [m["data"][0] for m in data(singles.told(), "trades-all")]
    together = [m["data"][0] for m in data(orders.told(), "trades")]
    assert sum(int(r["count"]) for r in together) == len(alone)
    assert sum(Decimal(r["sz"]) for r in together) == sum(Decimal(r["sz"]) for r in alone)
    assert all(Decimal(r["sz"]) > 0 for r in alone)


def test_a_book_is_a_snapshot_and_a_chain_of_updates(linear):
    linear.run(200)
    client = linear.client()
    client.ask("subscribe", ("books", BTC))
    linear.run(100)
    again = data(client.ask("subscribe", ("books", BTC)), "books")
    assert [m["action"] for m in again][-1] == "snapshot"
    linear.run(1_000)
    messages = data(client.told(), "books")
    chain = [again[-1], *messages]
    rows = [m["data"][0] for m in chain]
    assert [m["action"] for m in chain] == ["snapshot"] + ["update"] * len(messages)
    assert rows[0]["prevSeqId"] == -1
    assert len(messages) > 5
    assert all(b["prevSeqId"] == a["seqId"] < b["seqId"] for a, b in pairwise(rows))
    assert {r["checksum"] for r in rows} == {0}
    assert any(level[1] == "0" for r in rows for level in r["bids"] + r["asks"])


def test_a_reset_continues_the_chain_with_a_lower_id(linear):
    client = linear.client()
    client.ask("subscribe", ("books", BTC))
    linear.run(300)
    linear.exchange.delivery.restart_book(BTC, 4_000_000_000_300)
    linear.run(300)
    rows = [m["data"][0] for m in data(client.told(), "books")]
    assert all(b["prevSeqId"] == a["seqId"] for a, b in pairwise(rows))
    assert sum(r["seqId"] < r["prevSeqId"] for r in rows) == 1


def test_a_book_that_does_not_change_says_so_after_a_minute(linear):
    client = linear.client()
    client.ask("subscribe", ("books", BTC))
    delivery, book = linear.exchange.delivery, linear.exchange.book(BTC)
    change = book.step(linear.exchange.flow.bid(0), 4_000_000_000_000)
    for now_ms in (4_000_000_000_000, 4_000_000_059_900, 4_000_000_060_000):
        delivery.tell_book(change, now_ms)  # the same again: nothing is new
        delivery.deliver(now_ms, 1)
    first, second = (m["data"][0] for m in data(client.told(), "books"))
    assert (second["asks"], second["bids"]) == ([], [])
    assert second["seqId"] == second["prevSeqId"] == first["seqId"]


def test_state_is_told_at_once_and_when_it_changes(linear):
    client = linear.client()
    told = client.ask("subscribe", *PUBLIC[2:7])
    linear.run(1_000)
    later = client.told()
    for channel, _ in PUBLIC[2:7]:
        assert len(data(told, channel)) == 1
    assert len(data(later, "mark-price")) in (4, 5, 6, 7)
    assert len(data(later, "funding-rate")) <= 1
    index = data(told, "index-tickers")[0]
    assert index["arg"]["instId"] == index["data"][0]["instId"] == "BTC-USDT"
    interest = data(told, "open-interest")[0]["data"][0]
    assert Decimal(interest["oi"]) == Decimal(interest["oiCcy"]) * 100
    ticker = data(later, "tickers")[-1]["data"][0]
    assert Decimal(ticker["vol24h"]) == Decimal(ticker["volCcy24h"]) * 100


def test_liquidations_of_all_begin_with_history(linear):
    linear.run(2_000)
    past = list(linear.exchange.liquidations)[-20:]
    client = linear.client()
    (history,) = data(client.ask("subscribe", ("liquidation-orders", "SWAP")), "liquidation-orders")
    assert sum(len(of["details"]) for of in history["data"]) == len(past) > 1
    linear.run(1_000)
    told = data(client.told(), "liquidation-orders")
    detail = told[-1]["data"][0]["details"][0]
    assert told[-1]["arg"] == {"channel": "liquidation-orders", "instType": "SWAP"}
    assert detail["posSide"] == {"buy": "short", "sell": "long"}[detail["side"]]


def test_a_candle_is_told_while_it_grows_and_once_confirmed(spot):
    client = spot.client("/ws/v5/business")
    client.ask("subscribe", ("candle1s", "BTC-USDT"))
    spot.run(4_500)
    rows = [m["data"][0] for m in data(client.told(), "candle1s")]
    assert {len(r) for r in rows} == {9}
    closed = [r for r in rows if r[8] == "1"]
    assert len(closed) == len({r[0] for r in closed}) >= 3
    ledger = spot.exchange.ledgers["BTC-USDT"]
    opened = int(closed[1][0])
    inside = ledger.rows(ledger.id_at(opened), ledger.id_at(opened + 1_000))
    scale = ledger.symbol.qty_scale
    assert Decimal(closed[1][5]) == Decimal(sum(r.qty for r in inside)).scaleb(-scale)
    assert closed[1][6] == closed[1][7]


def test_unsubscribing_ends_the_data(linear):
    client = linear.client()
    client.ask("subscribe", ("trades", BTC))
    assert [m["event"] for m in client.ask("unsubscribe", ("trades", BTC))] == ["unsubscribe"]
    linear.run(500)
    assert client.told() == []


@pytest.mark.parametrize("channel", ["trades", "books", "tickers", "mark-price", "open-interest"])
def test_a_spoiled_message_has_a_word_for_a_price(linear, channel):
    import json

    client = linear.client()
    told = data(client.ask("subscribe", (channel, BTC)), channel)
    linear.run(500)
    message = json.dumps((told + data(client.told(), channel))[-1], separators=(",", ":"))
    spoiled = linear.exchange.dialect.spoil(message.encode())
    assert spoiled.count(b'"abc"') == 1
    json.loads(spoiled)
