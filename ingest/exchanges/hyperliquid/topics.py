"""Our topics to the venue's subscription objects, and back: ``{"type":"trades","coin":"BTC"}``."""

from collections.abc import Mapping

WITH_INTERVAL = "candle"


def subscription_of(topic: str) -> dict[str, str]:
    """Return the object of a topic; only a candle's topic ends with an interval."""
    kind, _, coin = topic.partition(":")
    if kind != WITH_INTERVAL:
        return {"type": kind, "coin": coin}
    coin, _, interval = coin.rpartition(":")
    return {"type": kind, "coin": coin, "interval": interval}


def topic_of(subscription: object) -> str:
    """Return the topic of an object, or "" for what we never subscribe.

    The venue repeats the object with more fields than it was asked with (``nSigFigs``, ``fast``).
    """
    if not isinstance(subscription, Mapping):
        return ""
    kind, coin = subscription.get("type"), subscription.get("coin")
    if not (isinstance(kind, str) and isinstance(coin, str)):
        return ""
    if kind != WITH_INTERVAL:
        return f"{kind}:{coin}"
    interval = subscription.get("interval")
    return f"{kind}:{coin}:{interval}" if isinstance(interval, str) else ""
