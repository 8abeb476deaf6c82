"""Finding rooms: those that are live, those that are to come, and one's own."""

from typing import Annotated, Any, Literal

from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.params import Parameter, QueryParameter
from litestar.types import ControllerRouterHandler

from functions.api.auth import IDENTITY, identity_of
from functions.api.conditional import answered
from functions.api.paging import DEFAULT_LIMIT, Cursor, Limit, position
from functions.api.room_views import listed
from functions.api.schemas import RoomList
from functions.context import Context

MAX_AGE_S = 2


@get("/v1/rooms", summary="List and search rooms", tags=["rooms"], opt={"rate": "search", "conditional": True})
async def list_rooms(
    request: Request[Any, Any, Any],
    context: NamedDependency[Context],
    shown: Annotated[
        Literal["live", "scheduled"],
        QueryParameter(name="state", description="live: most viewers first; scheduled: the next one first"),
    ] = "live",
    category: Annotated[str, Parameter(max_length=40, description="only those of this category")] = "",
    words: Annotated[
        str,
        QueryParameter(name="q", max_length=100, description="beginnings of words of the title or the owner's name"),
    ] = "",
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Response[RoomList]:
    """A page of the rooms that are listed.

    The order of live rooms changes as viewers come and go: show each id once.
    """
    page = await context.directory.search(shown, category=category, query=words, after=position(cursor), limit=limit)
    body = RoomList([listed(room) for room in page.rooms], page.next)
    return answered(request, body, max_age_s=MAX_AGE_S, private=False)


@get("/v1/my/rooms", summary="List your own rooms", tags=["rooms"], security=IDENTITY, opt={"conditional": True})
async def list_own(
    request: Request[Any, Any, Any],
    context: NamedDependency[Context],
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Response[RoomList]:
    """A page of the rooms that the holder of the identity token owns, newest first, listed or not."""
    identity = identity_of(request, context)
    page = await context.directory.of_owner(identity.sub, after=position(cursor), limit=limit)
    return answered(request, RoomList([listed(room) for room in page.rooms], page.next))


ROUTES: list[ControllerRouterHandler] = [list_rooms, list_own]
