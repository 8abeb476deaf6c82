"""The archive under real kills: nothing is lost, nothing is doubled."""

import asyncio
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
import pytest_asyncio
from pymongo import AsyncMongoClient
from redis.asyncio import Redis
from redis.exceptions import RedisError

from functions.archive import archiver as archiving
from shared.protocol.messages import ChatEvent, GiftEvent, decode_event
from shared.stack import paths
from shared.stack.stack import LocalStack
from shared.state.archive import RoomArchive, recall
from shared.state.archive_reader import ArchiveReader
from shared.state.connect import connect_redis
from shared.state.control import Change, RoomControl
from shared.state.directory import RoomDirectory
from shared.state.documents import Document
from shared.state.keys import NEWS_SHARDS, log_key, news_key
from shared.state.log_script import Bounds
from shared.state.news import News
from shared.state.rooms import Outcome, RoomLog, Submission
from tests.conftest import child_environ
from tests.support import mongodb as support

ROOM = "abcdefghjk"
DATABASE = "archive"
# What a room must have.
OTHERS = {"owner": {"id": "p0", "name": "Ana"}, "created_at": datetime.now(UTC)}


@pytest_asyncio.fixture
async def mongodb(state: LocalStack) -> AsyncIterator[AsyncMongoClient[Document]]:
    async with support.connect(state.mongodb_uri) as client:
        await support.empty(client, state.mongodb_uri, DATABASE)
        yield client


@pytest_asyncio.fixture
async def archiver(redis: Redis, mongodb: AsyncMongoClient[Document]) -> AsyncIterator[None]:
    task = asyncio.create_task(support.archiver(redis, mongodb, DATABASE).run())
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def _chat(number: int, sender: str = "p1") -> Submission:
    return Submission(ChatEvent(sender, "Ana", number, f"m{number}"), 1_000_000)


def _gift(key: int) -> Submission:
    return Submission(GiftEvent("p1", "Ana", key, "rose", 2), 1_000_000)


async def _archived(client: AsyncMongoClient[Document], room: str = ROOM) -> list[int]:
    found = client[DATABASE]["messages"].find({"room": room, "event": {"$exists": True}}, sort=[("offset", 1)])
    return [document["offset"] async for document in found]


async def _until_archived(client: AsyncMongoClient[Document], offsets: list[int], room: str = ROOM) -> None:
    async with asyncio.timeout(40):
        while await _archived(client, room) != offsets:
            await asyncio.sleep(0.1)


@pytest.mark.usefixtures("archiver")
async def test_every_event_gets_into_the_archive_as_it_was(redis: Redis, mongodb: AsyncMongoClient[Document]) -> None:
    log = RoomLog(redis)
    results = await log.append(ROOM, [*(_chat(n) for n in range(2500)), _gift(7)])
    await _until_archived(mongodb, [result.value for result in results])
    entries = await RoomArchive(mongodb, DATABASE).page(ROOM, limit=5000)
    assert [decode_event(raw) for _, raw in entries[:-1]] == [ChatEvent("p1", "Ana", n, f"m{n}") for n in range(2500)]
    (gift,) = [document async for document in mongodb[DATABASE]["gifts"].find()]
    assert (gift["room"], gift["key"], gift["sender"], gift["quantity"]) == (ROOM, 7, "p1", 2)


@pytest.mark.usefixtures("archiver")
async def test_a_gift_whose_key_redis_forgot_is_in_the_ledger_once(
    redis: Redis, mongodb: AsyncMongoClient[Document]
) -> None:
    log = RoomLog(redis)
    first = (await log.append(ROOM, [_gift(7)]))[0].value
    await _until_archived(mongodb, [first])
    await redis.delete(f"room:{{{ROOM}}}:gifts")
    second = (await log.append(ROOM, [_gift(7)]))[0].value
    await _until_archived(mongodb, [first, second])
    (gift,) = [document async for document in mongodb[DATABASE]["gifts"].find()]
    assert gift["offset"] == first


async def test_a_deletion_hides_its_message_whichever_is_written_first(
    redis: Redis, mongodb: AsyncMongoClient[Document]
) -> None:
    results = await RoomLog(redis).append(ROOM, [_chat(1), _chat(2)])
    await RoomControl(redis).delete(ROOM, results[0].value)
    archive = RoomArchive(mongodb, DATABASE)
    entries = (await RoomLog(redis).page(ROOM, limit=10)).entries
    for entry in (*reversed(entries), *entries):
        await archive.write(ROOM, "e", [entry])
        assert results[0].value not in [offset for offset, _ in await archive.page(ROOM, limit=10)]
    assert (await archive.page(ROOM, limit=1))[0][0] == results[1].value


