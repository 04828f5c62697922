"""Who may do what at the gateway: keys, tokens, roles, addresses, limits, and a log of changes."""

from sinks.gateway.security.security import Security

__all__ = ["Security"]
