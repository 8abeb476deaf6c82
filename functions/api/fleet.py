"""The SFU fleet for its operators: list workers and rooms, explain a placement, drain, take a drain back, move."""

import time
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, delete, get, post, put
from litestar.di import NamedDependency
from litestar.openapi.spec import SecurityRequirement
from litestar.params import FromPath, JSONBody, Parameter
from litestar.types import ControllerRouterHandler
from structlog import get_logger

from functions import metrics
from functions.context import Context
from shared.placement.records import Book, Considered, Explanation, RoomState, Worker
from shared.security.tokens import AUDIENCE_FLEET, Claims, Grant, TokenError
from shared.state.fleet import Drain, Move
from shared.telemetry.problems import Problem

_OPERATOR: list[SecurityRequirement] = [{"operator": []}]
_MAX_ROOMS = 1_000

log = get_logger(__name__)


class WorkerResponse(msgspec.Struct, frozen=True):
    """A worker. Rates are packets sent per second; `booked_pps` is what placement counts with, of `capacity_pps`.

    `draining` is true from the order on, and where the worker leaves by itself; `drain` says who ordered it.
    """

    id: str
    zone: str
    version: str
    url: str
    media: str
    capacity_pps: int
    load_pps: int
    booked_pps: int
    joins: int
    joins_per_s: int
    publishers: int
    subscribers: int
    relays: bool
    draining: bool
    drain: Drain | None


class EdgeResponse(msgspec.Struct, frozen=True):
    """A worker that pulls the room from `parent`."""

    worker: str
    parent: str
    viewers: int


class ServedRoomResponse(msgspec.Struct, frozen=True):
    """Who serves a room: `origin` is null while nobody holds its lease, `token` the fencing token, `viewers` of all."""

    room: str
    origin: str | None
    token: int
    viewers: int
    edges: list[EdgeResponse]


class PlacementResponse(msgspec.Struct, frozen=True):
    """Why a session is where it is, and what would be found now of those that were considered then.

    `placement` is null for a publisher, whose worker is the room's origin.
    """

    session: str
    room: str
    kind: str
    worker: str
    placement: Explanation | None
    now: list[Considered]


class DrainRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why a worker is to drain: for whoever looks at it later."""

    reason: Annotated[str, msgspec.Meta(max_length=200)] = ""


class MoveRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where to; without it placement chooses, anywhere but where it is."""

    to: Annotated[str, msgspec.Meta(min_length=1, max_length=16)] | None = None


def _operator(request: Request[Any, Any, Any], context: Context) -> Claims:
    """Who operates.

    Raises:
        Problem: 401 without a good operator's token, 403 without the grant.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise _unauthorized("unauthorized", "send an operator's token as `Authorization: Bearer …`")
    try:
        claims = context.tokens.verify(token.strip(), audience=AUDIENCE_FLEET)
    except TokenError as error:
        metrics.TOKENS_REFUSED.labels(error.code).inc()
        raise _unauthorized(error.code, str(error)) from None
    if Grant.OPERATE not in claims.grants:
        raise Problem(403, "forbidden", "Not allowed", "the token does not grant operate")
    return claims


def _unauthorized(code: str, detail: str) -> Problem:
    challenge = "Bearer" if code == "unauthorized" else 'Bearer error="invalid_token"'
    return Problem(401, code, "Not authenticated", detail, {"www-authenticate": challenge})


@get("/v1/fleet/workers", summary="List workers", tags=["fleet"], security=_OPERATOR)
async def list_workers(request: Request[Any, Any, Any], context: NamedDependency[Context]) -> list[WorkerResponse]:
    """All workers with a valid lease, by zone and id."""
    _operator(request, context)
    fleet = context.fleet
    view, drains = await fleet.view(max_age_us=-1), await fleet.drains()
    books = await fleet.books(list(view.workers))
    return [
        _described(worker, books[worker.id], drains.get(worker.id))
        for worker in sorted(view.workers.values(), key=lambda worker: (worker.zone, worker.id))
        if worker.id in books
    ]


@put("/v1/fleet/workers/{worker_id:str}/drain", summary="Drain a worker", tags=["fleet"], security=_OPERATOR)
async def drain(
    request: Request[Any, Any, Any],
    worker_id: FromPath[str],
    data: JSONBody[DrainRequest],
    context: NamedDependency[Context],
) -> WorkerResponse:
    """No new session comes to it from now on; within a second it begins to move those that it has."""
    claims = _operator(request, context)
    await _worker(context, worker_id)
    order = Drain(claims.sub, data.reason, time.time())
    await context.fleet.drain(worker_id, order)
    log.info("worker_drained", worker=worker_id, operator=claims.sub, reason=data.reason)
    worker = await _worker(context, worker_id)
    return _described(worker, (await context.fleet.books([worker_id]))[worker_id], order)


@delete("/v1/fleet/workers/{worker_id:str}/drain", summary="Take a drain back", tags=["fleet"], security=_OPERATOR)
async def undrain(request: Request[Any, Any, Any], worker_id: FromPath[str], context: NamedDependency[Context]) -> None:
    """New sessions may come to the worker again; those that have been moved stay where they are."""
    claims = _operator(request, context)
    if not await context.fleet.undrain(worker_id):
        raise Problem(404, "not_draining", "Not draining", "nobody has told this worker to drain")
    log.info("worker_undrained", worker=worker_id, operator=claims.sub)


@get("/v1/fleet/rooms", summary="List rooms", tags=["fleet"], security=_OPERATOR)
async def list_rooms(
    request: Request[Any, Any, Any],
    context: NamedDependency[Context],
    worker: Annotated[str, Parameter(description="only rooms that this worker serves")] = "",
    after: Annotated[str, Parameter(description="the last room of the page before")] = "",
    limit: Annotated[int, Parameter(ge=1, le=_MAX_ROOMS)] = 200,
) -> list[ServedRoomResponse]:
    """Rooms that somebody serves, by their ids; a page that is full has more behind it."""
    _operator(request, context)
    found: list[ServedRoomResponse] = []
    names = [room for room in sorted(await context.fleet.rooms()) if room > after]
    for start in range(0, len(names), limit):
        for state in await context.fleet.room_states(names[start : start + limit]):
            served_by = {state.worker, *(edge.worker for edge in state.edges)}
            if not worker or worker in served_by:
                found.append(_room(state))
        if len(found) >= limit:
            break
    return found[:limit]


@get("/v1/fleet/rooms/{room_id:str}", summary="Read who serves a room", tags=["fleet"], security=_OPERATOR)
async def read_room(
    request: Request[Any, Any, Any], room_id: FromPath[str], context: NamedDependency[Context]
) -> ServedRoomResponse:
    """The room's origin and its edges, which are a tree of at most two hops."""
    _operator(request, context)
    return _room(await _served(context, room_id))


