"""What alerts count. A crossing is delivered to each target, or ends among the dead letters."""

from prometheus_client import Counter, Gauge, Histogram

RULES = Gauge("fibstream_alerts_rules", "Rules that are judged.")
STATES = Gauge("fibstream_alerts_states", "Rules and subjects that are remembered.")
CROSSINGS = Counter(
    "fibstream_alerts_crossings",
    "What became of crossings: fired, cooled (too soon after the last), left out (too many).",
    ["kind", "outcome"],
)
DELIVERIES = Counter(
    "fibstream_alerts_deliveries",
    "Messages to targets: delivered, failed (tried again later), dead.",
    ["outcome"],
)
WAITING = Gauge("fibstream_alerts_waiting_crossings", "Crossings not told to all targets yet.")
DELAY = Histogram(
    "fibstream_alerts_delivery_seconds",
    "From the event to its delivery, of the oldest crossing of a message.",
    buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800, 3_600),
)
RECORDS = Counter("fibstream_alerts_records", "Records judged.", ["topic"])
REFUSED = Counter("fibstream_alerts_refused_records", "Records that cannot be read.", ["topic"])
RETRIES = Counter("fibstream_alerts_retries", "Writes repeated while Kafka was away.")
