"""Binance's order book rebuilt from frames, by the venue's own written rules, and checked."""

from decimal import Decimal


class Broken(AssertionError):  # noqa: N818 - reads as the claim it makes
    """The chain of updates is broken, or the book is crossed."""


class RebuiltBook:
    """One symbol's book: a REST snapshot and the updates around it."""

    def __init__(self, market, snapshot):
        self.is_spot = market == "spot"
        self.last_id = snapshot["lastUpdateId"]
        self.is_first = True
        self.sides = {
            "b": {Decimal(p): Decimal(q) for p, q in snapshot["bids"]},
            "a": {Decimal(p): Decimal(q) for p, q in snapshot["asks"]},
        }

    def apply(self, update):
        """Take in an update; raise Broken if it does not follow."""
        if update["u"] <= self.last_id if self.is_spot else update["u"] < self.last_id:
            return
        if not self._follows(update):
            raise Broken(f"{update['U']}..{update['u']} does not follow {self.last_id}")
        self.is_first, self.last_id = False, update["u"]
        for side, levels in self.sides.items():
            for price, qty in update[side]:
                if Decimal(qty):
                    levels[Decimal(price)] = Decimal(qty)
                else:
                    levels.pop(Decimal(price), None)

    def _follows(self, update):
        if self.is_spot:
            first_ok = update["U"] <= self.last_id + 1 <= update["u"]
            return first_ok if self.is_first else update["U"] == self.last_id + 1
        if self.is_first:
            # The last form is not in the documents: it is what live streams do.
            holds = update["U"] <= self.last_id <= update["u"]
            return holds or update["pu"] == self.last_id
        return update["pu"] == self.last_id

    @property
    def is_crossed(self):
        """Whether the best prices meet."""
        return max(self.sides["b"]) >= min(self.sides["a"])

    def texts(self):
        """Both sides as sorted decimals."""
        return {side: sorted(levels.items()) for side, levels in self.sides.items()}


def of_truth(told):
    """What ``/sim/books`` told, in the same form."""
    return {
        side: sorted((Decimal(p), Decimal(q)) for p, q in told[name])
        for side, name in (("b", "bids"), ("a", "asks"))
    }
