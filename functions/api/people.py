"""Who is in a room, who waits outside, and what moderators decide about them."""

from datetime import UTC, datetime
from typing import Any

from litestar import Request, delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from litestar.types import ControllerRouterHandler

from functions.api.auth import ROOM_TOKEN, room_claims_of
from functions.api.paging import DEFAULT_LIMIT, Cursor, Limit, number_position, position
from functions.api.schemas import (
    Decision,
    ParticipantList,
    PersonInRoom,
    SanctionList,
    SanctionRequest,
    SanctionResponse,
    Waiting,
    WaitingList,
)
from functions.context import Context
from shared.security.tokens import Grant
from shared.state.commands import Decided
from shared.state.listing import cursor_of
from shared.state.presence import people_page
from shared.state.rooms import LARGEST_OFFSET
from shared.telemetry.problems import Problem

MAX_ID = 128


@get("/v1/rooms/{room_id:str}/participants", summary="List participants", tags=["people"], security=ROOM_TOKEN)
async def list_participants(
    request: Request[Any, Any, Any],
    room_id: FromPath[str],
    context: NamedDependency[Context],
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> ParticipantList:
    """A page of the people in the room, in the order of their ids. The token must grant `subscribe`."""
    claims = room_claims_of(request, context, room_id, Grant.SUBSCRIBE)
    total, people, after = await people_page(context.redis, claims.room, after=position(cursor), limit=limit)
    shown = [PersonInRoom(person.participant, person.name, person.role) for person in people]
    return ParticipantList(total, shown, cursor_of(after) if after else None)


@get("/v1/rooms/{room_id:str}/sanctions", summary="List sanctions", tags=["moderation"], security=ROOM_TOKEN)
async def list_sanctions(
    request: Request[Any, Any, Any],
    room_id: FromPath[str],
    context: NamedDependency[Context],
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> SanctionList:
    """Who is silenced or banned now: those whose time is over soonest first, bans last.

    The token must grant `moderate`.
    """
    claims = room_claims_of(request, context, room_id, Grant.MODERATE)
    skip = number_position(cursor, 0)
    found = await context.control.sanctions(claims.room, skip=skip, limit=limit + 1)
    shown = [_sanction(standing.participant, standing.until_ms) for standing in found[:limit]]
    return SanctionList(shown, cursor_of(str(skip + limit)) if len(found) > limit else None)


@put(
    "/v1/rooms/{room_id:str}/sanctions/{participant:str}",
    summary="Silence or ban somebody",
    tags=["moderation"],
    security=ROOM_TOKEN,
)
async def sanction(
    request: Request[Any, Any, Any],
    room_id: FromPath[str],
    participant: FromPath[str],
    data: JSONBody[SanctionRequest],
    context: NamedDependency[Context],
) -> SanctionResponse:
    """Silence a participant for a time, or ban them for good; what was decided before is replaced.

    The token must grant `moderate`.
    """
    claims = room_claims_of(request, context, room_id, Grant.MODERATE)
    who = _participant(participant)
    if who == claims.sub:
        raise Problem(403, "forbidden", "Not allowed", "not against yourself")
    if data.action == "ban":
        done = await context.control.ban(claims.room, who)
    else:
        done = await context.control.time_out(claims.room, who, data.seconds)
    return _sanction(who, done.until_ms)


@delete(
    "/v1/rooms/{room_id:str}/sanctions/{participant:str}",
    summary="Lift a sanction",
    tags=["moderation"],
    security=ROOM_TOKEN,
)
async def lift(
    request: Request[Any, Any, Any],
    room_id: FromPath[str],
    participant: FromPath[str],
    context: NamedDependency[Context],
) -> None:
    """Let a participant speak and come in again. Where nothing was decided, nothing happens."""
    claims = room_claims_of(request, context, room_id, Grant.MODERATE)
    await context.control.lift(claims.room, _participant(participant))


@delete(
    "/v1/rooms/{room_id:str}/messages/{offset:int}",
    summary="Delete a message",
    tags=["moderation"],
    security=ROOM_TOKEN,
)
async def delete_message(
    request: Request[Any, Any, Any], room_id: FromPath[str], offset: FromPath[int], context: NamedDependency[Context]
) -> None:
    """Hide a message or gift from everybody. The token must grant `moderate`."""
    claims = room_claims_of(request, context, room_id, Grant.MODERATE)
    if not 0 < offset <= LARGEST_OFFSET or await context.control.delete(claims.room, offset) is None:
        raise Problem(404, "message_unknown", "No such message", "there is none at this offset, or it is deleted")


@get("/v1/rooms/{room_id:str}/waiting", summary="List who waits", tags=["moderation"], security=ROOM_TOKEN)
async def list_waiting(
    request: Request[Any, Any, Any], room_id: FromPath[str], context: NamedDependency[Context]
) -> WaitingList:
    """How many wait to be let in, and those who have waited longest. The token must grant `moderate`."""
    claims = room_claims_of(request, context, room_id, Grant.MODERATE)
    knocks = await context.door.waiting_room.knocks(claims.room)
    return WaitingList(knocks.total, [Waiting(knock.participant, knock.name) for knock in knocks.first])


@post(
    "/v1/rooms/{room_id:str}/waiting",
    summary="Let in or turn away",
    tags=["moderation"],
    security=ROOM_TOKEN,
    status_code=200,
)
async def decide(
    request: Request[Any, Any, Any],
    room_id: FromPath[str],
    data: JSONBody[Decision],
    context: NamedDependency[Context],
) -> WaitingList:
    """Decide about one who waits, or about all of them; who still waits then. The token must grant `moderate`."""
    claims = room_claims_of(request, context, room_id, Grant.MODERATE)
    room = context.door.waiting_room
    decided = await (room.admit if data.accept else room.reject)(claims.room, data.participant)
    await context.door.tell(claims.room, Decided(decided))
    knocks = await room.knocks(claims.room)
    return WaitingList(knocks.total, [Waiting(knock.participant, knock.name) for knock in knocks.first])


def _participant(text: str) -> str:
    if not (text.isascii() and text.isprintable() and len(text) <= MAX_ID):
        raise Problem(404, "participant_unknown", "No such participant", "this cannot be a participant's id")
    return text


def _sanction(participant: str, until_ms: int) -> SanctionResponse:
    if until_ms == 0:
        return SanctionResponse(participant, "ban", None)
    return SanctionResponse(participant, "time_out", datetime.fromtimestamp(until_ms / 1000, UTC))


ROUTES: list[ControllerRouterHandler] = [
    list_participants,
    list_sanctions,
    sanction,
    lift,
    delete_message,
    list_waiting,
    decide,
]
