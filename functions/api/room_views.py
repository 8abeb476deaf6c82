"""A room as the API shows it: what MongoDB keeps, with what Redis knows better while the room is in use."""

from datetime import UTC, datetime
from typing import Any

from litestar import Request

from functions.api.auth import identity_of, no_such_room, typed_room
from functions.api.schemas import ListedRoom, Participant, RoomResponse
from functions.context import Context
from shared.security.tokens import Claims
from shared.state.directory import Room
from shared.state.glance import Glance, glance
from shared.telemetry.problems import Problem


async def find_room(context: Context, room_id: str) -> Room:
    """The room of an id as somebody typed it.

    Raises:
        Problem: 404 where there is none.
    """
    room = await context.directory.find(typed_room(room_id))
    if room is None:
        raise no_such_room()
    return room


async def owned_room(request: Request[Any, Any, Any], context: Context, room_id: str) -> tuple[Claims, Room]:
    """The room, and the claims of the identity token, which must be its owner's.

    Raises:
        Problem: 401 without a good token, 404 where there is no such room, 403 for anybody else's.
    """
    identity = identity_of(request, context)
    room = await find_room(context, room_id)
    if room.owner.id != identity.sub:
        raise Problem(403, "forbidden", "Not allowed", "only the room's owner may do this")
    return identity, room


async def shown(context: Context, room: Room) -> tuple[RoomResponse, str]:
    """A room as everybody may see it, and the state that its tag begins with."""
    seen = await glance(context.redis, room.id)
    return described(room, seen), state_of(room, seen)


def state_of(room: Room, seen: Glance) -> str:
    """What rises with every change that somebody makes."""
    return f"{room.version}-{seen.settings.offset}"


def described(room: Room, seen: Glance) -> RoomResponse:
    """A room as everybody may see it."""
    live = bool(seen.session)
    state = "live" if live else "ended" if seen.settings.ended else room.state
    return RoomResponse(
        id=room.id,
        # Empty until somebody has changed it.
        title=seen.settings.title or room.title,
        description=room.description,
        owner=Participant(room.owner.id, room.owner.name),
        # The archive hears of a stream that began or ended a moment later.
        state="open" if state == "live" and not live else state,
        live=live,
        live_since=datetime.fromtimestamp(seen.offset / 1e6, UTC) if live and seen.offset else None,
        viewers=seen.viewers,
        created_at=room.created_at,
        scheduled_at=room.scheduled_at,
        ended_at=room.ended_at,
        listed=room.listed,
        category=seen.settings.category or (room.category if not seen.settings.restored else ""),
        slow_mode_s=seen.settings.slow_mode_s,
        waiting_room=seen.settings.waiting_room,
    )


def listed(room: Room) -> ListedRoom:
    """A room in a list: all of it from MongoDB, a few seconds behind."""
    return ListedRoom(
        id=room.id,
        title=room.title,
        owner=Participant(room.owner.id, room.owner.name),
        state=room.state,
        category=room.category,
        description=room.description,
        viewers=room.viewers if room.state == "live" else 0,
        live_since=room.live.since if room.live else None,
        scheduled_at=room.scheduled_at,
        created_at=room.created_at,
        listed=room.listed,
    )
