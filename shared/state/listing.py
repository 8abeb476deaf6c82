"""How rooms are listed and found: by list, by category, by the beginnings of words, in an order that an index has.

A room that is listed carries `list` ("live" or "scheduled"), `order` and `terms`; one that is not carries none of them,
so that the indexes hold what can be found and nothing else. `order` is text that sorts as the list is shown: the live
room with the most viewers first, the scheduled one that is next first. Text, so that a page begins where another
ended by one comparison, which every index can do.
"""

import base64
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

from shared.state.documents import Document
from shared.state.terms import folded

ListName = Literal["live", "scheduled"]

# The beginnings of a word that are kept: from the first letter, up to as many.
_LONGEST_BEGINNING = 12
MAX_TERMS = 200
MAX_WORDS = 6
_MOST_VIEWERS = 99_999_999
_WORD = re.compile(r"\w+")


def listed_fields(room: Document) -> Document:
    """The fields by which a room's document is found; to be set together with what they come from."""
    made: datetime = room["created_at"]
    fields: Document = {"made": f"{made:%Y%m%dT%H%M%S}{made.microsecond // 1000:03d}:{room['_id']}"}
    name = list_of(room)
    if name is not None:
        fields["list"] = name
        fields["order"] = order_of(room)
        fields["terms"] = terms_of(room.get("category", ""), room["title"], room["owner"]["name"])
    return fields


def list_of(room: Document) -> ListName | None:
    """The list that a room is on."""
    state = room.get("state")
    if not room.get("listed") or "deleted_at" in room:
        return None
    return state if state in {"live", "scheduled"} else None


def order_of(room: Document) -> str:
    """Where a room stands in its list."""
    if room["state"] == "live":
        return live_order(room["_id"], room.get("viewers", 0))
    at: datetime = room["scheduled_at"]
    return f"{at.astimezone(UTC):%Y%m%dT%H%M%S}:{room['_id']}"


def live_order(room: str, viewers: int) -> str:
    """Where a live room with so many viewers stands."""
    return f"{_MOST_VIEWERS - min(viewers, _MOST_VIEWERS):08d}:{room}"


def terms_of(category: str, *texts: str) -> list[str]:
    """What a room is found by: its category, and the beginnings of its words."""
    found: dict[str, None] = {}
    if category:
        found[category_term(category)] = None
    for text in texts:
        for word in _WORD.findall(folded(text)):
            for length in range(1, min(len(word), _LONGEST_BEGINNING) + 1):
                found[word[:length]] = None
    return list(found)[:MAX_TERMS]


def category_term(category: str) -> str:
    """A category among the terms: no word has a colon."""
    return f"category:{' '.join(folded(category).split())}"


def words_of(query: str) -> list[str]:
    """The words of what somebody searches for, as terms."""
    return [word[:_LONGEST_BEGINNING] for word in _WORD.findall(folded(query))][:MAX_WORDS]


def cursor_of(position: str) -> str:
    """A place in a list as clients get it: opaque, and of characters that need no escape in a URL."""
    return base64.urlsafe_b64encode(position.encode()).decode().rstrip("=")


def position_of(cursor: str) -> str | None:
    """The place that a cursor stands for; None when it is none of ours."""
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        position = raw.decode("ascii")
    except ValueError:
        return None
    return position if cursor_of(position) == cursor and len(position) <= 300 and position.isprintable() else None


def page_of(documents: Sequence[Document], limit: int, key: str) -> tuple[Sequence[Document], str | None]:
    """The page of `limit` documents, and the cursor of the next one where `documents` has one more."""
    page = documents[:limit]
    return page, cursor_of(page[-1][key]) if len(documents) > limit else None
