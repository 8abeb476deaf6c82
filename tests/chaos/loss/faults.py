"""What is done to the platform while people talk. Each fault ends before the next begins; the dice have a seed."""

import asyncio
import random
import signal
from collections import Counter
from collections.abc import Awaitable, Collection
from typing import Final, Protocol

from redis.asyncio import Redis

from shared.stack.commands import tail

from .stage import Stage

_READY_TIMEOUT_S: Final = 60.0


class Fault(Protocol):
    """Breaks something and waits until it is whole again; what was done, in words."""

    __name__: str

    def __call__(self) -> Awaitable[str]:
        """Do it."""
        ...


class Faults:
    """All faults, in random order, each as often as the others."""

    def __init__(self, stage: Stage, rng: random.Random, *, appendfsync: str = "", only: Collection[str] = ()) -> None:
        self.done: Counter[str] = Counter()
        self._state = stage.state
        self._stack = stage.stack
        self._clients = stage.clients
        self._valkey = stage.valkey
        self._scribe = stage.scribe
        self._rng = rng
        self._appendfsync = appendfsync
        self._only = only
        self._bag: list[Fault] = []

    async def strike(self) -> str:
        """Do the next; what was done, in words. Returns when everything runs again."""
        if not self._bag:
            every: list[Fault] = [
                self.kill_function,
                self.restart_functions,
                self.kill_valkey,
                self.cut_clients,
                self.silence_clients,
                self.cut_valkey,
                self.silence_valkey,
                self.kill_balancer,
            ]
            self._bag = [fault for fault in every if not self._only or fault.__name__ in self._only]
            self._rng.shuffle(self._bag)
        fault = self._bag.pop()
        said = await fault()
        self.done[fault.__name__] += 1
        return said

    async def set_up_valkey(self) -> None:
        """Set the mode of its append-only file, which it forgets whenever it dies."""
        if self._appendfsync:
            async with Redis.from_url(self._state.redis_url) as redis:
                await redis.config_set("appendfsync", self._appendfsync)

    async def kill_function(self) -> str:
        """A function process dies, as with a container whose host is gone."""
        name = self._rng.choice(self._stack.functions).name
        await self._stack.kill(name, signal.SIGKILL)
        await self._ready(name)
        return f"killed {name}"

    async def restart_functions(self) -> str:
        """A rolling restart: each drains, stops and comes back before the next."""
        for endpoint in self._stack.functions:
            pid = self._stack.process(endpoint.name).pid
            await self._stack.kill(endpoint.name, signal.SIGTERM)
            await self._ready(endpoint.name, other_than=pid)
        return "restarted all functions in turn"

    async def kill_valkey(self) -> str:
        """Valkey dies and comes back with its append-only file."""
        away_s = self._rng.uniform(0.0, 2.0)
        await self._state.kill("valkey", signal.SIGKILL, restart=False)
        await asyncio.sleep(away_s)
        await self._state.start("valkey")
        await self.set_up_valkey()
        vanished = await self._scribe.compare()
        return f"killed Valkey, started it again after {away_s:.1f} s: {vanished} entries vanished"

    async def cut_clients(self) -> str:
        """Links of clients break."""
        share = self._rng.choice([0.3, 1.0])
        return f"cut {self._clients.cut(share, self._rng)} links of clients"

    async def silence_clients(self) -> str:
        """Links of clients go silent; then they come back, or break."""
        seconds, then_cut = self._rng.uniform(0.5, 6.0), self._rng.random() < 0.5
        count = await self._clients.silence(0.5, seconds, self._rng, then_cut=then_cut)
        return f"silenced {count} links of clients for {seconds:.1f} s{' and cut them' if then_cut else ''}"

    async def cut_valkey(self) -> str:
        """All connections from the functions to Valkey break."""
        return f"cut {self._valkey.cut(1.0, self._rng)} links between functions and Valkey"

    async def silence_valkey(self) -> str:
        """Connections from the functions to Valkey go silent for a while."""
        seconds, then_cut = self._rng.uniform(0.5, 3.0), self._rng.random() < 0.5
        count = await self._valkey.silence(1.0, seconds, self._rng, then_cut=then_cut)
        return f"silenced {count} links to Valkey for {seconds:.1f} s{' and cut them' if then_cut else ''}"

    async def kill_balancer(self) -> str:
        """The balancer dies, and every client's connection with it."""
        await self._stack.kill("balancer", signal.SIGKILL)
        await self._ready("balancer")
        return "killed the balancer"

    async def _ready(self, name: str, *, other_than: int = 0) -> None:
        child = self._stack.process(name)
        try:
            async with asyncio.timeout(_READY_TIMEOUT_S):
                while _pid(child) in {0, other_than} or not await child.spec.ready():
                    await asyncio.sleep(0.05)
        except TimeoutError:
            state = {0: "is not running", other_than: "has not stopped"}.get(_pid(child), "is not ready")
            raise AssertionError(
                f"{name} {state} after {_READY_TIMEOUT_S:.0f} s; its log:\n{tail(child.log)}"
            ) from None


def _pid(child: object) -> int:
    try:
        return int(child.pid)  # type: ignore[attr-defined]
    except ProcessLookupError:
        return 0
