"""The simulated Binance's REST endpoints tell the same story as its truth."""

from decimal import Decimal

import pytest
from simulated import API, MARKETS, fetch, simulating

pytestmark = pytest.mark.integration


def _fold(rows, length_ms):
    """The test's own candles, from REST aggregate trades."""
    candles = {}
    for r in rows:
        price, qty, trades = Decimal(r["p"]), Decimal(r["q"]), r["l"] - r["f"] + 1
        opened = r["T"] // length_ms * length_ms
        c = candles.setdefault(opened, [price, price, price, price, 0, 0, 0, 0, 0])
        c[1], c[2], c[3] = max(c[1], price), min(c[2], price), price
        c[4], c[5], c[6] = c[4] + qty, c[5] + price * qty, c[6] + trades
        if not r["m"]:
            c[7], c[8] = c[7] + qty, c[8] + price * qty
    return candles


async def _all_aggregates(http, market, symbol):
    rows, from_id = [], 0
    while page := await fetch(
        http, f"{API[market]}/aggTrades", symbol=symbol, fromId=from_id, limit=1000
    ):
        rows += page
        from_id = page[-1]["a"] + 1
    return rows


@pytest.mark.parametrize("market", MARKETS)
async def test_rest_klines_and_the_truth_equal_a_fold_of_rest_aggregates(market):
    async with simulating(history_s=150, trades_per_s=60) as (sim, http):
        await http.post("/sim/stop")
        for symbol in ("BTCUSDT", sim.exchanges[market].symbols[-1].name):
            rows = await _all_aggregates(http, market, symbol)
            assert [r["a"] for r in rows] == list(range(rows[0]["a"], rows[0]["a"] + len(rows)))
            mine = _fold(rows, 60_000)
            klines = await fetch(http, f"{API[market]}/klines", symbol=symbol, interval="1m")
            assert len(mine) >= 3
            for row in klines:
                theirs = [Decimal(row[i]) for i in (1, 2, 3, 4, 5, 7, 8, 9, 10)]
                if row[8]:
                    assert theirs == mine.pop(row[0])
                else:
                    assert theirs[4:] == [0] * 5
                assert row[6] == row[0] + 59_999
            assert not mine
            told = await fetch(
                http, "/sim/klines", market=market, symbol=symbol, interval_ms=60_000
            )
            fields = ("timestamp", "open", "high", "low", "close", "volume", "quote_volume")
            assert [[Decimal(r[f]) for f in (*fields, "trade_count")] for r in told] == [
                [Decimal(x) for x in (*row[:6], row[7], row[8])] for row in klines if row[8]
            ]
            assert told[-1]["last_id"] == (rows[-1]["a"] if market == "linear" else rows[-1]["l"])


async def test_aggregates_and_klines_can_be_asked_for_by_time():
    async with simulating(history_s=200, trades_per_s=60) as (_sim, http):
        await http.post("/sim/stop")
        every = await _all_aggregates(http, "linear", "BTCUSDT")
        low, high = every[100]["T"], every[200]["T"]
        api = API["linear"]
        found = await fetch(
            http, f"{api}/aggTrades", symbol="BTCUSDT", startTime=low, endTime=high, limit=1000
        )
        assert found == [r for r in every if low <= r["T"] <= high]
        newest = await fetch(http, f"{api}/aggTrades", symbol="BTCUSDT", limit=7)
        assert newest == every[-7:]
        klines = await fetch(http, f"{api}/klines", symbol="BTCUSDT", interval="1m")
        second = await fetch(
            http, f"{api}/klines", symbol="BTCUSDT", interval="1m", startTime=klines[1][0], limit=1
        )
        assert second == klines[1:2]
        last = await fetch(
            http, f"{api}/klines", symbol="BTCUSDT", interval="1m", endTime=klines[1][0], limit=1
        )
        assert last == klines[1:2]


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/binance/spot/api/v3/klines?interval=1m", 400, -1102),
        ("/binance/spot/api/v3/klines?symbol=NOSUCH&interval=1m", 400, -1121),
        ("/binance/spot/api/v3/klines?symbol=BTCUSDT&interval=7m", 400, -1120),
        ("/binance/linear/fapi/v1/klines?symbol=BTCUSDT&interval=1s", 400, -1120),
        ("/binance/linear/fapi/v1/klines?symbol=BTCUSDT&interval=1m&limit=1501", 400, -1130),
        ("/binance/linear/fapi/v1/aggTrades?symbol=BTCUSDT&fromId=1&startTime=2", 400, -1128),
        (
            "/binance/linear/fapi/v1/aggTrades?symbol=BTCUSDT&startTime=0&endTime=3600000",
            400,
            -1127,
        ),
        ("/binance/spot/api/v3/aggTrades?symbol=BTCUSDT&startTime=9&endTime=3", 400, -1128),
        ("/binance/spot/api/v3/aggTrades?symbol=BTCUSDT&fromId=abc", 400, -1100),
        ("/binance/spot/api/v3/exchangeInfo?symbol=NOSUCH", 400, -1121),
        ("/binance/spot/fapi/v1/time", 404, None),
        ("/binance/spot/api/v3/nosuch", 404, None),
        ("/moon/spot/api/v3/time", 404, None),
    ],
)
async def test_wrong_parameters_are_refused_as_the_venue_does(path, status, code):
    async with simulating() as (_sim, http):
        answer = await http.get(path)
    assert answer.status_code == status
    assert code is None or answer.json()["code"] == code


@pytest.mark.parametrize("market", MARKETS)
async def test_exchange_info_lists_traded_and_idle_symbols_with_their_scales(market):
    async with simulating(symbols=30) as (sim, http):
        info = await fetch(http, f"{API[market]}/exchangeInfo")
        tickers = await fetch(http, f"{API[market]}/ticker/24hr")
    traded = [s for s in info["symbols"] if s["status"] == "TRADING"]
    assert len(traded) == len(tickers) == 30
    assert {s["status"] for s in info["symbols"]} - {"TRADING"} == (
        {"BREAK"} if market == "spot" else {"PENDING_TRADING"}
    )
    for listed, symbol in zip(traded, sim.exchanges[market].symbols, strict=True):
        filters = {f["filterType"]: f for f in listed["filters"]}
        tick = Decimal(filters["PRICE_FILTER"]["tickSize"])
        step = Decimal(filters["LOT_SIZE"]["stepSize"])
        assert tick == Decimal(symbol.tick).scaleb(-symbol.price_scale)
        assert step == Decimal(1).scaleb(-symbol.qty_scale)
        if market == "linear":
            assert listed["contractType"] == "PERPETUAL"
            assert listed["pricePrecision"] == symbol.price_scale


async def test_weight_is_reported_and_limited():
    async with simulating(symbols=1) as (_sim, http):
        used = [
            (await http.get("/binance/linear/fapi/v1/aggTrades?symbol=BTCUSDT")) for _ in range(125)
        ]
    weights = [int(a.headers["x-mbx-used-weight-1m"]) for a in used]
    assert weights[1] in (40, 20)  # 20 where a new minute began
    if weights == sorted(weights):  # no new minute began
        assert [a.status_code for a in used].count(429) == 5
        assert used[-1].json()["code"] == -1003
        assert 0 < int(used[-1].headers["retry-after"]) <= 60
