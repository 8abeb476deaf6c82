"""The OpenAPI document: what Litestar makes of the routes, and what holds for all of them alike.

Added here, since every route has it: problem details (RFC 9457) for each way in which a request of its kind can fail,
the headers of conditional requests and of idempotency keys, and an example of every body.
"""

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from litestar import Litestar
from litestar.handlers import HTTPRouteHandler

from functions.api import fleet, history, identity_schemas, media, schemas
from functions.api.examples import EXAMPLES
from functions.api.idempotency import MAX_KEY_CHARACTERS
from shared.state import gifts
from shared.telemetry.problems import PROBLEM_JSON

PROBLEM: Final[dict[str, Any]] = {
    "title": "Problem",
    "description": "What went wrong (RFC 9457). Programs go by `code`, which stays the same; people read `detail`.",
    "type": "object",
    "required": ["type", "title", "status", "code"],
    "properties": {
        "type": {"type": "string", "examples": ["about:blank"]},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "code": {"type": "string", "pattern": "^[a-z_]+$"},
        "detail": {"type": "string"},
        "errors": {
            "description": "which fields were refused, and why",
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "message"],
                "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
            },
        },
    },
}
_PROBLEMS: Final = {
    400: ("malformed", "Bad request", "something does not fit: `detail` says what"),
    401: ("unauthorized", "Not authenticated", "there is no token, or it is not good"),
    403: ("forbidden", "Not allowed", "the token does not grant this"),
    404: ("room_unknown", "No such room", "what the path names is not there"),
    409: ("room_ended", "Not possible now", "the state of things does not allow it"),
    412: ("precondition_failed", "Changed meanwhile", "`If-Match` names a state that is over"),
    413: ("too_large", "Too large", "the body has more than 64 KiB"),
    415: ("media_type", "Unsupported media type", "the body is of another type"),
    416: ("range", "Not satisfiable", "the file has no such bytes"),
    422: ("idempotency_key_reused", "Not the same request", "it is understood and cannot be done"),
    429: ("rate_limited", "Too many requests", "more than is allowed: wait for `Retry-After` seconds"),
    502: ("sfu_failed", "The media server refused", "a media server did not do its part"),
    503: ("unavailable", "Unavailable", "something that is needed is away: try again after `Retry-After` seconds"),
}
_STRING: Final = {"type": "string"}
_IDEMPOTENCY_KEY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "with the same key it is done once, however often it is sent, and answered the same for a day",
    "schema": {"type": "string", "minLength": 1, "maxLength": MAX_KEY_CHARACTERS, "pattern": "^[!-~]+$"},
    "example": "8e03978e-40d5-43dd-bc93-6894a57f9324",
}
_IF_NONE_MATCH: Final = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "description": "`ETag` of an answer that you have: 304 where it is still good",
    "schema": _STRING,
}
_IF_MATCH: Final = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "description": "`ETag` of what you have read: 412 where somebody has changed it since",
    "schema": _STRING,
}
_HEADERS: Final[dict[str, Any]] = {
    "ETag": {"description": "for `If-None-Match`, and for `If-Match` where it can be changed", "schema": _STRING},
    "Cache-Control": {"description": "how long it is good without asking again", "schema": _STRING},
}
_RETRY_AFTER: Final = {"Retry-After": {"description": "seconds", "schema": {"type": "integer", "minimum": 0}}}


def document(app: Litestar) -> dict[str, Any]:
    """The whole document, as JSON has it."""
    found = app.openapi_schema.to_schema()
    found["tags"] = [{"name": name, "description": text} for name, text in _TAGS.items()]
    components = found["components"]
    # msgspec checks what comes in, so it says best what that is: bounds of optional values, and that no more may come.
    components["schemas"] |= _exact(components["schemas"]) | {"Problem": PROBLEM}
    components["responses"] = {f"Problem{status}": _problem(status) for status in _PROBLEMS}
    handlers = _handlers(app)
    for path, item in found["paths"].items():
        for method, operation in item.items():
            _complete(path, method, operation, handlers[path, method.upper()])
    return found


