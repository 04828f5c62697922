import msgspec
import pytest

from runtime.errors import Poison
from schemas.control import Control, InstrumentRow, StreamStatus
from schemas.streams import StreamKey
from schemas.topics import CONTROL, INSTRUMENTS, STREAMS, symbol_key
from sinks.gateway import names
from sinks.gateway.control import StreamRef, StreamTable
from sinks.gateway.names import Unknown

encode = msgspec.json.Encoder().encode
BTC = StreamKey("binance", "linear", "BTCUSDT", "trades", "ws")


def instrument(exchange: str, channel: str, symbol: str, **changes) -> tuple[bytes, bytes]:
    fields = {
        "exchange": exchange, "channel": channel, "symbol": symbol, "unified": f"u:{symbol}",
        "status": "TRADING", "is_streamed": True, "tick": "0.1", "step": "0.001",
    }  # fmt: skip
    row = InstrumentRow(**{**fields, **changes})
    return symbol_key(exchange, channel, symbol), encode(row)


def status(key: StreamKey, state: str = "live") -> bytes:
    return encode(StreamStatus(**key._asdict(), state=state, since_ms=5))


@pytest.fixture
def table() -> StreamTable:
    table = StreamTable()
    for listed in (
        ("binance", "linear", "BTCUSDT"),
        ("binance", "linear", "ETHUSDT"),
        ("binance", "spot", "BTCUSDT"),
        ("binance", "spot", "SOLUSDT"),
        ("kraken", "spot", "BTC/USD"),
        ("hyperliquid", "linear", "BTC"),
        ("hyperliquid", "linear", "kPEPE"),
    ):
        table.take(INSTRUMENTS.name, *instrument(*listed))
    dead = instrument("binance", "linear", "LUNAUSDT", status="BREAK", is_streamed=False)
    table.take(INSTRUMENTS.name, *dead)
    return table


def ref(exchange: str, symbol: str, kind: str, transport=None, channel=None) -> StreamRef:
    return StreamRef(
        exchange=exchange, symbol=symbol, kind=kind, transport=transport, channel=channel
    )


@pytest.mark.parametrize(
    ("named", "keys"),
    [
        (("BinanceLinear", "BTCUSDT", "Trades", "Ws"), ["binance:linear:BTCUSDT:trades:ws"]),
        (("BinanceLinear", "BTCUSDT", "L2Book", "Ws"), ["binance:linear:BTCUSDT:books:ws"]),
        (("BinanceLinear", "BTCUSDT", "OpenInterest", "HttpPoll"),
         ["binance:linear:BTCUSDT:open-interest:http"]),
        (("BinanceLinear", "BTCUSDT", "Funding", "HttpPoll"),
         ["binance:linear:BTCUSDT:funding:ws"]),
        (("BinanceLinear", "BTCUSDT", "Liquidations", "Ws"),
         ["binance:linear:BTCUSDT:liquidations:ws"]),
        (("HyperliquidPerp", "BTC", "FundingOpenInterest", "Ws"),
         ["hyperliquid:linear:BTC:funding:ws", "hyperliquid:linear:BTC:open-interest:ws"]),
        (("binance", "BTCUSDT", "trades"), ["binance:linear:BTCUSDT:trades:ws"]),
        (("binance", "BTCUSDT", "trades", "ws", "spot"), ["binance:spot:BTCUSDT:trades:ws"]),
        (("binance", "SOLUSDT", "trades"), ["binance:spot:SOLUSDT:trades:ws"]),
        (("kraken", "BTC/USD", "venue-klines"), ["kraken:spot:BTC/USD:venue-klines:ws"]),
        (("hyperliquid", "u:kPEPE", "books"), ["hyperliquid:linear:kPEPE:books:ws"]),
        (("bybit", "ANYUSDT", "trades"), ["bybit:linear:ANYUSDT:trades:ws"]),
    ],
)  # fmt: skip
def test_names_as_people_write_them_become_streams(table, named, keys) -> None:
    assert [str(key) for key in table.resolve(ref(*named))] == keys


@pytest.mark.parametrize(
    ("named", "code", "reason", "near"),
    [
        (("binanse", "BTCUSDT", "trades"), 404, "no exchange", "binance"),
        (("coinbase", "BTCUSDT", "trades"), 404, "no exchange", "binance"),
        (("binance", "btcusdt", "trades"), 404, "no symbol 'btcusdt'", "BTCUSDT"),
        (("hyperliquid", "PEPE", "trades"), 404, "no symbol", "kPEPE"),
        (("binance", "BTCUSDT", "quotes"), 422, "no kind 'quotes'", None),
        (("binance", "BTCUSDT", "trade-s", "udp"), 422, "no transport", "ws"),
        (("binance", "BTCUSDT", "trades", "http"), 422, "comes by ws, not by http", "ws"),
        (("binance", "BTCUSDT", "funding", "ws", "spot"), 422, "spot has no funding", "trades"),
        (("kraken", "BTC/USD", "trades", "ws", "linear"), 422, "no channel 'linear'", "spot"),
        (("binance", "LUNAUSDT", "trades"), 422, "it is 'BREAK'", None),
    ],
)
def test_what_is_unknown_is_told_with_what_is_near(table, named, code, reason, near) -> None:
    with pytest.raises(Unknown, match=reason) as caught:
        table.resolve(ref(*named))
    assert caught.value.status == code
    assert near is None or near in caught.value.near


