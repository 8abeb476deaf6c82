"""Several workers in one process, each with its own sockets and its control API on a port."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest
from granian.constants import HTTPModes, Interfaces
from granian.log import LogLevels
from granian.server.embed import Server
from redis.asyncio import Redis

from sfu_fleet import catch_up, rooms
from sfu_fleet.cascade import upstream
from sfu_fleet.cascade.contract import Parent
from sfu_fleet.cascade.upstream import Origin
from sfu_fleet.worker import SfuWorker
from shared.probe import answers
from shared.security.keys import KeyRing
from shared.security.tokens import AUDIENCE_SFU, Claims, Grant, Tokens
from tests.sfu_fleet.conftest import JWKS, Valkey, eventually, settings_for
from tests.sfu_fleet.peer import Peer


def relay_token(room: str = "room", *, grants: frozenset[Grant] = frozenset({Grant.RELAY})) -> str:
    claims = Claims(sub="edges", room=room, grants=grants)
    return Tokens(KeyRing.from_jwks(JWKS)).sign(claims, audience=AUDIENCE_SFU, lifetime_s=60)


class Fleet:
    """The workers of a test. `origins` is what each of them finds out about rooms."""

    def __init__(self, stack: AsyncExitStack, redis_url: str) -> None:
        self._stack = stack
        self._redis_url = redis_url
        self._servers: dict[str, tuple[Server, asyncio.Task[None]]] = {}
        self.workers: dict[str, SfuWorker] = {}
        self.origins: dict[str, Origin] = {}

    async def start(self, name: str, **changes: object) -> SfuWorker:
        settings = settings_for(self._redis_url, instance=name, **changes)
        worker = await self._stack.enter_async_context(SfuWorker(settings))
        worker.upstreams._directory = self.origin
        server = Server(
            worker.app,
            address="127.0.0.1",
            port=settings.control_port,
            interface=Interfaces.ASGI,
            http=HTTPModes.http1,
            log_level=LogLevels.error,
        )
        self._servers[name] = server, asyncio.create_task(server.serve())
        async with asyncio.timeout(10):
            while not await answers("127.0.0.1", settings.control_port, "/health/live"):
                if (serving := self._servers[name][1]).done():
                    serving.result()  # such as a port that has been taken
                await asyncio.sleep(0.01)
        self._stack.push_async_callback(self.unplug, name)
        self.workers[name] = worker
        return worker

    async def unplug(self, name: str) -> None:
        """A worker's control API answers no more."""
        found = self._servers.pop(name, None)
        if found is not None:
            found[0].stop()  # type: ignore[no-untyped-call]
            await found[1]

    async def origin(self, room: str) -> Origin | None:
        return self.origins.get(room)

    def parent(self, name: str) -> Parent:
        return Parent(name, self.workers[name]._settings.url)

    def originate(self, name: str, fence: int = 1, room: str = "room") -> Origin:
        """That worker is the room's origin."""
        self.origins[room] = Origin(self.parent(name), fence)
        return self.origins[room]

    async def watch(self, name: str, peer: Peer, *, room: str = "room", first: str = "") -> str:
        """Connect a viewer at a worker, which pulls the room if it has to; the viewer's session."""
        worker, origin = self.workers[name], self.origins[room]
        await worker.upstreams.have(room, origin, self.parent(first) if first else origin.parent, relay_token(room))
        subscriber = worker.rooms.subscribe(room, "viewer", "Viewer", None)
        worker.rooms.answer(subscriber.id, peer.view_answer(subscriber.sdp, setup="active"))
        await peer.connect(subscriber.sdp)
        await eventually(lambda: subscriber.state == "connected", "viewer connected")
        return subscriber.id


StartFleet = Callable[..., Awaitable[SfuWorker]]


@pytest.fixture
async def fleet(
    valkey: Redis,  # noqa: ARG001 - empty first
    shared_valkey: Valkey,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Fleet]:
    """No workers yet; they wait for little before they let go."""
    for name in ("LINGER_S", "UNUSED_S", "LOOK_UP_S"):
        monkeypatch.setattr(upstream, name, 0.4)
    monkeypatch.setattr(rooms, "SUPERSEDED_S", 2.0)
    # On a busy machine a keyframe may come late: then nobody is to begin in the past, where packets are counted.
    monkeypatch.setattr(catch_up, "MAX_AT_ONCE", 0)
    async with AsyncExitStack() as stack:
        yield Fleet(stack, shared_valkey.url)
