"""Keys of the changelog: no two things under one, and those of older versions as they were."""

from processors.changelog import fold_prefix, is_position, position_key, slot_key, states_by_fold
from schemas.topics import TICKERS, TRADES, symbol_key

SYMBOL = symbol_key("binance", "linear", "BTCUSDT")


def test_candles_and_their_positions_stand_where_older_versions_put_them() -> None:
    assert fold_prefix("klines") + SYMBOL == b"binance:linear:BTCUSDT"
    assert position_key(TRADES.name, 3) == b"@3"
    assert position_key(TICKERS.name, 3) == b"@md.tickers.v1/3"


def test_states_come_back_to_the_fold_that_wrote_them() -> None:
    slot = slot_key(2, SYMBOL)
    records = {
        SYMBOL: b"candles",
        slot: b"ids",
        fold_prefix("tickers") + SYMBOL: b"ticker",
        fold_prefix("books") + b"!odd!key": b"book",
        position_key(TRADES.name, 0): b"5",
        position_key(TICKERS.name, 0): b"6",
    }
    assert states_by_fold(records) == {
        "klines": {SYMBOL: b"candles", slot: b"ids"},
        "tickers": {SYMBOL: b"ticker"},
        "books": {b"!odd!key": b"book"},
    }


def test_only_positions_are_taken_for_positions() -> None:
    assert is_position(position_key(TICKERS.name, 11))
    assert not any(map(is_position, (SYMBOL, slot_key(0, SYMBOL), fold_prefix("books") + SYMBOL)))
