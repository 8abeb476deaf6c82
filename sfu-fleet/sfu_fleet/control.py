"""The control API: how functions create, answer, watch and end the sessions of this worker."""

from typing import Annotated, Any, Literal

import msgspec
from litestar import Litestar, Request, Response, delete, get, patch, post, put
from litestar.datastructures import State as AppState
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, JSONBody
from litestar.response import Stream

from sfu_fleet import trickle
from sfu_fleet.cascade.contract import Elsewhere, Fed, FeedRequest, Parent
from sfu_fleet.cascade.parents import some
from sfu_fleet.cascade.room_info import RoomInfo, room_info
from sfu_fleet.cascade.upstream import Origin, Upstreams
from sfu_fleet.drain import Drain, Progress
from sfu_fleet.errors import AtCapacity, Forbidden, Malformed, SfuError, Unauthorized, UnknownSession
from sfu_fleet.metrics import Metrics
from sfu_fleet.recording.ranges import UnsatisfiableRangeError, parse_range
from sfu_fleet.recording.recordings import Recordings
from sfu_fleet.recording.writer import Limits
from sfu_fleet.registry import Registry
from sfu_fleet.rooms import Rooms
from sfu_fleet.session import SessionInfo
from shared.placement.records import Explanation
from shared.protocol.messages import QualityNotice
from shared.security.tokens import AUDIENCE_SFU, Claims, Grant, TokenError, Tokens
from shared.state.recordings import Recording
from shared.telemetry.problems import EXCEPTION_HANDLERS, Problem, problem_response

MAX_BODY_BYTES = 128 * 1024
_MAX_NAME = 200


class Source(msgspec.Struct, frozen=True):
    """Another worker, to pull a room from: its id, its control API, address and port of its media socket."""

    id: str
    url: str
    media: str


class NewSession(msgspec.Struct, frozen=True, forbid_unknown_fields=False):
    """Body of POST /v1/sessions. `offer` is required to publish; to subscribe it makes the worker answer.

    `token` is the fencing token of the room's origin, 0 where placement was not asked. For a publisher this worker is
    the origin, and `continues` names the session in whose place the stream goes on, if it does. A viewer's session
    comes with why it is here, and where this worker is not the origin, with `origin`, `parent`, whom to pull the room
    from, and `relay`, the bearer token that allows it.
    """

    room: str
    kind: Literal["publish", "subscribe"]
    participant: str
    name: str
    offer: str | None = None
    token: Annotated[int, msgspec.Meta(ge=0)] = 0
    continues: str = ""
    origin: Source | None = None
    parent: Source | None = None
    relay: str = ""
    placement: Explanation | None = None


class Created(msgspec.Struct, frozen=True):
    """Answer of POST /v1/sessions: the id, our answer or offer, the ICE session's entity tag."""

    session: str
    sdp: str
    etag: str


class Answer(msgspec.Struct, frozen=True):
    """Body of PUT /v1/sessions/{session}/answer."""

    sdp: str


class Trickle(msgspec.Struct, frozen=True):
    """Body of PATCH /v1/sessions/{session}: an SDP fragment (RFC 8840)."""

    fragment: str
    etag: str | None = None


class LayerChoice(msgspec.Struct, frozen=True):
    """Body of PUT /v1/sessions/{session}/layer: at most that layer, or with `paused` no video; neither is automatic.

    Without `sound` there is no audio either.
    """

    layer: str | None = None
    paused: bool = False
    sound: bool = True


class PlayerSize(msgspec.Struct, frozen=True):
    """Body of PUT /v1/sessions/{session}/viewport: the height of the viewer's player in pixels, 0 where not known."""

    height: Annotated[int, msgspec.Meta(ge=0, le=65_535)]


class Restarted(msgspec.Struct, frozen=True):
    """Answer of PATCH /v1/sessions/{session} when ICE was restarted: our fragment, the new ICE session's tag.

    `ufrag` and `password` are our credentials, as they stand in the fragment.
    """

    fragment: str
    etag: str
    ufrag: str
    password: str


