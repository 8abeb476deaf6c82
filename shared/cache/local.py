"""The first level: entries in this process, bounded in number and bytes, the least recently used go first.

Each invalidation that reaches the process is one step of a clock. Who is about to keep an entry says where the clock
stood when they began to read: what was invalidated since is not kept.
"""

import time
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

from shared.cache import metrics
from shared.cache.entry import ALL_TAG, Entry

# Of an entry beside its encoded value: keys, versions, places in the index; measured with sizes of 100 B to 10 kB.
OVERHEAD_BYTES = 900
REMEMBERED_TAGS = 20_000


class Kept:
    """An entry here: good until `until`, and what was read when (`confirmed_at`), all on the monotonic clock."""

    __slots__ = (
        "bytes",
        "confirmed_at",
        "entry",
        "family",
        "fresh_until",
        "refresh_at",
        "stale_until",
        "until",
        "warmed",
    )

    def __init__(self, family: str, entry: Entry[Any], *, confirmed_at: float, until: float, warmed: bool) -> None:
        age_s = entry.age_s()
        self.family = family
        self.entry = entry
        self.bytes = entry.size + OVERHEAD_BYTES
        self.confirmed_at = confirmed_at
        self.fresh_until = confirmed_at + entry.fresh_s - age_s
        self.stale_until = self.fresh_until + entry.stale_s
        self.until = min(until, self.stale_until)
        self.refresh_at = self.fresh_until
        self.warmed = warmed


class LocalLevel:
    """One per process."""

    def __init__(self, *, max_entries: int, max_bytes: int) -> None:
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._kept: OrderedDict[str, Kept] = OrderedDict()
        self._by_tag: dict[str, set[str]] = {}
        self._invalidated: OrderedDict[str, int] = OrderedDict()
        # What is older than the oldest remembered tag is taken for invalidated.
        self._floor = 0
        self.clock = 0
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, name: str) -> Kept | None:
        """The entry of that name, good or not; it counts as used."""
        kept = self._kept.get(name)
        if kept is not None:
            self._kept.move_to_end(name)
        return kept

    def peek(self, name: str) -> Kept | None:
        """The same without counting as used."""
        return self._kept.get(name)

    def keep(self, name: str, kept: Kept, *, since: int) -> bool:
        """Keep an entry that was read when `clock` was `since`; False when it has been invalidated meanwhile."""
        if self.invalidated(kept.entry.versions, since=since) or kept.bytes > self._max_bytes:
            return False
        self._drop(name)
        self._kept[name] = kept
        self.bytes += kept.bytes
        for tag in kept.entry.versions:
            if tag != ALL_TAG:
                self._by_tag.setdefault(tag, set()).add(name)
        metrics.ENTRIES.labels(kept.family).inc()
        metrics.BYTES.labels(kept.family).inc(kept.bytes)
        while len(self._kept) > self._max_entries or self.bytes > self._max_bytes:
            oldest = next(iter(self._kept))
            why = "entries" if len(self._kept) > self._max_entries else "bytes"
            metrics.EVICTIONS.labels(self._kept[oldest].family, why).inc()
            self._drop(oldest)
        return True

    def invalidated(self, tags: Iterable[str], *, since: int) -> bool:
        """Whether one of the tags has been invalidated since `clock` was `since`."""
        if self._floor > since:
            return True
        invalidated = self._invalidated
        return self.clock > since and any(invalidated.get(tag, 0) > since for tag in tags)

    def invalidate(self, tags: Iterable[str]) -> None:
        """Drop whatever has one of these tags."""
        self.clock += 1
        for tag in tags:
            if tag == ALL_TAG:
                self._clear()
            for name in self._by_tag.pop(tag, set()):
                self._drop(name)
            self._invalidated[tag] = self.clock
            self._invalidated.move_to_end(tag)
        while len(self._invalidated) > REMEMBERED_TAGS:
            _, self._floor = self._invalidated.popitem(last=False)

    def forget_all(self) -> None:
        """Drop everything, also what is being read at this moment: invalidations may have been missed."""
        self.clock += 1
        self._floor = self.clock
        self._clear()

    def expire(self) -> None:
        """Drop what is of no use any more, not even when nothing else answers."""
        now = time.monotonic()
        for name in [name for name, kept in self._kept.items() if kept.stale_until <= now]:
            self._drop(name)

    def _clear(self) -> None:
        for name in list(self._kept):
            self._drop(name)

    def _drop(self, name: str) -> None:
        kept = self._kept.pop(name, None)
        if kept is None:
            return
        self.bytes -= kept.bytes
        metrics.ENTRIES.labels(kept.family).dec()
        metrics.BYTES.labels(kept.family).dec(kept.bytes)
        for tag in kept.entry.versions:
            if (names := self._by_tag.get(tag)) is not None:
                names.discard(name)
                if not names:
                    del self._by_tag[tag]
