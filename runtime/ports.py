"""Free and taken ports of this machine.

A port found free may be taken a moment later; only the server that binds it knows for certain.
"""

import socket

from runtime.errors import Misconfigured


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def check_port(host: str, port: int, setting: str) -> None:
    """Raise Misconfigured naming ``setting`` when ``host:port`` cannot be listened on."""
    if port == 0:
        return
    with socket.socket() as probe:
        # As servers do: a port that only lingers after its owner's death is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as e:
            raise port_refused(host, port, setting, e) from e


def port_refused(host: str, port: int, setting: str, reason: OSError) -> Misconfigured:
    """Return the operator's error for a ``host:port`` that refused to be bound."""
    return Misconfigured(
        setting,
        f"cannot listen on {host}:{port} ({reason.strerror or reason})",
        remedy=f"Stop what uses port {port} (`ss -ltnp` or `lsof -i :{port}` names it), "
        f"or set {setting} to another port.",
    )
