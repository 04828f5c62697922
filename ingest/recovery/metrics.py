"""What recovery tells Prometheus."""

from prometheus_client import Counter, Gauge, Histogram

_MARKET = ["exchange", "channel"]

open_gaps = Gauge("fibstream_recovery_open_gaps", "Gaps that are known and not settled.", _MARKET)
missing_ids = Gauge("fibstream_recovery_missing_ids", "Ids of the open gaps.", _MARKET)
trades = Counter(
    "fibstream_recovery_trades", "Trades fetched again and published.", [*_MARKET, "source"]
)
pages = Counter("fibstream_recovery_pages", "Pages read.", [*_MARKET, "source"])
gaps = Counter("fibstream_recovery_gaps", "Gaps that were settled, by outcome.", ["outcome"])
retries = Counter("fibstream_recovery_retries", "Steps that failed for now.", ["source"])
refused = Counter(
    "fibstream_recovery_refused", "Trades that 64 bits cannot hold, left out.", _MARKET
)
unreadable = Counter(
    "fibstream_recovery_unreadable", "Records of its topics that could not be read."
)
step_seconds = Histogram(
    "fibstream_recovery_step_seconds",
    "From the first request of a step to its last trade's acknowledgement.",
    ["source"],
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800),
)
seconds_to_deadline = Gauge(
    "fibstream_recovery_seconds_to_deadline",
    "Until the venue's REST no longer gives the most urgent gap; below 0 it is too late.",
)
