"""Headrace as a server under test: the local stack with one function process, and a room full of people."""

import secrets
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from redis.asyncio import Redis

from shared.protocol import messages as m
from shared.security.keys import KeyRing
from shared.security.tokens import AUDIENCE_ROOM, Claims, Grant, Tier, Tokens
from shared.stack.stack import LocalStack
from tests.bench import machine
from tests.support.room_client import guest

from .plan import BINARY, Kind, Message, Opening, Ping, Plan, new_marker, text_with
from .sampling import Cores
from .target import Target

PING_MS = 20_000
# The tier streamer may say 50 a second; with 40 each the limit is at work and refuses nothing.
PER_PUBLISHER = 40
TOKEN_LIFETIME_S = 3600
ROOM_SOCKETS = 1_400


class Headrace:
    """Starts the local stack with one function process on the server's core; the databases are on the other."""

    name = "Headrace"

    def __init__(self, cores: Cores, *, appendfsync: str = "") -> None:
        self._cores = cores
        self._appendfsync = appendfsync

    @asynccontextmanager
    async def start(self, sockets: int, publishers: int) -> AsyncIterator[Target]:
        """As many rooms as it takes, one for the sizes of the benchmark."""
        with tempfile.TemporaryDirectory() as folder:
            async with LocalStack(Path(folder), functions=1, report=lambda _: None) as stack:
                if self._appendfsync:
                    async with Redis.from_url(stack.redis_url) as redis:
                        await redis.config_set("appendfsync", self._appendfsync)
                server = stack.process("function-1").pid
                beside = (stack.process("valkey").pid, stack.process("mongod").pid)
                rooms = [await create_room(stack) for _ in range(-(-sockets // max(ROOM_SOCKETS, min(sockets, 1500))))]
                plan = plan_for(stack, rooms, sockets=sockets, publishers=publishers)
                machine.pin(server, {self._cores.server})
                for pid in (*beside, stack.process("balancer").pid):
                    machine.pin(pid, {self._cores.rest})
                yield Target(self.name, server, beside, plan)


async def create_room(stack: LocalStack) -> str:
    """A room made as everybody makes one."""
    async with httpx.AsyncClient(base_url=stack.functions[0].url, timeout=30) as http:
        room, _ = await (await guest(http, "Owner")).create_room("Benchmark")
    return room


def plan_for(stack: LocalStack, rooms: list[str], *, sockets: int, publishers: int) -> Plan:
    """People spread over `rooms`, each with an identity of their own; the first `publishers` are streamers."""
    tokens = Tokens(KeyRing.from_jwks(stack.jwt_keys))
    marker = new_marker()
    frame = m.encode(m.Chat(2**53 - 1, text_with(marker)))

    def opening(number: int) -> Opening:
        room = rooms[number % len(rooms)]
        claims = Claims(
            sub=f"b{secrets.token_hex(8)}",
            name=f"Person {number}",
            tier=Tier.STREAMER if number < publishers else Tier.VIEWER,
            room=room,
            grants=frozenset({Grant.SUBSCRIBE, Grant.CHAT}),
        )
        token = tokens.sign(claims, audience=AUDIENCE_ROOM, lifetime_s=TOKEN_LIFETIME_S)
        return Opening(f"/v1/rooms/{room}/socket", m.encode(m.Join(token)))

    return Plan(
        port=stack.functions[0].socket_port,
        openings=[opening(number) for number in range(sockets)],
        publishers=publishers,
        # An unsigned 64-bit integer is 0xcf and 8 bytes (MessagePack); the id is of that size, and so are all others.
        message=Message(frame, id_offset=frame.index(b"\xcf") + 1),
        marker=marker,
        # A frame is an array of at most 15 elements, so its kind is the second byte.
        kinds=[
            Kind("welcome", "ready", 1, b"\x21"),
            Kind("sent", "count", 1, b"\x24"),
            Kind("gap", "keep", 1, b"\x25"),
            Kind("error", "keep", 1, b"\x26"),
            Kind("pong", "count", 1, b"\x22"),
        ],
        opcode=BINARY,
        ping=Ping(PING_MS, m.encode(m.Ping(1))),
        subprotocol=m.SUBPROTOCOL,
    )
