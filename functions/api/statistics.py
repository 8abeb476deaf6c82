"""A room's figures, for its owner: gifts and what they add up to, totals, and the audience over time."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath, Parameter
from litestar.types import ControllerRouterHandler

from functions.api.auth import ROOM_TOKEN, room_claims_of
from functions.api.conditional import answered
from functions.api.paging import DEFAULT_LIMIT, Cursor, Limit, number_position
from functions.api.room_views import described, find_room
from functions.api.schemas import AudienceAnalytics, AudiencePoint, GiftList, RoomStatistics
from functions.context import Context
from shared.security.tokens import Grant
from shared.state.audience import MAX_MINUTES, SLOT_S, Minute
from shared.state.gifts import GiftTotals
from shared.state.glance import glance
from shared.state.listing import cursor_of
from shared.state.presence import figures_of
from shared.state.rooms import LARGEST_OFFSET
from shared.telemetry.problems import Problem

LONGEST = timedelta(minutes=MAX_MINUTES)
_EPOCH = datetime.fromtimestamp(0, UTC)
_FIRST = datetime(2020, 1, 1, tzinfo=UTC)
_LAST = datetime(2200, 1, 1, tzinfo=UTC)


@get("/v1/rooms/{room_id:str}/gifts", summary="List gifts", tags=["gifts"], security=ROOM_TOKEN)
async def list_gifts(
    request: Request[Any, Any, Any],
    room_id: FromPath[str],
    context: NamedDependency[Context],
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> GiftList:
    """A page of the ledger, newest first; a gift is in it within seconds. The token must grant `moderate`."""
    claims = room_claims_of(request, context, room_id, Grant.MODERATE)
    before = number_position(cursor, LARGEST_OFFSET)
    gifts, after = await context.gifts.page(claims.room, before=before, limit=limit)
    return GiftList(gifts, cursor_of(str(after)) if after is not None else None)


@get(
    "/v1/rooms/{room_id:str}/gifts/totals",
    summary="Add up gifts",
    tags=["gifts"],
    security=ROOM_TOKEN,
    opt={"rate": "figures", "conditional": True},
)
async def add_up_gifts(
    request: Request[Any, Any, Any], room_id: FromPath[str], context: NamedDependency[Context]
) -> Response[GiftTotals]:
    """All gifts of the room by kind, and the people who gave most. The token must grant `moderate`."""
    claims = room_claims_of(request, context, room_id, Grant.MODERATE)
    return answered(request, await context.gifts.totals(claims.room))


@get(
    "/v1/rooms/{room_id:str}/statistics",
    summary="Read a room's figures",
    tags=["statistics"],
    security=ROOM_TOKEN,
    opt={"rate": "figures", "conditional": True},
)
async def read_statistics(
    request: Request[Any, Any, Any], room_id: FromPath[str], context: NamedDependency[Context]
) -> Response[RoomStatistics]:
    """Now, and over the room's life. The token must grant `moderate`."""
    claims = room_claims_of(request, context, room_id, Grant.MODERATE)
    room = await find_room(context, claims.room)
    seen, figures, totals = await asyncio.gather(
        glance(context.redis, room.id), figures_of(context.redis, room.id), context.gifts.totals(room.id)
    )
    look = described(room, seen)
    # Redis knows the last ten seconds, MongoDB what Redis has lost or forgotten.
    kept = (await context.directory.read(room.id) or room).totals
    return answered(
        request,
        RoomStatistics(
            state=look.state,
            live_since=look.live_since,
            viewers=look.viewers,
            waiting=figures.waiting,
            peak=max(figures.peak, kept.peak),
            visitors=max(figures.visitors, kept.visitors),
            messages=max(figures.messages, kept.messages),
            watch_s=max(figures.watch_s, kept.watch_s),
            gifts=totals.quantity,
            presents=totals.presents,
        ),
    )


@get(
    "/v1/rooms/{room_id:str}/analytics",
    summary="Read the audience over time",
    tags=["statistics"],
    security=ROOM_TOKEN,
    opt={"rate": "figures", "conditional": True},
)
async def read_analytics(
    request: Request[Any, Any, Any],
    room_id: FromPath[str],
    context: NamedDependency[Context],
    start: Annotated[datetime | None, Parameter(description="first minute; a day before the end if not given")] = None,
    end: Annotated[datetime | None, Parameter(description="minute after the last; now if not given")] = None,
    step: Annotated[Literal["60", "300", "3600"], Parameter(description="seconds of a point")] = "60",
) -> Response[AudienceAnalytics]:
    """Viewers, messages, watched time and qualities, minute by minute or coarser, over at most two days.

    The token must grant `moderate`. A minute is complete some seconds after its end.
    """
    claims = room_claims_of(request, context, room_id, Grant.MODERATE)
    first, last = _span(start, end)
    minutes, before = await asyncio.gather(
        context.audience.read(claims.room, first, last), context.audience.messages_before(claims.room, first)
    )
    points = points_of(minutes, before, int(step))
    together = points_of(minutes, before, int((last - first).total_seconds()) + 1, origin=first)
    return answered(
        request,
        AudienceAnalytics(
            start=first,
            end=last,
            step_s=int(step),
            points=points,
            peak=max((point.peak for point in points), default=0),
            messages=sum(point.messages for point in points),
            watch_s=sum(point.watch_s for point in points),
            qualities=together[0].qualities if together else {},
        ),
    )


def points_of(
    minutes: Sequence[Minute], messages_before: int, step_s: int, origin: datetime = _EPOCH
) -> list[AudiencePoint]:
    """Minutes drawn together to steps that begin at multiples of `step_s` after `origin`."""
    steps: dict[int, list[tuple[Minute, int]]] = {}
    said = messages_before
    for minute in minutes:
        # The count begins anew where Redis has lost it.
        new = minute.messages - said if minute.messages >= said else minute.messages
        said = minute.messages
        steps.setdefault(int((minute.at - origin).total_seconds()) // step_s, []).append((minute, new))
    return [_point(origin + timedelta(seconds=number * step_s), some) for number, some in steps.items()]


def _point(at: datetime, minutes: Sequence[tuple[Minute, int]]) -> AudiencePoint:
    viewers = [count for minute, _ in minutes for count in minute.viewers]
    told = [minute.qualities for minute, _ in minutes if minute.qualities]
    heights = sorted({height for qualities in told for height in qualities}, reverse=True)
    means = {str(height): round(sum(q.get(height, 0.0) for q in told) / len(told), 2) for height in heights}
    return AudiencePoint(
        at=at,
        viewers=round(sum(viewers) / len(viewers), 2) if viewers else 0.0,
        peak=max(viewers, default=0),
        messages=sum(new for _, new in minutes),
        watch_s=sum(viewers) * SLOT_S,
        qualities=means,
    )


def _span(start: datetime | None, end: datetime | None) -> tuple[datetime, datetime]:
    if any(given is not None and given.tzinfo is None for given in (start, end)):
        raise Problem(400, "malformed", "Bad request", "start and end: must have a time zone")
    last = end or datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
    if not _FIRST < last < _LAST:
        raise Problem(400, "malformed", "Bad request", "end: must be from 2020 to 2200")
    first = start or last - timedelta(days=1)
    if not timedelta(0) < last - first <= LONGEST:
        raise Problem(400, "malformed", "Bad request", "start: must be before end, by two days at most")
    return first, last


ROUTES: list[ControllerRouterHandler] = [list_gifts, add_up_gifts, read_statistics, read_analytics]