def test_a_stream_is_found_where_it_runs_even_when_its_symbol_is_listed_no_more(table) -> None:
    gone = BTC._replace(channel="spot", symbol="OLDUSDT")
    with pytest.raises(Unknown, match="no symbol"):
        table.find(ref("binance", "OLDUSDT", "trades"))
    table.take(STREAMS.name, str(gone).encode(), status(gone))
    assert table.find(ref("binance", "OLDUSDT", "trades")) == [gone]
    with pytest.raises(Unknown, match="POST /streams adds it"):
        table.find(ref("binance", "ETHUSDT", "trades"))


def test_a_stream_of_the_settings_is_shown_and_keeps_running_when_a_knob_is_turned(table) -> None:
    table.take(STREAMS.name, str(BTC).encode(), status(BTC))
    assert (table.view(BTC).source, table.view(BTC).enabled) == ("settings", True)
    control = table.changed(BTC, 9, db_writes_enabled=False)
    assert (control.enabled, control.db_writes_enabled, control.changed_ms) == (True, False, 9)
    table.take(CONTROL.name, str(BTC).encode(), encode(control))
    view = table.view(BTC)
    assert (view.source, view.enabled, view.db_writes_enabled) == ("control", True, False)
    assert table.changed(BTC, 10, db_writes_enabled=False) is None


def test_turning_a_knob_does_not_start_what_has_stopped(table) -> None:
    table.take(STREAMS.name, str(BTC).encode(), status(BTC, "stopped"))
    assert table.changed(BTC, 9, db_writes_enabled=False).enabled is False


def test_what_is_removed_is_listed_only_on_demand_until_it_is_wanted_again(table) -> None:
    table.take(CONTROL.name, str(BTC).encode(), encode(table.changed(BTC, 1, enabled=True)))
    assert table.streams(with_removed=False) == [BTC]
    table.take(CONTROL.name, str(BTC).encode(), encode(table.changed(BTC, 2, enabled=False)))
    table.take(STREAMS.name, str(BTC).encode(), status(BTC, "stopped"))
    assert table.streams(with_removed=False) == []
    assert [table.view(key).enabled for key in table.streams(with_removed=True)] == [False]
    table.take(CONTROL.name, str(BTC).encode(), None)
    assert table.view(BTC).source == "settings"


def test_an_instrument_that_is_taken_back_is_gone(table) -> None:
    key, _ = instrument("kraken", "spot", "BTC/USD")
    table.take(INSTRUMENTS.name, key, None)
    assert [row.symbol for row in table.rows([("kraken", "spot")])] == []


@pytest.mark.parametrize(
    ("topic", "key", "value"),
    [
        (CONTROL.name, b"nonsense", encode(Control(**BTC._asdict()))),
        (CONTROL.name, str(BTC).encode(), b"{"),
        (CONTROL.name, str(BTC).encode(), b""),
        (CONTROL.name, None, None),
        (CONTROL.name, str(BTC._replace(symbol="X")).encode(), encode(Control(**BTC._asdict()))),
        (STREAMS.name, str(BTC).encode(), status(BTC, "dancing")),
        (INSTRUMENTS.name, b"binance:linear:X", instrument("binance", "linear", "Y")[1]),
        (INSTRUMENTS.name, b"\xff", instrument("binance", "linear", "Y")[1]),
    ],
)
def test_what_cannot_be_read_changes_nothing(table, topic, key, value) -> None:
    with pytest.raises(Poison):
        table.take(topic, key, value)
    assert not table.controls
    assert not table.statuses


def test_every_exchange_is_known_by_its_own_name_and_with_its_channel() -> None:
    for exchange, channels in names.CAPABILITIES.items():
        for channel in channels:
            assert (exchange, channel) in names.markets(exchange)
            assert names.markets(f"{exchange.title()}{channel.title()}") == [(exchange, channel)]


def test_a_symbol_is_known_that_is_listed_or_has_a_stream(table) -> None:
    for known in (
        ("binance", "linear", "ETHUSDT"),
        ("*", "*", "BTC/USD"),
        ("kraken", "*", "*"),
        ("*", "*", "*"),
    ):
        assert table.lists(known)
    gone = ("binance", "linear", "GONEUSDT")
    for unknown in (gone, ("okx", "spot", "*"), ("nowhere", "spot", "BTCUSDT"), ("*", "*", "GONE")):
        assert not table.lists(unknown)
    table.take(STREAMS.name, str(BTC._replace(symbol="GONEUSDT")).encode(),
               status(BTC._replace(symbol="GONEUSDT")))  # fmt: skip
    assert table.lists(gone)
    okx = StreamKey("okx", "spot", "BTC-USDT", "trades", "ws")
    table.take(STREAMS.name, str(okx).encode(), status(okx))
    assert table.lists(("okx", "spot", "*"))
