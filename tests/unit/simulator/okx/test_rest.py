"""What the simulated OKX answers over REST."""

from decimal import Decimal
from itertools import pairwise

import pytest

BTC = "BTC-USDT-SWAP"


def rows(answer):
    assert answer.status == 200
    assert answer.body["code"] == "0", answer.body
    return answer.body["data"]


def test_instruments_tell_what_a_contract_is_worth(linear):
    listed = {r["instId"]: r for r in rows(linear.get("public/instruments", instType="SWAP"))}
    btc = listed[BTC]
    assert (btc["ctVal"], btc["ctMult"], btc["ctValCcy"], btc["settleCcy"]) == (
        "0.01", "1", "BTC", "USDT",
    )  # fmt: skip
    assert (btc["uly"], btc["ctType"], btc["state"]) == ("BTC-USDT", "linear", "live")
    assert {r["state"] for r in listed.values()} == {"live", "suspend"}
    assert listed["BTC-USD-SWAP"]["ctType"] == "inverse"


def test_every_quantity_of_the_truth_is_a_multiple_of_a_lot(linear):
    linear.run(1_000)
    for row in rows(linear.get("public/instruments", instType="SWAP")):
        ledger = linear.exchange.ledgers.get(row["instId"])
        if ledger:
            lot = Decimal(row["lotSz"]) * Decimal(row["ctVal"])
            scale = ledger.symbol.qty_scale
            assert all(Decimal(q).scaleb(-scale) % lot == 0 for q in ledger.qty)


def test_history_pages_back_without_a_hole(linear):
    linear.run(2_000)
    first = rows(linear.get("market/history-trades", instId=BTC))
    oldest = first[-1]["tradeId"]
    second = rows(linear.get("market/history-trades", instId=BTC, after=oldest, limit="50"))
    ids = [int(r["tradeId"]) for r in first + second]
    assert len(ids) == 150
    assert all(b == a - 1 for a, b in pairwise(ids))
    newer = rows(linear.get("market/history-trades", instId=BTC, before=first[5]["tradeId"]))
    assert [r["tradeId"] for r in newer] == [r["tradeId"] for r in first[:5]]


def test_history_by_time_ends_before_it(linear):
    linear.run(2_000)
    newest = rows(linear.get("market/history-trades", instId=BTC))
    at_ms = int(newest[50]["ts"])
    found = rows(linear.get("market/history-trades", instId=BTC, type="2", after=str(at_ms)))
    assert found
    assert all(int(r["ts"]) < at_ms for r in found)
    assert int(found[0]["tradeId"]) + 1 == min(
        int(r["tradeId"]) for r in newest if int(r["ts"]) >= at_ms
    )
    later = rows(linear.get("market/history-trades", instId=BTC, type="2", before=str(at_ms)))
    assert {r["tradeId"] for r in later} == {r["tradeId"] for r in newest if int(r["ts"]) > at_ms}


def test_single_trades_of_rest_add_up_to_the_truth(linear):
    linear.run(1_000)
    ledger = linear.exchange.ledgers[BTC]
    (row,) = ledger.rows(ledger.next_id - 2, ledger.next_id - 1)
    query = {"after": str(row.last + 1), "limit": str(row.last - row.first + 1)}
    found = rows(linear.get("market/history-trades", instId=BTC, **query))
    scale = ledger.symbol.qty_scale
    assert sum(Decimal(r["sz"]) for r in found) / 100 == Decimal(row.qty).scaleb(-scale)


def test_candles_come_newest_first_and_agree_with_the_trades(linear):
    linear.run(3_500)
    found = rows(linear.get("market/candles", instId=BTC, bar="1s"))
    assert [r[8] for r in found] == ["0", "1", "1", "1"]
    assert all(int(a[0]) == int(b[0]) + 1_000 for a, b in pairwise(found))
    ledger = linear.exchange.ledgers[BTC]
    volume = Decimal(sum(ledger.qty)).scaleb(-ledger.symbol.qty_scale)
    assert sum(Decimal(r[6]) for r in found) == volume == sum(Decimal(r[5]) for r in found) / 100
    older = rows(linear.get("market/history-candles", instId=BTC, bar="1s", after=found[1][0]))
    assert older == found[2:]
    newer = rows(linear.get("market/candles", instId=BTC, bar="1s", before=found[2][0]))
    assert newer == found[:2]


@pytest.mark.parametrize(
    ("endpoint", "query", "status", "code"),
    [
        ("public/instruments", {}, 400, "50014"),
        ("public/instruments", {"instType": "SPOT"}, 400, "51000"),
        ("market/books", {"instId": "NO-USDT-SWAP"}, 200, "51001"),
        ("market/candles", {"instId": BTC, "bar": "7m"}, 200, "51000"),
        ("market/history-trades", {"instId": BTC, "after": "x"}, 400, "51000"),
        ("market/nonsense", {}, 404, "404"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(linear, endpoint, query, status, code):
    answer = linear.get(endpoint, **query)
    assert (answer.status, answer.body["code"], answer.body["data"]) == (status, code, [])


def test_each_endpoint_has_its_own_allowance(linear):
    for _ in range(20):
        rows(linear.get("market/tickers", instType="SWAP"))
    refused = linear.get("market/tickers", instType="SWAP")
    assert (refused.status, refused.body["code"]) == (429, "50011")
    rows(linear.get("public/open-interest", instType="SWAP"))
    linear.run(2_000)
    rows(linear.get("market/tickers", instType="SWAP"))


def test_a_book_and_the_state_are_told_over_rest_too(linear):
    linear.run(300)
    (book,) = rows(linear.get("market/books", instId=BTC, sz="5"))
    assert len(book["asks"]) == len(book["bids"]) == 5
    (funding,) = rows(linear.get("public/funding-rate", instId=BTC))
    assert int(funding["nextFundingTime"]) - int(funding["fundingTime"]) == 8 * 3_600_000
    (mark,) = rows(linear.get("public/mark-price", instType="SWAP", instId=BTC))
    assert Decimal(mark["markPx"]) > 0
    assert len(rows(linear.get("public/open-interest", instType="SWAP"))) == 3


def test_spot_has_no_open_interest(spot):
    assert spot.get("public/open-interest", instType="SPOT").status == 404
    listed = rows(spot.get("public/instruments", instType="SPOT"))
    assert {"BTC-USDT", "ETH-USDT"} <= {r["instId"] for r in listed}
    assert {r["ctVal"] for r in listed} == {""}
