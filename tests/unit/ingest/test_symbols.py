import pytest

from ingest import endpoints, symbols
from ingest.exchanges.base import Instrument
from ingest.exchanges.binance import LINEAR, SPOT
from runtime.errors import Misconfigured
from runtime.settings import Settings


def instrument(symbol: str, *, is_streamed: bool = True) -> Instrument:
    return Instrument(
        symbol=symbol,
        unified=symbol,
        status="TRADING" if is_streamed else "BREAK",
        is_streamed=is_streamed,
        price_scale=2,
        qty_scale=3,
    )


LISTED = {
    "linear": [instrument("BTCUSDT"), instrument("ETHUSDT"), instrument("1000PEPEUSDT")],
    "spot": [instrument("BTCUSDT"), instrument("PEPEUSDT"), instrument("OLD", is_streamed=False)],
}


def names(chosen: symbols.Chosen) -> dict[str, list[str]]:
    return {channel: [i.symbol for i in part] for channel, part in chosen.items()}


def test_a_symbol_is_streamed_wherever_it_trades() -> None:
    chosen = symbols.configured(LISTED, ("BTCUSDT", "1000PEPEUSDT", "BTCUSDT"))
    assert names(chosen) == {"linear": ["BTCUSDT", "1000PEPEUSDT"], "spot": ["BTCUSDT"]}


@pytest.mark.parametrize("wrong", ["BTCUSD", "btcusdt", "BTC/USDT"])
def test_an_unknown_symbol_is_named_with_its_neighbours(wrong: str) -> None:
    with pytest.raises(Misconfigured) as refused:
        symbols.configured(LISTED, ("ETHUSDT", wrong))
    assert refused.value.setting == "STREAMER_EXCHANGE_SYMBOLS"
    assert repr(wrong) in str(refused.value)
    assert "BTCUSDT" in refused.value.remedy


def test_a_halted_symbol_is_refused_with_its_state() -> None:
    with pytest.raises(Misconfigured, match="BREAK"):
        symbols.configured(LISTED, ("OLD",))


def test_no_symbol_at_all_is_refused() -> None:
    with pytest.raises(Misconfigured):
        symbols.configured(LISTED, ())
    with pytest.raises(Misconfigured):
        symbols.busiest({"spot": [instrument("OLD", is_streamed=False)]}, {}, None)


def test_the_busiest_come_first() -> None:
    counts = {"linear": {"ETHUSDT": 9, "BTCUSDT": 7}, "spot": {}}
    assert names(symbols.busiest(LISTED, counts, 2)) == {
        "linear": ["ETHUSDT", "BTCUSDT"],
        "spot": ["BTCUSDT", "PEPEUSDT"],
    }
    assert len(symbols.busiest(LISTED, counts, None)["linear"]) == 3


@pytest.mark.parametrize(
    "url", ["nonsense", "http://x", "ws://", "ws://h:0", "ws://h:99999", "ws://[::1", "//h"]
)
def test_a_wrong_url_is_the_operators_error(url: str) -> None:
    settings = Settings(exchange_spot_ws_url=url)
    with pytest.raises(Misconfigured) as refused:
        endpoints.socket(settings, SPOT)
    assert refused.value.setting == "STREAMER_EXCHANGE_SPOT_WS_URL"


def test_a_base_url_may_have_a_path() -> None:
    settings = Settings(
        exchange_linear_rest_url="http://127.0.0.1:8/linear/", exchange_linear_ws_url="wss://h"
    )
    assert endpoints.rest(settings, LINEAR).url == "http://127.0.0.1:8/linear"
    assert endpoints.socket(settings, LINEAR).url == "wss://h"