@pytest.mark.usefixtures("archiver")
async def test_settings_and_sanctions_outlive_redis(redis: Redis, mongodb: AsyncMongoClient[Document]) -> None:
    control, archive = RoomControl(redis), RoomArchive(mongodb, DATABASE)
    await mongodb[DATABASE]["rooms"].insert_one({"_id": ROOM, "title": "Before", **OTHERS})
    assert (await archive.restored(ROOM)).settings.title == "Before"
    await control.configure(ROOM, Change(title="After", slow_mode_s=7, blocked_terms=["fish"]))
    for participant in ("p1", "p2"):
        await control.ban(ROOM, participant)
    await control.time_out(ROOM, "p3", 1)
    await control.lift(ROOM, "p2")
    async with asyncio.timeout(10):
        while len(await _archived(mongodb)) < 5:
            await asyncio.sleep(0.05)
    await redis.flushall()
    await asyncio.sleep(1)
    kept = await archive.restored(ROOM)
    assert kept.sanctions == {"p1": 0}
    assert (kept.settings.title, kept.settings.slow_mode_s, kept.settings.blocked_terms) == ("After", 7, ("fish",))
    assert await recall(control, archive, ROOM)
    assert not await recall(control, archive, ROOM)
    assert (await control.settings(ROOM)).title == "After"
    (result,) = await RoomLog(redis).append(ROOM, [_chat(1)])
    assert result.outcome is Outcome.BANNED


async def test_a_room_never_configured_recalls_its_title_also_after_another_setting_changed(
    redis: Redis, mongodb: AsyncMongoClient[Document]
) -> None:
    control, archive = RoomControl(redis), RoomArchive(mongodb, DATABASE)
    await mongodb[DATABASE]["rooms"].insert_one({"_id": ROOM, "title": "Late night", **OTHERS})
    await control.configure(ROOM, Change(slow_mode_s=3))
    await RoomDirectory(mongodb, DATABASE).note_settings(ROOM, await control.settings(ROOM))
    assert await recall(control, archive, ROOM)
    settings = await control.settings(ROOM)
    assert (settings.title, settings.slow_mode_s) == ("Late night", 3)


@pytest.mark.usefixtures("archiver")
async def test_the_log_is_cut_once_it_is_archived(redis: Redis, mongodb: AsyncMongoClient[Document]) -> None:
    log = RoomLog(redis)
    offsets = []
    for batch in range(10):
        offsets += [one.value for one in await log.append(ROOM, [_chat(batch * 500 + n) for n in range(500)])]
    await _until_archived(mongodb, offsets)
    async with asyncio.timeout(5):
        while await redis.xlen(log_key(ROOM)) > 1100:
            await asyncio.sleep(0.05)


