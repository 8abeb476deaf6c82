"""MongoDB's primary is killed while rooms are made and read: nothing acknowledged is lost, reading goes on."""

import asyncio
import signal
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from shared.stack.stack import LocalStack
from shared.stack.supervisor import Child
from tests.conftest import child_environ
from tests.support.replica_set import replica_set
from tests.support.room_client import guest

WRITERS, READERS = 4, 2
# One waits for a primary for 3 s, and is refused: two times that, on a machine that is busy with other things.
LONGEST_REFUSAL_S = 20.0


class Traffic:
    """What was asked and answered; times are seconds since the kill."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self.refused_at: list[float] = []
        self.wrong: list[str] = []
        self.reads = 0
        self.killed_at: float | None = None

    def note(self, response: httpx.Response, wanted: int) -> bool:
        """Whether it was answered as wanted; 503 with a time to come back is the one other answer there may be."""
        if response.status_code == wanted:
            return True
        retry = response.headers.get("retry-after", "")
        if response.status_code != 503 or not retry.isdigit() or response.json()["code"] != "unavailable":
            self.wrong.append(f"{response.status_code} {response.text}")
        self.refused_at.append(time.monotonic() - (self.killed_at or time.monotonic()))
        return False


async def test_a_killed_primary_loses_nothing_and_stops_writing_for_an_election_alone(tmp_path: Path) -> None:
    async with replica_set(tmp_path / "members") as members:
        environ = child_environ() | {"MONGODB_URI": members.uri}
        async with LocalStack(tmp_path / "stack", functions=1, environ=environ, report=lambda _: None) as stack:
            await _kill_under_load(members.member(await members.primary()), stack)


async def _kill_under_load(primary: Child, stack: LocalStack) -> None:
    traffic = Traffic()
    stop = asyncio.Event()
    async with httpx.AsyncClient(base_url=stack.functions[0].url, timeout=15) as http:
        old, _ = await (await guest(http, "Ana")).create_room()

        async def write() -> None:
            while not stop.is_set():
                # A new person for each, since nobody may make many rooms.
                person = await guest(http, "Bo")
                response = await http.post("/v1/rooms", json={"title": "x"}, headers=person.headers)
                if traffic.note(response, 201):
                    traffic.made.append(response.json()["room"]["id"])

        async def read() -> None:
            while not stop.is_set():
                response = await http.get(f"/v1/rooms/{old}")
                traffic.note(response, 200)
                traffic.reads += response.status_code == 200

        async with asyncio.TaskGroup() as tasks:
            for work in [write] * WRITERS + [read] * READERS:
                tasks.create_task(work())
            await _until(lambda: len(traffic.made) >= 40)
            primary.restart = False
            primary.send(signal.SIGKILL)
            traffic.killed_at = time.monotonic()
            before, reads = len(traffic.made), traffic.reads
            await _until(lambda: traffic.reads >= reads + 5)
            # Well into the time of the new primary.
            await _until(lambda: len(traffic.made) >= before + 60)
            stop.set()
        assert traffic.wrong == []
        assert max(traffic.refused_at, default=0.0) < LONGEST_REFUSAL_S
        missing = [room for room in traffic.made if (await http.get(f"/v1/rooms/{room}")).status_code != 200]
        assert missing == []


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.02)
