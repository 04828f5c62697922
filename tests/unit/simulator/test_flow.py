"""The order flow: deterministic, clustered, on the tick grid."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest

from simulator.flow import Match, TradeFlow
from simulator.symbols import traded


def _flow(market="linear", *, seed=7, rate=400.0, fund=0.0, symbols=12):
    listed = traded(market, symbols, seed)
    return listed, TradeFlow(
        market,
        listed,
        seed=seed,
        trades_per_s=rate,
        insurance_fund_share=fund,
        is_by_fill=market == "spot",
    )


def _seconds(flow: TradeFlow, count: int) -> list[Match]:
    return [m for s in range(count) for m in flow.advance(s * 1_000, (s + 1) * 1_000)]


@pytest.mark.parametrize("market", ["spot", "linear"])
def test_the_same_seed_gives_the_same_trades(market):
    assert _seconds(_flow(market)[1], 20) == _seconds(_flow(market)[1], 20)


def test_another_seed_or_market_gives_other_trades():
    first = _seconds(_flow()[1], 5)
    assert first != _seconds(_flow(seed=8)[1], 5)
    assert first != _seconds(_flow("spot")[1], 5)


@pytest.mark.parametrize("market", ["spot", "linear"])
def test_the_mean_rate_of_rows_is_the_one_asked_for(market):
    matches = _seconds(_flow(market)[1], 300)
    rows = sum(len(m.fills) if market == "spot" else 1 for m in matches)
    assert 0.85 < rows / (400 * 300) < 1.15


def test_rate_zero_trades_nothing():
    assert _seconds(_flow(rate=0.0)[1], 10) == []


def test_times_never_go_back_and_milliseconds_are_shared():
    matches = _seconds(_flow(rate=5_000.0)[1], 5)
    times = [m.at_ms for m in matches]
    assert times == sorted(times)
    assert max(Counter(times).values()) > 10
    assert times[0] >= 0
    assert times[-1] < 5_000


def test_prices_lie_on_ticks_and_move_both_ways():
    symbols, flow = _flow(rate=2_000.0)
    matches = _seconds(flow, 30)
    assert all(m.price > 0 and m.price % symbols[m.symbol].tick == 0 for m in matches)
    assert all(min(m.fills) >= 1 for m in matches)
    bitcoin = [m.price for m in matches if m.symbol == 0]
    steps = {(b > a) - (b < a) for a, b in pairwise(bitcoin)}
    assert steps == {-1, 0, 1}
    assert {m.side for m in matches} == {1, -1}


def test_busy_symbols_come_first_and_quiet_ones_still_trade():
    counts = Counter(m.symbol for m in _seconds(_flow(rate=2_000.0)[1], 60))
    assert counts[0] > 5 * counts[11] > 0


def test_trades_of_the_insurance_fund_come_only_where_there_is_one():
    assert any(m.insurance_fund for m in _seconds(_flow(fund=0.05)[1], 20))
    assert not any(m.insurance_fund for m in _seconds(_flow(fund=0.0)[1], 20))


def test_quantities_are_whole_lots():
    listed = [replace(s, lot=10) for s in traded("linear", 3, 7)]
    flow = TradeFlow("linear", listed, seed=7, trades_per_s=400.0, insurance_fund_share=0.05)
    assert all(q % 10 == 0 and q > 0 for m in _seconds(flow, 5) for q in m.fills)


@pytest.mark.parametrize("market", ["spot", "linear"])
def test_symbols_are_unique_and_their_quote_amounts_fit_eight_decimals(market):
    listed = traded(market, 700, 7)
    assert len({s.name for s in listed}) == 700
    assert listed[0].name == "BTCUSDT"
    assert all(s.price_scale + s.qty_scale <= 8 for s in listed)
    assert all(s.start_price >= 100 * s.tick and s.start_price % s.tick == 0 for s in listed)
    assert [s.name for s in traded(market, 3, 7)] == [s.name for s in listed[:3]]
