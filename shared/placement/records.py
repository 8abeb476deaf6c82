"""What placement knows and says: workers, their books, rooms, leases, placements."""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Self

import msgspec

# Packets per second that a stream is taken for until its first viewers have come.
ORIGIN_PPS = 500


class NoWorkerAvailable(Exception):  # noqa: N818 - the state, as operators call it
    """No worker with a valid lease takes the session; the message counts the workers by what stands against them."""


class NoOrigin(Exception):  # noqa: N818 - the state, as operators call it
    """No worker holds the room's origin, so there is nothing to watch."""


class Superseded(Exception):  # noqa: N818 - the state, as operators call it
    """The fencing token is not that of the room's origin any more: somebody else has taken it over."""


class Worker(msgspec.Struct, frozen=True):
    """What a worker reports of itself.

    `capacity_pps`, `load_pps` and `expected_pps` are packets sent per second: at most, measured over the last second,
    and what its sessions will send once those that have just come do. `url` is that of its control API and `media` the
    address and port of its media socket, both private, for functions and other workers. `zone` is a path from the wide
    to the narrow, as `eu-central-1/eu-central-1a`. `boot` is new with each process: a worker that was started again has
    its id and none of its sessions. `relays` says whether it can be an edge, which pulls a room from its origin.
    `joins_per_s` is how many sessions it takes in a second. `recordings` is the id of the folder of recordings that it
    can read, empty while there is none.
    """

    id: str
    url: str
    capacity_pps: int
    load_pps: int
    publishers: int
    subscribers: int
    draining: bool
    recordings: str = ""
    expected_pps: int = 0
    joins_per_s: int = 50
    zone: str = ""
    version: str = ""
    boot: str = ""
    media: str = ""
    relays: bool = False


def base_of(worker: Worker) -> int:
    """What a worker's report says that it has to send, in packets/s: a stream without viewers yet will have some."""
    return max(worker.load_pps, worker.expected_pps, worker.publishers * ORIGIN_PPS)


class Book(msgspec.Struct, frozen=True):
    """What admission goes by: a worker's last report in packets/s, and what was placed since.

    `base_pps` comes from the report, `reserved_pps` is what was placed and cannot be in it yet, `joins` were placed in
    this second, of `joins_per_s`.
    """

    capacity_pps: int
    base_pps: int
    reserved_pps: int
    joins: int
    joins_per_s: int
    boot: str
    draining: bool
    alive: bool

    @property
    def load(self) -> float:
        """The share of the budget that is spoken for."""
        return (self.base_pps + self.reserved_pps) / self.capacity_pps


class Verdict(StrEnum):
    """What became of an attempt to place a session."""

    ADMITTED = "admitted"
    GONE = "gone"
    """The worker's lease is over, or its process is another one."""
    DRAINING = "draining"
    FULL = "full"
    """Its budget of packets does not take it."""
    BURST = "burst"
    """It has taken as many in this second as it may."""
    PARENT_FULL = "parent_full"
    """It would be a new edge, and whom it would pull from has no budget for that."""
    SUPERSEDED = "superseded"
    """The room's origin has changed meanwhile."""


class Report(msgspec.Struct, frozen=True):
    """What a worker says of a room that it serves, each time it renews its lease.

    As the origin (`parent` is empty) it also says what a viewer of the best layer and an edge that pulls all layers
    cost, in packets/s; 0 while it is not known. An edge says whom it pulls from.
    """

    room: str
    token: int
    viewers: int
    parent: str = ""
    viewer_pps: int = 0
    pull_pps: int = 0


class Edge(msgspec.Struct, frozen=True):
    """A worker that pulls a room from `parent`: the origin, or an edge that pulls from the origin."""

    worker: str
    parent: str
    token: int
    viewers: int


class RoomState(msgspec.Struct, frozen=True):
    """What is known of a room: who holds its origin under which token, and its edges.

    `held` says whether the lease is valid: `worker` is then alive and the process that was given it. A token of 0 means
    that there has never been an origin, as far as is remembered.
    """

    room: str
    worker: str = ""
    boot: str = ""
    token: int = 0
    held: bool = False
    viewers: int = 0
    viewer_pps: int = 0
    pull_pps: int = 0
    edges: tuple[Edge, ...] = ()


class Lease(msgspec.Struct, frozen=True):
    """The right to be a room's origin.

    `token` fences: it grows with each new lease of a room, and who has seen a higher one takes nothing from a lower.
    """

    room: str
    token: int
    worker: Worker


class FleetView(msgspec.Struct, frozen=True):
    """All workers with a valid lease, those of them that were told to drain, and their ids by zone.

    `loads` are the shares of their budgets that are used by their reports.
    """

    workers: Mapping[str, Worker]
    drains: frozenset[str]
    zones: Mapping[str, Sequence[str]]
    loads: Mapping[str, float]

    @classmethod
    def of(cls, workers: Iterable[Worker], drains: Iterable[str] = ()) -> Self:
        """The view of these workers."""
        known = {worker.id: worker for worker in workers}
        zones: dict[str, list[str]] = {}
        for worker in known.values():
            zones.setdefault(worker.zone, []).append(worker.id)
        loads = {worker.id: base_of(worker) / worker.capacity_pps for worker in known.values()}
        return cls(known, frozenset(drains), zones, loads)

    def takes(self, worker: str) -> bool:
        """Whether the worker takes new sessions at all."""
        return worker in self.workers and worker not in self.drains and not self.workers[worker].draining


class Reason(StrEnum):
    """Why a session is where it is."""

    STICKY = "sticky"
    """The viewer was there a moment ago, and it still serves the room."""
    SERVES_ROOM = "serves_room"
    """It serves the room already: the better of two such workers."""
    NEW_EDGE = "new_edge"
    """The better of two workers that did not serve the room: those that do are loaded, or in a farther zone."""
    HOLDS_ORIGIN = "holds_origin"
    """It holds the room's origin already."""
    NEW_ORIGIN = "new_origin"
    """The better of two workers of the nearest zone that has any."""
    HANDED_OVER = "handed_over"
    """Somebody chose it: an operator, or a worker that drains."""


class Considered(msgspec.Struct, frozen=True):
    """A worker that was looked at: the share of its budget then, how far its zone is, and what came of it."""

    worker: str
    load: float
    zone_distance: int
    verdict: str


class Placement(msgspec.Struct, frozen=True):
    """Where a viewer goes, and why.

    `parent` is whom the worker pulls the room from if it does not yet, None when it holds the origin itself.
    """

    worker: Worker
    origin: Lease
    parent: Worker | None
    reason: Reason
    considered: tuple[Considered, ...] = ()


class Election(msgspec.Struct, frozen=True):
    """Which worker is the origin of a room, and why."""

    worker: str
    token: int
    reason: Reason
    considered: tuple[Considered, ...] = ()


class Explanation(msgspec.Struct, frozen=True):
    """Why a session is where it is, as its worker keeps it: `at` is in seconds since 1970, `zone` the viewer's."""

    reason: Reason
    zone: str
    at: float
    parent: str = ""
    considered: tuple[Considered, ...] = ()
