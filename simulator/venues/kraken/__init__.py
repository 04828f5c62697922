"""A simulated Kraken: spot, WebSocket v2."""

from simulator.dialect import Venue
from simulator.venues.kraken.dialect import Spot

VENUE = Venue("kraken", {"spot": Spot})
