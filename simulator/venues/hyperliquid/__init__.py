"""A simulated Hyperliquid: perpetuals."""

from simulator.dialect import Venue
from simulator.venues.hyperliquid.dialect import Perpetuals

VENUE = Venue("hyperliquid", {"linear": Perpetuals})
