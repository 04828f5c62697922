"""Binance spot and USD-M futures."""

from simulator.dialect import Venue
from simulator.venues.binance.dialect import linear, spot

VENUE = Venue("binance", {"spot": spot, "linear": linear})
