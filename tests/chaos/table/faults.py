"""The faults of the table. Each is done and undone, and says what was done."""

import asyncio
import signal
import socket
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from typing import Final

from shared.security.key_source import FILE_INTERVAL_S
from shared.security.keys import KeyRing
from tests.bench.rotation import LEAD_S, rotate
from tests.chaos.table.clock import function_clock_jumps, function_on_a_clock, valkey_clock_jumps, valkey_on_a_clock
from tests.chaos.table.crowd import Crowd
from tests.chaos.table.ground import Ground
from tests.chaos.table.state_faults import (
    cache_killed,
    cache_paused,
    mongodb_paused,
    mongodb_primary_killed,
    mongodb_primary_paused,
    valkey_delayed,
    valkey_disk_full,
    valkey_failed_over,
    valkey_killed,
    valkey_links_silent,
    valkey_lossy,
    valkey_paused,
    valkey_switched_over,
)


async def function_killed(ground: Ground) -> str:
    """A host is gone, and a function process with it."""
    return await ground.known.kill_function()


async def functions_restarted(ground: Ground) -> str:
    """A deployment: each drains, stops and comes back before the next."""
    return await ground.known.restart_functions()


async def function_paused(ground: Ground) -> str:
    """A function process stands still, as when its host swaps or its hypervisor moves it."""
    return await ground.pause(ground.stage.stack.process("function-1"))


async def balancer_killed(ground: Ground) -> str:
    """Every client's connection breaks at once."""
    return await ground.known.kill_balancer()


async def balancer_paused(ground: Ground) -> str:
    """Nothing gets through to anybody for a while."""
    return await ground.pause(ground.stage.stack.process("balancer"))


async def clients_delayed(ground: Ground) -> str:
    """Everybody's way to the platform takes 200 ms longer each way."""
    return await ground.delay(ground.stage.clients)


async def clients_half_open(ground: Ground) -> str:
    """Half of the clients' connections go silent without a word, and break later."""
    count = await ground.stage.clients.silence(0.5, ground.pause_s, ground.rng, then_cut=True)
    return f"{count} links silent for {ground.pause_s:.0f} s, then cut"


async def slow_loris(ground: Ground) -> str:
    """Two hundred connections send a byte of a request now and then, and never come to its end."""
    host, port = ground.stage.stack.url.removeprefix("http://").split(":")
    loop = asyncio.get_running_loop()
    with ExitStack() as opened:
        slow = [opened.enter_context(socket.socket()) for _ in range(200)]
        for one in slow:
            one.setblocking(False)
            await loop.sock_connect(one, (host, int(port)))
        for byte in b"GET / HTTP/1.1\r\nX: "[: int(ground.pause_s * 4)]:
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
    valkey_lossy,
    valkey_links_silent,
    valkey_failed_over,
    valkey_switched_over,
    cache_killed,
    cache_paused,
    mongodb_primary_killed,
    mongodb_primary_paused,
    mongodb_paused,
    clients_delayed,
    clients_half_open,
    slow_loris,
    reconnect_storm,
    keys_rotated,
    drain_in_a_spike,
    function_clock_jumps,
    valkey_clock_jumps,
)

# Done before people's times are taken. A crowd is there once, so that what is kept for crowds is not taken for a leak.
BEFORE: Final = {
    reconnect_storm: come_and_go,
    drain_in_a_spike: come_and_go,
    function_clock_jumps: function_on_a_clock,
    valkey_clock_jumps: valkey_on_a_clock,
}
