import urllib.request

import pytest

from runtime.errors import Misconfigured
from runtime.metrics import child_restarts, serve_metrics


def test_metrics_are_served_on_a_free_port_and_a_taken_one_is_refused():
    port = serve_metrics("127.0.0.1", 0)
    child_restarts.labels("unit").inc()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        body = answer.read().decode()
    assert 'fibstream_runtime_child_restarts_total{child="unit"}' in body
    with pytest.raises(Misconfigured) as refused:
        serve_metrics("127.0.0.1", port)
    assert refused.value.setting == "STREAMER_METRICS_PORT"
    assert str(port) in refused.value.problem


def test_a_host_that_is_no_address_is_refused():
    with pytest.raises(Misconfigured) as refused:
        serve_metrics("not an address", 0)
    assert refused.value.setting == "STREAMER_METRICS_HOST"
