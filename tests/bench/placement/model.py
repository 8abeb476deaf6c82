"""The fleet's state as the scripts keep it in Redis, in this process and in simulated time.

It carries out the steps of `shared.placement.decision` with the same outcome as `shared.state.fleet.Fleet` does against
a server; `tests/shared/placement/test_model.py` holds the two beside each other.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from shared.placement.records import (
    Book,
    Edge,
    FleetView,
    NoOrigin,
    NoWorkerAvailable,
    Report,
    RoomState,
    Superseded,
    Verdict,
    Worker,
    base_of,
)
from shared.placement.steps import Admit, Admitted, Branch, ReadBooks, Step, Steps, Taken, TakeOrigin, judge
from shared.state.fleet import LEASE_MS, SETUP_MS

# As in book.lua.
RESERVED_S = 5
REPORTED_AFTER_S = 2
TRIES = 5

_What = TypeVar("_What")


@dataclass(slots=True)
class ModelBook:
    """A worker's last report, and what was placed since, by second."""

    record: Worker
    base: int
    until: int
    placed: dict[int, int] = field(default_factory=dict)
    joins: dict[int, int] = field(default_factory=dict)


@dataclass(slots=True)
class ModelRoom:
    """A room's origin and edges; an edge is (until, token, viewers, parent)."""

    worker: str = ""
    boot: str = ""
    token: int = 0
    until: int = 0
    viewers: int = 0
    viewer_pps: int = 0
    pull_pps: int = 0
    edges: dict[str, tuple[int, int, int, str]] = field(default_factory=dict)


