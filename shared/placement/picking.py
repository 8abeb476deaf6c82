"""The choice among workers: the better of two random ones of the nearest zone, and of all of them where luck fails."""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from random import Random

import msgspec

from shared.placement.records import Book, Considered, FleetView, NoWorkerAvailable, Superseded, Verdict
from shared.placement.steps import ReadBooks, Steps, judge
from shared.placement.zones import zone_distance

# Pairs that are drawn before the books of all are read, and tickets that a pair may cost.
_DRAWS = 2
_TICKETS = 8
# So few are cheap to read: what is known of them is never old.
_FEW = 16
# Of a fleet of hundreds, an explanation names the first that were looked at.
_REMEMBERED = 16

Attempt = Callable[[str], Steps[Verdict]]


class Wish(msgspec.Struct, frozen=True):
    """What a session asks for: near which zone, on which worker if that can be, and on which by no means."""

    zone: str = ""
    sticky: str = ""
    avoid: frozenset[str] = frozenset()


class Picking:
    """Chooses among workers for one session, and remembers what was looked at."""

    def __init__(self, view: FleetView, wish: Wish, random: Random) -> None:
        self._view = view
        self._wish = wish
        self._random = random
        self._seen: dict[str, Considered] = {}
        # By their reports already.
        self._full: set[str] = set()
        # Read once for a decision: what has changed since, the commit finds out.
        self._books: dict[str, Book] = {}

    @property
    def considered(self) -> tuple[Considered, ...]:
        """Who was looked at, in that order."""
        return tuple(self._seen.values())

    def may(self, worker: str) -> bool:
        """Whether the worker comes into question at all."""
        return self._view.takes(worker) and worker not in self._wish.avoid

    def rings(self) -> Iterator[Sequence[str]]:
        """All workers, those of the nearest zone first, then those of the next."""
        zones = self._view.zones
        distances = {zone: zone_distance(self._wish.zone, zone) for zone in zones}
        for distance in sorted(set(distances.values())):
            ring = [zones[zone] for zone, found in distances.items() if found == distance]
            yield ring[0] if len(ring) == 1 else [worker for workers in ring for worker in workers]

    def first(
        self,
        pool: Sequence[str],
        ask_pps: int,
        share: float,
        attempt: Attempt,
        suits: Callable[[str], bool] = lambda _: True,
        *,
        fresh: bool = False,
    ) -> Steps[str]:
        """The first of those of the pool that `suits` who takes the session; empty where none does.

        `fresh`: also what is known of the whole pool must not be a moment old.
        """
        loads = self._view.loads

        def fits(worker: str) -> bool:
            return loads[worker] < share and self.may(worker) and suits(worker)

        tried: set[str] = set()
        for _ in range(_DRAWS):
            pair = self._draw(pool, fits, tried)
            if len(pair) < 2:
                break
            worker = yield from self._best(pair, ask_pps, share, attempt, fresh=True)
            if worker:
                return worker
            tried.update(pair)
        # All are read, so that no worker that would do is missed.
        left = [worker for worker in pool if worker not in tried and fits(worker)]
        self._full.update(worker for worker in pool if loads[worker] >= share)
        if not left:
            return ""
        return (yield from self._best(left, ask_pps, share, attempt, fresh=fresh or len(left) <= _FEW))

    def refusal(self) -> NoWorkerAvailable:
        """The error that says what stands against whom."""
        verdicts = Counter(
            Verdict.DRAINING if not self._view.takes(worker) else seen.verdict if seen else Verdict.FULL
            for worker in self._view.workers
            if (seen := self._seen.get(worker)) or worker in self._full or not self._view.takes(worker)
        )
        counted = ", ".join(f"{number} {verdict}" for verdict, number in sorted(verdicts.items()))
        return NoWorkerAvailable(f"no SFU worker has capacity left ({counted or 'none is there'})")

    def _draw(self, pool: Sequence[str], fits: Callable[[str], bool], tried: Collection[str]) -> list[str]:
        """Two random ones that fit; fewer where they are rare, or there are hardly more than two."""
        pair: list[str] = []
        if len(pool) <= 2:
            return pair
        for worker in self._random.sample(pool, min(_TICKETS, len(pool))):
            if worker not in tried and fits(worker):
                pair.append(worker)
                if len(pair) == 2:
                    break
        return pair

    def _best(self, drawn: Sequence[str], ask_pps: int, share: float, attempt: Attempt, *, fresh: bool) -> Steps[str]:
        books = self._books
        unread = [worker for worker in drawn if worker not in books]
        if unread:
            books.update((yield ReadBooks(unread, fresh)))
        for worker in sorted((worker for worker in drawn if worker in books), key=lambda worker: books[worker].load):
            verdict = judge(books[worker], ask_pps, share)
            if verdict is Verdict.ADMITTED:
                verdict = yield from attempt(worker)
            self._note(worker, books[worker].load, verdict)
            if verdict is Verdict.ADMITTED:
                return worker
            if verdict is Verdict.SUPERSEDED:
                raise Superseded("the room's origin has changed meanwhile")
        return ""

    def _note(self, worker: str, load: float, verdict: Verdict) -> None:
        if verdict is Verdict.ADMITTED or worker in self._seen or len(self._seen) < _REMEMBERED:
            distance = zone_distance(self._wish.zone, self._view.workers[worker].zone)
            self._seen[worker] = Considered(worker, round(load, 3), distance, verdict)
