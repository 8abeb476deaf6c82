"""The signaling endpoint, and how this process lets its sockets go."""

import asyncio
import random
from typing import Any

from litestar import WebSocket, websocket
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.types import ControllerRouterHandler
from structlog import get_logger
from structlog.contextvars import bound_contextvars

from functions.context import Context
from functions.signaling.connection import Connection
from shared.protocol.messages import SUBPROTOCOL, Move, encode
from shared.state.directory import parse_room_id

log = get_logger(__name__)


@websocket("/v1/rooms/{room_id:str}/socket")
async def room_socket(
    socket: WebSocket[Any, Any, Any], room_id: FromPath[str], context: NamedDependency[Context]
) -> None:
    """One participant's connection; SPEC.md beside `shared.protocol` says what is spoken on it."""
    room = parse_room_id(room_id)
    if room is None or SUBPROTOCOL not in socket.scope["subprotocols"]:
        # Closed before it is accepted, so the client's handshake fails with status 403.
        await socket.close(code=4404 if room is None else 1002)
        return
    await socket.accept(subprotocols=SUBPROTOCOL)
    connection = Connection(context, socket, room)
    with bound_contextvars(connection=connection.id):
        await connection.run()


async def drain_sockets(context: Context, deadline_s: float) -> None:
    """Tell every client to move, each after its own random delay, and wait until they have or time is up."""
    outboxes = context.hub.outboxes()
    for outbox in outboxes:
        delay_ms = random.uniform(0, deadline_s * 500)  # noqa: S311 - spreads load
        outbox.put(encode(Move(int(delay_ms))))
    try:
        async with asyncio.timeout(deadline_s):
            await context.hub.emptied()
    except TimeoutError:
        log.warning("drain_deadline", sockets_left=len(context.hub.outboxes()))


ROUTES: list[ControllerRouterHandler] = [room_socket]
