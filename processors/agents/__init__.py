"""Thin Faust agents over pure folds: read, fold, remember."""
