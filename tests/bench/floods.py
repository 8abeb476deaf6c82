"""What others notice of somebody who floods: connections, joins, messages and requests, all from one address.

Run with `python -m tests.bench.floods --seconds 20`: people talk in a room of a platform of its own, at first
undisturbed and then through one flood after the other. Printed for each: what was tried, what the platform said to it,
and how long the others waited for the acknowledgement of what they said. At the end their records are compared with the
room's log. The last line is one JSON object; the exit code is 1 when anything of the others' was lost, doubled or
refused, or when a flood got through or was not held off.
"""

import argparse
import asyncio
import json
import random
import secrets
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from shared.protocol import messages as m
from shared.protocol.errors import ErrorCode
from shared.security.tokens import Tier
from shared.stack.stack import LocalStack
from tests.bench import machine
from tests.chaos.loss.scenario import present, room_tokens, until, witnesses
from tests.chaos.loss.scribe import Scribe
from tests.chaos.loss.verdict import Verdict, judge
from tests.chaos.loss.witness import Witness
from tests.conftest import child_environ
from tests.support.room_client import guest, socket_url

PEOPLE: Final = 8
PER_SECOND: Final = 3.0
_ADDRESS: Final = {"x-forwarded-for": "198.18.7.7"}  # RFC 2544's network for benchmarks
_AT_ONCE: Final = 16
_IDLE_SOCKETS: Final = 2000
_SETTLING_S: Final = 30.0
# Of what is tried no more than this may get through: an order below what comes, or what an address is given at once.
_THROUGH_MOST: Final = 0.1
_THROUGH_LEAST: Final = 500
_STAY_AWAY: Final = frozenset({"error backed_off", "HTTP 429", "closed 4429"})


class Phase(msgspec.Struct, frozen=True):
    """One flood. `tried` attempts, `answers` by what came of them, `through` of them successful.

    `ack_*_ms` are the others': from saying something to its acknowledgement.
    """

    name: str
    seconds: float
    tried: int
    through: int
    answers: dict[str, int]
    ack_p50_ms: float
    ack_p95_ms: float
    ack_max_ms: float
    acks: int

    @property
    def held_off(self) -> bool:
        """Whether nearly nothing of the flood got through, and the platform told it to stay away.

        Idle connections get nowhere and cost little: they are closed when their time is up.
        """
        if self.name in {"undisturbed", idle_connections.__name__}:
            return self.through == 0
        told = sum(times for answer, times in self.answers.items() if answer in _STAY_AWAY)
        return self.through <= max(_THROUGH_LEAST, self.tried * _THROUGH_MOST) and told > 0


class Flood(msgspec.Struct):
    """What one address has tried so far, and what came of it."""

    answers: Counter[str] = msgspec.field(default_factory=Counter)
    tried: int = 0
    through: int = 0

    def note(self, answer: str, *, through: bool = False) -> None:
        """Count an attempt."""
        self.tried += 1
        self.answers[answer] += 1
        self.through += through


class Ground(msgspec.Struct, frozen=True):
    """Where it happens: a platform, and a room."""

    stack: LocalStack
    room: str

    @property
    def url(self) -> str:
        """The platform's."""
        return self.stack.url

    def socket(self) -> connect:
        """A socket to the room, opened when it is entered."""
        return connect(
            socket_url(self.url, self.room),
            subprotocols=[m.SUBPROTOCOL],  # type: ignore[list-item]
            additional_headers=_ADDRESS,
            close_timeout=0.2,
            proxy=None,
        )


async def idle_connections(ground: Ground, flood: Flood) -> None:
    """Open connections that say nothing, until cancelled."""
    host, port = ground.url.removeprefix("http://").split(":")
    async with AsyncExitStack() as opened:
        for _ in range(_IDLE_SOCKETS):
            one = socket.socket()
            opened.callback(one.close)
            one.setblocking(False)
            try:
                await asyncio.get_running_loop().sock_connect(one, (host, int(port)))
                flood.note("connected")
            except OSError as error:
                flood.note(f"refused: {error.strerror}")
        await asyncio.Event().wait()


async def joins(ground: Ground, flood: Flood) -> None:
    """Open sockets and join with a token that is none, over and over."""

    async def one() -> None:
        while True:
            try:
                async with ground.socket() as client:
                    await client.send(m.encode(m.Join(secrets.token_urlsafe(60), None, None)))
                    answer = m.decode_server(await client.recv())  # type: ignore[arg-type]
                    flood.note(_said(answer), through=isinstance(answer, m.Welcome))
            except InvalidStatus as refused:
                flood.note(f"HTTP {refused.response.status_code}")
            except ConnectionClosed as closed:
                flood.note(_closed(closed))
            except (OSError, TimeoutError, WebSocketException) as error:
                flood.note(type(error).__name__)

    await _together(one)


async def messages(ground: Ground, flood: Flood) -> None:
    """Join properly, then say things as fast as the socket takes them, and come back when put out."""
    (token,) = room_tokens(ground.stack, ground.room, ["flooder"], tier=Tier.VIEWER)
    while True:
        with suppress(OSError, TimeoutError, WebSocketException):
            async with ground.socket() as client:
                await client.send(m.encode(m.Join(token, None, None)))
                async with asyncio.TaskGroup() as both:
                    both.create_task(_blast(client.send))
                    both.create_task(_count(client.recv, flood))
        # As fast as somebody who minds nothing would.
        await asyncio.sleep(0.05)


async def _blast(send: Callable[[bytes], Awaitable[None]]) -> None:
    with suppress(ConnectionClosed):
        while True:
            await send(m.encode(m.Chat(secrets.randbits(53), "buy now")))
            await asyncio.sleep(0)


