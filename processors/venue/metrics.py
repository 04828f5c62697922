"""What reconciliation tells Prometheus; a replay after a crash counts its rows again."""

from collections.abc import Mapping

from prometheus_client import Counter

candles = Counter(
    "fibstream_reconciliation_verdicts_total",
    "Verdicts on closed candles beside the exchange's own.",
    ["exchange", "verdict", "explanation"],
)


def count(counts: Mapping[tuple[str, str, str], int]) -> None:
    """Add what ``Reconciliations.take_counts`` returned."""
    for (exchange, verdict, explanation), number in counts.items():
        candles.labels(exchange, verdict, explanation or "none").inc(number)
