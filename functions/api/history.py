"""What was said in a room, page by page, from MongoDB and from the live log as if they were one.

The log is read first and MongoDB second: nothing is cut from the log before it is in MongoDB, so an event that the
first read did not find any more is found by the second. Both know events by offset, so none comes twice.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import msgspec
from litestar import Request, get
from litestar.di import NamedDependency
from litestar.params import FromPath, Parameter
from litestar.types import ControllerRouterHandler

from functions.api.auth import ROOM_TOKEN, room_claims_of
from functions.context import Context
from shared.protocol import messages as m
from shared.security.tokens import Grant
from shared.state.rooms import LARGEST_OFFSET, Entry
from shared.telemetry.problems import Problem

MAX_LIMIT = 200
DEFAULT_LIMIT = 50

Kind = Literal["chat", "gift", "stream_started", "stream_ended", "sanction", "settings"]
_KINDS: dict[type[msgspec.Struct], Kind] = {
    m.ChatEvent: "chat",
    m.GiftEvent: "gift",
    m.StreamStarted: "stream_started",
    m.StreamEnded: "stream_ended",
    m.Sanction: "sanction",
    m.SettingsChanged: "settings",
}


class HistoryEvent(msgspec.Struct, frozen=True):
    """One event. `fields` are those of its kind in the room protocol (SPEC.md, section 5)."""

    offset: int
    at: datetime
    kind: Kind
    fields: dict[str, str | int | bool]


class HistoryPage(msgspec.Struct, frozen=True):
    """Events, oldest first. `first` and `last` are the cursors to read on with: `before=first`, `after=last`.

    They may lie outside of `messages`, since deleted ones are hidden; they are null where the page is empty.
    `more` says whether there is more in the direction that was read.
    """

    messages: list[HistoryEvent]
    first: int | None
    last: int | None
    more: bool


Cursor = Annotated[str | None, Parameter(description="offset of an event, excluded")]


@get(
    "/v1/rooms/{room_id:str}/messages",
    summary="Read a room's history",
    tags=["rooms"],
    security=ROOM_TOKEN,
)
async def read_history(
    request: Request[Any, Any, Any],
    room_id: FromPath[str],
    context: NamedDependency[Context],
    after: Cursor = None,
    before: Cursor = None,
    limit: Annotated[str | None, Parameter(description=f"1 to {MAX_LIMIT}, {DEFAULT_LIMIT} if not given")] = None,
) -> HistoryPage:
    """A page of what happened in the room, oldest first; deleted messages are hidden.

    From the start, or from `after` on. With `before` alone: the page that ends there. The token must grant `subscribe`.
    """
    room = room_claims_of(request, context, room_id, Grant.SUBSCRIBE).room
    low = _number(after, "after", 0, 0, LARGEST_OFFSET)
    high = _number(before, "before", LARGEST_OFFSET, 0, LARGEST_OFFSET)
    if low >= high:
        raise Problem(400, "cursor_invalid", "Bad request", "after: must be less than before")
    size = _number(limit, "limit", DEFAULT_LIMIT, 1, MAX_LIMIT)
    return await _page(context, room, low, high, size, newest=before is not None and after is None)


async def _page(context: Context, room: str, after: int, before: int, limit: int, *, newest: bool) -> HistoryPage:
    live = await context.log.page(room, after=after, before=before, limit=limit, newest=newest)
    kept = await context.archive.page(room, after=after, before=before, limit=limit, newest=newest)
    merged = sorted(dict([*kept, *live.entries]).items())
    found = merged[-limit:] if newest else merged[:limit]
    shown = [event for entry in found if entry[0] not in live.deleted and (event := _event(entry))]
    return HistoryPage(shown, found[0][0] if found else None, found[-1][0] if found else None, more=len(found) == limit)


def _event(entry: Entry) -> HistoryEvent | None:
    """The event as it is shown; None for one that is not: a deletion, or one of a later version."""
    offset, raw = entry
    try:
        event = m.decode_event(raw)
    except msgspec.DecodeError:
        return None
    kind = _KINDS.get(type(event))
    if kind is None:
        return None
    fields = msgspec.structs.asdict(event)
    return HistoryEvent(offset, datetime.fromtimestamp(offset / 1e6, UTC), kind, fields)


def _number(text: str | None, name: str, otherwise: int, lowest: int, highest: int) -> int:
    if text is None:
        return otherwise
    # Digits only, so that no sign, space or underscore slips through.
    if not (text.isascii() and text.isdigit() and len(text) <= 16 and lowest <= int(text) <= highest):
        raise Problem(400, "cursor_invalid", "Bad request", f"{name}: must be a number from {lowest} to {highest}")
    return int(text)


ROUTES: list[ControllerRouterHandler] = [read_history]
