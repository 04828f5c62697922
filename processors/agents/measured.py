"""Folds with metrics of their own: a fold itself knows of no Prometheus."""

from typing import Protocol, runtime_checkable

from processors import metrics
from processors.engine.engine import Engine
from processors.venue import metrics as venue_metrics
from processors.venue.reconciliation import Reconciliations


@runtime_checkable
class Measured(Protocol):
    """A fold that tells what it has counted."""

    def measure(self) -> None:
        """Tell it; called once a checkpoint."""


class Klines(Engine):
    """The engine, and what it tells Prometheus."""

    def measure(self) -> None:
        """Tell what was folded since the last call."""
        metrics.trades.inc(self.take_trade_count())
        metrics.uncut.inc(self.take_uncut_count())
        metrics.duplicates.set(self.count_duplicates())
        metrics.symbols.set(sum(1 for _ in self._all()))


class CountedReconciliations(Reconciliations):
    """The comparison, and what it tells Prometheus."""

    def measure(self) -> None:
        """Tell the verdicts since the last call."""
        venue_metrics.count(self.take_counts())
