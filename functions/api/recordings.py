"""Recordings of a room, for its owner: begin, end, list, read, link, delete."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

import httpx
from litestar import Request, Response, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, Parameter
from litestar.response import Stream
from litestar.types import ControllerRouterHandler

from functions.api.auth import ROOM_TOKEN, claims_of_link, room_claims_of, typed_room
from functions.api.schemas import RecordingLink, RecordingResponse
from functions.context import Context
from functions.recording_shelf import LINK_LIFETIME_S, Shown
from functions.sfu_client import SfuError
from shared.security.tokens import Claims, Grant
from shared.state.recordings import Recording
from shared.telemetry.problems import Problem

# What a worker says of a file that its reader has to know.
_PASSED_ON = ("accept-ranges", "content-length", "content-range")


@post("/v1/rooms/{room_id:str}/recording", summary="Begin to record", tags=["recordings"], security=ROOM_TOKEN)
async def start(
    request: Request[Any, Any, Any],
    room_id: FromPath[str],
    context: NamedDependency[Context],
    layer: Annotated[str | None, Parameter(description="simulcast layer; default the best that is sent")] = None,
) -> RecordingResponse:
    """Record the live stream from its next keyframe on, until it ends, is told to end, or reaches a limit.

    The token must grant `moderate`.
    """
    claims = _claims(request, room_id, context)
    allowed = await context.shelf.allowance(claims)
    begun = await context.sfu.start_recording(
        claims, layer, longest_s=allowed.longest_s, largest_bytes=allowed.largest_bytes
    )
    return _described(Shown(begun, begun.state))


@delete(
    "/v1/rooms/{room_id:str}/recording",
    summary="End the recording",
    tags=["recordings"],
    security=ROOM_TOKEN,
    status_code=200,
)
async def stop(
    request: Request[Any, Any, Any], room_id: FromPath[str], context: NamedDependency[Context]
) -> RecordingResponse:
    """End it; the answer comes when the file is finished, which may still have to be uploaded."""
    claims = _claims(request, room_id, context)
    ended = await context.sfu.stop_recording(claims)
    return _described(Shown(ended, ended.state))


@get("/v1/rooms/{room_id:str}/recordings", summary="List recordings", tags=["recordings"], security=ROOM_TOKEN)
async def list_all(
    request: Request[Any, Any, Any], room_id: FromPath[str], context: NamedDependency[Context]
) -> list[RecordingResponse]:
    """The room's recordings, oldest first, wherever they are."""
    claims = _claims(request, room_id, context)
    return [_described(shown) for shown in await context.shelf.of_room(claims.room)]


@get(
    "/v1/rooms/{room_id:str}/recordings/{recording:str}",
    summary="Read a recording",
    tags=["recordings"],
    security=ROOM_TOKEN,
    media_type="video/webm",
)
async def read(
    request: Request[Any, Any, Any],
    room_id: FromPath[str],
    recording: FromPath[str],
    context: NamedDependency[Context],
    token: Annotated[str | None, Parameter(description="the token of a link, instead of a room token")] = None,
    download: Annotated[bool, Parameter(description="whether the file is to be saved")] = False,
) -> Stream | Response[bytes]:
    """The file: WebM, or Matroska for H.264. A `Range` of bytes is answered with 206 and that part.

    307 leads to the object store when the file is there; a `Range` holds there as well.
    """
    if token is None:
        claims = _claims(request, room_id, context)
    else:
        claims = claims_of_link(context, token, typed_room(room_id), recording)
    shown = await context.shelf.find(claims.room, recording)
    if not shown.recording.stored:
        answer = await _opened(context, claims, shown, request.headers.get("range"))
        if answer is not None:
            return _passed_on(answer, shown.recording, download=download)
        # Stored since we looked.
        shown = await context.shelf.find(claims.room, recording)
    url = await context.shelf.store_link(shown.recording, download=download)
    return Response(b"", status_code=307, headers={"location": url, "cache-control": "no-store"})


@get(
    "/v1/rooms/{room_id:str}/recordings/{recording:str}/link",
    summary="Get a link to a recording",
    tags=["recordings"],
    security=ROOM_TOKEN,
)
async def link(
    request: Request[Any, Any, Any],
    room_id: FromPath[str],
    recording: FromPath[str],
    context: NamedDependency[Context],
    download: Annotated[bool, Parameter(description="whether the file is to be saved")] = False,
) -> RecordingLink:
    """A URL that a player reads without a header, for some hours: whoever has it may read this recording."""
    claims = _claims(request, room_id, context)
    shown = await context.shelf.find(claims.room, recording)
    if shown.recording.stored:
        url = await context.shelf.store_link(shown.recording, download=download)
    else:
        url = context.shelf.own_link(shown.recording, claims, download=download)
    return RecordingLink(url, LINK_LIFETIME_S)


@delete(
    "/v1/rooms/{room_id:str}/recordings/{recording:str}",
    summary="Delete a recording",
    tags=["recordings"],
    security=ROOM_TOKEN,
)
async def remove(
    request: Request[Any, Any, Any],
    room_id: FromPath[str],
    recording: FromPath[str],
    context: NamedDependency[Context],
) -> None:
    """Delete it for good; 409 while it goes on. A file on a host that is away is deleted when the host is back."""
    claims = _claims(request, room_id, context)
    await context.shelf.delete(claims, await context.shelf.find(claims.room, recording))


async def _opened(context: Context, claims: Claims, shown: Shown, byte_range: str | None) -> httpx.Response | None:
    """The file at a worker; None when it is not there any more."""
    worker = await context.shelf.host_of(shown.recording)
    if worker is None:
        detail = "the host that has the file is not there at the moment"
        raise Problem(503, "host_away", "Unavailable", detail, {"retry-after": "10"})
    try:
        return await context.sfu.open_recording(worker, claims, shown.recording.id, byte_range)
    except SfuError as error:
        again = await context.shelf.find(claims.room, shown.recording.id)
        if error.code == "unknown_recording" and again.recording.stored:
            return None
        raise


def _passed_on(answer: httpx.Response, recording: Recording, *, download: bool) -> Stream:
    disposition = f'{"attachment" if download else "inline"}; filename="{recording.file}"'
    return Stream(
        _content(answer),
        status_code=answer.status_code,
        media_type=answer.headers.get("content-type", "application/octet-stream"),
        headers={
            **{name: answer.headers[name] for name in _PASSED_ON if name in answer.headers},
            "content-disposition": disposition,
        },
    )


async def _content(answer: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for piece in answer.aiter_raw():
            yield piece
    finally:
        await answer.aclose()


def _claims(request: Request[Any, Any, Any], room_id: str, context: Context) -> Claims:
    return room_claims_of(request, context, room_id, Grant.MODERATE)


def _described(shown: Shown) -> RecordingResponse:
    known = shown.recording
    return RecordingResponse(
        id=known.id,
        url=f"/v1/rooms/{known.room}/recordings/{known.id}",
        state=shown.state,
        started_at=known.started_at,
        ended_at=known.ended_at,
        end=known.end,
        duration_s=known.duration_s,
        bytes=known.bytes,
        media_type=known.media_type,
        codecs=known.codecs,
        dropped_frames=known.dropped_frames,
    )


ROUTES: list[ControllerRouterHandler] = [start, stop, list_all, read, link, remove]