class Services(msgspec.Struct, frozen=True):
    """What the handlers work with."""

    rooms: Rooms
    registry: Registry
    metrics: Metrics
    tokens: Tokens
    recordings: Recordings
    upstreams: Upstreams
    drain: Drain
    relay_address: str
    relay_port: int


class NewRecording(msgspec.Struct, frozen=True, forbid_unknown_fields=False):
    """Body of POST /v1/rooms/{room}/recording. Without a layer it is the best that is being sent at any time.

    `longest_s` and `largest_bytes` are where it ends by itself; 0 is nowhere.
    """

    layer: str | None = None
    longest_s: float = 0.0
    largest_bytes: int = 0


def _services(state: AppState) -> Services:
    services: Services = state.services
    return services


def provide_caller(request: Request[Any, Any, Any], state: AppState) -> Claims:
    """Dependency of every handler: on whose behalf a function calls.

    Raises:
        Unauthorized: there is no bearer token, or it is not for us.
    """
    claims = _caller(request, state)
    if Grant.CONTROL not in claims.grants:
        raise Unauthorized("the token does not grant control")
    return claims


def _caller(request: Request[Any, Any, Any], state: AppState) -> Claims:
    try:
        return _services(state).tokens.verify_once(_bearer(request), audience=AUDIENCE_SFU)
    except TokenError as error:
        raise Unauthorized(str(error)) from None


def _bearer(request: Request[Any, Any, Any]) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthorized("a bearer token is required")
    return token.strip()


def _owned(state: AppState, session: str, caller: Claims) -> Rooms:
    """The rooms, if the caller may act on that session.

    A publisher's session id is known to the whole room, so having it proves nothing.

    Raises:
        UnknownSession: there is no such session, or it is somebody else's.
    """
    rooms = _services(state).rooms
    identity = rooms.identity_of(session)
    mine = identity.participant == caller.sub or Grant.MODERATE in caller.grants
    if not mine or identity.room != caller.room:
        raise UnknownSession("no session has this id")
    return rooms


def _moderates(caller: Claims, room: str) -> None:
    """Recordings are for whoever runs the room.

    Raises:
        Forbidden: the caller does not.
    """
    if caller.room != room or Grant.MODERATE not in caller.grants:
        raise Forbidden("the token does not grant to moderate this room")


@post("/v1/sessions")
async def create_session(
    data: JSONBody[NewSession], state: AppState, caller: NamedDependency[Claims]
) -> Response[Created]:
    """Create a publisher's or a viewer's session."""
    services = _services(state)
    for value in (data.room, data.participant, data.name):
        if len(value) > _MAX_NAME:
            raise Malformed(f"room, participant and name have at most {_MAX_NAME} characters")
    if (data.room, data.participant) != (caller.room, caller.sub):
        raise Forbidden("the token is for another participant or room")
    try:
        if data.kind == "publish":
            if data.offer is None:
                raise Malformed("publish needs an offer")
            publisher = services.rooms.publish(
                data.room, data.participant, data.name, data.offer, data.token, continues=data.continues
            )
            created = Created(publisher.id, publisher.agreement.sdp, publisher.etag)
        else:
            if data.origin is not None and data.parent is not None:
                origin = Origin(Parent(data.origin.id, data.origin.url), data.token)
                parent = Parent(data.parent.id, data.parent.url)
                await services.upstreams.have(data.room, origin, parent, data.relay)
            subscriber = services.rooms.subscribe(data.room, data.participant, data.name, data.offer, caller.tier)
            subscriber.placement = data.placement
            created = Created(subscriber.id, subscriber.sdp, subscriber.etag)
    except SfuError as error:
        services.metrics.refused.labels(error.code).inc()
        raise
    return Response(created, status_code=201, headers={"Location": f"/v1/sessions/{created.session}"})


@put("/v1/sessions/{session:str}/answer", status_code=204)
async def answer_session(
    session: FromPath[str], data: JSONBody[Answer], state: AppState, caller: NamedDependency[Claims]
) -> None:
    """Take a viewer's answer to our offer."""
    _owned(state, session, caller).answer(session, data.sdp)


