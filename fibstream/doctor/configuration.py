"""Checks of what is written in the environment and in ``.env``; nothing is connected to."""

import difflib
import os
import re
from collections.abc import Iterable, Sequence

from dotenv import dotenv_values
from pydantic import ValidationError

from fibstream.doctor.finding import Finding, ok, refused, warn
from fibstream.machine import CONSUMERS
from ingest import endpoints
from ingest.exchanges import EXCHANGES
from ingest.exchanges import exchange as exchange_named
from ingest.exchanges.base import Market
from ingest.plan import Share, enabled, kinds
from runtime.errors import Misconfigured
from runtime.kafka import parse_bootstrap
from runtime.settings import Settings
from schemas.bars import BadBarSize, parse_bar_sizes
from schemas.intervals import BadInterval, parse_intervals
from schemas.streams import Kind
from sinks.clickhouse.store import address_of

PREFIX = "STREAMER_"


def read_settings() -> tuple[Settings, list[Finding]]:
    """Return the settings, defaults in place of bad ones, and a finding for each bad one."""
    try:
        return Settings(), []  # type: ignore[call-arg] # every field has a default
    except ValidationError as e:
        findings, defaults = [], {}
        for error in e.errors():
            field = str(error["loc"][0])
            about = Settings.model_fields[field]
            defaults[field] = about.default
            got = f" (got {error['input']!r})" if about.repr else ""
            findings += refused("settings", _wrong(field, f"{error['msg']}{got}"))
        return Settings(**defaults), findings


def _wrong(field: str, problem: str) -> Misconfigured:
    about = Settings.model_fields[field]
    purpose = f" {about.description}" if about.description else ""
    remedy = f"Correct it in the environment or in .env; default: {about.default!s}.{purpose}"
    return Misconfigured(PREFIX + field.upper(), problem, remedy=remedy)


async def settings(settings: Settings) -> Sequence[Finding]:
    """Find what is readable, but means nothing."""
    findings: list[Finding] = []
    checks = (_intervals, _bars, _symbols, _consumers, _venue, _kinds, _kafka, _clickhouse)
    for check in checks:
        try:
            check(settings)
        except Misconfigured as e:
            findings += refused("settings", e)
    if findings:
        return findings
    made = ", ".join(i.text for i in parse_intervals(settings.kline_intervals))
    return ok("settings", f"{settings.exchange}; candles of {made}")


def _intervals(settings: Settings) -> None:
    for text in settings.kline_intervals or ("",):
        try:
            parse_intervals([text])
        except BadInterval as e:
            remedy = "Example: 1s,1m,15m,1D,173m,1w@mon,fibonacci"
            raise Misconfigured(PREFIX + "KLINE_INTERVALS", str(e), remedy=remedy) from e


def _bars(settings: Settings) -> None:
    try:
        parse_bar_sizes(settings.bars)
    except BadBarSize as e:
        raise Misconfigured(PREFIX + "BARS", str(e), remedy="Example: tick:1000,volume:50") from e


def _symbols(settings: Settings) -> None:
    name = PREFIX + "EXCHANGE_SYMBOLS"
    venue = EXCHANGES.get(settings.exchange)
    if settings.exchange_load_all_symbols or venue is None:  # _venue tells of the second
        return
    if not settings.exchange_symbols:
        raise Misconfigured(name, "no symbol is set", remedy="For example BTCUSDT,ETHUSDT.")
    forms = [re.compile(market.symbol_form) for market in venue.markets.values()]
    odd = [s for s in settings.exchange_symbols if not any(f.fullmatch(s) for f in forms)]
    if odd:
        meant = [_meant(symbol, forms) for symbol in odd]
        guess = f"Did you mean {','.join(meant)}? " if all(meant) else ""
        problem = f"{', '.join(odd)}: not the way {settings.exchange} names its symbols"
        raise Misconfigured(name, problem, remedy=f"{guess}docs/venues.md has examples.")


def _meant(symbol: str, forms: Sequence[re.Pattern[str]]) -> str:
    pair = symbol.partition(":")[0].upper()
    near = (pair, re.sub(r"[\s/\-]", "", pair), re.sub(r"[\s/]", "-", pair))
    return next((n for n in near if any(form.fullmatch(n) for form in forms)), "")


def _consumers(settings: Settings) -> None:
    for name in settings.enabled_consumers:
        if name not in CONSUMERS:
            remedy = f"{_guess(name, CONSUMERS)}Known: {', '.join(CONSUMERS)}."
            problem = f"there is no consumer {name!r}"
            raise Misconfigured(PREFIX + "ENABLED_CONSUMERS", problem, remedy=remedy)


def _venue(settings: Settings) -> None:
    exchange = exchange_named(settings.exchange)
    for market in enabled(settings, exchange):
        endpoints.rest(settings, market)
        endpoints.socket(settings, market)
    Share(settings, exchange)


def _kinds(settings: Settings) -> None:
    kinds(settings)


def _kafka(settings: Settings) -> None:
    if settings.kafka_bootstrap:
        parse_bootstrap(settings.kafka_bootstrap)


def _clickhouse(settings: Settings) -> None:
    address_of(settings)


async def streams(settings: Settings) -> Sequence[Finding]:
    """Find kinds that are named, and that no enabled market of the exchange has."""
    try:
        venue = exchange_named(settings.exchange)
        markets, wanted = enabled(settings, venue), kinds(settings)
    except Misconfigured:
        return []  # the settings check has said so
    had = {kind for market in markets for kind in _kinds_of(market)}
    told = [f"{m.channel} {', '.join(k for k in _kinds_of(m) if k in wanted)}" for m in markets]
    lacking = [kind for kind in wanted if kind not in had]
    if lacking and "all" not in settings.stream_kinds:
        finding = (
            f"{venue.name} has no {', '.join(lacking)} on {' or '.join(m.channel for m in markets)}"
        )
        return warn(
            "streams", finding, f"Streamed are: {'; '.join(told)}. docs/venues.md has a table."
        )
    return ok("streams", f"{venue.name}: {'; '.join(told)}; share {settings.exchange_share}")


async def unknown_variables(_settings: Settings) -> Sequence[Finding]:
    """Find names that look like settings and are none: most often a slip of the pen."""
    known = [name.upper() for name in Settings.model_fields]
    places = {"the environment": os.environ.keys(), ".env": dotenv_values(".env").keys()}
    findings: list[Finding] = []
    for place, names in places.items():
        for name in sorted(names):
            bare = name.upper().removeprefix(PREFIX)
            if bare == name.upper() or bare in known:
                continue
            remedy = _guess(bare, known, PREFIX) or "`.env.example` lists all. "
            told = f"{name} in {place} is no setting"
            findings += warn("unknown variables", told, remedy + "Else take it out.")
    return findings or ok("unknown variables", "none")


def _kinds_of(market: Market) -> Sequence[Kind]:
    """Return what a market tells, by socket or by poll."""
    return [*(s.kind for s in market.subscriptions), *(p.kind for p in market.polls)]


def _guess(name: str, known: Iterable[str], prefix: str = "") -> str:
    near = difflib.get_close_matches(name, list(known), n=2, cutoff=0.7)
    return f"Did you mean {' or '.join(prefix + each for each in near)}? " if near else ""
