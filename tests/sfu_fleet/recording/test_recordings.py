"""Recordings of a real worker with a real publisher: control API in, a file that PyAV opens out."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path

import av
import httpx
import msgspec
import pytest
from aiortc.rtp import RtcpPsfbPacket, RtcpSenderInfo, RtcpSrPacket
from redis.asyncio import Redis

from sfu_fleet.native import build
from sfu_fleet.recording import writer
from sfu_fleet.recording.folder import RecordingFolder
from sfu_fleet.rtp import pack_extensions
from sfu_fleet.worker import SfuWorker
from shared.security.tokens import Grant
from shared.state.recordings import Recording, RecordingReports
from tests.sfu_fleet.conftest import Valkey, eventually, settings_for
from tests.sfu_fleet.peer import AUDIO_SSRC, MID, STREAM_ID, VIDEO_SSRC, Peer, rtp_packet
from tests.sfu_fleet.recording.media import ascending, decoded_widths, opened, payloads, pictures, sound
from tests.sfu_fleet.scenes import publish, view
from tests.sfu_fleet.test_control import token
from tests.sfu_fleet.test_process import running, until

OWNER = frozenset({Grant.CONTROL, Grant.MODERATE})
NTP = 3_900_000_000 << 32
SOUND_LATE_S = 0.2


@pytest.fixture(params=["python", "native"])
async def worker(
    request: pytest.FixtureRequest,
    valkey: Redis,  # noqa: ARG001 - empty first
    shared_valkey: Valkey,
    tmp_path: Path,
) -> AsyncIterator[SfuWorker]:
    if request.param == "native" and build.compiler() is None:
        pytest.skip("the native plane needs a C compiler")
    settings = settings_for(shared_valkey.url, plane=request.param, recordings=str(tmp_path / "recordings"))
    async with SfuWorker(settings) as worker:
        yield worker


@pytest.fixture
async def api(worker: SfuWorker) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=worker.app)  # type: ignore[arg-type] # Litestar's scope is narrower
    headers = {"authorization": f"Bearer {token(grants=OWNER)}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://worker", headers=headers) as client:
        yield client


def left(folder: Path) -> list[str]:
    """What is in the folders of rooms."""
    return sorted(path.name for path in folder.glob("*/*"))


async def send(peer: Peer, *, seconds: float, first: int = 0, lose: frozenset[int] = frozenset()) -> int:
    """Send a stream as a camera does, in real time; how many video packets it had.

    The sound leaves later than the picture of the same instant, and the sender reports say so.
    """
    loop = asyncio.get_running_loop()
    frames, packets = pictures("vp8", 150), sound(250)
    start, number = loop.time(), first
    events = [(index / 30, "video", index) for index in range(round(seconds * 30))]
    events += [(index / 50 + SOUND_LATE_S, "audio", index) for index in range(round((seconds - SOUND_LATE_S) * 50))]
    events += [(0.01 + second, "report", second) for second in range(int(seconds))]
    for at, kind, index in sorted(events):
        await asyncio.sleep(max(0.0, start + at - loop.time()))
        if kind == "audio":
            body = rtp_packet(index, timestamp=index * 960, payload_type=111, ssrc=AUDIO_SSRC, payload=packets[index])
            peer.send_rtp(body)
        elif kind == "report":
            ntp = NTP + (index << 32)
            for ssrc, rate in ((VIDEO_SSRC, 90_000), (AUDIO_SSRC, 48_000)):
                report = RtcpSenderInfo(ntp_timestamp=ntp, rtp_timestamp=index * rate, packet_count=0, octet_count=0)
                peer.send_rtcp(RtcpSrPacket(ssrc=ssrc, sender_info=report))
        else:
            parts = payloads("vp8", frames[index])
            for part, payload in enumerate(parts):
                if number not in lose:
                    last = part == len(parts) - 1
                    peer.send_rtp(rtp_packet(number, timestamp=index * 3_000, payload=payload, marker=last))
                number += 1
    return number - first


async def test_a_stream_is_recorded_listed_and_read_back(
    worker: SfuWorker, api: httpx.AsyncClient, peers: Callable[[], Peer], tmp_path: Path
) -> None:
    source, viewer = peers(), peers()
    await publish(worker.rooms, source)
    await view(worker.rooms, viewer)
    assert (await api.post("/v1/rooms/room/recording", json={})).json()["code"] == "no_publisher"
    sending = asyncio.create_task(send(source, seconds=4.0))
    await eventually(viewer.video, "live")
    started = await api.post("/v1/rooms/room/recording", json={})
    assert started.status_code == 201
    known = started.json()
    assert (known["state"], known["media_type"], known["codecs"]) == ("recording", "video/webm", ["vp8", "opus"])
    assert (await api.post("/v1/rooms/room/recording", json={})).json()["code"] == "already_recording"
    sent = await sending

    stopped = await api.delete("/v1/rooms/room/recording")
    assert stopped.status_code == 200
    assert stopped.json()["state"] == "ready"
    assert (await api.delete("/v1/rooms/room/recording")).json()["code"] == "not_recording"
    (listed,) = (await api.get("/v1/rooms/room/recordings")).json()
    assert listed == stopped.json()
    assert listed["id"].startswith("w1-")

    path = f"/v1/rooms/room/recordings/{listed['id']}"
    whole = await api.get(path)
    assert (whole.status_code, whole.headers["content-type"]) == (200, "video/webm")
    assert len(whole.content) == listed["bytes"] == int(whole.headers["content-length"])
    part = await api.get(path, headers={"range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, whole.content[100:200])
    assert part.headers["content-range"] == f"bytes 100-199/{listed['bytes']}"
    beyond = await api.get(path, headers={"range": "bytes=99999999-"})
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{listed['bytes']}")
    assert (await api.get("/v1/rooms/room/recordings/w1-0000")).status_code == 404

    file = tmp_path / "copy.webm"
    file.write_bytes(whole.content)
    video, audio, decoded = opened(file)
    assert video[0] == (0.0, True)
    # It begins with the second keyframe of eight, and nothing is missing from there on.
    assert len(video) == decoded
    assert len(video) % 15 == 0
    assert len(video) >= 90
    assert ascending([at for at, _ in video])
    assert ascending(audio)
    assert listed["duration_s"] == pytest.approx(max(video[-1][0], audio[-1]), abs=0.001)
    # The sound that left 200 ms late belongs beside the picture of its instant: the last ones are 3.96 - 0.2 - 1/50 s
    # and 4 - 1/30 s from the beginning of the stream.
    assert video[-1][0] - audio[-1] == pytest.approx((4 - 1 / 30) - (4 - SOUND_LATE_S - 1 / 50), abs=0.06)
    await eventually(lambda: len(viewer.video()) == sent, "the viewer has had all of it")


async def test_a_lost_packet_is_followed_by_a_request_for_a_keyframe_and_by_nothing_broken(
    worker: SfuWorker, api: httpx.AsyncClient, peers: Callable[[], Peer], tmp_path: Path
) -> None:
    source = peers()
    await publish(worker.rooms, source)
    # The first packet of the 20th frame, after the tap is there: the numbers of earlier frames are counted.
    before = sum(len(payloads("vp8", frame)) for frame in pictures("vp8", 150)[:50])
    sending = asyncio.create_task(send(source, seconds=4.0, lose=frozenset({before})))
    await eventually(lambda: any(info.live for info in worker.rooms.infos()), "live")
    assert (await api.post("/v1/rooms/room/recording", json={})).status_code == 201
    await sending
    known = (await api.delete("/v1/rooms/room/recording")).json()
    assert known["state"] == "ready"
    assert known["dropped_frames"] >= 10
    video, _, decoded = opened(tmp_path / "recordings" / "room" / known["file"])
    assert len(video) == decoded
    assert any(isinstance(packet, RtcpPsfbPacket) for packet in source.feedback())


async def test_the_best_layer_is_recorded_and_when_it_stops_the_next_one(
    worker: SfuWorker, api: httpx.AsyncClient, peers: Callable[[], Peer], tmp_path: Path
) -> None:
    source = peers()
    publisher = worker.rooms.publish("room", "streamer", "Streamer", source.publish_offer(rids=("q", "h", "f")))
    await source.connect(publisher.agreement.sdp)
    layers = {"q": pictures("vp8", 120), "f": pictures("vp8", 60, width=640, height=360)}
    numbers = dict.fromkeys(layers, 0)
    for index in range(120):
        for ssrc, (name, frames) in enumerate(layers.items(), 7):
            parts = payloads("vp8", frames[index]) if index < len(frames) else []
            for part, payload in enumerate(parts):
                packet = rtp_packet(
                    numbers[name],
                    timestamp=index * 3_000,
                    ssrc=ssrc,
                    payload=payload,
                    marker=part == len(parts) - 1,
                    extension=pack_extensions({MID: b"1", STREAM_ID: name.encode()}),
                )
                source.send_rtp(packet)
                numbers[name] += 1
        if index == 10:
            assert (await api.post("/v1/rooms/room/recording", json={})).status_code == 201
        await asyncio.sleep(1 / 30)
    known = (await api.delete("/v1/rooms/room/recording")).json()
    assert known["state"] == "ready"
    file = tmp_path / "recordings" / "room" / known["file"]
    video, _, decoded = opened(file)
    assert decoded == len(video)
    assert ascending([at for at, _ in video])
    widths = decoded_widths(file)
    assert list(dict.fromkeys(widths)) == [640, 320]
    # From the keyframe at 0.5 s to the end of the larger layer at 2 s, every frame of it.
    assert widths.count(640) == 45
    assert [keyframe for _, keyframe in video][45]


async def test_a_recording_ends_with_its_stream(
    worker: SfuWorker, api: httpx.AsyncClient, peers: Callable[[], Peer]
) -> None:
    source = peers()
    session = await publish(worker.rooms, source)
    sending = asyncio.create_task(send(source, seconds=2.0))
    await eventually(lambda: any(info.live for info in worker.rooms.infos()), "live")
    await api.post("/v1/rooms/room/recording", json={})
    await sending
    worker.rooms.hang_up(session)
    async with asyncio.timeout(10):
        while (await api.get("/v1/rooms/room/recordings")).json()[0]["state"] != "ready":
            await asyncio.sleep(0.05)


async def test_only_who_moderates_the_room_may_record_or_see(
    worker: SfuWorker, api: httpx.AsyncClient, peers: Callable[[], Peer]
) -> None:
    await publish(worker.rooms, peers())
    for bearer in (token(), token(room="other", grants=OWNER)):
        headers = {"authorization": f"Bearer {bearer}"}
        for method, path in (
            ("POST", "/v1/rooms/room/recording"),
            ("DELETE", "/v1/rooms/room/recording"),
            ("GET", "/v1/rooms/room/recordings"),
            ("GET", "/v1/rooms/room/recordings/w1-1"),
            ("DELETE", "/v1/rooms/room/recordings/w1-1"),
        ):
            response = await api.request(method, path, json={} if method == "POST" else None, headers=headers)
            assert (response.status_code, response.json()["code"]) == (403, "forbidden")


async def test_a_layer_that_is_not_there_cannot_be_recorded(
    worker: SfuWorker, api: httpx.AsyncClient, peers: Callable[[], Peer]
) -> None:
    source = peers()
    await publish(worker.rooms, source)
    sending = asyncio.create_task(send(source, seconds=1.0))
    await eventually(lambda: any(info.live for info in worker.rooms.infos()), "live")
    response = await api.post("/v1/rooms/room/recording", json={"layer": "x"})
    assert (response.status_code, response.json()["code"]) == (422, "unknown_layer")
    await sending


async def test_a_writer_that_does_not_keep_up_costs_the_recording_and_not_the_viewers(
    worker: SfuWorker, api: httpx.AsyncClient, peers: Callable[[], Peer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "MAX_WAITING", 10)
    monkeypatch.setattr(writer, "LOOK_S", 1.0)
    source, viewer = peers(), peers()
    await publish(worker.rooms, source)
    await view(worker.rooms, viewer)
    sending = asyncio.create_task(send(source, seconds=3.0))
    await eventually(viewer.video, "live")
    await api.post("/v1/rooms/room/recording", json={})
    sent = await sending
    await eventually(lambda: len(viewer.video()) == sent, "the viewer has had all of it")
    assert (await api.delete("/v1/rooms/room/recording")).status_code == 200
    assert worker.metrics.registry.get_sample_value("sfu_loop_errors_total") == 0


async def test_a_disk_that_cannot_be_written_fails_the_recording_alone(
    worker: SfuWorker, api: httpx.AsyncClient, peers: Callable[[], Peer], tmp_path: Path
) -> None:
    (tmp_path / "recordings").write_text("in the way", encoding="utf-8")
    source = peers()
    await publish(worker.rooms, source)
    sending = asyncio.create_task(send(source, seconds=1.0))
    await eventually(lambda: any(info.live for info in worker.rooms.infos()), "live")
    assert (await api.post("/v1/rooms/room/recording", json={})).status_code == 201
    await sending
    await eventually(lambda: not worker.recordings._active, "the recording has ended", timeout_s=20)
    assert (await api.delete("/v1/rooms/room/recording")).json()["code"] == "not_recording"
    assert any(info.live for info in worker.rooms.infos())


@pytest.mark.parametrize(("limits", "end"), [({"longest_s": 1.0}, "longest"), ({"largest_bytes": 10_000}, "largest")])
async def test_a_recording_ends_at_its_limit_by_itself_and_says_so(
    worker: SfuWorker, api: httpx.AsyncClient, peers: Callable[[], Peer], limits: dict[str, float], end: str
) -> None:
    source = peers()
    await publish(worker.rooms, source)
    sending = asyncio.create_task(send(source, seconds=4.0))
    await eventually(lambda: any(info.live for info in worker.rooms.infos()), "live")
    await api.post("/v1/rooms/room/recording", json=limits)
    await sending
    (known,) = (await api.get("/v1/rooms/room/recordings")).json()
    assert (known["state"], known["end"]) == ("ready", end)
    # Within about a cluster of the limit.
    assert known["duration_s"] < 3.0
    assert (await api.delete("/v1/rooms/room/recording")).json()["code"] == "not_recording"


async def test_a_deleted_recording_is_gone_and_one_that_goes_on_is_not_deleted(
    worker: SfuWorker, api: httpx.AsyncClient, peers: Callable[[], Peer], tmp_path: Path
) -> None:
    source = peers()
    await publish(worker.rooms, source)
    sending = asyncio.create_task(send(source, seconds=2.0))
    await eventually(lambda: any(info.live for info in worker.rooms.infos()), "live")
    known = (await api.post("/v1/rooms/room/recording", json={})).json()
    path = f"/v1/rooms/room/recordings/{known['id']}"
    await eventually(lambda: list(tmp_path.glob("recordings/room/*.json")), "the document is written")
    refused = await api.delete(path)
    assert (refused.status_code, refused.json()["code"]) == (409, "recording_in_progress")
    await sending
    await api.delete("/v1/rooms/room/recording")
    assert (await api.delete(path)).status_code == 204
    assert (await api.delete(path)).json()["code"] == "unknown_recording"
    assert (await api.get(path)).json()["code"] == "unknown_recording"
    assert not left(tmp_path / "recordings")


async def test_what_becomes_of_a_recording_is_reported(
    worker: SfuWorker, api: httpx.AsyncClient, valkey: Redis, peers: Callable[[], Peer]
) -> None:
    reports = RecordingReports(valkey)
    source = peers()
    await publish(worker.rooms, source)
    sending = asyncio.create_task(send(source, seconds=4.0))
    await eventually(lambda: any(info.live for info in worker.rooms.infos()), "live")
    started = (await api.post("/v1/rooms/room/recording", json={})).json()
    (first,) = await reports.waiting()
    assert (first.recording.id, first.recording.state) == (started["id"], "recording")
    assert first.recording.host == worker.describe().recordings != ""
    async with asyncio.timeout(10):
        while (await reports.waiting())[0].recording.bytes == 0:
            await asyncio.sleep(0.1)
    await sending
    stopped = (await api.delete("/v1/rooms/room/recording")).json()
    (last,) = await reports.waiting()
    assert msgspec.to_builtins(last.recording) == stopped
    assert last.recording.ended_at is not None
    assert last.recording.end == "asked"
    # An older report that comes late changes nothing, and settles nothing that is newer.
    await reports.report(first.recording)
    await reports.settle(first)
    assert await reports.waiting() == [last]
    await reports.settle(last)
    assert await reports.waiting() == []


async def test_a_file_whose_owner_deleted_it_while_the_host_was_away_is_deleted_when_it_is_back(
    shared_valkey: Valkey, valkey: Redis, tmp_path: Path
) -> None:
    folder = RecordingFolder(tmp_path)
    recording = Recording(
        id="w0-1", room="room", host=folder.make(), started_at=datetime.now(UTC), state="ready",
        media_type="video/webm", file="w0-1.webm", codecs=["vp8"],
    )  # fmt: skip
    folder.create(recording).close()
    await RecordingReports(valkey).disown("w0-1")
    async with SfuWorker(settings_for(shared_valkey.url, plane="python", recordings=str(tmp_path))):
        await eventually(lambda: not left(tmp_path), "the file is deleted")
    assert await RecordingReports(valkey).unwanted(["w0-1"]) == []


async def test_a_file_plays_after_its_worker_was_killed_and_the_next_worker_finishes_it(
    shared_valkey: Valkey,
    valkey: Redis,  # noqa: ARG001 - empty first
    peers: Callable[[], Peer],
    tmp_path: Path,
) -> None:
    folder = {"HEADRACE_SFU_RECORDINGS": str(tmp_path)}
    headers = {"authorization": f"Bearer {token(grants=OWNER)}"}
    async with running(shared_valkey.url, **folder) as (process, url), httpx.AsyncClient(headers=headers) as http:
        await until(f"{url}/health/ready", 200)
        source = peers()
        body = {"room": "room", "kind": "publish", "participant": "p", "name": "P", "offer": source.publish_offer()}
        created = (await http.post(f"{url}/v1/sessions", json=body)).json()
        await source.connect(created["sdp"])
        sending = asyncio.create_task(send(source, seconds=5.0))
        async with asyncio.timeout(10):
            while (await http.post(f"{url}/v1/rooms/room/recording", json={})).status_code != 201:
                await asyncio.sleep(0.05)
        await sending
        process.kill()
        await process.wait()
    (file,) = await asyncio.to_thread(lambda: list(tmp_path.glob("room/*.webm")))
    video, audio, decoded = opened(file)
    assert len(video) == decoded
    # Of four seconds and more, at most a cluster, what was held for order and what was queued is lost.
    assert video[-1][0] > 2.0
    assert audio[-1] > 1.5
    assert ascending([at for at, _ in video])
    async with running(shared_valkey.url, **folder) as (process, url), httpx.AsyncClient(headers=headers) as http:
        await until(f"{url}/health/ready", 200)
        async with asyncio.timeout(10):
            while (known := (await http.get(f"{url}/v1/rooms/room/recordings")).json()[0])["state"] == "recording":
                await asyncio.sleep(0.05)
    assert (known["state"], known["end"], known["bytes"]) == ("ready", "interrupted", file.stat().st_size)
    # Nothing of what played before is lost, and now the file says how long it is and where its keyframes are.
    assert opened(file) == (video, audio, decoded)
    assert known["duration_s"] == pytest.approx(max(video[-1][0], audio[-1]), abs=0.001)
    with av.open(str(file)) as container:
        assert container.duration == pytest.approx(known["duration_s"] * 1_000_000, abs=2_000)
