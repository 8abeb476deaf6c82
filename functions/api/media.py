"""WHIP (RFC 9725) in and WHEP (draft-ietf-wish-whep) out: the same exchange with a worker, over HTTP."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
from litestar import Request, Response, delete, patch, post, put
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import OpenAPIMediaType, Operation, RequestBody, Schema
from litestar.openapi.spec.enums import OpenAPIType
from litestar.params import FromPath, JSONBody
from litestar.response.base import ASGIResponse
from litestar.types import ControllerRouterHandler

from functions.api import ice_servers
from functions.api.auth import ROOM_TOKEN, room_claims_of
from functions.context import Context
from shared.security.tokens import Claims, Grant
from shared.telemetry.problems import Problem

SDP = "application/sdp"
TRICKLE = "application/trickle-ice-sdpfrag"

Kind = Literal["whip", "whep"]
_GRANTS: dict[Kind, Grant] = {"whip": Grant.PUBLISH, "whep": Grant.SUBSCRIBE}
_ANSWERED = {201: ResponseSpec(str, media_type=SDP, description="SDP answer; Location and ETag name the session")}

_RESTARTED = {
    200: ResponseSpec(str, media_type=TRICKLE, description="ICE was restarted: the worker's side, and a new ETag"),
    204: ResponseSpec(None, description="taken"),
}


class _Created(Response[str]):
    """A session with its ICE servers: a `Link` header for each, since not every encoder takes a list apart."""

    def __init__(self, content: str, *, links: list[str], **named: Any) -> None:  # noqa: ANN401 - Litestar's own
        super().__init__(content, **named)
        self._links = links

    def to_asgi_response(self, *arguments: Any, **named: Any) -> ASGIResponse:  # noqa: ANN401 - Litestar's own
        response = super().to_asgi_response(*arguments, **named)
        for link in self._links:
            response.headers.add("link", link)
        return response


def _takes(media_type: str) -> type[Operation]:
    """An OpenAPI operation whose body is text of that type: the handlers read it raw."""

    @dataclass
    class WithBody(Operation):
        def __post_init__(self) -> None:
            schema = Schema(type=OpenAPIType.STRING)
            self.request_body = RequestBody(content={media_type: OpenAPIMediaType(schema=schema)}, required=True)

    return WithBody


@post(
    "/v1/rooms/{room_id:str}/whip",
    summary="Publish to a room",
    tags=["media"],
    security=ROOM_TOKEN,
    responses=_ANSWERED,
    operation_class=_takes(SDP),
)
async def publish(
    request: Request[Any, Any, Any], room_id: FromPath[str], context: NamedDependency[Context]
) -> Response[str]:
    """SDP offer in, SDP answer out. The token must grant `publish`."""
    return await _exchange(request, room_id, context, "whip")


@post(
    "/v1/rooms/{room_id:str}/whep",
    summary="Watch a room",
    tags=["media"],
    security=ROOM_TOKEN,
    responses=_ANSWERED,
    operation_class=_takes(SDP),
)
async def watch(
    request: Request[Any, Any, Any], room_id: FromPath[str], context: NamedDependency[Context]
) -> Response[str]:
    """SDP offer in, SDP answer out; 409 while nobody is live. The token must grant `subscribe`."""
    return await _exchange(request, room_id, context, "whep")


@patch(
    ["/v1/rooms/{room_id:str}/whip/{session:str}", "/v1/rooms/{room_id:str}/whep/{session:str}"],
    summary="Trickle ICE candidates, or restart ICE",
    tags=["media"],
    security=ROOM_TOKEN,
    responses=_RESTARTED,
    operation_class=_takes(TRICKLE),
)
async def trickle(
    request: Request[Any, Any, Any], room_id: FromPath[str], session: FromPath[str], context: NamedDependency[Context]
) -> Response[str | None]:
    """A trickle ICE fragment (RFC 8840). Workers are ICE-lite and learn addresses from checks: it may be left out.

    With a new `ice-ufrag` and `ice-pwd` it restarts ICE (RFC 9725, section 4.3.3): 200 with the worker's fragment and
    the new `ETag`. Else 204.
    """
    claims = _claims(request, room_id, context, _kind_of(request))
    fragment = await _text(request, TRICKLE)
    etag = request.headers.get("if-match")
    restarted = await context.sfu.trickle(claims, session, fragment, etag.strip('"') if etag else None)
    if restarted is None:
        return Response(None, status_code=204)
    headers = {"etag": f'"{restarted.etag}"'}
    return Response(restarted.fragment, status_code=200, media_type=TRICKLE, headers=headers)


class LayerChoice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a viewer wants of a simulcast: at most that layer, or with `paused` no video. With neither it is ours."""

    layer: Annotated[str, msgspec.Meta(min_length=1, max_length=16)] | None = None
    paused: bool = False


@put(
    "/v1/rooms/{room_id:str}/whep/{session:str}/layer",
    summary="Choose a layer",
    tags=["media"],
    security=ROOM_TOKEN,
    status_code=204,
)
async def choose_layer(
    request: Request[Any, Any, Any],
    room_id: FromPath[str],
    session: FromPath[str],
    data: JSONBody[LayerChoice],
    context: NamedDependency[Context],
) -> None:
    """Choose the most that this viewer wants to get, or no video. `{}` leaves it to the worker again."""
    claims = _claims(request, room_id, context, "whep")
    await context.sfu.choose(claims, session, data.layer, paused=data.paused)


@delete(
    ["/v1/rooms/{room_id:str}/whip/{session:str}", "/v1/rooms/{room_id:str}/whep/{session:str}"],
    summary="End a media session",
    tags=["media"],
    security=ROOM_TOKEN,
)
async def hang_up(
    request: Request[Any, Any, Any], room_id: FromPath[str], session: FromPath[str], context: NamedDependency[Context]
) -> None:
    """End the session; for a publisher that ends the stream."""
    claims = _claims(request, room_id, context, _kind_of(request))
    await context.sfu.end(claims, session)


async def _exchange(request: Request[Any, Any, Any], room_id: str, context: Context, kind: Kind) -> Response[str]:
    claims = _claims(request, room_id, context, kind)
    offer = await _text(request, SDP)
    session = await (context.sfu.publish(claims, offer) if kind == "whip" else context.sfu.subscribe(claims, offer))
    servers = ice_servers.for_person(context.settings, claims.sub)
    return _Created(
        session.sdp,
        status_code=201,
        media_type=SDP,
        headers={"location": f"/v1/rooms/{claims.room}/{kind}/{session.session}", "etag": f'"{session.etag}"'},
        links=ice_servers.links(servers),
    )


def _claims(request: Request[Any, Any, Any], room_id: str, context: Context, kind: Kind) -> Claims:
    # The token was signed for this room, so the room exists: media needs no database.
    return room_claims_of(request, context, room_id, _GRANTS[kind])


def _kind_of(request: Request[Any, Any, Any]) -> Kind:
    return "whip" if request.url.path.split("/")[4] == "whip" else "whep"


async def _text(request: Request[Any, Any, Any], media_type: str) -> str:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != media_type:
        raise Problem(415, "media_type", "Unsupported media type", f"the body must be {media_type}")
    try:
        return (await request.body()).decode("utf-8")
    except UnicodeDecodeError:
        raise Problem(400, "malformed", "Bad request", "the body is not UTF-8") from None


ROUTES: list[ControllerRouterHandler] = [publish, watch, trickle, choose_layer, hang_up]
