"""Conditional requests (RFC 9110, section 13): nothing is sent twice, and no change is made for a state that is over.

A tag is `"state.look"`. `state` is the version of what can be changed; `look` is a digest of the whole answer, which
also holds what changes by itself, such as who watches. `If-None-Match` compares all of it, `If-Match` the state alone:
somebody who edits a title must not be refused because a viewer came.
"""

from hashlib import blake2b
from typing import Any, TypeVar

import msgspec
from litestar import Request, Response

from shared.telemetry.problems import Problem

T = TypeVar("T")


def answered(
    request: Request[Any, Any, Any], body: T, *, state: str = "", max_age_s: int = 0, private: bool = True
) -> Response[T]:
    """The answer 200 with a tag, or 304 without a body where the client has the same already.

    For `max_age_s` it may be used again without asking; `private` keeps it out of shared caches.
    """
    encoded = msgspec.json.encode(body)
    tag = f'"{state}.{blake2b(encoded, digest_size=8).hexdigest()}"'
    scope = "private" if private else "public"
    headers = {"etag": tag, "cache-control": f"{scope}, max-age={max_age_s}" if max_age_s else f"{scope}, no-cache"}
    given = request.headers.get("if-none-match", "")
    if given.strip() == "*" or tag in _tags(given):
        return Response(None, status_code=304, headers=headers)  # type: ignore[arg-type] # a 304 has no body
    return Response(encoded, headers=headers, media_type="application/json")  # type: ignore[arg-type] # encoded above


def wanted_state(request: Request[Any, Any, Any], state: str) -> bool:
    """Whether the request is made for the state that there is: False where it says nothing of one.

    Raises:
        Problem: 412, it is made for another.
    """
    given = request.headers.get("if-match")
    if given is None or given.strip() == "*":
        return False
    if state not in {tag.strip('"').partition(".")[0] for tag in _tags(given)}:
        raise changed_meanwhile()
    return True


def changed_meanwhile() -> Problem:
    """Somebody else was first."""
    return Problem(412, "precondition_failed", "Changed meanwhile", "read it again, and decide again")


def _tags(header: str) -> set[str]:
    return {tag.strip().removeprefix("W/") for tag in header.split(",")}
