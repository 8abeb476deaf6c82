"""A fleet in simulated time: workers that report and fail, rooms, viewers who come, leave and are moved.

Everything that decides is the platform's own (`shared.placement`); `model.Model` is the state in between. What is
simulated is the rest: reports once a second from what is really placed, functions whose view of the fleet is up to a
quarter of a second old, sessions that reach their worker a moment after they were placed, and the time until a failure
is noticed.
"""

import time
from collections import Counter, deque
from dataclasses import dataclass, field
from random import Random

from shared.placement.decision import Settled, place_edge
from shared.placement.picking import Wish
from shared.placement.records import FleetView, NoOrigin, NoWorkerAvailable, Reason, Report, Worker
from shared.state.fleet import VIEW_MAX_AGE_US
from tests.bench.placement.model import Model
from tests.bench.placement.policies import Policy

SECOND = 1_000_000
START = 1_764_000_000 * SECOND
TICK_US = 100_000
# From the choice of a worker to the session at it.
ARRIVAL_US = 200_000
# Until clients notice that their worker is gone.
NOTICED_US = 1_500_000
RETRY_US = SECOND
# A viewer who is refused tries so many times, then leaves. One who is moved does so until it works.
PATIENCE = 5
# How many sessions of a draining worker are moved in a tick.
DRAIN_PACE = 20


@dataclass(frozen=True, slots=True)
class Shape:
    """What a fleet is made of."""

    workers: int
    zones: tuple[str, ...] = ("eu/eu-a", "eu/eu-b", "eu/eu-c")
    capacity_pps: int = 200_000
    joins_per_s: int = 50
    viewer_pps: int = 350
    pull_pps: int = 600
    functions: int = 8


@dataclass(slots=True, eq=False)
class Viewer:
    """Somebody who watches: where, and how often they were moved and their worker was taken from under them."""

    room: str
    zone: str
    tries: int = 0
    worker: "SimWorker | None" = None
    index: int = 0
    moves: int = 0
    evicted: int = 0
    leaving: bool = False


@dataclass(slots=True)
class Served:
    """A room on a worker."""

    token: int
    parent: str = ""
    viewers: int = 0
    children: set[str] = field(default_factory=set)


@dataclass(slots=True, eq=False)
class SimWorker:
    """A worker: what it has, whatever placement thinks."""

    id: str
    zone: str
    boot: int = 0
    alive: bool = True
    draining: bool = False
    viewers: list[Viewer] = field(default_factory=list)
    rooms: dict[str, Served] = field(default_factory=dict)
    pulls: int = 0


