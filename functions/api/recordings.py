"""Recordings of a room, for its owner: begin, end, list, download. The worker that has the stream does the work."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

import httpx
import msgspec
from litestar import Request, delete, get, post
from litestar.di import NamedDependency
from litestar.openapi.spec import SecurityRequirement
from litestar.params import FromPath, Parameter
from litestar.response import Stream
from litestar.types import ControllerRouterHandler

from functions.api.auth import room_claims_of
from functions.api.schemas import RecordingResponse
from functions.context import Context
from functions.sfu_client import RecordingInfo
from shared.security.tokens import Claims, Grant
from shared.state.directory import parse_room_id
from shared.telemetry.problems import Problem

_ROOM_TOKEN: list[SecurityRequirement] = [{"room": []}]
# What a worker says of a file that its reader has to know.
_PASSED_ON = ("accept-ranges", "content-disposition", "content-length", "content-range")


@post("/v1/rooms/{room_id:str}/recording", summary="Begin to record", tags=["recordings"], security=_ROOM_TOKEN)
async def start(
    request: Request[Any, Any, Any],
    room_id: FromPath[str],
    context: NamedDependency[Context],
    layer: Annotated[str | None, Parameter(description="simulcast layer; default the best that is sent")] = None,
) -> RecordingResponse:
    """Record the live stream from its next keyframe on, until it ends or is told to end.

    The token must grant `moderate`.
    """
    claims = _claims(request, room_id, context)
    return _described(claims, await context.sfu.start_recording(claims, layer))


@delete(
    "/v1/rooms/{room_id:str}/recording",
    summary="End the recording",
    tags=["recordings"],
    security=_ROOM_TOKEN,
    status_code=200,
)
async def stop(
    request: Request[Any, Any, Any], room_id: FromPath[str], context: NamedDependency[Context]
) -> RecordingResponse:
    """End it; the answer comes when the file is finished."""
    claims = _claims(request, room_id, context)
    return _described(claims, await context.sfu.stop_recording(claims))


@get("/v1/rooms/{room_id:str}/recordings", summary="List recordings", tags=["recordings"], security=_ROOM_TOKEN)
async def list_all(
    request: Request[Any, Any, Any], room_id: FromPath[str], context: NamedDependency[Context]
) -> list[RecordingResponse]:
    """The room's recordings, oldest first."""
    claims = _claims(request, room_id, context)
    return [_described(claims, recording) for recording in await context.sfu.recordings(claims)]


@get(
    "/v1/rooms/{room_id:str}/recordings/{recording:str}",
    summary="Read a recording",
    tags=["recordings"],
    security=_ROOM_TOKEN,
    media_type="video/webm",
)
async def read(
    request: Request[Any, Any, Any],
    room_id: FromPath[str],
    recording: FromPath[str],
    context: NamedDependency[Context],
) -> Stream:
    """The file: WebM, or Matroska for H.264. A `Range` of bytes is answered with 206 and that part."""
    claims = _claims(request, room_id, context)
    answer = await context.sfu.open_recording(claims, recording, request.headers.get("range"))
    return Stream(
        _content(answer),
        status_code=answer.status_code,
        media_type=answer.headers.get("content-type", "application/octet-stream"),
        headers={name: answer.headers[name] for name in _PASSED_ON if name in answer.headers},
    )


async def _content(answer: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for piece in answer.aiter_raw():
            yield piece
    finally:
        await answer.aclose()


def _claims(request: Request[Any, Any, Any], room_id: str, context: Context) -> Claims:
    room = parse_room_id(room_id)
    if room is None:
        raise Problem(404, "room_unknown", "No such room", "check the code, or ask for a new link")
    return room_claims_of(request, context, room, Grant.MODERATE)


def _described(claims: Claims, recording: RecordingInfo) -> RecordingResponse:
    url = f"/v1/rooms/{claims.room}/recordings/{recording.id}"
    return msgspec.convert(msgspec.structs.asdict(recording) | {"url": url}, RecordingResponse)


ROUTES: list[ControllerRouterHandler] = [start, stop, list_all, read]
