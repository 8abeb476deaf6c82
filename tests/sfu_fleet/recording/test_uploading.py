"""Finished recordings go to an object store: whole, verified, again after any trouble, and without anybody waiting."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from redis.asyncio import Redis

from sfu_fleet.recording import finishing, uploading
from sfu_fleet.recording.folder import RecordingFolder
from sfu_fleet.recording.uploading import UploadMismatchError, upload
from sfu_fleet.worker import SfuWorker
from shared.state.recordings import Recording, RecordingReports
from tests.sfu_fleet.conftest import Valkey, eventually, settings_for
from tests.sfu_fleet.peer import Peer
from tests.sfu_fleet.recording.media import opened
from tests.sfu_fleet.recording.test_recordings import OWNER, left, send
from tests.sfu_fleet.scenes import publish, view
from tests.sfu_fleet.test_control import token
from tests.sfu_fleet.test_process import running, until
from tests.support.object_store import BUCKET, LocalObjectStore

LARGE = 3 * uploading.PART_BYTES + 1_234


@pytest.fixture
def store() -> Iterator[LocalObjectStore]:
    with LocalObjectStore() as store:
        yield store


def finished(folder: Path, identifier: str = "w0-1", *, size: int = LARGE) -> Recording:
    """A recording in a folder that is to be uploaded, as a worker leaves it that was killed then."""
    place = RecordingFolder(folder)
    recording = Recording(
        id=identifier, room="room", host=place.make(), started_at=datetime.now(UTC), state="uploading",
        media_type="video/webm", file=f"{identifier}.webm", codecs=["vp8", "opus"], bytes=size,
    )  # fmt: skip
    with place.create(recording) as file:
        file.write(os.urandom(size))
    return recording


@asynccontextmanager
async def worker(
    valkey: Valkey, store: LocalObjectStore, folder: Path, instance: str = "w1", *, bitrate: int = 0
) -> AsyncIterator[SfuWorker]:
    settings = settings_for(
        valkey.url, instance=instance, plane="python", recordings=str(folder),
        s3_bucket=BUCKET, s3_endpoint=store.url, s3_prefix="kept", upload_bitrate=bitrate,
    )  # fmt: skip
    async with SfuWorker(settings) as worker:
        yield worker


async def reported(valkey: Redis, state: str) -> Recording:
    """The one recording that was reported, once it is in that state."""
    async with asyncio.timeout(20):
        while True:
            for report in await RecordingReports(valkey).waiting():
                if report.recording.state == state:
                    return report.recording
            await asyncio.sleep(0.05)


def failed(worker: SfuWorker) -> float:
    return worker.metrics.registry.get_sample_value("sfu_recording_uploads_total", {"outcome": "failed"}) or 0.0


async def test_a_recording_ends_up_in_the_store_and_nothing_of_it_on_the_disk(
    store: LocalObjectStore, valkey: Redis, shared_valkey: Valkey, peers: Callable[[], Peer], tmp_path: Path
) -> None:
    headers = {"authorization": f"Bearer {token(grants=OWNER)}"}
    async with AsyncExitStack() as stack:
        sfu = await stack.enter_async_context(worker(shared_valkey, store, tmp_path / "recordings"))
        transport = httpx.ASGITransport(app=sfu.app)  # type: ignore[arg-type] # Litestar's scope is narrower
        api = await stack.enter_async_context(
            httpx.AsyncClient(transport=transport, base_url="http://worker", headers=headers)
        )
        source = peers()
        await publish(sfu.rooms, source)
        sending = asyncio.create_task(send(source, seconds=3.0))
        await eventually(lambda: any(info.live for info in sfu.rooms.infos()), "live")
        assert (await api.post("/v1/rooms/room/recording", json={})).status_code == 201
        await sending
        stopped = (await api.delete("/v1/rooms/room/recording")).json()
        assert (stopped["state"], stopped["stored"]) == ("uploading", False)
        known = await reported(valkey, "ready")
        assert (known.id, known.stored, known.bytes) == (stopped["id"], True, stopped["bytes"])
        assert store.keys() == [known.key] == [f"kept/room/{known.file}"]
        await eventually(lambda: not left(tmp_path / "recordings"), "the file and its document are deleted")
    content = await asyncio.to_thread(store.content, known.key)
    file = tmp_path / "file.webm"
    file.write_bytes(content)
    video, _, decoded = opened(file)
    assert decoded == len(video) > 30


async def test_a_large_file_goes_in_parts_and_arrives_as_it_was(store: LocalObjectStore, tmp_path: Path) -> None:
    recording = finished(tmp_path)
    with (tmp_path / "room" / recording.file).open("rb", buffering=0) as file:
        size = await asyncio.to_thread(upload, store.client, file, "kept/a", "video/webm", lambda: True)
        file.seek(0)
        content = file.read()
    assert size == LARGE
    assert [request for request in store.requests if "part" in request] == [f"PUT part {n}" for n in (1, 2, 3, 4)]
    assert await asyncio.to_thread(store.content, "kept/a") == content
    assert store.unfinished() == []


async def test_media_and_the_control_api_go_on_while_the_store_does_not_answer(
    store: LocalObjectStore, valkey: Redis, shared_valkey: Valkey, peers: Callable[[], Peer], tmp_path: Path
) -> None:
    finished(tmp_path)
    store.hold("PUT part 2")
    async with worker(shared_valkey, store, tmp_path) as sfu:
        await eventually(lambda: "PUT part 2" in store.requests, "the upload hangs")
        source, viewer = peers(), peers()
        await publish(sfu.rooms, source)
        await view(sfu.rooms, viewer)
        sent = await send(source, seconds=1.0)
        await eventually(lambda: len(viewer.video()) == sent, "the viewer has had all of it")
        store.release("PUT part 2")
        await reported(valkey, "ready")


async def test_a_store_that_is_away_is_tried_again_and_the_file_stays_until_it_is_there(
    store: LocalObjectStore,
    valkey: Redis,
    shared_valkey: Valkey,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(finishing, "FIRST_WAIT_S", 0.2)
    recording = finished(tmp_path)
    store.go_away()
    async with worker(shared_valkey, store, tmp_path) as sfu:
        await eventually(lambda: failed(sfu) >= 2, "two attempts failed", timeout_s=60)
        assert recording.file in left(tmp_path)
        store.come_back()
        known = await reported(valkey, "ready")
        assert known.bytes == LARGE
        await eventually(lambda: not left(tmp_path), "the file is deleted")


async def test_an_upload_that_a_crash_cut_off_is_finished_by_another_worker_of_the_host_and_what_is_there_is_not_resent(
    store: LocalObjectStore, valkey: Redis, shared_valkey: Valkey, tmp_path: Path
) -> None:
    recording = finished(tmp_path)
    content = await asyncio.to_thread((tmp_path / "room" / recording.file).read_bytes)
    store.hold("PUT part 3")
    environ = {**store.environ, "HEADRACE_SFU_RECORDINGS": str(tmp_path), "HEADRACE_INSTANCE": "w8"}
    async with running(shared_valkey.url, **environ) as (process, url):
        await until(f"{url}/health/ready", 200)
        await eventually(lambda: "PUT part 3" in store.requests, "two parts are there", timeout_s=20)
        process.kill()
        await process.wait()
    store.release("PUT part 3")
    assert recording.file in left(tmp_path)
    before = len(store.requests)
    async with worker(shared_valkey, store, tmp_path, "w9"):
        known = await reported(valkey, "ready")
    assert {"PUT part 1", "PUT part 2"}.isdisjoint(store.requests[before:])
    assert "PUT part 4" in store.requests[before:]
    assert await asyncio.to_thread(store.content, known.key) == content
    assert store.unfinished() == []


async def test_two_workers_of_a_host_do_not_upload_the_same_file(
    store: LocalObjectStore, valkey: Redis, shared_valkey: Valkey, tmp_path: Path
) -> None:
    for number in range(3):
        finished(tmp_path, f"w0-{number}", size=1_000)
    async with worker(shared_valkey, store, tmp_path, "w1"), worker(shared_valkey, store, tmp_path, "w2"):
        await eventually(lambda: not left(tmp_path), "all files are uploaded")
    assert store.requests.count("PUT") == 3
    assert {report.recording.state for report in await RecordingReports(valkey).waiting()} == {"ready"}


async def test_what_is_deleted_during_its_upload_leaves_nothing_behind(
    store: LocalObjectStore, valkey: Redis, shared_valkey: Valkey, tmp_path: Path
) -> None:
    recording = finished(tmp_path)
    store.hold("PUT part 2")
    async with worker(shared_valkey, store, tmp_path) as sfu:
        await eventually(lambda: "PUT part 2" in store.requests, "the upload goes on")
        await sfu.recordings.delete("room", recording.id)
        assert left(tmp_path) == []
        store.release("PUT part 2")
        await eventually(lambda: "DELETE" in store.requests, "it is given up")
    assert store.keys() == []
    assert store.unfinished() == []
    assert [report.recording.state for report in await RecordingReports(valkey).waiting()] == ["uploading"]


async def test_a_drain_waits_for_the_upload(
    store: LocalObjectStore, valkey: Redis, shared_valkey: Valkey, tmp_path: Path
) -> None:
    finished(tmp_path)
    async with worker(shared_valkey, store, tmp_path) as sfu:
        await sfu.drain()
        assert (await reported(valkey, "ready")).stored
        assert left(tmp_path) == []


async def test_an_upload_takes_the_bitrate_that_it_is_given_and_a_worker_that_stops_does_not_wait_for_it(
    store: LocalObjectStore, shared_valkey: Valkey, tmp_path: Path
) -> None:
    recording = finished(tmp_path)
    # At this rate the second part is due in many hours.
    async with worker(shared_valkey, store, tmp_path, bitrate=1_000):
        await eventually(lambda: "PUT part 1" in store.requests, "the first part is sent")
    assert "PUT part 2" not in store.requests
    assert recording.file in left(tmp_path)


async def test_a_store_that_has_something_else_than_was_sent_is_not_believed(
    store: LocalObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = finished(tmp_path, size=1_000)
    monkeypatch.setattr(store.client.client, "head_object", lambda **_: {"ContentLength": 999, "ETag": '"x"'})
    with (tmp_path / "room" / recording.file).open("rb", buffering=0) as file, pytest.raises(UploadMismatchError):
        await asyncio.to_thread(upload, store.client, file, "kept/a", "video/webm", lambda: True)
