"""The folds of a worker by name, as ``STREAMER_PROCESS_AGENTS`` chooses them."""

from collections.abc import Callable, Sequence

from processors.agents.measured import CountedReconciliations, Klines
from processors.books import Books
from processors.fold import Fold
from processors.stats.fold import Stats
from processors.tickers import Tickers
from processors.ticks import Ticks
from processors.venue.klines import VenueKlines
from runtime.errors import Misconfigured
from runtime.settings import Settings
from schemas.bars import parse_bar_sizes
from schemas.intervals import parse_intervals


def _klines(settings: Settings) -> Fold:
    return Klines(
        parse_intervals(settings.kline_intervals),
        grace_ms=settings.aggregator_waiter_latency_ms,
        live_every_ms=settings.live_update_interval_ms,
        closes_quiet=settings.aggregator_waiter_mode_enabled,
        empty=settings.empty_candles,
        bars=parse_bar_sizes(settings.bars),
    )


def _venue_klines(settings: Settings) -> Fold:
    return VenueKlines(
        parse_intervals(settings.kline_intervals), live_every_ms=settings.live_update_interval_ms
    )


FOLDS: dict[str, Callable[[Settings], Fold]] = {
    "klines": _klines,
    "venue-klines": _venue_klines,
    "tickers": lambda settings: Tickers(settings.live_update_interval_ms),
    "books": lambda s: Books(s.live_update_interval_ms, s.book_snapshot_levels),
    "stats": lambda _: Stats(),
    "ticks": lambda settings: Ticks(settings.live_update_interval_ms),
    "reconciliation": lambda s: CountedReconciliations(parse_intervals(s.kline_intervals)),
}
# In klines mode the exchange's own candles take the place of ours: nothing is left to compare.
IN_KLINES_MODE = {"klines": "venue-klines", "reconciliation": ""}


def chosen_folds(settings: Settings) -> Sequence[Fold]:
    """Return the folds that the settings ask for; raise Misconfigured."""
    names = chosen_names(settings)
    for name in names:
        if name not in FOLDS:
            raise Misconfigured(
                "STREAMER_PROCESS_AGENTS",
                f"there is no agent {name!r}",
                remedy=f"Known: {', '.join(FOLDS)}",
            )
    if not names:
        raise Misconfigured(
            "STREAMER_PROCESS_AGENTS", "names no agent", remedy=f"Known: {', '.join(FOLDS)}"
        )
    return [FOLDS[name](settings) for name in names]


def chosen_names(settings: Settings) -> Sequence[str]:
    """Return the names of the agents that run, each once."""
    names = list(settings.process_agents)
    if settings.aggregator_mode == "klines":
        names = [IN_KLINES_MODE.get(name, name) for name in names]
    return [name for name in dict.fromkeys(names) if name]
