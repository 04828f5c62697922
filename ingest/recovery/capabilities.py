"""What each venue can give of its past, by REST and from its archive: the planner's table.

Documents, not measurements: a venue that gives less answers with holes, which are named.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from ingest.recovery.past import ByIds, ByTime, Newest, Past
from ingest.recovery.venues import binance, bybit, hyperliquid, kraken, okx
from runtime.errors import Misconfigured
from schemas.trades import Channel

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class Capability:
    """The reach of one market."""

    rest: Past | None
    rest_depth_ms: int | None
    """How old a trade may be; None: no limit is known. Of ``Newest``: its rows are the limit."""
    rest_weight: int
    """Of one page."""
    archive_lag_ms: int | None = None
    """From the end of a UTC day until its file is there; None: there is no archive that we read."""

    @property
    def page_rows(self) -> int:
        """Return how many trades one page holds at most."""
        return self.rest.page_rows_max if self.rest else 1

    @property
    def is_by_id(self) -> bool:
        """Say whether REST can be asked for ids."""
        return isinstance(self.rest, ByIds)

    @property
    def is_newest_only(self) -> bool:
        """Say whether REST only tells the newest trades."""
        return isinstance(self.rest, Newest)

    @property
    def is_by_time(self) -> bool:
        """Say whether REST can be asked for times alone."""
        return isinstance(self.rest, ByIds | ByTime)


CAPABILITIES: Mapping[tuple[str, Channel], Capability] = {
    # By fromId, from the first trade on. Daily files "the next day", sums beside them:
    # https://github.com/binance/binance-public-data
    ("binance", "spot"): Capability(
        rest=binance.SPOT,
        rest_depth_ms=None,
        rest_weight=25,
        archive_lag_ms=10 * HOUR_MS,
    ),
    # "Not older than 24 hours" (2026-05), a year before that, and practice differs: 24 h is what
    # can be planned with. Between that and a late file nothing helps.
    ("binance", "linear"): Capability(
        rest=binance.LINEAR,
        rest_depth_ms=DAY_MS,
        rest_weight=20,
        archive_lag_ms=10 * HOUR_MS,
    ),
    # recent-trade: 60 rows of spot, 1,000 of the others, no cursor. https://public.bybit.com
    ("bybit", "spot"): Capability(
        rest=bybit.SPOT, rest_depth_ms=None, rest_weight=1, archive_lag_ms=24 * HOUR_MS
    ),
    ("bybit", "linear"): Capability(
        rest=bybit.LINEAR, rest_depth_ms=None, rest_weight=1, archive_lag_ms=24 * HOUR_MS
    ),
    # history-trades: three months. https://www.okx.com/historical-data
    ("okx", "spot"): Capability(
        rest=okx.PAST, rest_depth_ms=90 * DAY_MS, rest_weight=1, archive_lag_ms=48 * HOUR_MS
    ),
    ("okx", "linear"): Capability(
        rest=okx.PAST, rest_depth_ms=90 * DAY_MS, rest_weight=1, archive_lag_ms=48 * HOUR_MS
    ),
    # recentTrades tells the newest; the archive of fills is no public download.
    ("hyperliquid", "linear"): Capability(
        rest=hyperliquid.PAST, rest_depth_ms=None, rest_weight=hyperliquid.WEIGHT
    ),
    # Trades since any time, all of it; the archive is one file a quarter.
    ("kraken", "spot"): Capability(rest=kraken.PAST, rest_depth_ms=None, rest_weight=1),
}


def capability(exchange: str, channel: Channel) -> Capability:
    """Return what a market can give; raise Misconfigured where it is not in the table."""
    found = CAPABILITIES.get((exchange, channel))
    if found is None:
        known = ", ".join(sorted(f"{name} {kind}" for name, kind in CAPABILITIES))
        raise Misconfigured(
            "--channel", f"{exchange} has no past of {channel} trades", remedy=f"Known: {known}."
        )
    return found
