"""The names of Bybit's public topics, and the streams of the simulator behind them."""

from simulator.feeds import Kind, Stream

DAY_MS = 86_400_000
INTERVALS_MS = {str(n): n * 60_000 for n in (1, 3, 5, 15, 30, 60, 120, 240, 360, 720)} | {
    "D": DAY_MS,
    "W": 7 * DAY_MS,
}
DEPTHS_MS = {"1": 100, "50": 100, "200": 100, "1000": 200}
"""Levels a side to how often a change is told; the simulated books move every 100 ms."""
_KINDS: dict[str, Kind] = {
    "publicTrade": "trades",
    "orderbook": "books",
    "tickers": "tickers",
    "kline": "venue-klines",
    "allLiquidation": "liquidations",
}
_WORDS = {kind: word for word, kind in _KINDS.items()}
_PARAMETERS = {"orderbook": frozenset(DEPTHS_MS), "kline": frozenset(INTERVALS_MS)}


def stream_of(topic: str, *, is_linear: bool) -> Stream | None:
    """Return the stream of a topic, or None where this market has no such topic."""
    word, _, rest = topic.partition(".")
    parameter = ""
    if word in _PARAMETERS:
        parameter, _, rest = rest.partition(".")
        if parameter not in _PARAMETERS[word]:
            return None
    if word not in _KINDS or (word == "allLiquidation" and not is_linear):
        return None
    return Stream(_KINDS[word], rest, parameter)


def topic_of(stream: Stream) -> str:
    """Return the topic of a stream."""
    parts = (_WORDS[stream.kind], stream.parameter, stream.symbol)
    return ".".join(part for part in parts if part)
