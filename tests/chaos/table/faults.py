"""The faults of the table. Each is done and undone, and says what was done."""

import asyncio
import os
import random
import signal
import socket
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final, Self

from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from shared.protocol import messages as m
from shared.security.key_source import FILE_INTERVAL_S
from shared.security.keys import KeyRing
from shared.security.tokens import Grant, Tier
from shared.stack.supervisor import Child
from shared.tasks import end
from tests.bench.rotation import LEAD_S, rotate
from tests.chaos.loss.faults import Faults
from tests.chaos.loss.links import Links
from tests.chaos.loss.scenario import Stage, room_tokens
from tests.support.room_client import socket_url

PAUSE_S: Final = 4.0
_DELAY_S: Final = 0.2
_WHOLE_S: Final = 60.0
_STORM_S: Final = 60.0
_WELCOME: Final = 33  # shared/protocol/SPEC.md, section 4


class NotPossibleError(Exception):
    """This machine does not let the fault be made; the text says why."""


class Ground:
    """A stage, and the means to break it. `storm` is how many sockets a storm of reconnections has."""

    def __init__(self, stage: Stage, rng: random.Random, *, storm: int) -> None:
        self.stage = stage
        self.rng = rng
        self.storm = storm
        self.known = Faults(
            state=stage.state,
            stack=stage.stack,
            clients=stage.clients,
            valkey=stage.valkey,
            scribe=stage.scribe,
            rng=rng,
            appendfsync="always",
        )

    async def whole(self) -> None:
        """Wait until every process says that it is ready."""
        stage = self.stage
        names = [endpoint.name for endpoint in stage.stack.functions]
        children = [stage.stack.process(name) for name in (*names, "balancer")]
        async with asyncio.timeout(_WHOLE_S):
            for child in (*children, stage.state.process("valkey")):
                await _ready(child)


async def function_killed(ground: Ground) -> str:
    """A host is gone, and a function process with it."""
    return await ground.known.kill_function()


async def functions_restarted(ground: Ground) -> str:
    """A deployment: each drains, stops and comes back before the next."""
    return await ground.known.restart_functions()


async def function_paused(ground: Ground) -> str:
    """A function process stands still, as when its host swaps or its hypervisor moves it."""
    return await _pause(ground.stage.stack.process("function-1"))


async def balancer_killed(ground: Ground) -> str:
    """Every client's connection breaks at once."""
    return await ground.known.kill_balancer()


async def balancer_paused(ground: Ground) -> str:
    """Nothing gets through to anybody for a while."""
    return await _pause(ground.stage.stack.process("balancer"))


async def valkey_killed(ground: Ground) -> str:
    """Valkey dies and comes back with its append-only file."""
    return await ground.known.kill_valkey()


async def valkey_paused(ground: Ground) -> str:
    """Valkey stands still, as under a fork of a large data set."""
    return await _pause(ground.stage.state.process("valkey"))


async def valkey_disk_full(ground: Ground) -> str:
    """The disk of Valkey's append-only file is full: what it cannot write it must not have acknowledged."""
    folder = ground.stage.state.data_dir
    if not _is_small(folder):
        raise NotPossibleError("no small file system could be mounted")
    filler = folder / "filler"
    # The last write, and so the closing of the file, fails: that is what it is for.
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(64 * 1024))
    await asyncio.sleep(PAUSE_S)
    filler.unlink()
    valkey = ground.stage.state.process("valkey")
    if valkey.ended.is_set():
        # The local stack gives up on what dies before it is ready; a cluster does not.
        await ground.stage.state.start("valkey")
    await ground.whole()
    await ground.known.set_up_valkey()
    gone = await ground.stage.scribe.compare()
    return f"no space for {PAUSE_S:.0f} s: {gone} entries vanished"


async def valkey_delayed(ground: Ground) -> str:
    """What goes to Valkey and what comes from there takes 200 ms longer each."""
    return await _delay(ground.stage.valkey)


async def valkey_links_silent(ground: Ground) -> str:
    """Connections to Valkey are half open: nothing comes and nobody says so. Then they break."""
    count = await ground.stage.valkey.silence(1.0, 3.0, ground.rng, then_cut=True)
    return f"{count} links silent for 3 s, then cut"


async def mongod_killed(ground: Ground) -> str:
    """MongoDB dies and comes back; chat does not need it."""
    child = ground.stage.stack.process("mongod")
    await ground.stage.stack.kill("mongod")
    async with asyncio.timeout(_WHOLE_S):
        await _ready(child)
    return "killed and started again"


async def mongod_paused(ground: Ground) -> str:
    """MongoDB stands still."""
    return await _pause(ground.stage.stack.process("mongod"))


async def clients_delayed(ground: Ground) -> str:
    """Everybody's way to the platform takes 200 ms longer each way."""
    return await _delay(ground.stage.clients)


async def clients_half_open(ground: Ground) -> str:
    """Half of the clients' connections go silent without a word, and break later."""
    count = await ground.stage.clients.silence(0.5, PAUSE_S, ground.rng, then_cut=True)
    return f"{count} links silent for {PAUSE_S:.0f} s, then cut"


async def slow_loris(ground: Ground) -> str:
    """Two hundred connections send a byte of a request now and then, and never come to its end."""
    host, port = ground.stage.stack.url.removeprefix("http://").split(":")
    loop = asyncio.get_running_loop()
    with ExitStack() as opened:
        slow = [opened.enter_context(socket.socket()) for _ in range(200)]
        for one in slow:
            one.setblocking(False)
            await loop.sock_connect(one, (host, int(port)))
        for byte in b"GET / HTTP/1.1\r\nX: "[: int(PAUSE_S * 4)]:
            for one in slow:
                await loop.sock_sendall(one, bytes([byte]))
            await asyncio.sleep(0.25)
    return f"{len(slow)} connections, a byte each every quarter of a second"


