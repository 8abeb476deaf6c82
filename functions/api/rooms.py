"""Rooms and room tokens."""

from typing import Any

from litestar import Request, Response, get, post
from litestar.datastructures import ResponseHeader
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from litestar.types import ControllerRouterHandler

from functions import metrics
from functions.api import ice_servers
from functions.api.auth import (
    ENCODER_LIFETIME_S,
    IDENTITY,
    ROOM_LIFETIME_S,
    identity_of,
    sign_encoder,
    sign_participant,
)
from functions.api.conditional import answered
from functions.api.room_changes import check_time
from functions.api.room_views import described, find_room, shown
from functions.api.schemas import (
    CreatedRoomResponse,
    RoomRequest,
    RoomResponse,
    TokenRequest,
    TokenResponse,
)
from functions.api.wording import cleaned
from functions.context import Context
from shared.security.tokens import Grant
from shared.state.control import Settings
from shared.state.directory import Owner
from shared.state.glance import Glance
from shared.telemetry.problems import Problem

# Redis has nothing of a room that was just made.
UNSEEN = Glance("", 0, 0, Settings())


@post(
    "/v1/rooms",
    summary="Create a room",
    tags=["rooms"],
    security=IDENTITY,
    response_headers=[ResponseHeader(name="Location", description="the room", documentation_only=True)],
    opt={"rate": "create"},
)
async def create_room(
    request: Request[Any, Any, Any], data: JSONBody[RoomRequest], context: NamedDependency[Context]
) -> Response[CreatedRoomResponse]:
    """Create a room that the holder of the identity token owns; the answer has the owner's room token.

    With `scheduled_at` it is announced for then; its owner may go live at any time.
    """
    identity = identity_of(request, context, Grant.CREATE_ROOM)
    if data.scheduled_at is not None:
        check_time(data.scheduled_at)
    room = await context.directory.create(
        cleaned(context, data.title, "title"),
        Owner(identity.sub, identity.name),
        category=cleaned(context, data.category, "category", most=40, may_be_empty=True),
        description=cleaned(context, data.description, "description", most=1000, may_be_empty=True),
        scheduled_at=data.scheduled_at,
        listed=data.listed,
    )
    metrics.ROOMS_CREATED.inc()
    token = sign_participant(context, identity, room.id, owner=True)
    body = CreatedRoomResponse(described(room, UNSEEN), token, ROOM_LIFETIME_S, "streamer")
    return Response(body, headers={"location": f"/v1/rooms/{room.id}"})


@get("/v1/rooms/{room_id:str}", summary="Read a room", tags=["rooms"], opt={"conditional": True})
async def read_room(
    request: Request[Any, Any, Any], room_id: FromPath[str], context: NamedDependency[Context]
) -> Response[RoomResponse]:
    """What a room is, whether it is live and how many watch. The code may be typed in any case, with hyphens."""
    body, state = await shown(context, await find_room(context, room_id))
    return answered(request, body, state=state, private=False)


@post(
    "/v1/rooms/{room_id:str}/tokens",
    summary="Get a room token",
    tags=["rooms"],
    security=IDENTITY,
    opt={"rate": "join"},
)
async def create_token(
    request: Request[Any, Any, Any],
    room_id: FromPath[str],
    data: JSONBody[TokenRequest],
    context: NamedDependency[Context],
) -> TokenResponse:
    """A short-lived token for the room: what it grants depends on who owns the room."""
    identity = identity_of(request, context)
    room = await find_room(context, room_id)
    owner = room.owner.id == identity.sub
    if owner:
        context.directory.about_to_go_live(room.id)
    if data.kind == "encoder":
        if not owner:
            raise Problem(403, "forbidden", "Not allowed", "only the room's owner gets encoder tokens")
        return TokenResponse(sign_encoder(context, identity, room.id), ENCODER_LIFETIME_S, "streamer")
    token = sign_participant(context, identity, room.id, owner=owner)
    servers = ice_servers.for_person(context.settings, identity.sub)
    return TokenResponse(token, ROOM_LIFETIME_S, "streamer" if owner else "viewer", servers)


ROUTES: list[ControllerRouterHandler] = [create_room, read_room, create_token]
