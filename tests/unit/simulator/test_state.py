"""Mark, funding, open interest and statistics: bounded, and true to the trades."""

from simulator.ledger import Ledger
from simulator.state import FUNDING_MAX, HOUR_MS, MarketState
from simulator.symbols import Symbol

BTC = Symbol("BTCUSDT", "BTC", "USDT", 2, 1, 3, 6_800_000, lot=10)


def _state(**more):
    ledger = Ledger(BTC, next_id=50, next_trade_id=900)
    options = {"seed": "s", "funding_hours": 8} | more
    return ledger, MarketState(ledger, lambda: 6_800_000, **options)


def test_statistics_are_those_of_all_trades_even_of_forgotten_ones():
    ledger, state = _state()
    assert state.read(100).last == 0
    ledger.append(110, 100, 5, 1, 3)
    ledger.append(120, 90, 10, -1, 1)
    state.read(200)
    ledger.forget(2)
    ledger.append(230, 120, 2, 1, 2)
    state.read(300)
    assert (state.open, state.high, state.low, state.last) == (100, 120, 90, 120)
    assert (state.volume, state.turnover, state.trades) == (17, 500 + 900 + 240, 6)
    assert (state.first_trade_id, state.last_trade_id) == (900, 905)
    assert (state.change, state.change_e5, state.last_qty, state.last_ts_ms) == (20, 20_000, 2, 230)


def test_it_moves_once_in_a_step_within_bounds():
    _, state = _state(funding_hours=1)
    before = state.read(1_000).mark
    assert state.read(1_050).mark == before
    for at_ms in range(1_100, 200_000, 100):
        state.read(at_ms)
        assert abs(state.funding_rate) <= FUNDING_MAX
        assert abs(state.mark - 6_800_000) < 6_800
        assert abs(state.index - 6_800_000) < 6_800
        assert state.open_interest > 0
        assert state.open_interest % BTC.lot == 0
        assert 0 < state.next_funding_ms - at_ms <= HOUR_MS
        assert state.next_funding_ms % HOUR_MS == 0


def test_the_same_seed_gives_the_same_state():
    told = [
        [(s.mark, s.index, s.funding_rate, s.open_interest) for t in range(0, 9_000, 100)]
        for s in (_state()[1] for _ in range(2))
        if s.read(8_000)
    ]
    assert told[0] == told[1]