@patch("/v1/sessions/{session:str}")
async def trickle_session(
    session: FromPath[str], data: JSONBody[Trickle], state: AppState, caller: NamedDependency[Claims]
) -> Response[Restarted | None]:
    """Take trickled candidates (204), or restart ICE and answer our side of it (200)."""
    restarted = _owned(state, session, caller).trickle(session, data.fragment, data.etag)
    if restarted is None:
        return Response(None, status_code=204)
    tracks, local = restarted.agreed_tracks, restarted.local_transport()
    fragment = trickle.restarted(local, tracks[0], [track.mid for track in tracks])
    return Response(Restarted(fragment, restarted.etag, local.ufrag, local.password), status_code=200)


@put("/v1/sessions/{session:str}/layer")
async def choose_layer(
    session: FromPath[str], data: JSONBody[LayerChoice], state: AppState, caller: NamedDependency[Claims]
) -> QualityNotice | None:
    """Take a viewer's choice of layer; the answer is what they get now, or null while nothing flows."""
    return _owned(state, session, caller).viewer(session).choose(data.layer, paused=data.paused, sound=data.sound)


@put("/v1/sessions/{session:str}/viewport", status_code=204)
async def fit_viewport(
    session: FromPath[str], data: JSONBody[PlayerSize], state: AppState, caller: NamedDependency[Claims]
) -> None:
    """Take the height of a viewer's player."""
    _owned(state, session, caller).viewer(session).fit(data.height)


@delete("/v1/sessions/{session:str}", status_code=204)
async def delete_session(session: FromPath[str], state: AppState, caller: NamedDependency[Claims]) -> None:
    """End a session."""
    _owned(state, session, caller).hang_up(session)


@post("/v1/rooms/{room:str}/feeds")
async def create_feed(
    request: Request[Any, Any, Any], room: FromPath[str], data: JSONBody[FeedRequest], state: AppState
) -> Response[Fed | Elsewhere]:
    """Feed an edge (201), or name those who may (300) where there is no room for another; fetch the stream if asked."""
    services = _services(state)
    caller = _caller(request, state)
    if Grant.RELAY not in caller.grants or caller.room != room:
        raise Forbidden("the token does not grant to have this room's stream")
    try:
        if data.fetch and not services.rooms.draining:
            await services.upstreams.fetch(room, _bearer(request))
        feed, depth = services.rooms.feed(room, data)
    except SfuError as error:
        services.metrics.refused.labels(error.code).inc()
        others = services.rooms.edges_of(room, but=data.worker) if isinstance(error, AtCapacity) else []
        if not others:
            raise
        return Response(Elsewhere(tuple(some(others, 2))), status_code=300)
    fed = feed.answer(services.relay_address, services.relay_port, depth)
    headers = {"Location": f"/v1/rooms/{room}/feeds/{feed.id}"}
    return Response(fed, status_code=201, headers=headers)


@get("/v1/drain")
async def drain_progress(state: AppState, caller: NamedDependency[Claims]) -> Progress:  # noqa: ARG001 - must be one
    """How far a drain is, if there is one."""
    return _services(state).drain.progress


@get("/v1/rooms")
async def list_rooms(state: AppState, caller: NamedDependency[Claims]) -> list[RoomInfo]:  # noqa: ARG001 - must be one
    """The rooms that this worker serves: from where, for whom, and what becomes of them at the edges behind it."""
    rooms = _services(state).rooms.rooms()
    return [room_info(room) for room in rooms if room.source is not None]


@post("/v1/rooms/{room:str}/recording")
async def start_recording(
    room: FromPath[str], data: JSONBody[NewRecording], state: AppState, caller: NamedDependency[Claims]
) -> Recording:
    """Record who is live in the room."""
    _moderates(caller, room)
    services = _services(state)
    limits = Limits(data.longest_s, data.largest_bytes)
    return await services.recordings.start(services.rooms.publisher_of(room), data.layer, limits)


@delete("/v1/rooms/{room:str}/recording", status_code=200)
async def stop_recording(room: FromPath[str], state: AppState, caller: NamedDependency[Claims]) -> Recording:
    """End the room's recording and answer when its file is finished."""
    _moderates(caller, room)
    return await _services(state).recordings.stop(room)


