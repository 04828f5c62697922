"""Exchanges on loopback that speak the real wire protocols, deterministic from a seed."""