class Model:
    """The keys of the fleet, and the scripts on them. `now` is in µs and set by whoever owns this."""

    def __init__(self, now: int) -> None:
        self.now = now
        self.books: dict[str, ModelBook] = {}
        self.drains: set[str] = set()
        self.rooms: dict[str, ModelRoom] = {}
        self.sticky: dict[tuple[str, str], str] = {}

    def renew(self, worker: Worker, reports: Sequence[Report] = ()) -> dict[str, int]:
        """renew_worker.lua: the rooms whose origin is another one than reported, with the token that holds."""
        until = self.now + LEASE_MS * 1000
        book = self.books.get(worker.id)
        if book is None or book.record.boot != worker.boot:
            book = self.books[worker.id] = ModelBook(worker, 0, 0)
        book.record, book.base, book.until = worker, base_of(worker), until
        reported = self.now // 1_000_000 - REPORTED_AFTER_S
        for ledger in (book.placed, book.joins):
            for second in [second for second in ledger if second <= reported]:
                del ledger[second]
        superseded: dict[str, int] = {}
        for report in reports:
            room = self.rooms.setdefault(report.room, ModelRoom())
            held = bool(room.worker) and room.until > self.now
            if report.parent:
                room.edges[worker.id] = (until, report.token, report.viewers, report.parent)
            elif (room.token == report.token and (room.worker, room.boot) == (worker.id, worker.boot)) or (
                not held and report.token >= room.token
            ):
                room.until = max(until, room.until if held else 0)
                room.worker, room.boot, room.token = worker.id, worker.boot, report.token
                room.viewers, room.viewer_pps, room.pull_pps = report.viewers, report.viewer_pps, report.pull_pps
                room.edges.pop(worker.id, None)
            if room.token != report.token:
                superseded[report.room] = room.token
        return superseded

    def withdraw(self, worker: str) -> None:
        """A worker leaves the registry."""
        self.books.pop(worker, None)

    def release_origin(self, room_id: str, token: int) -> bool:
        """release_origin.lua."""
        room = self.rooms.get(room_id)
        if room is None or room.token != token or not room.worker:
            return False
        room.worker, room.boot, room.until = "", "", 0
        room.token += 1
        return True

    def leave_room(self, room_id: str, worker: str) -> None:
        """An edge does not pull any more."""
        if room_id in self.rooms:
            self.rooms[room_id].edges.pop(worker, None)

    def view(self) -> FleetView:
        """All workers with a valid lease."""
        return FleetView.of((book.record for book in self.books.values() if book.until > self.now), self.drains)

    def room(self, room_id: str, view: FleetView) -> RoomState:
        """What is known of a room."""
        room = self.rooms.get(room_id) or ModelRoom()
        holder = view.workers.get(room.worker)
        return RoomState(
            room_id,
            room.worker,
            room.boot,
            room.token,
            holder is not None and holder.boot == room.boot and room.until > self.now,
            room.viewers,
            room.viewer_pps,
            room.pull_pps,
            tuple(
                Edge(worker, parent, token, viewers)
                for worker, (until, token, viewers, parent) in room.edges.items()
                if until > self.now
            ),
        )

    def book(self, worker: str) -> Book:
        """What admission goes by."""
        book = self.books[worker]
        second = self.now // 1_000_000
        return Book(
            book.record.capacity_pps,
            book.base,
            sum(book.placed.get(at, 0) for at in range(second - RESERVED_S + 1, second + 1)),
            book.joins.get(second, 0),
            book.record.joins_per_s,
            book.record.boot,
            worker in self.drains or book.record.draining,
            book.until > self.now,
        )

    def decide(
        self, room: str, decision: Callable[[FleetView, RoomState], Steps[_What]], view: FleetView, viewer: str = ""
    ) -> _What:
        """`Fleet._decide`: on a view that may be old, then on one that is not."""
        for _ in range(TRIES):
            try:
                return self.drive(room, decision(view, self.room(room, view)), viewer)
            except Superseded:
                continue
            except (NoWorkerAvailable, NoOrigin):
                fresh = self.view()
                return self.drive(room, decision(fresh, self.room(room, fresh)), viewer)
        raise NoWorkerAvailable(f"the origin of {room} changed {TRIES} times in a row")

    def drive(self, room: str, steps: Steps[_What], viewer: str = "") -> _What:
        """Carry out a decision."""
        reply: Any = None
        while True:
            try:
                step = steps.send(reply)
            except StopIteration as done:
                decided: _What = done.value
                return decided
            reply = self.carry_out(room, step, viewer)

    def carry_out(self, room: str, step: Step, viewer: str = "") -> Any:  # noqa: ANN401 - as the step says
        """One step, as the script of its name does it."""
        match step:
            case ReadBooks():
                return {worker: self.book(worker) for worker in step.workers if worker in self.books}
            case TakeOrigin():
                return self._take_origin(room, step)
            case Admit():
                return self._admit(room, step, viewer)
            case Branch():
                return self._branch(room, step)

    def _take_origin(self, room_id: str, step: TakeOrigin) -> Taken:
        room = self.rooms.setdefault(room_id, ModelRoom())
        if room.token != step.expected:
            return Taken(Verdict.SUPERSEDED, room.token)
        verdict = self._judge(step.worker, step.boot, step.ask_pps, 1.0)
        if verdict is not Verdict.ADMITTED:
            return Taken(verdict, room.token)
        self._reserve(step.worker, step.ask_pps)
        room.token = max(room.token + 1, self.now)
        room.worker, room.boot, room.until = step.worker, step.boot, self.now + SETUP_MS * 1000
        room.viewers = 0
        room.edges.pop(step.worker, None)
        return Taken(Verdict.ADMITTED, room.token)

    def _admit(self, room_id: str, step: Admit, viewer: str) -> Admitted:
        room = self.rooms.get(room_id) or ModelRoom()
        if room.token != step.token or room.until <= self.now:
            return Admitted(Verdict.SUPERSEDED)
        verdict = self._judge(step.worker, step.boot, step.ask_pps, step.share)
        if verdict is not Verdict.ADMITTED:
            return Admitted(verdict)
        parent = step.parent
        if parent:
            edge = room.edges.get(step.worker)
            if edge is not None and edge[0] > self.now:
                parent = edge[3]
            else:
                if self._judge(parent, step.parent_boot, step.pull_pps, 1.0, joins=False) is not Verdict.ADMITTED:
                    return Admitted(Verdict.PARENT_FULL)
                self._reserve(parent, step.pull_pps, joins=0)
                room.edges[step.worker] = (self.now + SETUP_MS * 1000, step.token, 0, parent)
        self._reserve(step.worker, step.ask_pps)
        if viewer:
            self.sticky[room_id, viewer] = step.worker
        return Admitted(Verdict.ADMITTED, parent)

    def _branch(self, room_id: str, step: Branch) -> Admitted:
        room = self.rooms.get(room_id) or ModelRoom()
        if room.token != step.token or room.worker == step.worker or room.until <= self.now:
            return Admitted(Verdict.SUPERSEDED, step.parent)
        if self._judge(step.parent, step.parent_boot, step.pull_pps, 1.0, joins=False) is not Verdict.ADMITTED:
            return Admitted(Verdict.PARENT_FULL, step.parent)
        self._reserve(step.parent, step.pull_pps, joins=0)
        _, _, viewers, _ = room.edges.get(step.worker, (0, 0, 0, ""))
        room.edges[step.worker] = (self.now + SETUP_MS * 1000, step.token, viewers, step.parent)
        return Admitted(Verdict.ADMITTED, step.parent)

    def _judge(self, worker: str, boot: str, ask_pps: int, share: float, *, joins: bool = True) -> Verdict:
        if worker not in self.books or self.books[worker].record.boot != boot:
            return Verdict.GONE
        return judge(self.book(worker), ask_pps, share, joins=joins)

    def _reserve(self, worker: str, ask_pps: int, joins: int = 1) -> None:
        book, second = self.books[worker], self.now // 1_000_000
        book.placed[second] = book.placed.get(second, 0) + ask_pps
        if joins:
            book.joins[second] = book.joins.get(second, 0) + joins
