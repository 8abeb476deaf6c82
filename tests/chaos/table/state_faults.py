"""What happens to Valkey and MongoDB."""

import asyncio
import signal
from contextlib import suppress
from typing import Any, Final

import msgspec
from redis.asyncio import Redis

from shared.stack import embedded
from shared.stack.ports import free_ports
from tests.chaos.table.ground import Ground, NotPossibleError, is_small, run
from tests.conftest import child_environ
from tests.support.addresses import port_of

_LOSS: Final = 0.05
# As long as a managed service takes to see that a primary is gone would be half a minute of waiting for nothing new.
_DETECTED_S: Final = 1.0
_IN_STEP_S: Final = 30.0


async def valkey_killed(ground: Ground) -> str:
    """Valkey dies and comes back with its append-only file."""
    return await ground.known.kill_valkey()


async def valkey_paused(ground: Ground) -> str:
    """Valkey stands still, as under a fork of a large data set."""
    return await ground.pause(ground.stage.state.process("valkey"))


async def valkey_disk_full(ground: Ground) -> str:
    """The disk of Valkey's append-only file is full: what it cannot write it must not have acknowledged."""
    folder = ground.stage.state.data_dir
    if not is_small(folder):
        raise NotPossibleError("no small file system could be mounted")
    filler = folder / "filler"
    # The last write, and so the closing of the file, fails: that is what it is for.
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(64 * 1024))
    await asyncio.sleep(ground.pause_s)
    filler.unlink()
    valkey = ground.stage.state.process("valkey")
    if valkey.ended.is_set():
        # The local stack gives up on what dies before it is ready; a cluster does not.
        await ground.stage.state.start("valkey")
    await ground.whole()
    await ground.known.set_up_valkey()
    gone = await ground.stage.scribe.compare()
    return f"no space for {ground.pause_s:.0f} s: {gone} entries vanished"


async def valkey_delayed(ground: Ground) -> str:
    """What goes to Valkey and what comes from there takes 200 ms longer each."""
    return await ground.delay(ground.stage.valkey)


async def valkey_lossy(ground: Ground) -> str:
    """Of the packets to and from Valkey every twentieth is lost."""
    if not ground.private:
        raise NotPossibleError("no network of its own, in which packets may be dropped")
    port = port_of(ground.stage.state.redis_url)
    rules = [
        f"INPUT -p tcp --{side} {port} -m statistic --mode random --probability {_LOSS} -j DROP"
        for side in ("dport", "sport")
    ]
    try:
        for rule in rules:
            if not await run("iptables", "-A", *rule.split()):
                raise NotPossibleError("no iptables that drops at random")
        await asyncio.sleep(ground.pause_s)
    finally:
        await run("iptables", "-F", "INPUT")
    return f"{_LOSS:.0%} of the packets each way lost for {ground.pause_s:.0f} s"


async def valkey_links_silent(ground: Ground) -> str:
    """Connections to Valkey are half open: nothing comes and nobody says so. Then they break."""
    count = await ground.stage.valkey.silence(1.0, 3.0, ground.rng, then_cut=True)
    return f"{count} links silent for 3 s, then cut"


async def valkey_failed_over(ground: Ground) -> str:
    """Valkey's primary dies and stays so; its replica takes its place, and its address."""
    state = ground.stage.state
    replica = await _replica(ground)
    await state.kill("valkey", signal.SIGKILL, restart=False)
    await asyncio.sleep(_DETECTED_S)
    async with Redis.from_url(replica, protocol=3) as promoted:
        await promoted.replicaof("NO", "ONE")
        await promoted.config_set("appendfsync", "always")
    ground.stage.valkey.target_port = port_of(replica)
    gone = await _moved(ground, replica)
    await asyncio.sleep(ground.pause_s / 2)
    # The former primary comes back as a replica; that both are in step again is part of being whole.
    await state.start("valkey")
    await _follow(state.redis_url, replica)
    return f"killed, its replica promoted after {_DETECTED_S:.0f} s: {gone} entries vanished"


