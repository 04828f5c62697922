"""What can be made wrong with a published file, by market, symbol and day or month."""

import json
from collections.abc import Mapping
from typing import Any

from simulator.archive.published import Published
from simulator.exchange import Exchange
from simulator.faults import BadRequestError

IN_ROWS = frozenset({"short", "duplicates", "disorder", "backwards", "header", "cut"})
"""Faults that make it another file, whose checksum is right."""
FAULTS = IN_ROWS | {"missing", "truncated", "checksum", "broken", "away"}
ONCE = {"broken", "away"}
"""Faults that happen ``count`` times."""
COUNT_MAX = 1_000
TROUBLES_MAX = 10_000
TEXTS = ("exchange", "market", "symbol", "name", "fault")
LAG_H_MAX = 1_000.0

Key = tuple[str, str, str, str]


class ArchiveTroubles:
    """The faults under way; ``lag_h`` is how long after its end a day is published."""

    def __init__(self, lag_h: float) -> None:
        self.lag_h = lag_h
        self._faults: dict[Key, dict[str, int]] = {}

    def of(self, exchange: Exchange, told: Published) -> frozenset[str]:
        """Return what is wrong with a file, for this one answer."""
        found = set()
        for name in (told.name, ""):
            for symbol in (told.symbol.name, ""):
                faults = self._faults.get((exchange.name, exchange.market, symbol, name), {})
                for fault in list(faults):
                    found.add(fault)
                    if fault in ONCE and not told.is_checksum:
                        faults[fault] -= 1
                        if not faults[fault]:
                            del faults[fault]
        return frozenset(found)

    def told(self) -> dict[str, object]:
        """Return all of it."""
        return {
            "lag_h": self.lag_h,
            "faults": [
                dict(zip(TEXTS, (*key, fault), strict=True))
                for key, faults in self._faults.items()
                for fault in faults
            ],
        }

    def change(self, body: bytes, exchanges: Mapping[tuple[str, str], Exchange]) -> None:
        """Do what a request says; ``clear`` takes away what is wrong with those files."""
        wish = _object(body)
        if "lag_h" in wish:
            self.lag_h = _lag_h(wish["lag_h"])
        if "fault" in wish:
            self._change(wish, exchanges)

    def _change(
        self, wish: Mapping[str, Any], exchanges: Mapping[tuple[str, str], Exchange]
    ) -> None:
        exchange, market, symbol, name, fault = (wish.get(text, "") for text in TEXTS)
        if (exchange, market) not in exchanges:
            raise BadRequestError(f"{exchange} {market} is not simulated")
        if symbol and symbol not in exchanges[exchange, market].ledgers:
            raise BadRequestError(f"{symbol} does not trade here")
        key = exchange, market, symbol, name
        if fault == "clear":
            self._faults.pop(key, None)
            return
        count = wish.get("count", 1)
        if fault not in FAULTS:
            raise BadRequestError(f"fault is clear or one of {', '.join(sorted(FAULTS))}")
        if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= COUNT_MAX:
            raise BadRequestError(f"count is a whole number from 1 to {COUNT_MAX}")
        if key not in self._faults and len(self._faults) >= TROUBLES_MAX:
            raise BadRequestError(f"more than {TROUBLES_MAX} files with faults")
        self._faults.setdefault(key, {})[fault] = count


def _lag_h(told: object) -> float:
    if isinstance(told, bool) or not isinstance(told, int | float):
        raise BadRequestError("lag_h is a number")
    if not 0 <= told <= LAG_H_MAX:
        raise BadRequestError(f"lag_h is from 0 to {LAG_H_MAX:g}")
    return float(told)


def _object(body: bytes) -> dict[str, Any]:
    try:
        wish = json.loads(body)
    except ValueError:
        raise BadRequestError("the body is not JSON") from None
    if not isinstance(wish, dict) or not set(wish) <= {*TEXTS, "lag_h", "count"}:
        raise BadRequestError(f"the body has some of {', '.join(TEXTS)}, lag_h, count")
    if any(not isinstance(wish.get(name, ""), str) for name in TEXTS):
        raise BadRequestError(f"{', '.join(TEXTS)} are texts")
    return wish
