"""What integrity tells Prometheus: how much is missing, and how old the oldest trust point is."""

from prometheus_client import Counter, Gauge, Histogram

_MARKET = ["exchange", "channel"]

symbols = Gauge("fibstream_integrity_symbols", "Symbols verified in the last run.", _MARKET)
gaps = Gauge("fibstream_integrity_missing_ids", "Missing ids that may still be recovered.", _MARKET)
unrecoverable = Gauge(
    "fibstream_integrity_unrecoverable_ids", "Missing ids that were given up for good.", _MARKET
)
duplicates = Gauge("fibstream_integrity_duplicate_ids", "Ids that several rows hold.", _MARKET)
trusted_age = Gauge(
    "fibstream_integrity_trusted_age_seconds",
    "Since the oldest trust point among the symbols that traded within two days.",
    _MARKET,
)
told = Counter("fibstream_integrity_gaps_told_total", "Ranges told on md.gaps.v1.", _MARKET)
retries = Counter("fibstream_integrity_retries_total", "Runs given up while something was away.")
run = Histogram(
    "fibstream_integrity_run_seconds",
    "From the first look to the last acknowledgement of a run.",
    buckets=(0.1, 0.5, 1, 5, 10, 30, 60, 300, 600, 1_800, 3_600),
)