async def valkey_switched_over(ground: Ground) -> str:
    """An orderly change of primary, as for maintenance: connections to the former one stay, and it takes no writes."""
    primary = ground.stage.state.redis_url
    if ground.stage.valkey.target_port == port_of(primary):
        replica = await _replica(ground)
        await _switch(ground, primary, replica)
        await asyncio.sleep(ground.pause_s / 2)
        held = "to its replica and back"
    else:
        replica = f"redis://127.0.0.1:{ground.stage.valkey.target_port}/0"
        held = "back to the former primary"
    gone = await _switch(ground, replica, primary)
    await ground.known.set_up_valkey()
    return f"handed over {held} (FAILOVER), no connection closed: {gone} entries vanished"


async def cache_killed(ground: Ground) -> str:
    """The cache's own Valkey is gone; people come in all the same."""
    stack = ground.stage.stack
    await stack.kill("cache", signal.SIGKILL, restart=False)
    count = ground.stage.clients.cut(0.5, ground.rng)
    await asyncio.sleep(ground.pause_s)
    await stack.start("cache")
    return f"killed, {count} links cut then, started again after {ground.pause_s:.0f} s"


async def cache_paused(ground: Ground) -> str:
    """The cache's own Valkey stands still; people come in all the same."""
    count = ground.stage.clients.cut(0.5, ground.rng)
    return f"{await ground.pause(ground.stage.stack.process('cache'))}, {count} links cut then"


async def mongodb_primary_killed(ground: Ground) -> str:
    """MongoDB's primary of three members dies, and another one is elected."""
    port = await ground.members.primary()
    ground.members.member(port).send(signal.SIGKILL)
    began = asyncio.get_running_loop().time()
    while await ground.members.primary() == port:
        await asyncio.sleep(0.05)
    return f"another one was primary after {asyncio.get_running_loop().time() - began:.1f} s"


async def mongodb_primary_paused(ground: Ground) -> str:
    """MongoDB's primary stands still; when it goes on, it is not the primary any more."""
    return await ground.pause(ground.members.member(await ground.members.primary()))


async def mongodb_paused(ground: Ground) -> str:
    """All of MongoDB stands still."""
    return await ground.pause(*ground.members.members)


async def _replica(ground: Ground) -> str:
    """Start a replica; its URL, when it is in step with the primary."""
    state = ground.stage.state
    (port,) = free_ports(1)
    plain = embedded.valkey(port=port, data=ground.folder / f"replica-{port}", environ=child_environ())
    await state.add(msgspec.structs.replace(plain, name="replica"))
    url = f"redis://127.0.0.1:{port}/0"
    for each in (url, state.redis_url):
        async with Redis.from_url(each, protocol=3) as one:
            # By default a primary waits 5 s for more replicas before it sends them its data.
            await one.config_set("repl-diskless-sync-delay", 0)
    await _follow(url, state.redis_url)
    return url


async def _follow(replica: str, primary: str) -> None:
    """Make one the replica of the other, and wait until it has all."""
    async with Redis.from_url(replica, protocol=3) as follower:
        await follower.replicaof("127.0.0.1", port_of(primary))
        async with asyncio.timeout(_IN_STEP_S):
            while (await _replication(follower)).get("master_link_status") != "up":
                await asyncio.sleep(0.05)


async def _switch(ground: Ground, primary: str, replica: str) -> int:
    """An orderly failover; how many entries vanished."""
    async with Redis.from_url(primary, protocol=3) as former:
        orderly: Any = former.execute_command
        await orderly("FAILOVER", "TO", "127.0.0.1", port_of(replica), "TIMEOUT", 5000)
        # New connections lead to the new primary from here on, as when a service changes what a name stands for.
        ground.stage.valkey.target_port = port_of(replica)
        async with asyncio.timeout(_IN_STEP_S):
            while (await _replication(former)).get("role") != "slave":
                await asyncio.sleep(0.02)
    return await _moved(ground, replica)


async def _moved(ground: Ground, primary: str) -> int:
    """Another one is the primary; how many entries of the log vanished on the way."""
    ground.stage.scribe.follow(primary)
    return await ground.stage.scribe.compare()


async def _replication(redis: Redis) -> dict[str, Any]:
    found: dict[str, Any] = await redis.info("replication")
    return found
