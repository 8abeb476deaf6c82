"""Changing a room: its settings, its time, its end. For its owner."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from litestar import Request, Response, delete, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from litestar.types import ControllerRouterHandler

from functions.api.auth import IDENTITY, OWNER_GRANTS
from functions.api.conditional import answered, changed_meanwhile, wanted_state
from functions.api.room_views import find_room, owned_room, shown, state_of
from functions.api.schemas import RoomChange, RoomResponse
from functions.api.wording import cleaned
from functions.context import Context
from functions.sfu_client import SfuError
from shared.security.tokens import Claims, Tier
from shared.state.archive import recall
from shared.state.commands import Reconfigured, Removed
from shared.state.control import Change, SettingsChangedMeanwhile, SettingsRefused
from shared.state.directory import Room, Unchanged
from shared.state.glance import glance
from shared.telemetry.problems import Problem

FURTHEST = timedelta(days=366)
ENDED = "ended"


@patch(
    "/v1/rooms/{room_id:str}",
    summary="Change or schedule a room",
    tags=["rooms"],
    security=IDENTITY,
    opt={"if_match": True},
)
async def change_room(
    request: Request[Any, Any, Any],
    room_id: FromPath[str],
    data: JSONBody[RoomChange],
    context: NamedDependency[Context],
) -> Response[RoomResponse]:
    """Change what is given, leave the rest. A `scheduled_at` announces the room, null takes that back.

    With `If-Match` the change is made only if nobody has changed the room since. People in the room hear of it at once.
    """
    _, room = await owned_room(request, context, room_id)
    # Or a change of one setting would stand for all of them where Redis has lost the others.
    await recall(context.control, context.archive, room.id)
    seen = await glance(context.redis, room.id)
    conditional = wanted_state(request, state_of(room, seen))
    if isinstance(data.scheduled_at, datetime):
        check_time(data.scheduled_at)
    change = _settings_change(context, data)
    description = data.description
    if description is not None:
        description = cleaned(context, description, "description", most=1000, may_be_empty=True)
    if (description, data.listed, data.scheduled_at) != (None, None, msgspec.UNSET):
        try:
            room = await context.directory.update(
                room.id,
                version=room.version if conditional else None,
                description=description,
                listed=data.listed,
                scheduled_at=data.scheduled_at,
            )
        except Unchanged as refused:
            raise _refused(refused, conditional=conditional) from None
        if isinstance(data.scheduled_at, datetime):
            await context.control.set_ended(room.id, ended=False)
    await _configure(context, room.id, change, seen.settings.offset if conditional else None)
    return await _answer(request, context, room.id)


@post(
    "/v1/rooms/{room_id:str}/end",
    summary="End a room",
    tags=["rooms"],
    security=IDENTITY,
    status_code=200,
    opt={"if_match": True},
)
async def end_room(
    request: Request[Any, Any, Any], room_id: FromPath[str], context: NamedDependency[Context]
) -> Response[RoomResponse]:
    """End the stream, and let nobody go live in the room until it is opened or scheduled again.

    Who is there may go on talking; history, recordings and figures stay.
    """
    identity, room = await owned_room(request, context, room_id)
    wanted_state(request, state_of(room, await glance(context.redis, room.id)))
    await _end(context, identity, room)
    return await _answer(request, context, room.id)


@post(
    "/v1/rooms/{room_id:str}/reopen", summary="Open an ended room", tags=["rooms"], security=IDENTITY, status_code=200
)
async def reopen_room(
    request: Request[Any, Any, Any], room_id: FromPath[str], context: NamedDependency[Context]
) -> Response[RoomResponse]:
    """Let its owner go live in it again."""
    _, room = await owned_room(request, context, room_id)
    await context.directory.reopen(room.id)
    await context.control.set_ended(room.id, ended=False)
    return await _answer(request, context, room.id)


@delete("/v1/rooms/{room_id:str}", summary="Delete a room", tags=["rooms"], security=IDENTITY, opt={"if_match": True})
async def delete_room(
    request: Request[Any, Any, Any], room_id: FromPath[str], context: NamedDependency[Context]
) -> None:
    """End the room, send everybody out, and delete it with its recordings, its history and its figures, for good.

    The ledger of gifts is kept. The code is never given out again.
    """
    identity, room = await owned_room(request, context, room_id)
    wanted_state(request, state_of(room, await glance(context.redis, room.id)))
    await _end(context, identity, room)
    claims = _owner_claims(identity, room.id)
    for recording in await context.shelf.of_room(room.id):
        await context.shelf.delete(claims, recording)
    await context.directory.delete(room.id)
    await context.door.tell(room.id, Removed())
    await context.log.forget(room.id)


async def _end(context: Context, identity: Claims, room: Room) -> None:
    await context.directory.end(room.id)
    await context.control.set_ended(room.id, ended=True)
    live = await context.log.live(room.id)
    if live is not None:
        # Said by us, so that everybody knows why; what the worker says then is not new.
        await context.log.stream_ended(room.id, session=live.session, reason=ENDED)
        with suppress(SfuError):
            await context.sfu.end(_owner_claims(identity, room.id), live.session)


async def _configure(context: Context, room: str, change: Change, expected: int | None) -> None:
    try:
        changed = await context.control.configure(room, change, expected=expected)
    except SettingsRefused as refused:
        raise Problem(400, "malformed", "Bad request", str(refused)) from None
    except SettingsChangedMeanwhile:
        raise changed_meanwhile() from None
    if changed is not None:
        # The archive would do it as well, in a moment; who lists rooms next should find it done.
        await context.directory.note_settings(room, await context.control.settings(room))
        await context.door.tell(room, Reconfigured())


async def _answer(request: Request[Any, Any, Any], context: Context, room_id: str) -> Response[RoomResponse]:
    body, state = await shown(context, await find_room(context, room_id))
    return answered(request, body, state=state)


def check_time(at: datetime) -> None:
    """Whether a room can be scheduled for then.

    Raises:
        Problem: 400, it is over or too far away.
    """
    now = datetime.now(UTC)
    if not now < at < now + FURTHEST:
        raise Problem(400, "malformed", "Bad request", "scheduled_at: must be in the future, within a year")


def _settings_change(context: Context, data: RoomChange) -> Change:
    title, category = data.title, data.category
    return Change(
        title=None if title is None else cleaned(context, title, "title"),
        category=None if category is None else cleaned(context, category, "category", most=40, may_be_empty=True),
        slow_mode_s=data.slow_mode_s,
        waiting_room=data.waiting_room,
        auto_accept=data.auto_accept,
        blocked_terms=data.blocked_terms,
    )


def _refused(refused: Unchanged, *, conditional: bool) -> Problem:
    if conditional and str(refused) != "the room is live":
        return changed_meanwhile()
    return Problem(409, "room_live", "Not possible now", str(refused))


def _owner_claims(identity: Claims, room: str) -> Claims:
    return Claims(sub=identity.sub, name=identity.name, tier=Tier.STREAMER, room=room, grants=OWNER_GRANTS)


ROUTES: list[ControllerRouterHandler] = [change_room, end_room, reopen_room, delete_room]
