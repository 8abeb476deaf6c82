"""The streamer's process, seen from the swarm's."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, Self

import msgspec

from .platform import Platform, PlatformError, Room

_START_S: Final = 60.0
_ANSWER_S: Final = 10.0
_END_S: Final = 10.0
# An answer is one line, shorter than that.
_LINE: Final = 1 << 16


class Sent(msgspec.Struct, frozen=True):
    """What the streamer sent in a span: frames, RTP packets of video and sound, bytes of their payloads.

    `late_ms` is by how much the latest of them was late; `asked_again` is how many packets the worker has asked for a
    second time since the stream began.
    """

    frames: int
    packets: int
    bytes: int
    late_ms: float
    asked_again: int


class Source:
    """A streamer who is live. `kbps` is what it sends, kbit/s of RTP payload."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.kbps = 0.0
        self.packets_per_second = 0.0

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    @classmethod
    @asynccontextmanager
    async def live(cls, platform: Platform, room: Room, bit_rate: int, core: int) -> AsyncIterator[Self]:
        """Publish to a room at so many bit/s of video until the exit.

        Raises:
            PlatformError: the stream did not begin.
        """
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.bench.swarm.publisher"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_LINE,
        )
        source = cls(process)
        try:
            order = {
                "url": platform.url,
                "path": room.whip,
                "token": room.token,
                "bit_rate": bit_rate,
                "core": core,
            }
            told = await source._ask(order, _START_S)
            source.kbps, source.packets_per_second = told["kbps"], told["packets_per_second"]
            yield source
        finally:
            await source._end()

    async def sent(self, from_ns: int, until_ns: int) -> Sent:
        """What it sent from then until then, ns of the real-time clock.

        Raises:
            PlatformError: it has ended.
        """
        return msgspec.convert(await self._ask({"from_ns": from_ns, "until_ns": until_ns}, _ANSWER_S), Sent)

    async def _ask(self, what: dict[str, Any], within_s: float) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(what).encode() + b"\n")
        try:
            async with asyncio.timeout(within_s):
                line = await self._process.stdout.readline()
        except TimeoutError:
            line = b""
        if not line:
            raise PlatformError("the publisher's process did not answer: what it wrote is above")
        told: dict[str, Any] = json.loads(line)
        return told

    async def _end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(_END_S):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
