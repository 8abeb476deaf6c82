"""The signaling endpoint, and how this process lets its sockets go."""

import asyncio
import random
from contextlib import suppress
from typing import Any

from litestar import WebSocket, websocket
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.types import ControllerRouterHandler
from redis.exceptions import RedisError
from structlog import get_logger

from functions.context import Context, Member
from functions.signaling.connection import serve_socket
from functions.signaling.granian_socket import GranianSocket
from shared.protocol.codec import negotiate
from shared.protocol.messages import Move
from shared.state.directory import parse_room_id
from shared.state.limits import HOLD_INTERVAL_S

SWEEP_S = 5.0

log = get_logger(__name__)


@websocket("/v1/rooms/{room_id:str}/socket")
async def room_socket(
    socket: WebSocket[Any, Any, Any], room_id: FromPath[str], context: NamedDependency[Context]
) -> None:
    """One participant's connection; SPEC.md beside `shared.protocol` says what is spoken on it."""
    room = parse_room_id(room_id)
    codec = negotiate(socket.scope["subprotocols"])
    if room is None or codec is None:
        # Closed before it is accepted, so the client's handshake fails with status 403.
        await socket.close(code=4404 if room is None else 1002)
        return
    await socket.accept(subprotocols=codec.subprotocol)
    peer = socket.client.host if socket.client else ""
    forwarded = socket.headers.get("x-forwarded-for", "")
    await serve_socket(context, room, codec, GranianSocket.of(socket), peer=peer, forwarded=forwarded)


async def expire_silent(context: Context) -> None:
    """Give up sockets from which nothing has come for too long, until cancelled."""
    while True:
        await asyncio.sleep(SWEEP_S)
        now = asyncio.get_running_loop().time()
        for socket in tuple(context.sockets):
            socket.expire(now)


async def hold_places(context: Context) -> None:
    """Renew each socket's place among its identity's connections, spread over the interval, until cancelled."""
    while True:
        sockets = tuple(context.sockets)
        for socket in sockets:
            # A displaced socket learns it from a command at once; this is for when that was missed.
            with suppress(RedisError, OSError):
                await _hold_place(context, socket)
            await asyncio.sleep(HOLD_INTERVAL_S / (len(sockets) + 1))
        if not sockets:
            await asyncio.sleep(1.0)


async def _hold_place(context: Context, socket: Member) -> None:
    holder = socket.holder
    if holder is None:
        return  # it has closed since this round began: to hold its place now would keep its identity's next one out
    held = await context.reception.limits.hold(holder, socket.id)
    if socket.holder is None:
        await context.reception.limits.close(holder, socket.id)
    elif not held:
        socket.displace()


async def drain_sockets(context: Context, deadline_s: float) -> None:
    """Tell every client to move, each after its own random delay, and wait until they have or time is up."""
    for outbox in context.hub.outboxes():
        delay_ms = random.uniform(0, deadline_s * 500)  # noqa: S311 - spreads load
        outbox.put(Move(int(delay_ms)))
    try:
        async with asyncio.timeout(deadline_s):
            await context.hub.emptied()
    except TimeoutError:
        log.warning("drain_deadline", sockets_left=len(context.sockets))


ROUTES: list[ControllerRouterHandler] = [room_socket]
