"""Guests, rooms and room tokens."""

import asyncio
import secrets
from typing import Any

import msgspec
from litestar import Request, Response, get, post
from litestar.datastructures import ResponseHeader
from litestar.di import NamedDependency
from litestar.openapi.spec import SecurityRequirement
from litestar.params import FromPath, JSONBody
from litestar.types import ControllerRouterHandler

from functions import metrics
from functions.api import ice_servers
from functions.api.auth import (
    ENCODER_LIFETIME_S,
    IDENTITY_LIFETIME_S,
    ROOM_LIFETIME_S,
    identity_of,
    sign_encoder,
    sign_participant,
)
from functions.api.schemas import (
    CreatedRoomResponse,
    GuestRequest,
    GuestResponse,
    Participant,
    RoomRequest,
    RoomResponse,
    TokenRequest,
    TokenResponse,
)
from functions.context import Context
from functions.signaling.text import clean_text
from shared.security.tokens import AUDIENCE_IDENTITY, Claims, Grant, Tier
from shared.state.control import RoomControl
from shared.state.directory import Owner, Room, parse_room_id
from shared.state.presence import viewers_of
from shared.telemetry.problems import Problem

IDENTITY: list[SecurityRequirement] = [{"identity": []}]


async def find_room(context: Context, room_id: str) -> Room:
    """The room of an id as somebody typed it.

    Raises:
        Problem: 404 where there is none.
    """
    parsed = parse_room_id(room_id)
    room = await context.directory.find(parsed) if parsed else None
    if room is None:
        raise Problem(404, "room_unknown", "No such room", "check the code, or ask for a new link")
    return room


@post("/v1/guests", summary="Become a guest", tags=["people"])
async def create_guest(data: JSONBody[GuestRequest], context: NamedDependency[Context]) -> GuestResponse:
    """Give a display name, get an identity token."""
    name = _cleaned(data.name, "name")
    claims = Claims(sub=f"p{secrets.token_hex(8)}", name=name, tier=Tier.VIEWER, grants=frozenset({Grant.CREATE_ROOM}))
    token = context.tokens.sign(claims, audience=AUDIENCE_IDENTITY, lifetime_s=IDENTITY_LIFETIME_S)
    metrics.GUESTS_CREATED.inc()
    return GuestResponse(token, IDENTITY_LIFETIME_S, Participant(claims.sub, name))


@post(
    "/v1/rooms",
    summary="Create a room",
    tags=["rooms"],
    security=IDENTITY,
    response_headers=[ResponseHeader(name="Location", description="the room", documentation_only=True)],
)
async def create_room(
    request: Request[Any, Any, Any], data: JSONBody[RoomRequest], context: NamedDependency[Context]
) -> Response[CreatedRoomResponse]:
    """Create a room that the holder of the identity token owns; the answer has the owner's room token."""
    identity = identity_of(request, context, Grant.CREATE_ROOM)
    room = await context.directory.create(_cleaned(data.title, "title"), Owner(identity.sub, identity.name))
    metrics.ROOMS_CREATED.inc()
    token = sign_participant(context, identity, room.id, owner=True)
    body = CreatedRoomResponse(_described(room, live=False, viewers=0), token, ROOM_LIFETIME_S, "streamer")
    return Response(body, headers={"location": f"/v1/rooms/{room.id}"})


@get("/v1/rooms/{room_id:str}", summary="Read a room", tags=["rooms"])
async def read_room(room_id: FromPath[str], context: NamedDependency[Context]) -> RoomResponse:
    """What a room is, whether it is live and how many watch. The code may be typed in any case, with hyphens."""
    room = await find_room(context, room_id)
    live, viewers, settings = await asyncio.gather(
        context.log.live(room.id), viewers_of(context.redis, room.id), RoomControl(context.redis).settings(room.id)
    )
    described = _described(room, live=live is not None, viewers=viewers)
    return msgspec.structs.replace(
        described,
        # Empty until somebody has changed it.
        title=settings.title or room.title,
        category=settings.category,
        slow_mode_s=settings.slow_mode_s,
        waiting_room=settings.waiting_room,
    )


@post("/v1/rooms/{room_id:str}/tokens", summary="Get a room token", tags=["rooms"], security=IDENTITY)
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
    if data.kind == "encoder":
        if not owner:
            raise Problem(403, "forbidden", "Not allowed", "only the room's owner gets encoder tokens")
        return TokenResponse(sign_encoder(context, identity, room.id), ENCODER_LIFETIME_S, "streamer")
    token = sign_participant(context, identity, room.id, owner=owner)
    servers = ice_servers.for_person(context.settings, identity.sub)
    return TokenResponse(token, ROOM_LIFETIME_S, "streamer" if owner else "viewer", servers)


def _described(room: Room, *, live: bool, viewers: int) -> RoomResponse:
    owner = Participant(room.owner.id, room.owner.name)
    return RoomResponse(room.id, room.title, owner, live, viewers, room.created_at)


def _cleaned(text: str, field: str) -> str:
    cleaned = clean_text(text)
    if not cleaned:
        raise Problem(400, "malformed", "Bad request", f"{field}: is empty")
    return cleaned


ROUTES: list[ControllerRouterHandler] = [create_guest, create_room, read_room, create_token]
