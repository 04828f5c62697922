"""OKX v5: spot, and linear swaps."""

from simulator.dialect import Venue
from simulator.venues.okx.dialect import linear, spot

VENUE = Venue("okx", {"spot": spot, "linear": linear})