@post("/v1/fleet/rooms/{room_id:str}/move", summary="Move a stream", tags=["fleet"], security=_OPERATOR)
async def move_room(
    request: Request[Any, Any, Any],
    room_id: FromPath[str],
    data: JSONBody[MoveRequest],
    context: NamedDependency[Context],
) -> Response[None]:
    """Have the room's publisher go to another worker, which becomes the origin; 202, since it takes a moment."""
    claims = _operator(request, context)
    state = await _served(context, room_id)
    if not state.held:
        raise Problem(409, "no_publisher", "Nobody publishes", "nobody is live in this room")
    await _takes(context, data.to, but=state.worker)
    await context.fleet.order(state.worker, Move(room_id, to=data.to or ""))
    log.info("room_moved", room=room_id, worker=state.worker, to=data.to, operator=claims.sub)
    return Response(None, status_code=202)


@get("/v1/fleet/sessions/{session:str}", summary="Explain a placement", tags=["fleet"], security=_OPERATOR)
async def explain(
    request: Request[Any, Any, Any], session: FromPath[str], context: NamedDependency[Context]
) -> PlacementResponse:
    """Why a viewer is where they are: the reason, and all workers that were considered, then and now."""
    claims = _operator(request, context)
    found = await context.sfu.find_session(claims, session)
    worker = session.partition("-")[0]
    considered = found.placement.considered if found.placement else ()
    books = await context.fleet.books([then.worker for then in considered])
    now = [
        Considered(then.worker, round(book.load, 3), then.zone_distance, _standing(book))
        for then in considered
        if (book := books.get(then.worker))
    ]
    return PlacementResponse(session, found.room, found.kind, worker, found.placement, now)


@post("/v1/fleet/sessions/{session:str}/move", summary="Move a viewer", tags=["fleet"], security=_OPERATOR)
async def move_session(
    request: Request[Any, Any, Any],
    session: FromPath[str],
    data: JSONBody[MoveRequest],
    context: NamedDependency[Context],
) -> Response[None]:
    """Have a session go to another worker; 202, since it takes a moment."""
    claims = _operator(request, context)
    found = await context.sfu.find_session(claims, session)
    worker = session.partition("-")[0]
    await _takes(context, data.to, but=worker)
    target = Move(found.room, "" if found.kind == "publish" else session, data.to or "")
    await context.fleet.order(worker, target)
    log.info("session_moved", session=session, to=data.to, operator=claims.sub)
    return Response(None, status_code=202)


async def _worker(context: Context, worker_id: str) -> Worker:
    worker = await context.fleet.find(worker_id)
    if worker is None:
        raise Problem(404, "worker_unknown", "No such worker", "no worker with a valid lease has this id")
    return worker


async def _takes(context: Context, worker_id: str | None, *, but: str) -> None:
    if worker_id is None:
        return
    if worker_id == but:
        raise Problem(409, "already_there", "Already there", f"it is on {but} already")
    await _worker(context, worker_id)
    if not (await context.fleet.view(max_age_us=-1)).takes(worker_id):
        raise Problem(409, "draining", "The worker drains", f"{worker_id} takes no sessions")


async def _served(context: Context, room_id: str) -> RoomState:
    state = await context.fleet.room(room_id)
    if not state.held and not state.edges:
        raise Problem(404, "room_unserved", "Nobody serves the room", "no worker has this room")
    return state


def _standing(book: Book) -> str:
    return "gone" if not book.alive else "draining" if book.draining else "up"


def _described(worker: Worker, book: Book, order: Drain | None) -> WorkerResponse:
    return WorkerResponse(
        worker.id,
        worker.zone,
        worker.version,
        worker.url,
        worker.media,
        worker.capacity_pps,
        worker.load_pps,
        book.base_pps + book.reserved_pps,
        book.joins,
        worker.joins_per_s,
        worker.publishers,
        worker.subscribers,
        worker.relays,
        worker.draining or order is not None,
        order,
    )


def _room(state: RoomState) -> ServedRoomResponse:
    return ServedRoomResponse(
        state.room,
        state.worker if state.held else None,
        state.token,
        (state.viewers if state.held else 0) + sum(edge.viewers for edge in state.edges),
        [EdgeResponse(edge.worker, edge.parent, edge.viewers) for edge in sorted(state.edges, key=lambda e: e.worker)],
    )


ROUTES: list[ControllerRouterHandler] = [
    list_workers,
    drain,
    undrain,
    list_rooms,
    read_room,
    move_room,
    explain,
    move_session,
]