class World:
    """One fleet under one policy."""

    def __init__(self, shape: Shape, policy: Policy, random: Random) -> None:
        self.shape = shape
        self.policy = policy
        self.random = random
        self.model = Model(START)
        self.workers = {
            f"w{number:03d}": SimWorker(f"w{number:03d}", shape.zones[number % len(shape.zones)])
            for number in range(shape.workers)
        }
        self.tallies: Counter[str] = Counter()
        self.reasons: Counter[Reason] = Counter()
        self.publishers: dict[str, str] = {}
        self.origins: dict[str, str] = {}
        self.viewers: list[Viewer] = []
        self.peak_load = 0.0
        self.deciding_s = 0.0
        self._views: list[tuple[int, FleetView]] = [(0, FleetView.of(()))] * shape.functions
        self._arriving: deque[tuple[int, Viewer, SimWorker, Settled]] = deque()
        self._waiting: deque[tuple[int, Viewer]] = deque()
        self._electing: deque[tuple[int, str]] = deque()
        self._orphaned: deque[tuple[int, str, str]] = deque()
        self._report(list(self.workers.values()))

    # What happens from outside

    def publish(self, room: str, zone: str) -> None:
        """Somebody begins to publish."""
        self.publishers[room] = zone
        self._elect(room)

    def join(self, room: str, zone: str) -> None:
        """Somebody comes to watch."""
        self.tallies["joins"] += 1
        viewer = Viewer(room, zone, index=len(self.viewers))
        self.viewers.append(viewer)
        self._place(viewer)

    def leave(self, viewer: Viewer) -> None:
        """Somebody has seen enough."""
        viewer.leaving = True
        last = self.viewers.pop()
        if last is not viewer:
            self.viewers[viewer.index], last.index = last, viewer.index
        if viewer.worker is not None:
            self._unseat(viewer)

    def fail(self, worker_id: str) -> None:
        """A process is gone; its clients notice after a while."""
        worker = self.workers[worker_id]
        self._take_down(worker, self.model.now + NOTICED_US)

    def drain(self, worker_id: str) -> None:
        """An operator has a worker drain: origins are handed over, then viewers are moved a few at a time."""
        self.workers[worker_id].draining = True
        self.model.drains.add(worker_id)

    def restart(self, worker_id: str) -> None:
        """A new process in the place of the old one."""
        worker = self.workers[worker_id]
        self.model.drains.discard(worker_id)
        worker.alive, worker.draining, worker.boot = True, False, worker.boot + 1
        self._report([worker])

    # Time

    def tick(self) -> None:
        """A tenth of a second."""
        model = self.model
        model.now += TICK_US
        phase = model.now // TICK_US % 10
        alive = [worker for worker in self.workers.values() if worker.alive]
        self._report(alive[phase::10])
        self._arrive()
        while self._electing and self._electing[0][0] <= model.now:
            self._elect(self._electing.popleft()[1])
        while self._orphaned and self._orphaned[0][0] <= model.now:
            _, room, worker_id = self._orphaned.popleft()
            self._reattach(room, self.workers[worker_id])
        while self._waiting and self._waiting[0][0] <= model.now:
            self._place(self._waiting.popleft()[1])
        for worker in alive:
            if worker.draining:
                self._work_on_drain(worker)

    def load_of(self, worker: SimWorker) -> int:
        """What a worker really has to send, in packets/s."""
        return len(worker.viewers) * self.shape.viewer_pps + worker.pulls * self.shape.pull_pps

    # Workers

    def _report(self, workers: list[SimWorker]) -> None:
        shape = self.shape
        for worker in workers:
            load = self.load_of(worker)
            publishers = sum(not served.parent for served in worker.rooms.values())
            record = Worker(
                worker.id,
                "",
                shape.capacity_pps,
                load,
                publishers,
                len(worker.viewers),
                worker.draining,
                joins_per_s=shape.joins_per_s,
                zone=worker.zone,
                boot=str(worker.boot),
                relays=True,
            )
            reports = [
                Report(room, served.token, served.viewers, served.parent, shape.viewer_pps, shape.pull_pps)
                for room, served in worker.rooms.items()
            ]
            for room, token in self.model.renew(record, reports).items():
                self._superseded(worker, room, token)

    def _superseded(self, worker: SimWorker, room: str, token: int) -> None:
        served = worker.rooms[room]
        if not served.parent:
            # Fenced: the stream is at another origin now; who watched here goes on as viewers of an edge.
            if not token or self.origins.get(room) in {None, worker.id}:
                return
            self.tallies["fenced"] += 1
        elif self._flows(room, served.parent):
            # The parent goes on, and pulls from the new origin or is it.
            served.token = token
            return
        self._reattach(room, worker)

    def _flows(self, room: str, worker_id: str) -> bool:
        worker = self.workers[worker_id]
        served = worker.rooms.get(room) if worker.alive else None
        return served is not None and (bool(served.parent) or self.origins.get(room) == worker_id)

    def _reattach(self, room: str, worker: SimWorker) -> None:
        """An edge that has lost its parent looks for another, until it has found one."""
        if room in worker.rooms and worker.alive:
            if self._find_parent(worker, room):
                self.tallies["repulls"] += 1
            else:
                self._orphaned.append((self.model.now + RETRY_US, room, worker.id))

    def _find_parent(self, worker: SimWorker, room: str) -> bool:
        model = self.model
        try:
            parent = model.decide(room, lambda view, state: place_edge(view, state, worker.id), self._view())
        except (NoOrigin, NoWorkerAvailable):
            return False
        if parent:
            self._attach(worker, room, parent, model.rooms[room].token)
        return True

    def _attach(self, worker: SimWorker, room: str, parent: str, token: int) -> None:
        served = worker.rooms.setdefault(room, Served(token))
        self._detach(worker, room)
        served.parent, served.token = parent, token
        source = self.workers[parent]
        above = source.rooms.get(room)
        if not source.alive or above is None:
            self._orphaned.append((self.model.now + RETRY_US, room, worker.id))
            return
        above.children.add(worker.id)
        source.pulls += 1
        self._note_load(source)

    def _detach(self, worker: SimWorker, room: str) -> None:
        source = self.workers.get(worker.rooms[room].parent)
        above = source.rooms.get(room) if source else None
        if source and above and worker.id in above.children:
            above.children.remove(worker.id)
            source.pulls -= 1

    def _drop(self, worker: SimWorker, room: str) -> None:
        """An edge whose last viewer has left pulls no more; one that others pull from stays."""
        served = worker.rooms.get(room)
        if served is not None and served.parent and not served.viewers and not served.children:
            self._detach(worker, room)
            source = served.parent
            del worker.rooms[room]
            self.model.leave_room(room, worker.id)
            if source in self.workers and self.workers[source].alive:
                self._drop(self.workers[source], room)

    def _take_down(self, worker: SimWorker, noticed: int) -> None:
        worker.alive = False
        for viewer in worker.viewers:
            viewer.worker = None
            viewer.evicted += 1
            self._waiting.append((noticed, viewer))
        worker.viewers = []
        worker.pulls = 0
        rooms, worker.rooms = worker.rooms, {}
        for room, served in rooms.items():
            if served.parent:
                source = self.workers[served.parent]
                above = source.rooms.get(room)
                if above and worker.id in above.children:
                    above.children.remove(worker.id)
                    source.pulls -= 1
            elif self.origins.get(room) == worker.id:
                del self.origins[room]
                self._electing.append((noticed, room))
            for child in served.children:
                self._orphaned.append((noticed, room, child))

    def _work_on_drain(self, worker: SimWorker) -> None:
        for room, served in list(worker.rooms.items()):
            if not served.parent and self.origins.get(room) == worker.id:
                # The second connection of the publisher is up before the first goes: nothing is lost, one move.
                self._elect(room)
                if self.origins.get(room) != worker.id:
                    self.tallies["origins moved"] += 1
                    children, served.children = served.children, set()
                    worker.pulls -= len(children)
                    for child in children:
                        self._reattach(room, self.workers[child])
                    if served.viewers:
                        self._reattach(room, worker)
                    else:
                        del worker.rooms[room]
        for viewer in worker.viewers[-DRAIN_PACE:]:
            self._unseat(viewer)
            viewer.evicted += 1
            self._place(viewer, avoid=frozenset({worker.id}))
        if not worker.viewers and not any(served.children for served in worker.rooms.values()):
            self._take_down(worker, self.model.now)
            self.model.withdraw(worker.id)

    # Sessions

    def _view(self) -> FleetView:
        which = self.random.randrange(len(self._views))
        at, view = self._views[which]
        if self.model.now - at > VIEW_MAX_AGE_US:
            view = self.model.view()
            self._views[which] = (self.model.now, view)
        return view

    def _elect(self, room: str) -> None:
        model, random = self.model, self.random
        wish = Wish(self.publishers[room])
        held = model.rooms.get(room)
        if room not in self.origins and held is not None and held.worker and held.until > model.now:
            # Who comes to publish again found nobody at the old origin.
            model.release_origin(room, held.token)
        try:
            elected = model.decide(room, lambda view, state: self.policy.elect(view, state, wish, random), self._view())
        except NoWorkerAvailable:
            self.tallies["origins refused"] += 1
            self._electing.append((model.now + RETRY_US, room))
            return
        worker = self.workers[elected.worker]
        if not worker.alive:
            model.release_origin(room, elected.token)
            self._electing.append((model.now + RETRY_US, room))
            return
        served = worker.rooms.setdefault(room, Served(elected.token))
        self._detach(worker, room)
        served.parent, served.token = "", elected.token
        self.origins[room] = worker.id
        self.tallies["elections"] += elected.reason is Reason.NEW_ORIGIN

    def _place(self, viewer: Viewer, avoid: frozenset[str] = frozenset()) -> None:
        if viewer.leaving:
            return
        model, random = self.model, self.random
        wish = Wish(viewer.zone, avoid=avoid)
        view = self._view()
        self.tallies["decisions"] += 1
        began = time.perf_counter()
        try:
            settled = model.decide(viewer.room, lambda view, state: self.policy.place(view, state, wish, random), view)
        except (NoOrigin, NoWorkerAvailable) as refused:
            viewer.tries += 1
            self.tallies["no origin" if isinstance(refused, NoOrigin) else "no worker"] += 1
            if viewer.tries < PATIENCE or viewer.evicted:
                self._waiting.append((model.now + RETRY_US, viewer))
            else:
                self.tallies["rejected"] += 1
                self.leave(viewer)
            return
        finally:
            self.deciding_s += time.perf_counter() - began
        self.tallies["placed"] += 1
        self.reasons[settled.reason] += 1
        viewer.tries = 0
        worker = self.workers[settled.worker]
        self._arriving.append((model.now + ARRIVAL_US, viewer, worker, settled))

    def _arrive(self) -> None:
        while self._arriving and self._arriving[0][0] <= self.model.now:
            _, viewer, worker, settled = self._arriving.popleft()
            if viewer.leaving:
                continue
            if not worker.alive:
                self._place(viewer, avoid=frozenset({worker.id}))
                continue
            if viewer.room not in worker.rooms and not self._open_edge(worker, viewer.room, settled):
                self._waiting.append((self.model.now + RETRY_US, viewer))
                continue
            worker.rooms[viewer.room].viewers += 1
            viewer.worker = worker
            if viewer.moves < viewer.evicted:
                viewer.moves += 1
                self.tallies["moves"] += 1
            worker.viewers.append(viewer)
            self._note_load(worker)

    def _open_edge(self, worker: SimWorker, room: str, settled: Settled) -> bool:
        """A viewer has come for a room that is not here: pull it, if that has been booked or can be."""
        if not settled.parent:
            return False  # the origin that it was placed on is not one any more
        if settled.reason is Reason.NEW_EDGE:
            self._attach(worker, room, settled.parent, settled.token)
            return True
        # It was an edge until a moment ago: what it pulled was given back.
        worker.rooms[room] = Served(settled.token)
        if not self._find_parent(worker, room):
            del worker.rooms[room]
        return room in worker.rooms

    def _unseat(self, viewer: Viewer) -> None:
        worker = viewer.worker
        if worker is None:
            return
        viewer.worker = None
        worker.viewers.remove(viewer)
        served = worker.rooms.get(viewer.room)
        if served is not None:
            served.viewers -= 1
            self._drop(worker, viewer.room)

    def _note_load(self, worker: SimWorker) -> None:
        self.peak_load = max(self.peak_load, self.load_of(worker) / self.shape.capacity_pps)