@get("/v1/rooms/{room:str}/recordings")
async def list_recordings(room: FromPath[str], state: AppState, caller: NamedDependency[Claims]) -> list[Recording]:
    """The room's recordings that are on this host."""
    _moderates(caller, room)
    return await _services(state).recordings.of_room(room)


@get("/v1/rooms/{room:str}/recordings/{recording:str}")
async def read_recording(
    request: Request[Any, Any, Any],
    room: FromPath[str],
    recording: FromPath[str],
    state: AppState,
    caller: NamedDependency[Claims],
) -> Response[bytes] | Stream:
    """A recording's file, or the part of it that a Range header (RFC 9110, section 14.2) asks for."""
    _moderates(caller, room)
    recordings = _services(state).recordings
    found = await recordings.find(room, recording)
    headers = {"Accept-Ranges": "bytes", "Content-Disposition": f'inline; filename="{found.file}"'}
    try:
        wanted = parse_range(request.headers.get("range"), found.bytes)
    except UnsatisfiableRangeError:
        return Response(b"", status_code=416, headers=headers | {"Content-Range": f"bytes */{found.bytes}"})
    first, count = wanted or (0, found.bytes)
    headers["Content-Length"] = str(count)
    if wanted is not None:
        headers["Content-Range"] = f"bytes {first}-{first + count - 1}/{found.bytes}"
    pieces = await recordings.read(found, first, count)
    return Stream(pieces, status_code=206 if wanted is not None else 200, media_type=found.media_type, headers=headers)


@delete("/v1/rooms/{room:str}/recordings/{recording:str}", status_code=204)
async def delete_recording(
    room: FromPath[str], recording: FromPath[str], state: AppState, caller: NamedDependency[Claims]
) -> None:
    """Delete a recording from this host; an upload of it is given up."""
    _moderates(caller, room)
    await _services(state).recordings.delete(room, recording)


@get("/v1/sessions")
async def list_sessions(state: AppState, caller: NamedDependency[Claims]) -> list[SessionInfo]:  # noqa: ARG001 - must be one
    """Show all sessions."""
    return _services(state).rooms.infos()


@get("/v1/sessions/{session:str}")
async def read_session(
    session: FromPath[str],
    state: AppState,
    caller: NamedDependency[Claims],  # noqa: ARG001 - must be one
) -> SessionInfo:
    """Show a session."""
    return _services(state).rooms.find(session).info()


@get("/health/live")
async def live() -> dict[str, str]:
    """This process can run code; nothing else is asked here."""
    return {"status": "live"}


@get("/health/ready")
async def ready(state: AppState) -> Response[dict[str, str]]:
    """Whether new sessions should be sent here."""
    services = _services(state)
    status = "draining" if services.rooms.draining else "ready" if services.registry.registered else "unregistered"
    return Response({"status": status}, status_code=200 if status == "ready" else 503)


def handle_sfu_error(_request: Request[Any, Any, Any], error: SfuError) -> Response[dict[str, Any]]:
    """Translate the package's errors into problem details (RFC 9457)."""
    headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else {}
    return problem_response(Problem(error.status, error.code, error.title, str(error), headers))


def build_app(services: Services) -> Litestar:
    """The ASGI application of the control API."""
    return Litestar(
        [
            create_session,
            answer_session,
            trickle_session,
            choose_layer,
            fit_viewport,
            delete_session,
            list_sessions,
            create_feed,
            list_rooms,
            drain_progress,
            read_session,
            start_recording,
            stop_recording,
            list_recordings,
            read_recording,
            delete_recording,
            live,
            ready,
        ],
        state=AppState({"services": services}),
        dependencies={"caller": Provide(provide_caller, sync_to_thread=False)},
        exception_handlers={**EXCEPTION_HANDLERS, SfuError: handle_sfu_error},
        request_max_body_size=MAX_BODY_BYTES,
        openapi_config=None,
        logging_config=None,  # the process has configured its logs already
    )