async def _count(receive: Callable[[], Awaitable[Any]], flood: Flood) -> None:
    try:
        while True:
            answer = m.decode_server(await receive())
            if isinstance(answer, m.Sent | m.Error):
                flood.note(_said(answer), through=isinstance(answer, m.Sent))
    except ConnectionClosed as closed:
        flood.note(_closed(closed))


async def requests(ground: Ground, flood: Flood) -> None:
    """Ask for one new identity after another."""
    async with httpx.AsyncClient(base_url=ground.url, headers=_ADDRESS, timeout=10) as http:

        async def one() -> None:
            while True:
                try:
                    answer = await http.post("/v1/guests", json={"name": "x"})
                    flood.note(f"HTTP {answer.status_code}", through=answer.status_code < 300)
                except httpx.HTTPError as error:
                    flood.note(type(error).__name__)

        await _together(one)


FLOODS: Final = (idle_connections, joins, messages, requests)


async def run(folder: Path, *, seconds: float, report: Callable[[str], None] = print) -> tuple[list[Phase], Verdict]:
    """All floods, each for so long; the first phase is without one."""
    phases: list[Phase] = []
    async with AsyncExitStack() as running:
        stack = await running.enter_async_context(
            LocalStack(folder, functions=2, environ=child_environ(), report=lambda _: None)
        )
        async with httpx.AsyncClient(base_url=stack.url) as http:
            room, _ = await (await guest(http, "Owner")).create_room("Floods")
        ground = Ground(stack, room)
        people = witnesses(stack, stack.url, room, PEOPLE, random.Random(1))
        scribe = Scribe(stack.redis_url, room)
        await running.enter_async_context(present(people, scribe))
        stop = asyncio.Event()
        talking = [asyncio.create_task(one.talk(PER_SECOND, stop)) for one in people]
        for flood in (None, *FLOODS):
            phases.append(await _phase(ground, people, flood, seconds))
            report(_row(phases[-1]))
        stop.set()
        await asyncio.gather(*talking)
        await scribe.compare()
        last = max(scribe.entries)
        await until(lambda: all(one.offset >= last for one in people), seconds=_SETTLING_S)
    return phases, judge(people, scribe.entries, scribe.vanished)


async def _phase(
    ground: Ground,
    people: list[Witness],
    flood: Callable[[Ground, Flood], Awaitable[None]] | None,
    seconds: float,
) -> Phase:
    before = [len(one.said) for one in people]
    counts = Flood()
    began = time.monotonic()
    if flood is None:
        await asyncio.sleep(seconds)
    else:
        flooding = asyncio.ensure_future(flood(ground, counts))
        await asyncio.wait([flooding], timeout=seconds)
        if flooding.done():
            flooding.result()  # it ends by itself only when it fails
        flooding.cancel()
        await asyncio.gather(flooding, return_exceptions=True)
    said = [one for person, first in zip(people, before, strict=True) for one in person.said[first:]]
    took = [one.took_s * 1000 for one in said if one.offset is not None]
    if not took:
        raise RuntimeError("nobody had anything acknowledged: there is nothing to compare")
    return Phase(
        name=flood.__name__ if flood else "undisturbed",
        seconds=time.monotonic() - began,
        tried=counts.tried,
        through=counts.through,
        answers=dict(counts.answers.most_common()),
        ack_p50_ms=machine.percentile(took, 50),
        ack_p95_ms=machine.percentile(took, 95),
        ack_max_ms=max(took),
        acks=len(took),
    )


def passed(phases: list[Phase], verdict: Verdict) -> bool:
    """Whether the floods were held off, and the others had everything, once, and nothing refused."""
    return verdict.clean and not verdict.refused and all(phase.held_off for phase in phases)


def _said(answer: m.ServerMessage) -> str:
    if isinstance(answer, m.Error):
        return f"error {ErrorCode(answer.code).name.lower()}"
    return type(answer).__name__.lower()


def _closed(error: ConnectionClosed) -> str:
    return f"closed {error.rcvd.code if error.rcvd else 'without a word'}"


def _row(phase: Phase) -> str:
    answers = ", ".join(f"{answer} {times:,}" for answer, times in phase.answers.items()) or "-"
    acks = f"{phase.ack_p50_ms:.1f} | {phase.ack_p95_ms:.1f} | {phase.ack_max_ms:.1f}"
    return f"| {phase.name} | {phase.tried:,} | {phase.through:,} | {answers} | {phase.acks:,} | {acks} |"


async def _together(one: Callable[[], Awaitable[None]]) -> None:
    await asyncio.gather(*(one() for _ in range(_AT_ONCE)))


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.floods", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20.0, help="of each flood")
    arguments = parser.parse_args()
    print(f"machine: {machine.describe()}")
    print("| flood | tried | got through | answers | others' messages | acknowledged P50 ms | P95 ms | most ms |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        phases, verdict = asyncio.run(run(Path(folder), seconds=arguments.seconds))
    print(verdict.line())
    for example in verdict.examples:
        print(example)
    good = passed(phases, verdict)
    figures = {f"{phase.name}_{name}": round(getattr(phase, name), 1) for phase in phases for name in _FIGURES}
    print(json.dumps({**figures, "losses": verdict.losses, "duplicates": verdict.duplicates, "passed": good}))
    sys.exit(0 if good else 1)


_FIGURES: Final = ("tried", "through", "ack_p50_ms", "ack_p95_ms")

if __name__ == "__main__":
    main()
