"""What a replay read, refused and wrote: told to people, or as one JSON object."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from schemas.streams import KINDS, Kind

REASONS_MAX = 100  # kinds of refusals that are told apart
OTHER = "other reasons"


class Summary:
    """Counts of one replay; the same recordings give the same summary."""

    def __init__(self) -> None:
        self.frames = 0
        self.kinds: Counter[Kind] = Counter()
        """What was told of the market, by kind."""
        self.control: Counter[str] = Counter()
        """What else was read, by the venue's names or shapes."""
        self.duplicates = 0
        self.rows = 0
        self.refused: dict[str, tuple[int, str]] = {}
        """By reason: how often, and where first."""
        self.notes: dict[str, object] = {}
        """What only candles or books have to tell."""

    @property
    def refused_count(self) -> int:
        """Return how many frames were refused."""
        return sum(count for count, _ in self.refused.values())

    def refuse(self, reason: str, where: str) -> None:
        """Count a refusal, and remember where the first of its kind was."""
        if reason not in self.refused and len(self.refused) >= REASONS_MAX:
            reason = OTHER
        count, first = self.refused.get(reason, (0, where))
        self.refused[reason] = count + 1, first

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON."""
        return {
            "frames": self.frames,
            "events": self.kinds.total(),
            "refused": self.refused_count,
            "control": self.control.total(),
            **{kind: self.kinds[kind] for kind in KINDS},
            "control_kinds": dict(self.control.most_common()),
            "duplicates": self.duplicates,
            "rows": self.rows,
            "refusals": [
                {"reason": reason, "count": count, "first": first}
                for reason, (count, first) in self.refused.items()
            ],
            **self.notes,
        }

    def as_text(self) -> str:
        """Return everything for people."""
        lines = [
            f"frames      {self.frames}",
            f"events      {_listed(self.kinds)}",
            f"control     {_listed(self.control)}",
            f"duplicates  {self.duplicates}",
            f"rows        {self.rows}",
            f"refused     {self.refused_count}",
        ]
        lines += [f"  {n} x {reason} (first: {at})" for reason, (n, at) in self.refused.items()]
        lines += [f"{name:<12}{value}" for name, value in self.notes.items()]
        return "\n".join(lines)


def _listed(counts: Mapping[Any, int]) -> str:
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    return ", ".join(f"{kind} {count}" for kind, count in ordered) or "none"
