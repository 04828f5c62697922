"""Bybit v5, spot and linear."""

from simulator.dialect import Venue
from simulator.venues.bybit.dialect import linear, spot

VENUE = Venue("bybit", {"spot": spot, "linear": linear})
