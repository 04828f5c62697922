"""The generated tables about venues: channels, rules and limits, straight from the registry."""

import math
from collections.abc import Iterator, Sequence

from ingest.exchanges import EXCHANGES
from ingest.exchanges.base import Exchange, Limits, Market
from schemas.trades import IdRule

Row = tuple[str, ...]
Listed = Sequence[tuple[Exchange, Market]]

PROOF: dict[IdRule, str] = {
    "dense": "dense: the id grows by one. Candles are `proven`, missing ids are named",
    "range": "range: the first id is the last one's end + 1. Candles are `proven`, "
    "missing ids are named",
    "unique": "unique: ids only tell trades apart. Candles are `assumed`",
}
INTRO = """\
# Tables of venues

From the registry, `ingest/exchanges/`; [venues.md](venues.md) says what the numbers do not.
"""


def venue_tables() -> str:
    """Return the page."""
    listed = [(e, m) for e in EXCHANGES.values() for m in e.markets.values()]
    lines = [
        INTRO,
        "## Channels\n",
        *_table(("market", "kind", "the venue's channel", "path or period"), _channels(listed)),
        "\n## Ids and books\n",
        *_table(
            ("market", "trade ids", "book snapshot", "levels a side", "book checksum"),
            _rules(listed),
        ),
        "\n## Limits that are kept\n",
        "Never more than the venue documents. REST requests are weighed in its own units, and four",
        "fifths of the weight below are used.\n",
        *_table(
            (
                *("market", "streams a socket", "streams a request", "requests"),
                *("connection attempts", "a connection ends", "REST weight", "our ping"),
            ),
            _limits(listed),
        ),
        "",
    ]
    return "\n".join(lines)


def _name(exchange: Exchange, market: Market) -> str:
    return f"{exchange.name} {market.channel}"


def _channels(listed: Listed) -> Iterator[Row]:
    for exchange, market in listed:
        name = _name(exchange, market)
        for offer in market.subscriptions:
            topics = ", ".join(f"`{topic}`" for topic in offer.topics("SYMBOL"))
            yield name, offer.kind, topics, f"`{offer.path}`"
        for poll in market.polls:
            yield name, poll.kind, f"`{poll.request('SYMBOL').path}`", f"every {poll.every_s:g} s"


def _rules(listed: Listed) -> Iterator[Row]:
    for exchange, market in listed:
        rule = market.book
        if rule is None:
            yield _name(exchange, market), PROOF[market.ids], "", "", ""
            continue
        source = "REST" if rule.snapshot else "the stream"
        signed = "compared where it is told" if rule.checksum else "none"
        yield _name(exchange, market), PROOF[market.ids], source, f"{rule.depth or 'all'}", signed


def _limits(listed: Listed) -> Iterator[Row]:
    for exchange, market in listed:
        limits, budget, ping = market.limits, market.rest_budget, exchange.heartbeat
        yield (
            _name(exchange, market),
            _of_socket(limits),
            str(limits.streams_per_request_max),
            _requests(limits),
            f"{limits.connections_per_5_min_max} in 5 min",
            "at no age" if math.isinf(limits.lifetime_s) else f"after {limits.lifetime_s:g} s",
            f"{budget.weight_max} in {budget.window_s:g} s",
            f"`{ping.frame.decode()}` every {ping.interval_s:g} s" if ping else "answers theirs",
        )


def _of_socket(limits: Limits) -> str:
    chars = limits.topic_chars_per_socket_max
    return f"{limits.streams_per_socket_max}" + (f", {chars} characters" if chars else "")


def _requests(limits: Limits) -> str:
    hour = limits.requests_per_hour_max
    return f"{limits.requests_per_s_max} in 1 s" + (f", {hour} in 1 h" if hour else "")


def _table(titles: Row, rows: Iterator[Row]) -> Iterator[str]:
    yield f"| {' | '.join(titles)} |"
    yield f"| {' | '.join('---' for _ in titles)} |"
    for row in rows:
        yield f"| {' | '.join(row)} |"
