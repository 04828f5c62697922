"""The layout of the tables as the settings ask for it."""

from runtime.errors import Misconfigured
from runtime.settings import Settings
from schemas.clickhouse.cluster import CLUSTER_NAME
from schemas.clickhouse.layout import TIMES, Layout


def layout_of(settings: Settings) -> Layout:
    """Return the layout; raise Misconfigured for a cluster's name that is none."""
    cluster = settings.clickhouse_cluster
    if cluster and not CLUSTER_NAME.fullmatch(cluster):
        raise Misconfigured(
            "STREAMER_CLICKHOUSE_CLUSTER",
            f"{cluster!r} is no name of a cluster",
            remedy="Take it from remote_servers in the configuration of the servers.",
        )
    days = {table: getattr(settings, f"clickhouse_ttl_{table}_days") for table in TIMES}
    return Layout(cluster=cluster, keep_days=days)


def embedded_layout(settings: Settings) -> Layout:
    """Return the layout of chDB; raise Misconfigured where a cluster is asked for."""
    layout = layout_of(settings)
    if layout.cluster:
        raise Misconfigured(
            "STREAMER_CLICKHOUSE_CLUSTER",
            "is set, and STREAMER_CLICKHOUSE_URL is not: chDB is no cluster",
            remedy="Set STREAMER_CLICKHOUSE_URL to any server of the cluster.",
        )
    return layout
