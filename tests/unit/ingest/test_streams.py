"""Which topics sit on which sockets."""

import math

from hypothesis import given
from hypothesis import strategies as st

from ingest.exchanges.base import Limits
from ingest.exchanges.binance import LINEAR
from ingest.exchanges.bybit import EXCHANGE as BYBIT
from ingest.streams import Streams

SYMBOLS = [f"S{i}USDT" for i in range(40)]


def wanted(streams: Streams) -> list[str]:
    return [topic for shard in streams.shards for topic in shard.wanted]


@given(st.lists(st.tuples(st.booleans(), st.sampled_from(SYMBOLS)), max_size=200))
def test_sockets_hold_every_wanted_topic_once_and_never_too_many(steps) -> None:
    streams, symbols = Streams(LINEAR, 7), {}
    for joins, symbol in steps:
        if joins:
            streams.add("trades", symbol)
            symbols[symbol] = None
        else:
            streams.remove("trades", symbol)
            symbols.pop(symbol, None)
    assert sorted(wanted(streams)) == sorted(f"{s.lower()}@aggTrade" for s in symbols)
    assert all(len(shard.wanted) <= 7 for shard in streams.shards)
    assert sorted(s for _, s in streams.names()) == sorted(symbols)


def test_paths_never_share_a_socket() -> None:
    streams = Streams(LINEAR, 100)
    for kind in ("trades", "books"):
        streams.add(kind, "BTCUSDT")
    paths = {shard.path: list(shard.wanted) for shard in streams.shards}
    assert set(paths) == {"/market/stream", "/public/stream"}


def test_a_topic_that_serves_two_kinds_is_subscribed_once_and_stays_while_one_is_wanted() -> None:
    streams = Streams(BYBIT.markets["linear"], 100)
    for kind in ("tickers", "funding", "open-interest"):
        streams.add(kind, "BTCUSDT")
    assert wanted(streams) == ["tickers.BTCUSDT"]
    streams.remove("tickers", "BTCUSDT")
    streams.remove("funding", "BTCUSDT")
    assert wanted(streams) == ["tickers.BTCUSDT"]
    streams.remove("open-interest", "BTCUSDT")
    assert wanted(streams) == []


def test_books_that_begin_with_a_snapshot_of_their_subscription_are_exclusive() -> None:
    streams = Streams(BYBIT.markets["linear"], 100)
    streams.add("books", "BTCUSDT")
    streams.add("trades", "BTCUSDT")
    (shard,) = streams.shards
    assert len(shard.wanted) == 2
    assert [topic for topic in shard.exclusive if "orderbook" in topic] == list(shard.exclusive)
    assert len(shard.exclusive) == 1
    binance = Streams(LINEAR, 100)
    binance.add("books", "BTCUSDT")  # its ids are the venue's, whatever the socket
    assert not binance.shards[0].exclusive


def test_a_venue_may_limit_the_characters_of_a_socket() -> None:
    market = BYBIT.markets["linear"]
    chars_max = market.limits.topic_chars_per_socket_max
    assert chars_max is not None
    streams = Streams(market, 200)
    for i in range(2_000):
        streams.add("trades", f"VERYLONGNAMEOFACOIN{i:04d}USDT")
    assert all(shard.chars <= chars_max for shard in streams.shards)
    assert len(wanted(streams)) == 2_000


def test_what_the_venue_refused_is_told_of_the_stream() -> None:
    streams = Streams(LINEAR, 100)
    streams.add("trades", "BTCUSDT")
    (shard,) = streams.shards
    assert not streams.is_active("trades", "BTCUSDT")
    shard.refused["btcusdt@aggTrade"] = "Invalid symbol"
    assert streams.refusal("trades", "BTCUSDT") == "Invalid symbol"
    shard.active.add("btcusdt@aggTrade")
    assert streams.is_active("trades", "BTCUSDT")
    streams.renew("trades", "BTCUSDT")
    assert shard.renewals == {"btcusdt@aggTrade"}


def test_limits_without_an_age_are_possible() -> None:
    assert (
        Limits(
            streams_per_socket_max=1,
            streams_per_request_max=1,
            requests_per_s_max=1,
            connections_per_5_min_max=1,
            lifetime_s=math.inf,
        ).lifetime_s
        == math.inf
    )
