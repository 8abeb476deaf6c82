"""A function instance is gone: viewers reconnect within seconds and resume; no message is lost or repeated."""

import asyncio
import signal
from pathlib import Path

import pytest

from shared.stack.stack import LocalStack
from tests.conftest import child_environ
from tests.e2e.conftest import People
from tests.e2e.person import Person

pytestmark = pytest.mark.e2e

ROUNDS = 2
PER_ROUND = 8


async def test_killing_function_processes_while_two_browsers_chat_loses_and_doubles_nothing(
    people: People, tmp_path: Path
) -> None:
    async with LocalStack(tmp_path, functions=2, workers=2, environ=child_environ(), report=lambda _: None) as stack:
        ana, bo = await people("Ana", url=stack.url), await people("Bo", url=stack.url)
        code = await ana.create_room("Unkillable")
        await ana.go_live()
        await bo.join_by_link(code)
        before = await bo.watches()
        connections = await bo.page.evaluate("window.__connections.length")

        async def chat(person: Person) -> None:
            for number in range(ROUNDS * PER_ROUND):
                await person.say(f"{person.name} {number}")
                await asyncio.sleep(0.35)  # viewers may say 5 a second

        chatting = [asyncio.create_task(chat(person)) for person in (ana, bo)]
        for number in range(ROUNDS):
            await asyncio.sleep(PER_ROUND * 0.35)
            name = f"function-{number % 2 + 1}"
            await stack.kill(name, signal.SIGKILL)
            await ready_again(stack, name)
        await asyncio.gather(*chatting)

        expected = {f"{person.name} {number}" for person in (ana, bo) for number in range(ROUNDS * PER_ROUND)}
        for person in (ana, bo):
            await eventually_has(person, expected)
        assert await ana.texts() == await bo.texts()
        # Each person's own messages are in the order in which they were said.
        for person in (ana, bo):
            own = [text for text in await bo.texts() if text.startswith(person.name)]
            assert own == [f"{person.name} {number}" for number in range(ROUNDS * PER_ROUND)]

        # The video came from an SFU worker all along, over the same connection.
        after = await bo.watches()
        assert await bo.page.evaluate("window.__connections.length") == connections
        assert after["framesDecoded"] > before["framesDecoded"]
        assert after["ssrc"] == before["ssrc"]


async def eventually_has(person: Person, expected: set[str]) -> None:
    """Return when the page shows these messages; it fails when it shows others, or one twice."""
    async with asyncio.timeout(20):
        while set(await person.texts()) < expected:
            await asyncio.sleep(0.1)
    texts = await person.texts()
    assert len(texts) == len(set(texts)), "a message is doubled"
    assert set(texts) == expected


async def ready_again(stack: LocalStack, name: str) -> None:
    """Return when the process takes traffic."""
    async with asyncio.timeout(20):
        while not await stack.process(name).spec.ready():
            await asyncio.sleep(0.1)
