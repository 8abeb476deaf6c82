"""Pages of lists: how many entries one has at most, and cursors, which only the list that made them understands."""

from typing import Annotated, TypeAlias

from litestar.params import Parameter

from shared.state.listing import position_of
from shared.telemetry.problems import Problem

MAX_LIMIT = 100
DEFAULT_LIMIT = 20

Limit: TypeAlias = Annotated[int, Parameter(ge=1, le=MAX_LIMIT, description=f"entries of a page, at most {MAX_LIMIT}")]
Cursor: TypeAlias = Annotated[
    str | None, Parameter(max_length=400, description="`next` of the page before; none for the first")
]


def position(cursor: str | None) -> str:
    """Where the page begins; empty for the first.

    Raises:
        Problem: 400, it is no cursor.
    """
    if cursor is None:
        return ""
    found = position_of(cursor)
    if found is None:
        raise Problem(400, "cursor_invalid", "Bad request", "cursor: must be `next` of the page before")
    return found


def number_position(cursor: str | None, otherwise: int) -> int:
    """The same for lists whose positions are numbers.

    Raises:
        Problem: 400, it is no cursor.
    """
    text = position(cursor)
    if not text:
        return otherwise
    if not text.isdigit() or len(text) > 16:
        raise Problem(400, "cursor_invalid", "Bad request", "cursor: must be `next` of the page before")
    return int(text)
