import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.streams import KINDS, StreamKey, stream_key

KEYS = st.builds(
    StreamKey,
    st.sampled_from(["binance", "kraken"]),
    st.sampled_from(["spot", "linear"]),
    st.text(min_size=1).filter(lambda symbol: any(symbol.split(":"))),
    st.sampled_from(KINDS),
    st.sampled_from(["ws", "http"]),
)


@given(KEYS)
def test_a_key_is_read_as_it_was_written_whatever_the_symbol(key) -> None:
    assert stream_key(str(key)) == key


@pytest.mark.parametrize(
    "text",
    ["", "binance", "binance:linear:BTCUSDT:trades", "binance:option:BTCUSDT:trades:ws",
     "binance:linear:BTCUSDT:quotes:ws", "binance:linear:BTCUSDT:trades:udp",
     ":linear:BTCUSDT:trades:ws", "binance:linear::trades:ws", "binance:linear:trades:ws"],
)  # fmt: skip
def test_what_is_no_key_is_refused(text) -> None:
    with pytest.raises(ValueError, match="is no exchange:channel:symbol:kind:transport"):
        stream_key(text)
