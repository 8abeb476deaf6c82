"""Hooks of schemathesis: the token that an operation needs, and ids of things that exist, for most of the cases."""

import json
import os
import random
from typing import Any

import schemathesis

SCENE: dict[str, str] = json.loads(os.environ.get("HEADRACE_SCENE", "{}"))
# The rest get what was generated: strangers, without a token that fits.
KNOWN_SHARE = 0.85
_rng = random.Random(1)


@schemathesis.serializer("application/sdp", "application/trickle-ice-sdpfrag")
def text(_context: Any, value: Any) -> bytes:  # noqa: ANN401 - schemathesis' own
    """Bodies that are text."""
    return value if isinstance(value, bytes) else str(value).encode(errors="replace")


@schemathesis.hook
def before_call(_context: Any, case: Any, _kwargs: dict[str, Any]) -> None:  # noqa: ANN401 - schemathesis' own
    """Make a case meet with what is there."""
    operation = case.operation.definition.raw
    path, method = case.operation.path, case.operation.method.upper()
    doomed = (method == "DELETE" and path == "/v1/rooms/{room_id}") or path.endswith("/end")
    if _rng.random() > KNOWN_SHARE:
        return
    given = dict(case.path_parameters or {})
    for name, value in (
        ("room_id", SCENE["doomed" if doomed else "room"]),
        ("webhook_id", SCENE["webhook"]),
        ("participant", SCENE["participant"]),
    ):
        if name in given and not (method == "DELETE" and name == "webhook_id"):
            given[name] = value
    case.path_parameters = given
    schemes = {name for entry in operation.get("security", ()) for name in entry}
    token = SCENE["identity"] if "identity" in schemes else SCENE["room_token"] if "room" in schemes else ""
    if token:
        case.headers = dict(case.headers or {}) | {"Authorization": f"Bearer {token}"}
