"""What the gateway's guard counts."""

from prometheus_client import Counter, Gauge

DENIED = Counter("fibstream_gateway_denied_calls", "Calls that were not let in.", ["kind"])
UNAUDITED = Counter(
    "fibstream_gateway_unaudited_calls", "Audit entries that are only in the log, not on the topic."
)
KEYS = Gauge("fibstream_gateway_live_keys", "API keys on the topic that open something.")
UNSHARED = Gauge(
    "fibstream_gateway_rates_unshared", "1: Redis is away, and each gateway counts alone."
)
HALF_OPEN = Gauge(
    "fibstream_gateway_half_open_connections",
    "Connections that have not said what they want.",
    ["waits_for"],
)
EVICTED = Counter(
    "fibstream_gateway_evicted_connections",
    "Connections ended before they said what they want.",
    ["reason"],
)
