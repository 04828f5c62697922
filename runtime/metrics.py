"""The metrics port of a process, and the metrics of supervision."""

import socket

from prometheus_client import Counter, start_http_server

from runtime.errors import Misconfigured
from runtime.ports import port_refused

child_restarts = Counter(
    "fibstream_runtime_child_restarts", "Restarts of a supervised process.", ["child"]
)


def serve_metrics(host: str, port: int) -> int:
    """Serve ``/metrics`` from a thread of this process; return the port (0 asks for a free one)."""
    try:
        server, _ = start_http_server(port, host)
    except socket.gaierror as e:
        raise Misconfigured(
            "STREAMER_METRICS_HOST",
            f"{host!r} is not an address of this machine ({e.strerror})",
            remedy="Set it to an address of this machine, for example 127.0.0.1 or 0.0.0.0.",
        ) from e
    except OSError as e:
        raise port_refused(host, port, "STREAMER_METRICS_PORT", e) from e
    return int(server.server_port)
