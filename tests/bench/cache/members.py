"""Several of `member`, as processes of their own."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from shared.stack.stack import LocalStack


class Member:
    """One of them."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def ask(self, **asked: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
        """Have it do something, and wait for what it says of it."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps(asked).encode() + b"\n")
        return await self.answer()

    async def answer(self) -> dict[str, Any]:
        """The next thing that it says."""
        assert self._process.stdout
        async with asyncio.timeout(60):
            answer: dict[str, Any] = json.loads(await self._process.stdout.readline())
        return answer

    async def end(self) -> None:
        """Let it end."""
        assert self._process.stdin
        self._process.stdin.close()
        await self._process.wait()


@asynccontextmanager
async def members(stack: LocalStack, count: int) -> AsyncIterator[list[Member]]:
    """So many, ready."""
    made: list[Member] = []
    try:
        for number in range(count):
            arguments = ("-m", "tests.bench.cache.member", stack.cache_url, stack.mongodb_uri, f"member-{number}")
            process = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdin=PIPE, stdout=PIPE)
            made.append(Member(process))
        for member in made:
            await member.answer()
        yield made
    finally:
        for member in made:
            await member.end()