_TAGS: Final = {
    "rooms": "make, find, change, schedule, end and delete rooms",
    "people": "who somebody is, and who is in a room",
    "keys": "keys of servers, and the keys that our tokens are signed with",
    "moderation": "who may speak and who may come in",
    "gifts": "what was given",
    "statistics": "figures of a room, now and over time",
    "media": "publish and watch over WHIP and WHEP",
    "recordings": "record, list, read and delete",
    "webhooks": "be told of what happens",
    "fleet": "media servers, who is where and why, for those who run them",
    "operations": "for those who run it",
}


def _exact(names: Iterable[str]) -> dict[str, Any]:
    ours = {
        name: kind
        for module in (schemas, identity_schemas, fleet, history, media, gifts)
        for name, kind in vars(module).items()
        if name in names and isinstance(kind, type) and issubclass(kind, msgspec.Struct)
    }
    _, components = msgspec.json.schema_components(ours.values(), ref_template="#/components/schemas/{name}")
    return components


def _handlers(app: Litestar) -> dict[tuple[str, str], HTTPRouteHandler]:
    found: dict[tuple[str, str], HTTPRouteHandler] = {}
    for route in app.routes:
        for handler in getattr(route, "route_handlers", ()):
            if isinstance(handler, HTTPRouteHandler):
                found |= {(route.path_format, str(method)): handler for method in handler.http_methods}
    return found


def _complete(path: str, method: str, operation: dict[str, Any], handler: HTTPRouteHandler) -> None:
    responses = operation["responses"]
    parameters = operation.setdefault("parameters", [])
    conditional, if_match = bool(handler.opt.get("conditional")), bool(handler.opt.get("if_match"))
    if method == "post" and not handler.opt.get("secret"):
        parameters.append(_IDEMPOTENCY_KEY)
    if conditional:
        parameters.append(_IF_NONE_MATCH)
        responses["304"] = {"description": "what you have is still good", "headers": _HEADERS}
    if if_match:
        parameters.append(_IF_MATCH)
    success = next((text for status, text in responses.items() if status.startswith("2")), None)
    if success is not None and conditional:
        success.setdefault("headers", {}).update(_HEADERS)
    for header in (success or {}).get("headers", {}).values():
        header.setdefault("schema", _STRING)
    credentials = bool(handler.opt.get("credentials") or operation.get("security"))
    for status in _failures(path, method, operation, if_match=if_match, credentials=credentials):
        responses[str(status)] = {"$ref": f"#/components/responses/Problem{status}"}
    for content in (operation.get("requestBody", {}), *responses.values()):
        for media_type, body in content.get("content", {}).items():
            _exemplify(media_type, body)
    if not parameters:
        del operation["parameters"]


def _failures(path: str, method: str, operation: dict[str, Any], *, if_match: bool, credentials: bool) -> Iterable[int]:
    tags = set(operation.get("tags", ()))
    if "operations" in tags:
        return
    yield from (400, 429, 503)
    if credentials:
        yield 401
    if operation.get("security"):
        yield 403
    if "{" in path:
        yield 404
    if method == "post":
        # Of an idempotency key that is in use; of a second recording, of a webhook too many.
        yield from (409, 422)
    if operation.get("requestBody"):
        yield from (413, 415)
    if if_match:
        yield from (409, 412)
    if tags & {"media", "recordings"}:
        yield from (409, 412, 422, 502)
    if "recordings" in tags and method == "get":
        yield 416


def _problem(status: int) -> dict[str, Any]:
    code, title, description = _PROBLEMS[status]
    example = {"type": "about:blank", "title": title, "status": status, "code": code, "detail": description}
    found: dict[str, Any] = {
        "description": description,
        "content": {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}, "example": example}},
    }
    if status in {429, 503}:
        found["headers"] = _RETRY_AFTER
    return found


def _exemplify(media_type: str, media: dict[str, Any]) -> None:
    name = media.get("schema", {}).get("$ref", "").rpartition("/")[2]
    if name in EXAMPLES:
        media["example"] = EXAMPLES[name]
    elif media_type in EXAMPLES:
        media["example"] = EXAMPLES[media_type]
