"""A room as the control API shows it: its place in the tree, and what becomes of the stream here and behind."""

from typing import Literal

import msgspec

from sfu_fleet.rooms import Room


class EdgeInfo(msgspec.Struct, frozen=True):
    """A worker that is fed from here: who watches there and behind it, and what was sent to it and lost on the way.

    `packets_out` counts what left here for it: each layer once, however many watch.
    """

    worker: str
    session: str
    viewers: int
    packets_out: int
    packets_lost: int


class TreeInfo(msgspec.Struct, frozen=True):
    """What becomes of a stream at a worker and at all edges behind it."""

    viewers: int
    packets_out: int
    packets_lost: int


class RoomInfo(msgspec.Struct, frozen=True):
    """`role` says whether the publisher is here. `parent` is whom the stream comes from, empty at the origin.

    `viewers` are here; `total` counts here and at all edges behind, so that the origin's is the whole room's.
    """

    room: str
    role: Literal["origin", "edge"]
    stream: str
    fence: int
    depth: int
    parent: str
    viewers: int
    edges: list[EdgeInfo]
    total: TreeInfo


def room_info(room: Room) -> RoomInfo:
    """Of a room that has a stream here."""
    source, link = room.source, room.pull.current if room.pull is not None else None
    total = room.totals_of()
    edges = []
    for feed in room.feeds.values():
        info = feed.info()
        edges.append(EdgeInfo(feed.worker, feed.id, feed.totals.viewers, info.packets_out, info.packets_lost))
    return RoomInfo(
        room.id,
        "origin" if room.origin is not None else "edge",
        source.stream if source is not None else "",
        room.fence,
        source.depth if source is not None else 0,
        "" if room.origin is not None or link is None else link.parent.worker,
        len(room.subscribers),
        edges,
        TreeInfo(total.viewers, total.packets_out, total.packets_lost),
    )
