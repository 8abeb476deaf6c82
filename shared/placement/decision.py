"""The decisions of placement: who becomes a room's origin, where a viewer goes, whom an edge pulls from.

Each is a generator of steps, for whoever drives it (`shared.state.fleet.Fleet`, the simulator) to carry out: read the
books of some workers, or commit. A commit is atomic and checks again all that the choice was based on, so a decision on
an old view is refused and never wrong; then the next best is tried.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from random import Random
from typing import NamedTuple

from shared.placement.picking import Picking, Wish
from shared.placement.records import (
    ORIGIN_PPS,
    Book,
    Considered,
    Election,
    FleetView,
    NoOrigin,
    NoWorkerAvailable,
    Reason,
    RoomState,
    Superseded,
    Verdict,
)
from shared.placement.steps import (
    PULL_PPS,
    VIEWER_PPS,
    Admit,
    Admitted,
    Branch,
    ReadBooks,
    Steps,
    Taken,
    TakeOrigin,
    judge,
)

# Up to this share of a budget a worker that serves the room takes its viewers; then a new edge is opened, if there is a
# worker below it. A pull costs the origin less than two viewers, a worker that is full costs every room on it.
SPREAD_AT = 0.6
# Viewers get no more than this share: what is left is for pulls of edges, or a room on full workers could not grow, and
# for what traffic varies by.
VIEWERS_SHARE = 0.9


class Settled(NamedTuple):
    """Where a viewer goes; `parent` is empty where the worker is the origin."""

    worker: str
    parent: str
    token: int
    reason: Reason
    considered: tuple[Considered, ...]


def elect_origin(view: FleetView, room: RoomState, wish: Wish, random: Random) -> Steps[Election]:
    """Which worker is the room's origin: the one that holds it, unless it drains or is to be avoided, or a new one.

    Raises:
        NoWorkerAvailable: nobody takes it.
        Superseded: another election was faster.
    """
    if room.held and view.takes(room.worker) and room.worker not in wish.avoid:
        return Election(room.worker, room.token, Reason.HOLDS_ORIGIN)
    picking = Picking(view, wish, random)
    token = 0

    def take(worker: str) -> Steps[Verdict]:
        nonlocal token
        taken: Taken = yield TakeOrigin(worker, view.workers[worker].boot, ORIGIN_PPS, room.token)
        token = taken.token
        return taken.verdict

    for ring in picking.rings():
        worker = yield from picking.first(ring, ORIGIN_PPS, 1.0, take, fresh=True)
        if worker:
            return Election(worker, token, Reason.NEW_ORIGIN, picking.considered)
    raise picking.refusal()


def place_viewer(view: FleetView, room: RoomState, wish: Wish, random: Random) -> Steps[Settled]:
    """Which worker a viewer goes to.

    In the nearest zone first, then farther away: one that serves the room and has room left, then a new edge, then
    either up to the limit for viewers. A viewer who was just there goes back to where they were, where that still
    serves the room and nothing nearer has come up: its history and its pull are there.

    Raises:
        NoOrigin: nobody holds the room's origin.
        NoWorkerAvailable: nobody takes the viewer.
        Superseded: the origin has changed meanwhile.
    """
    if not room.held:
        raise NoOrigin("nobody is live in this room")
    picking = Picking(view, wish, random)
    arrival = _Arrival(view, room)
    for ring in picking.rings():
        for choice in arrival.choices(ring, wish.sticky):
            attempt = arrival.branch if choice.reason is Reason.NEW_EDGE else arrival.join
            worker = yield from picking.first(
                choice.pool, arrival.ask_pps, choice.share, partial(attempt, choice.share), choice.suits
            )
            if worker:
                return Settled(worker, arrival.parent, room.token, choice.reason, picking.considered)
    raise picking.refusal()


def place_edge(view: FleetView, room: RoomState, edge: str) -> Steps[str]:
    """Whom a worker pulls the room from, that serves it and has lost its parent; empty where it is the origin itself.

    Raises:
        NoOrigin: nobody holds the room's origin.
        NoWorkerAvailable: whoever serves the room has no budget for a pull.
        Superseded: the origin has changed meanwhile.
    """
    if not room.held:
        raise NoOrigin("nobody is live in this room")
    if room.worker == edge:
        return ""
    for source in (yield from _sources(view, room, edge)):
        pull_pps = room.pull_pps or PULL_PPS
        admitted: Admitted = yield Branch(edge, room.token, source, view.workers[source].boot, pull_pps)
        if admitted.verdict is Verdict.SUPERSEDED:
            raise Superseded("the room's origin has changed meanwhile")
        if admitted.verdict is Verdict.ADMITTED:
            return source
    raise NoWorkerAvailable("no worker that serves the room has capacity left for another edge")


class _Choice(NamedTuple):
    """Workers to try for a viewer, up to which share of their budgets, and the reason it would be."""

    pool: Sequence[str]
    share: float
    reason: Reason
    suits: Callable[[str], bool]


class _Arrival:
    """A viewer on the way in: who serves their room, and whom they were last tried on."""

    def __init__(self, view: FleetView, room: RoomState) -> None:
        self._view = view
        self._room = room
        self._parents = {edge.worker: edge.parent for edge in room.edges if edge.worker in view.workers}
        self._parents[room.worker] = ""
        self.parent = ""
        self.ask_pps = room.viewer_pps or VIEWER_PPS

    def choices(self, ring: Sequence[str], sticky: str) -> Iterator[_Choice]:
        """Of the workers of a zone, those to try, in order."""
        near = set(ring) if len(self._parents) > len(ring) else ring
        serving = [worker for worker in self._parents if worker in near]
        if sticky in serving:
            yield _Choice([sticky], VIEWERS_SHARE, Reason.STICKY, self._anyone)
        for share in (SPREAD_AT, VIEWERS_SHARE):
            yield _Choice(serving, share, Reason.SERVES_ROOM, self._anyone)
            yield _Choice(ring, share, Reason.NEW_EDGE, self._could_relay)

    def join(self, share: float, worker: str) -> Steps[Verdict]:
        """Go to a worker that serves the room."""
        admitted: Admitted = yield self._admit(share, worker)
        self.parent = self._parents[worker]
        return admitted.verdict

    def branch(self, share: float, worker: str) -> Steps[Verdict]:
        """Go to one that has to pull the room."""
        for source in (yield from _sources(self._view, self._room, worker)):
            admitted: Admitted = yield self._admit(share, worker)._replace(
                parent=source,
                parent_boot=self._view.workers[source].boot,
                pull_pps=self._room.pull_pps or PULL_PPS,
            )
            if admitted.verdict is not Verdict.PARENT_FULL:
                self.parent = admitted.parent
                return admitted.verdict
        return Verdict.PARENT_FULL

    def _admit(self, share: float, worker: str) -> Admit:
        return Admit(worker, self._view.workers[worker].boot, self.ask_pps, share, self._room.token)

    def _could_relay(self, worker: str) -> bool:
        return self._view.workers[worker].relays and worker not in self._parents

    @staticmethod
    def _anyone(_worker: str) -> bool:
        return True


def _sources(view: FleetView, room: RoomState, edge: str) -> Steps[list[str]]:
    """Whom an edge may pull from: the origin or, where nobody pulls from this one, an edge of it: a depth of two."""
    second = [
        other.worker
        for other in room.edges
        if other.parent == room.worker and other.worker in view.workers and other.worker != edge
    ]
    if any(other.parent == edge for other in room.edges):
        second = []
    books: Mapping[str, Book] = yield ReadBooks([room.worker, *second])
    pull_pps = room.pull_pps or PULL_PPS
    able = [source for source, book in books.items() if judge(book, pull_pps, 1.0, joins=False) is Verdict.ADMITTED]
    # The origin first, since each further hop costs delay.
    return sorted(able, key=lambda source: (source != room.worker, books[source].load))
