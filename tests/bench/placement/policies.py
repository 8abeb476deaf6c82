"""Ways to place viewers: the platform's own, and two that look at nothing, with the same admission."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from random import Random
from typing import NamedTuple

from shared.placement.decision import VIEWERS_SHARE, Settled, elect_origin, place_viewer
from shared.placement.picking import Wish
from shared.placement.records import (
    ORIGIN_PPS,
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
    Steps,
    Taken,
    TakeOrigin,
)

# How many workers a naive policy tries before it refuses.
TRIES = 4

Choose = Callable[[FleetView], str]


class Policy(NamedTuple):
    """How origins and viewers find their workers."""

    name: str
    elect: Callable[[FleetView, RoomState, Wish, Random], Steps[Election]]
    place: Callable[[FleetView, RoomState, Wish, Random], Steps[Settled]]


def headrace() -> Policy:
    """What runs in production."""
    return Policy("headrace", elect_origin, place_viewer)


def random_worker(random: Random) -> Policy:
    """Any worker for each."""
    return _naive("random", lambda view: random.choice(list(view.workers)))


def round_robin() -> Policy:
    """One worker after the other."""
    turn = count()

    def choose(view: FleetView) -> str:
        workers = list(view.workers)
        return workers[next(turn) % len(workers)]

    return _naive("round robin", choose)


def _naive(name: str, choose: Choose) -> Policy:
    return Policy(name, partial(_elect, choose), partial(_place, choose))


def _elect(choose: Choose, view: FleetView, room: RoomState, _wish: Wish, _random: Random) -> Steps[Election]:
    if room.held and view.takes(room.worker):
        return Election(room.worker, room.token, Reason.HOLDS_ORIGIN)
    for worker in _drawn(choose, view):
        taken: Taken = yield TakeOrigin(worker, view.workers[worker].boot, ORIGIN_PPS, room.token)
        if taken.verdict is Verdict.SUPERSEDED:
            raise Superseded(room.room)
        if taken.verdict is Verdict.ADMITTED:
            return Election(worker, taken.token, Reason.NEW_ORIGIN)
    raise NoWorkerAvailable(room.room)


def _place(choose: Choose, view: FleetView, room: RoomState, wish: Wish, _random: Random) -> Steps[Settled]:
    if not room.held:
        raise NoOrigin(room.room)
    parents = {edge.worker: edge.parent for edge in room.edges} | {room.worker: ""}
    ask_pps = room.viewer_pps or VIEWER_PPS
    for worker in _drawn(choose, view):
        if worker in wish.avoid:
            continue
        step = Admit(worker, view.workers[worker].boot, ask_pps, VIEWERS_SHARE, room.token)
        if worker not in parents:
            boot = view.workers[room.worker].boot
            step = step._replace(parent=room.worker, parent_boot=boot, pull_pps=room.pull_pps or PULL_PPS)
        admitted: Admitted = yield step
        if admitted.verdict is Verdict.SUPERSEDED:
            raise Superseded(room.room)
        if admitted.verdict is Verdict.ADMITTED:
            reason = Reason.SERVES_ROOM if worker in parents else Reason.NEW_EDGE
            return Settled(worker, parents.get(worker, admitted.parent), room.token, reason, ())
    raise NoWorkerAvailable(room.room)


def _drawn(choose: Choose, view: FleetView) -> Iterator[str]:
    for _ in range(TRIES if view.workers else 0):
        yield choose(view)
