"""Order books: kept whole by their venue's rule, or declared void; never silently wrong.

How a market uses it::

    keeping = BookKeeping(market.book, instrument=instruments.get)
    fetcher = SnapshotFetcher(keeping, fetch=fetch, budget=budget)  # where market.book.snapshot
    ...                                     # run fetcher.run() beside the feed
    keeping.take(row, recv_ns, source)      # every BookRow, untouched: not through Market.in_base;
    ...                                     # source: a name of the connection that no other has
    keeping.pulse(now_ns)                   # a few times a second: pauses, crossed books, snapshots
    out = keeping.drain()                   # every tick: publish out.updates and out.gaps,
    fetcher.ask(out.fetch)                  # fetch, and subscribe out.resubscribe again
    keeping.drop(symbols)                   # no connection carries them any more
    keeping.forget(symbols)                 # they are no longer wanted

A keeper (``keeper.py``) is a pure state machine of one symbol. Its book is *live*, and every
update is published; or it is *void*: nothing is published, updates wait for a REST snapshot (or are
dropped where a new subscription brings one), and the snapshot is asked for once, then after 1 s
doubling to 30 s, and not before 5 s where no answer came. What makes a book void: a hole in the
chain, a wrong checksum, an unreadable level, ids that only go back for 3 s, and best prices that
meet for 1 s. Each time is a ``StreamGap`` found and, when the next snapshot stands, recovered.

While an old connection and its successor overlap, the book follows the one whose snapshot came
last. Where snapshots come by REST it follows both, and the venue's rule drops what it has.

In what is published ``prev_id`` is the ``last_id`` of the update before it, and the scales change
with snapshots only, so that a reader starts at a snapshot and applies deltas as they are.
"""

from ingest.books.book import Book
from ingest.books.keeper import BookKeeper, Outcome
from ingest.books.keeping import BookKeeping, Drained
from ingest.books.snapshots import SnapshotFetcher

__all__ = ["Book", "BookKeeper", "BookKeeping", "Drained", "Outcome", "SnapshotFetcher"]
