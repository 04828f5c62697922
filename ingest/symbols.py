"""Which symbols to stream: those of the settings, checked, or all, busiest first."""

import difflib
from collections.abc import Mapping, Sequence

import structlog

from ingest.exchanges.base import Instrument
from runtime.errors import Misconfigured
from schemas.trades import Channel

logger = structlog.get_logger(__name__)

SETTING = "STREAMER_EXCHANGE_SYMBOLS"
Instruments = Mapping[Channel, Sequence[Instrument]]
Chosen = dict[Channel, list[Instrument]]


def configured(instruments: Instruments, wanted: Sequence[str]) -> Chosen:
    """Return the wanted symbols per channel; each must trade on at least one of them."""
    if not wanted:
        raise Misconfigured(SETTING, "no symbol is set", remedy="For example BTCUSDT,ETHUSDT.")
    known = {c: {i.symbol: i for i in listed} for c, listed in instruments.items()}
    chosen: Chosen = {channel: [] for channel in instruments}
    for symbol in dict.fromkeys(wanted):
        found = {c: table[symbol] for c, table in known.items() if symbol in table}
        if not found:
            raise _unknown(symbol, known)
        streamed = {c: i for c, i in found.items() if i.is_streamed}
        if not streamed:
            raise _not_trading(symbol, found)
        for channel in known:
            if channel in streamed:
                chosen[channel].append(streamed[channel])
            else:
                logger.warning("symbol_not_streamed", symbol=symbol, channel=channel)
    return chosen


def busiest(
    instruments: Instruments,
    activity: Mapping[Channel, Mapping[str, float]],
    limit: int | None,
) -> Chosen:
    """Return every streamed symbol per channel, by trades, at most ``limit`` a channel."""
    chosen: Chosen = {}
    for channel, listed in instruments.items():
        counts = activity.get(channel, {})
        streamed = [i for i in listed if i.is_streamed]
        streamed.sort(key=lambda i: (-counts.get(i.symbol, 0), i.symbol))
        chosen[channel] = streamed[:limit]
    if not any(chosen.values()):
        raise Misconfigured(
            "STREAMER_EXCHANGE_LOAD_ALL_SYMBOLS",
            f"no symbol trades on {' and '.join(instruments)}",
            remedy="Enable another channel.",
        )
    return chosen


def _unknown(symbol: str, known: Mapping[Channel, Mapping[str, Instrument]]) -> Misconfigured:
    names = sorted(set().union(*known.values()))
    near = difflib.get_close_matches(symbol.upper().replace("/", ""), names, n=3, cutoff=0.5)
    guess = f"Did you mean {', '.join(near)}?" if near else "Use the names of the exchange."
    return Misconfigured(
        SETTING, f"unknown symbol {symbol!r} on {' and '.join(known)}", remedy=guess
    )


def _not_trading(symbol: str, found: Mapping[Channel, Instrument]) -> Misconfigured:
    states = ", ".join(f"{channel}: {i.status}" for channel, i in found.items())
    return Misconfigured(
        SETTING,
        f"{symbol!r} is no trading symbol of a streamed kind ({states})",
        remedy="Take it out, or enable the channel that it trades on.",
    )
