"""Exchanges on loopback that speak the real wire protocols, deterministic from a seed.

It imports no stage: a mistake of a parser must not find its twin here.
"""

from simulator.options import SimulatorOptions
from simulator.server import Simulator

__all__ = ["Simulator", "SimulatorOptions"]
