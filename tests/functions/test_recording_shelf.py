"""What a room's recordings are, told from reports and MongoDB alone, and how many there may be."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from pymongo import AsyncMongoClient
from redis.asyncio import Redis

from functions.archive.recordings import RecordingArchiver
from functions.recording_shelf import RecordingShelf
from functions.settings import Settings
from functions.sfu_client import SfuClient
from shared.security.keys import KeyRing, generate_jwks
from shared.security.tokens import Claims, Grant, TokenError, Tokens
from shared.stack.stack import LocalStack
from shared.state.documents import Document
from shared.state.fleet import Fleet, Worker
from shared.state.recordings import Recording, RecordingCatalogue, RecordingReports
from shared.state.rooms import RoomLog
from shared.telemetry.problems import Problem
from tests.support import mongodb as support

ROOM = "abcdefghjk"
DATABASE = "shelf"
OWNER = Claims(sub="p1", name="Ana", room=ROOM, grants=frozenset({Grant.MODERATE}))
MakeShelf = Callable[..., RecordingShelf]
BEGAN = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


@pytest_asyncio.fixture
async def mongodb(state: LocalStack) -> AsyncIterator[AsyncMongoClient[Document]]:
    async with support.connect(state.mongodb_uri) as client:
        await support.empty(client, state.mongodb_uri, DATABASE)
        yield client


@pytest.fixture
def catalogue(mongodb: AsyncMongoClient[Document]) -> RecordingCatalogue:
    return RecordingCatalogue(mongodb, DATABASE)


@pytest.fixture
def reports(redis: Redis) -> RecordingReports:
    return RecordingReports(redis)


@pytest_asyncio.fixture
async def shelf_with(
    redis: Redis, catalogue: RecordingCatalogue, reports: RecordingReports
) -> AsyncIterator[MakeShelf]:
    tokens = Tokens(KeyRing.from_jwks(generate_jwks()))
    sfu = SfuClient(Fleet(redis), RoomLog(redis), tokens)

    def make(**changes: Any) -> RecordingShelf:  # noqa: ANN401 - settings of any type
        settings = Settings(redis_url="", mongodb_uri="", jwt_keys="", **changes)
        return RecordingShelf(settings, catalogue, reports, Fleet(redis), sfu, tokens, None)

    yield make
    await sfu.close()


def recording(number: int, **changes: Any) -> Recording:  # noqa: ANN401 - fields of any type
    known = Recording(
        id=f"w1-{number}", room=ROOM, host="here", started_at=BEGAN + timedelta(minutes=number), state="ready",
        media_type="video/webm", file=f"w1-{number}.webm", codecs=["vp8", "opus"], bytes=100,
    )  # fmt: skip
    return msgspec.structs.replace(known, **changes)


def worker(identifier: str, host: str) -> Worker:
    # Nobody listens there.
    return Worker(identifier, "http://127.0.0.1:9", 1, 0, 0, 0, draining=False, recordings=host)


async def archived(reports: RecordingReports, catalogue: RecordingCatalogue) -> None:
    """Let the archiver move what waits."""
    announcer = support.announcer(catalogue._recordings.database.client, DATABASE)
    task = asyncio.create_task(RecordingArchiver(reports, catalogue, announcer).run())
    async with asyncio.timeout(10):
        while await reports.waiting():
            await asyncio.sleep(0.02)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def seen(shelf: RecordingShelf) -> list[tuple[str, str]]:
    return [(shown.recording.id, shown.state) for shown in await shelf.of_room(ROOM)]


async def test_a_report_is_seen_at_once_and_the_same_after_it_moved_to_mongodb(
    shelf_with: MakeShelf, reports: RecordingReports, catalogue: RecordingCatalogue, redis: Redis
) -> None:
    await Fleet(redis).renew(worker("w1", "here"))
    shelf = shelf_with()
    await reports.report(recording(2))
    await reports.report(recording(1, state="recording"))
    await reports.report(recording(3, room="zzzzzzzzzz"))
    before = await shelf.of_room(ROOM)
    assert [(shown.recording.id, shown.state) for shown in before] == [("w1-1", "recording"), ("w1-2", "ready")]
    await archived(reports, catalogue)
    assert await shelf.of_room(ROOM) == before


async def test_an_old_report_that_comes_late_changes_nothing(
    shelf_with: MakeShelf, reports: RecordingReports, catalogue: RecordingCatalogue
) -> None:
    await catalogue.note(recording(1, stored=True, revision=3))
    await reports.report(recording(1, state="uploading", revision=2))
    assert await seen(shelf_with()) == [("w1-1", "ready")]
    await archived(reports, catalogue)
    assert await seen(shelf_with()) == [("w1-1", "ready")]


async def test_what_was_deleted_stays_deleted_whatever_is_reported_later(
    shelf_with: MakeShelf, reports: RecordingReports, catalogue: RecordingCatalogue
) -> None:
    shelf = shelf_with()
    await catalogue.note(recording(1))
    await shelf.delete(OWNER, await shelf.find(ROOM, "w1-1"))
    # Its host is away: it is asked to delete the file when it is back.
    assert await reports.unwanted(["w1-1", "w1-2"]) == ["w1-1"]
    await reports.report(recording(1, revision=9))
    assert await seen(shelf) == []
    await archived(reports, catalogue)
    assert await seen(shelf) == []
    with pytest.raises(Problem) as refused:
        await shelf.find(ROOM, "w1-1")
    assert refused.value.status == 404


async def test_without_a_worker_of_its_host_it_is_lost_unless_it_is_stored(
    shelf_with: MakeShelf, catalogue: RecordingCatalogue, redis: Redis
) -> None:
    await Fleet(redis).renew(worker("w9", "elsewhere"))
    kinds: list[dict[str, Any]] = [
        {"state": "recording"},
        {"state": "uploading"},
        {},
        {"state": "failed"},
        {"stored": True, "key": "k"},
    ]
    for number, changes in enumerate(kinds):
        await catalogue.note(recording(number, **changes))
    states = [state for _, state in await seen(shelf_with())]
    assert states == ["lost", "lost", "lost", "failed", "ready"]
    # Any worker of the host will do.
    await Fleet(redis).renew(worker("w2", "here"))
    states = [state for _, state in await seen(shelf_with())]
    assert states == ["recording", "uploading", "ready", "failed", "ready"]


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        ({"recordings_max_count": 2}, "too_many_recordings"),
        ({"recordings_max_bytes": 200}, "recordings_too_large"),
    ],
)
async def test_a_full_room_is_told_which_limit_is_reached_and_loses_nothing(
    shelf_with: MakeShelf, catalogue: RecordingCatalogue, limits: dict[str, int], code: str
) -> None:
    for number in range(2):
        await catalogue.note(recording(number))
    shelf = shelf_with(**limits)
    with pytest.raises(Problem) as refused:
        await shelf.allowance(OWNER)
    assert (refused.value.status, refused.value.code) == (409, code)
    assert "delete some" in refused.value.detail
    assert len(await seen(shelf)) == 2


async def test_a_new_recording_may_be_as_long_and_large_as_what_is_left(
    shelf_with: MakeShelf, catalogue: RecordingCatalogue
) -> None:
    await catalogue.note(recording(1))
    allowed = await shelf_with(recordings_max_bytes=1_000, recording_max_s=60.0).allowance(OWNER)
    assert (allowed.longest_s, allowed.largest_bytes) == (60.0, 900)
    free = await shelf_with(recordings_max_bytes=0, recordings_max_count=0, recording_max_s=0.0).allowance(OWNER)
    assert (free.longest_s, free.largest_bytes) == (0.0, 0)


async def test_where_the_setting_says_so_the_oldest_make_way_and_never_one_that_goes_on(
    shelf_with: MakeShelf, catalogue: RecordingCatalogue, redis: Redis
) -> None:
    await Fleet(redis).renew(worker("w9", "busy"))
    await catalogue.note(recording(0, state="recording", host="busy"))
    for number in range(1, 5):
        await catalogue.note(recording(number))
    shelf = shelf_with(recordings_max_count=3, recordings_prune=True)
    allowed = await shelf.allowance(OWNER)
    assert [identifier for identifier, _ in await seen(shelf)] == ["w1-0", "w1-4"]
    assert allowed.largest_bytes == Settings(redis_url="", mongodb_uri="", jwt_keys="").recordings_max_bytes
    only_busy = shelf_with(recordings_max_count=1, recordings_prune=True)
    with pytest.raises(Problem) as refused:
        await only_busy.allowance(OWNER)
    assert refused.value.code == "too_many_recordings"


async def test_a_recording_that_goes_on_is_not_deleted(
    shelf_with: MakeShelf, catalogue: RecordingCatalogue, redis: Redis
) -> None:
    await Fleet(redis).renew(worker("w1", "here"))
    await catalogue.note(recording(1, state="recording"))
    shelf = shelf_with()
    with pytest.raises(Problem) as refused:
        await shelf.delete(OWNER, await shelf.find(ROOM, "w1-1"))
    assert (refused.value.status, refused.value.code) == (409, "recording_in_progress")


async def test_a_link_is_for_one_recording_of_one_room(shelf_with: MakeShelf) -> None:
    shelf = shelf_with()
    token = shelf.own_link(recording(1), OWNER, download=False).partition("token=")[2]
    assert shelf.claims_of_link(token, ROOM, "w1-1").grants == {Grant.MODERATE}
    with pytest.raises(TokenError):
        shelf.claims_of_link(token, ROOM, "w1-2")
    with pytest.raises(Problem):
        shelf.claims_of_link(token, "zzzzzzzzzz", "w1-1")


async def test_a_stored_recording_without_a_store_here_is_unavailable(
    shelf_with: MakeShelf, catalogue: RecordingCatalogue
) -> None:
    await catalogue.note(recording(1, stored=True, key="k"))
    shelf = shelf_with()
    with pytest.raises(Problem) as refused:
        await shelf.store_link((await shelf.find(ROOM, "w1-1")).recording, download=False)
    assert (refused.value.status, refused.value.code) == (503, "no_object_store")
