"""The fleet's keys in Redis, and what stands in its hashes. The scripts write them: book.lua says what they have."""

from collections.abc import Mapping

from shared.placement.records import Book, Edge, FleetView, RoomState

# One hash tag: the scripts work on several of the fleet's keys at once.
LEASES, WORKERS, DRAINS, ROOMS = "{fleet}:leases", "{fleet}:workers", "{fleet}:drains", "{fleet}:rooms"

# As in book.lua.
_RESERVED_S = 5
_EDGE = b"e:"


def orders_key(worker: str) -> str:
    """What a worker is to be told."""
    return f"{{fleet}}:orders:{worker}"


def book_key(worker: str) -> str:
    """What a worker is admitted sessions by."""
    return f"{{fleet}}:book:{worker}"


def room_key(room: str) -> str:
    """Who serves a room."""
    return f"{{fleet}}:room:{room}"


def sticky_key(room: str, viewer: str) -> str:
    """Where a viewer was."""
    return f"{{fleet}}:sticky:{room}:{viewer}"


def read_book(fields: Mapping[bytes, bytes], now: int, *, drained: bool) -> Book:
    """A worker's book as of `now`, in µs."""
    second = now // 1_000_000
    reserved = sum(int(fields.get(b"p%d" % at, 0)) for at in range(second - _RESERVED_S + 1, second + 1))
    return Book(
        capacity_pps=int(fields[b"capacity"]),
        base_pps=int(fields[b"base"]),
        reserved_pps=reserved,
        joins=int(fields.get(b"j%d" % second, 0)),
        joins_per_s=int(fields[b"joins_per_s"]),
        boot=fields[b"boot"].decode(),
        draining=drained or fields[b"draining"] == b"1",
        alive=int(fields[b"until"]) > now,
    )


def read_room(room: str, fields: Mapping[bytes, bytes], now: int, view: FleetView) -> RoomState:
    """A room as of `now`, in µs."""
    worker, boot = (fields.get(name, b"").decode() for name in (b"worker", b"boot"))
    holder = view.workers.get(worker)
    edges = (
        (name.removeprefix(_EDGE).decode(), value.decode().split(" "))
        for name, value in fields.items()
        if name.startswith(_EDGE)
    )
    return RoomState(
        room,
        worker,
        boot,
        token=int(fields.get(b"token", 0)),
        held=holder is not None and holder.boot == boot and int(fields.get(b"until", 0)) > now,
        viewers=int(fields.get(b"viewers", 0)),
        viewer_pps=int(fields.get(b"viewer_pps", 0)),
        pull_pps=int(fields.get(b"pull_pps", 0)),
        edges=tuple(
            Edge(name, parent, int(token), int(viewers))
            for name, (until, token, viewers, parent) in edges
            if int(until) > now
        ),
    )
