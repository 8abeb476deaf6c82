"""People talk in a room while its platform is broken again and again; at the end their records are compared."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import httpx
import msgspec

from shared.security.keys import KeyRing
from shared.security.tokens import AUDIENCE_ROOM, Claims, Grant, Tier, Tokens
from shared.stack.stack import LocalStack
from shared.tasks import end
from tests.conftest import child_environ
from tests.support.addresses import port_of
from tests.support.room_client import guest

from .faults import Faults
from .links import Links
from .scribe import Scribe
from .stage import Stage
from .verdict import Verdict, judge
from .witness import Witness

_TOKEN_LIFETIME_S: Final = 12 * 3600
_SETTLING_S: Final = 60.0
_PAUSE_S: Final = (0.5, 3.0)


class Outcome(msgspec.Struct, frozen=True):
    """What came of it; `unsettled` are clients that did not catch up with the log although all was well again."""

    verdict: Verdict
    faults: dict[str, int]
    seconds: float
    unsettled: int

    @property
    def clean(self) -> bool:
        """Whether everybody has everything."""
        return self.verdict.clean and not self.unsettled


@asynccontextmanager
async def stage(
    folder: Path, *, clients: int, rng: random.Random, slow_sync: Path | None = None, mongodb_uri: str = ""
) -> AsyncIterator[Stage]:
    """Two function processes behind the balancer, and everybody in the room. MongoDB is embedded unless it is named."""
    async with AsyncExitStack() as running:
        enter = running.enter_async_context
        disk = {"LD_PRELOAD": str(slow_sync)} if slow_sync else {}
        state = await enter(LocalStack(folder / "state", mongod=False, environ=child_environ() | disk, report=_quiet))
        valkey = await enter(Links(port_of(state.redis_url)))
        environ = {**child_environ(), "REDIS_URL": f"redis://127.0.0.1:{valkey.port}/0", "MONGODB_URI": mongodb_uri}
        stack = await enter(LocalStack(folder / "stack", functions=2, environ=environ, report=_quiet))
        links = await enter(Links(port_of(stack.url)))
        async with httpx.AsyncClient(base_url=stack.url) as http:
            room, _ = await (await guest(http, "Owner")).create_room("Chaos")
        people = witnesses(stack, f"http://127.0.0.1:{links.port}", room, clients, rng)
        scribe = Scribe(state.redis_url, room)
        async with present(people, scribe):
            yield Stage(state, stack, links, valkey, room, people, scribe)


@asynccontextmanager
async def present(people: Sequence[Witness], scribe: Scribe) -> AsyncIterator[None]:
    """Have everybody in the room, and what is said written down, until the exit."""
    background = [asyncio.create_task(scribe.run()), *(asyncio.create_task(one.run()) for one in people)]
    try:
        await until(lambda: all(one.connections for one in people))
        yield
    finally:
        await end(*background)


async def run(
    folder: Path,
    *,
    seconds: float,
    clients: int = 20,
    per_second: float = 5.0,
    seed: int = 1,
    appendfsync: str = "",
    only: Collection[str] = (),
    slow_sync: Path | None = None,
    report: Callable[[str], None] = print,
) -> Outcome:
    """Run once. Two function processes behind the balancer; links to it and to Valkey go through proxies of ours.

    `only` names the faults to do, all of them by default. `slow_sync` is a library that slows Valkey's disk.
    """
    rng = random.Random(seed)
    async with stage(folder, clients=clients, rng=rng, slow_sync=slow_sync) as ground:
        people, scribe = ground.witnesses, ground.scribe
        breaking = Faults(ground, rng, appendfsync=appendfsync, only=only)
        await breaking.set_up_valkey()
        stop = asyncio.Event()
        talking = [asyncio.create_task(one.talk(per_second, stop)) for one in people]
        began = time.monotonic()
        while (passed := time.monotonic() - began) < seconds:
            await asyncio.sleep(rng.uniform(*_PAUSE_S))
            report(f"{passed:7.1f} s  {await breaking.strike()}")
        stop.set()
        async with asyncio.timeout(_SETTLING_S):
            await asyncio.gather(*talking)
        lasted = time.monotonic() - began
        await scribe.compare()
        unsettled = await stragglers(people, max(scribe.entries, default=0))
    verdict = judge(people, scribe.entries, scribe.vanished)
    return Outcome(verdict, dict(breaking.done), lasted, unsettled)


def witnesses(stack: LocalStack, url: str, room: str, count: int, rng: random.Random) -> list[Witness]:
    """People who may talk, in a tier whose limits leave room for what is sent again."""
    names = [f"w{number}" for number in range(count)]
    tokens = room_tokens(stack, room, names, tier=Tier.PREMIUM)
    return [
        Witness(name, url=url, room=room, token=token, rng=random.Random(rng.random()))
        for name, token in zip(names, tokens, strict=True)
    ]


def room_tokens(
    stack: LocalStack,
    room: str,
    names: Iterable[str],
    *,
    tier: Tier,
    grants: Iterable[Grant] = (Grant.SUBSCRIBE, Grant.CHAT),
) -> list[str]:
    """A token for each name, signed by the key that signs now."""
    tokens = Tokens(KeyRing.from_jwks(stack.keys_file.read_text(encoding="utf-8")))
    granted = frozenset(grants)
    return [
        tokens.sign(
            Claims(sub=name, name=name, tier=tier, room=room, grants=granted),
            audience=AUDIENCE_ROOM,
            lifetime_s=_TOKEN_LIFETIME_S,
        )
        for name in names
    ]


async def stragglers(people: Sequence[Witness], last: int) -> int:
    """How many have not come to the log's end although there was time."""

    def behind() -> int:
        return sum(one.offset < last for one in people)

    try:
        await until(lambda: not behind())
    except TimeoutError:
        return behind()
    return 0


async def until(condition: Callable[[], bool], *, seconds: float = _SETTLING_S) -> None:
    """Wait for it.

    Raises:
        TimeoutError: it was not met in time.
    """
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.05)


def _quiet(_: str) -> None:
    return
