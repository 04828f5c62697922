"""Thin Faust agents over the pure engine: read, fold, remember."""