async def reconnect_storm(ground: Ground) -> str:
    """Many are in the room, all their connections break at once, and all come back as soon as they may."""
    async with Crowd(ground) as crowd:
        await crowd.all_joined()
        began = asyncio.get_running_loop().time()
        ground.stage.clients.cut(1.0, ground.rng)
        crowd.come_back()
        await crowd.all_joined()
        seconds = asyncio.get_running_loop().time() - began
    return f"{ground.storm:,} more sockets cut; all of them back after {seconds:.1f} s"


async def come_and_go(ground: Ground) -> None:
    """A crowd comes and goes in peace: pools of connections then have all that a crowd takes, and keep it."""
    async with Crowd(ground) as crowd:
        await crowd.all_joined()


async def keys_rotated(ground: Ground) -> str:
    """The keys that sign tokens are rotated; tokens of the former ones are good until they expire."""
    before = KeyRing.from_jwks(ground.stage.stack.keys_file.read_text(encoding="utf-8"))
    await asyncio.to_thread(rotate, ground.stage.stack, LEAD_S)
    await asyncio.sleep(LEAD_S + FILE_INTERVAL_S)
    # Whoever comes back now does so with a token of the key before.
    ground.stage.clients.cut(1.0, ground.rng)
    after = KeyRing.from_jwks(ground.stage.stack.keys_file.read_text(encoding="utf-8"))
    return f"{len(before.keys)} keys, then {len(after.keys)}; all links cut, so that all come back with older tokens"


async def drain_in_a_spike(ground: Ground) -> str:
    """A function process is told to go while many are joining."""
    async with Crowd(ground) as crowd:
        await ground.stage.stack.kill("function-1", signal.SIGTERM)
        await crowd.all_joined()
    await ground.whole()
    return f"function-1 drained while {ground.storm:,} people joined"


FAULTS: Final[tuple[Callable[[Ground], Awaitable[str]], ...]] = (
    function_killed,
    function_paused,
    functions_restarted,
    balancer_killed,
    balancer_paused,
    valkey_killed,
    valkey_paused,
    valkey_disk_full,
    valkey_delayed,
    valkey_links_silent,
    mongod_killed,
    mongod_paused,
    clients_delayed,
    clients_half_open,
    slow_loris,
    reconnect_storm,
    keys_rotated,
    drain_in_a_spike,
)

# Before these a crowd is there once, so that what is kept for crowds is not taken for a leak.
OF_CROWDS: Final = (reconnect_storm, drain_in_a_spike)


class Crowd:
    """People who only listen, each over a socket of their own, and come back when it breaks; left at the exit."""

    def __init__(self, ground: Ground) -> None:
        stage = ground.stage
        self._url = f"http://127.0.0.1:{stage.clients.port}"
        self._room = stage.room
        self._rng = ground.rng
        self._joined = 0
        self._count = ground.storm
        names = [f"crowd-{os.getpid()}-{ground.rng.getrandbits(40)}" for _ in range(self._count)]
        self._tokens = room_tokens(stage.stack, self._room, names, tier=Tier.VIEWER, grants=[Grant.SUBSCRIBE])
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._attend(token)) for token in self._tokens]
        return self

    async def __aexit__(self, *_: object) -> None:
        await end(*self._tasks)

    def come_back(self) -> None:
        """Begin to count anew: those who were there have just been cut off."""
        self._joined = 0

    async def all_joined(self) -> None:
        """Wait until as many have joined as there are, since the last `come_back`."""
        async with asyncio.timeout(_STORM_S):
            while self._joined < self._count:
                await asyncio.sleep(0.05)

    async def _attend(self, token: str) -> None:
        while True:
            with suppress(OSError, TimeoutError, WebSocketException, EOFError):
                async with connect(
                    socket_url(self._url, self._room),
                    subprotocols=[m.SUBPROTOCOL],  # type: ignore[list-item]
                    open_timeout=20.0,
                    close_timeout=0.2,
                    ping_interval=None,
                    compression=None,
                    proxy=None,
                ) as one:
                    await one.send(m.encode(m.Join(token, None, None)))
                    async for frame in one:
                        # The kind is the second byte of a frame: who decodes all that a crowd hears hears nothing else.
                        if isinstance(frame, bytes) and frame[1] == _WELCOME:
                            self._joined += 1
            await asyncio.sleep(self._rng.uniform(0.1, 1.5))


async def _pause(child: Child) -> str:
    child.send(signal.SIGSTOP)
    await asyncio.sleep(PAUSE_S)
    child.send(signal.SIGCONT)
    return f"stopped for {PAUSE_S:.0f} s (SIGSTOP)"


async def _delay(links: Links) -> str:
    links.delay_s = _DELAY_S
    await asyncio.sleep(PAUSE_S)
    links.delay_s = 0.0
    return f"{_DELAY_S * 1000:.0f} ms more each way for {PAUSE_S:.0f} s"


async def _ready(child: Child) -> None:
    while not await child.spec.ready():
        await asyncio.sleep(0.05)


def _is_small(folder: Path) -> bool:
    found = os.statvfs(folder)
    return found.f_blocks * found.f_frsize <= 512 * 1024 * 1024