@pytest.mark.usefixtures("archiver")
async def test_a_room_that_fell_silent_rests_and_is_found_again(
    redis: Redis, mongodb: AsyncMongoClient[Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.state.archive_reader.SILENCE_BEFORE_REST_S", 0.2)
    monkeypatch.setattr(archiving, "FIRST_DELAY_S", 0.05)
    log = RoomLog(redis)
    offsets = []
    for number in range(3):
        offsets += [one.value for one in await log.append(ROOM, [_chat(number)])]
        await _until_archived(mongodb, offsets)
        async with asyncio.timeout(10):
            while await redis.exists(*(news_key(shard) for shard in range(NEWS_SHARDS))):
                await asyncio.sleep(0.05)
        assert await redis.xinfo_consumers(log_key(ROOM), "archive") == []


@pytest.mark.usefixtures("archiver")
async def test_rest_and_announcement_at_the_same_moment_leave_nothing_behind(
    redis: Redis, mongodb: AsyncMongoClient[Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.state.archive_reader.SILENCE_BEFORE_REST_S", 0)
    monkeypatch.setattr(archiving, "FIRST_DELAY_S", 0.001)
    monkeypatch.setattr(archiving, "POLL_S", 0.001)
    log = RoomLog(redis)
    rooms = {f"abcdefghj{letter}": list[int]() for letter in "abcdef"}
    for number in range(60):
        for room, offsets in rooms.items():
            offsets += [one.value for one in await log.append(room, [_chat(number)])]
        await asyncio.sleep(random.uniform(0, 0.02))
    for room, offsets in rooms.items():
        await _until_archived(mongodb, offsets, room)
    assert int(await redis.hget(f"room:{{{ROOM[:-1]}a}}:info", "rests") or 0) >= 1


async def test_a_room_that_goes_to_rest_between_announcement_and_append_is_announced_again(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.state.archive_reader.SILENCE_BEFORE_REST_S", 0)
    news, reader, announced = News(redis), ArchiveReader(redis, "r1"), 0
    announce = News.announce

    async def announce_and_rest(self: News, room: str) -> None:
        nonlocal announced
        announced += 1
        await announce(self, room)
        if announced == 1:
            (claim,) = await news.claim(10)
            assert await reader.read(room) == []
            assert await reader.rest(room)
            await news.release(claim, due_in_s=None)

    monkeypatch.setattr(News, "announce", announce_and_rest)
    await RoomLog(redis).append(ROOM, [_chat(1)])
    assert announced == 2
    assert [claim.room for claim in await news.claim(10)] == [ROOM]


@contextmanager
def _archivers(stack: LocalStack, count: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes that archive and nothing else."""
    processes = [_start(stack) for _ in range(count)]
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _start(stack: LocalStack) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.support.archiver_process", stack.redis_url, stack.mongodb_uri, DATABASE],
        cwd=paths.ROOT,
        env=child_environ() | {"PYTHONPATH": str(paths.ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


async def test_killing_archivers_mongod_and_valkey_loses_and_doubles_nothing(tmp_path: Path) -> None:
    rooms = [f"abcdefghj{letter}" for letter in "abcd"]
    sent: dict[str, dict[int, int]] = {room: {} for room in rooms}
    gifts: dict[str, set[int]] = {room: set() for room in rooms}
    async with LocalStack(tmp_path, environ=child_environ(), report=lambda _: None) as stack:
        redis, client = connect_redis(stack.redis_url), support.connect(stack.mongodb_uri)
        log = RoomLog(redis, Bounds(events=200))
        writing = asyncio.Event()
        writing.set()

        async def write(room: str) -> None:
            number = 0
            while writing.is_set():
                batch = [_chat(number + n) for n in range(20)] + [_gift(number)]
                try:
                    results = await log.append(room, batch)
                except (RedisError, OSError):
                    await asyncio.sleep(0.1)
                    continue  # the same again, under the same ids
                sent[room].update({number + n: result.value for n, result in enumerate(results[:-1])})
                sent[room][-number - 1] = results[-1].value
                gifts[room].add(number)
                number += 20
                await asyncio.sleep(0.02)

        with _archivers(stack, 2) as processes:
            writers = [asyncio.create_task(write(room)) for room in rooms]
            for round_number in range(4):
                for index in range(2):
                    await asyncio.sleep(random.uniform(0.5, 1.2))
                    processes[index].send_signal(signal.SIGKILL)
                    processes[index].wait()
                    processes[index] = _start(stack)
                await stack.kill("mongod")
                if round_number == 2:
                    await stack.kill("valkey")
            await asyncio.sleep(1)
            writing.clear()
            await asyncio.gather(*writers)
            for room in rooms:
                await _until_archived(client, sorted(sent[room].values()), room)
        for room in rooms:
            assert len(set(sent[room].values())) == len(sent[room]) > 100
            ledger = [document["key"] async for document in client[DATABASE]["gifts"].find({"room": room})]
            assert sorted(ledger) == sorted(gifts[room])
        await redis.aclose()
        await client.close()


async def test_while_mongod_is_away_nothing_is_cut_and_then_it_catches_up(tmp_path: Path) -> None:
    async with LocalStack(tmp_path, environ=child_environ(), report=lambda _: None) as stack:
        redis, client = connect_redis(stack.redis_url), support.connect(stack.mongodb_uri)
        log = RoomLog(redis, Bounds(events=100, age_s=0.5))
        with _archivers(stack, 1):
            offsets = [one.value for one in await log.append(ROOM, [_chat(n) for n in range(300)])]
            await _until_archived(client, offsets)
            await stack.kill("mongod", restart=False)
            for batch in range(1, 11):
                offsets += [one.value for one in await log.append(ROOM, [_chat(batch * 300 + n) for n in range(300)])]
                await asyncio.sleep(0.2)
            assert await redis.xlen(log_key(ROOM)) >= 3000
            await stack.start("mongod")
            await _until_archived(client, offsets)
        await redis.aclose()
        await client.close()
