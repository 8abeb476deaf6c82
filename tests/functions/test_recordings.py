"""Recordings over the public API: who may, what is answered, a file that plays, through a real worker."""

import asyncio
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import httpx
import pytest
from av.audio.frame import AudioFrame
from av.video.frame import VideoFrame

from shared.stack.demo import Publishing
from shared.stack.footage import FRAME_RATE
from shared.stack.stack import LocalStack
from tests.conftest import child_environ
from tests.sfu_fleet.peer import Peer
from tests.sfu_fleet.recording.media import ascending, opened
from tests.sfu_fleet.recording.test_recordings import send
from tests.support.object_store import LocalObjectStore
from tests.support.room_client import guest


def _bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def test_the_owner_records_a_stream_and_reads_it_at_another_process(
    http: httpx.AsyncClient, stack: LocalStack, tmp_path: Path
) -> None:
    room, owner = await (await guest(http, "Ana")).create_room()
    path, headers = f"/v1/rooms/{room}/recording", _bearer(owner)
    nobody = await http.post(path, headers=headers)
    assert (nobody.status_code, nobody.json()["code"]) == (409, "no_publisher")

    peer = Peer()
    offered = await http.post(
        f"/v1/rooms/{room}/whip", content=peer.publish_offer(), headers=headers | {"content-type": "application/sdp"}
    )
    assert offered.status_code == 201, offered.text
    await peer.connect(offered.text)
    sending = asyncio.create_task(send(peer, seconds=4.0))
    async with asyncio.timeout(10):
        while (started := await http.post(path, headers=headers)).status_code == 409:
            await asyncio.sleep(0.05)
    assert started.status_code == 201, started.text
    assert started.json()["state"] == "recording"
    await sending
    async with httpx.AsyncClient(base_url=stack.functions[1].url, headers=headers) as other:
        stopped = await other.delete(path)
        assert (stopped.status_code, stopped.json()["state"]) == (200, "ready")
        (listed,) = (await other.get(f"{path}s")).json()
        assert listed == stopped.json()
        assert listed["duration_s"] > 2
        whole = await other.get(listed["url"])
        assert (whole.status_code, whole.headers["content-type"]) == (200, "video/webm")
        assert len(whole.content) == listed["bytes"]
        part = await other.get(listed["url"], headers={"range": "bytes=-10"})
        assert (part.status_code, part.content) == (206, whole.content[-10:])
        assert part.headers["content-range"].endswith(f"/{listed['bytes']}")
        assert (await other.get(listed["url"], headers={"range": "bytes=999999999-"})).status_code == 416
        linked = (await other.get(f"{listed['url']}/link", params={"download": True})).json()
    async with httpx.AsyncClient(base_url=stack.functions[0].url) as player:
        # A media element sends no token of its own.
        through = await player.get(linked["url"], headers={"range": "bytes=0-9"})
        assert (through.status_code, through.content) == (206, whole.content[:10])
        assert through.headers["content-disposition"].startswith("attachment")
        elsewhere = linked["url"].replace(listed["id"], f"{listed['id']}0")
        refused = await player.get(elsewhere)
        assert (refused.status_code, refused.json()["code"]) == (401, "token_refused")
        assert (await http.delete(listed["url"], headers=headers)).status_code == 204
        assert (await http.get(f"{path}s", headers=headers)).json() == []
        assert (await player.get(linked["url"])).status_code == 404
    file = tmp_path / "file.webm"
    await asyncio.to_thread(file.write_bytes, whole.content)
    video, _, decoded = opened(file)
    assert decoded == len(video) >= 60
    await peer.close()


def clip(path: Path) -> None:
    """Two seconds of H.264 and Opus, made as the demo's footage is."""
    with av.open(str(path), "w", format="matroska") as output:
        video, audio = output.add_stream("libx264", rate=FRAME_RATE), output.add_stream("libopus", rate=48_000)
        video.width, video.height, video.pix_fmt = 640, 360, "yuv420p"
        video.codec_context.gop_size = FRAME_RATE
        video.options = {"preset": "ultrafast", "tune": "zerolatency", "profile": "baseline"}
        audio.layout = "stereo"
        for number in range(2 * FRAME_RATE):
            picture = VideoFrame(640, 360, "yuv420p")
            for plane in picture.planes:
                plane.update(bytes((x + 3 * number) & 0xFF for x in range(plane.buffer_size)))
            picture.pts, picture.time_base = number, Fraction(1, FRAME_RATE)
            output.mux(video.encode(picture))
        # One less than two seconds: the encoder adds one at the end.
        for number in range(99):
            samples = AudioFrame(format="s16", layout="stereo", samples=960)
            samples.planes[0].update(bytes(samples.planes[0].buffer_size))
            samples.sample_rate, samples.pts, samples.time_base = 48_000, number * 960, Fraction(1, 48_000)
            output.mux(audio.encode(samples))
        output.mux(video.encode(None))
        output.mux(audio.encode(None))


async def test_what_ffmpeg_publishes_over_whip_is_recorded_frame_by_frame(tmp_path: Path) -> None:
    source = tmp_path / "clip.mkv"
    await asyncio.to_thread(clip, source)
    folder = tmp_path / "stack"
    async with LocalStack(folder, functions=1, workers=1, environ=child_environ(), report=lambda _: None) as stack:
        room = (await Publishing(source).run(stack)).rsplit("/", 1)[1]
        identity = await asyncio.to_thread((folder / "encoder" / "identity").read_text)
        async with httpx.AsyncClient(base_url=stack.url, headers=_bearer(identity)) as http:
            token = (await http.post(f"/v1/rooms/{room}/tokens", json={})).json()["token"]
            headers = _bearer(token)
            started = await http.post(f"/v1/rooms/{room}/recording", headers=headers)
            assert started.status_code == 201, started.text
            assert (started.json()["media_type"], started.json()["codecs"]) == ("video/x-matroska", ["h264", "opus"])
            await asyncio.sleep(6)
            # Ending the stream ends the recording.
            await stack.kill("encoder", 15, restart=False)
            async with asyncio.timeout(10):
                while True:
                    (known,) = (await http.get(f"/v1/rooms/{room}/recordings", headers=headers)).json()
                    if known["state"] == "ready":
                        break
                    await asyncio.sleep(0.1)
            content = (await http.get(known["url"], headers=headers)).content
    file = tmp_path / "recorded.mkv"
    await asyncio.to_thread(file.write_bytes, content)
    video, audio, decoded = opened(file)
    assert known["dropped_frames"] == 0
    assert video[0] == (0.0, True)
    assert decoded == len(video)
    assert ascending([at for at, _ in video])
    assert ascending(audio)
    # Nothing is missing: as many frames as fit into the time.
    assert len(video) == pytest.approx(video[-1][0] * FRAME_RATE + 1, abs=2)
    assert len(audio) == pytest.approx((audio[-1] - audio[0]) * 50 + 1, abs=2)


async def published(http: httpx.AsyncClient, room: str, headers: dict[str, str], seconds: float) -> tuple[Peer, Any]:
    """Somebody live in a room, for so long."""
    peer = Peer()
    offered = await http.post(
        f"/v1/rooms/{room}/whip", content=peer.publish_offer(), headers=headers | {"content-type": "application/sdp"}
    )
    assert offered.status_code == 201, offered.text
    await peer.connect(offered.text)
    return peer, asyncio.create_task(send(peer, seconds=seconds))


async def in_state(http: httpx.AsyncClient, path: str, state: str) -> dict[str, Any]:
    """The one recording of a room, once it is in that state."""
    async with asyncio.timeout(30):
        while True:
            (known,) = (await http.get(path)).json()
            if known["state"] == state:
                return dict(known)
            await asyncio.sleep(0.1)


async def test_a_recording_in_the_object_store_is_listed_and_played_when_no_worker_is_left(tmp_path: Path) -> None:
    folder = tmp_path / "stack"
    with LocalObjectStore() as store:
        environ = child_environ() | store.environ | {"HEADRACE_RECORDINGS_MAX_COUNT": "1"}
        async with (
            LocalStack(folder, functions=1, workers=1, environ=environ, report=lambda _: None) as stack,
            httpx.AsyncClient(base_url=stack.functions[0].url) as http,
        ):
            room, owner = await (await guest(http, "Ana")).create_room()
            http.headers["authorization"] = f"Bearer {owner}"
            path = f"/v1/rooms/{room}/recording"
            peer, sending = await published(http, room, _bearer(owner), 3.0)
            async with asyncio.timeout(10):
                while (await http.post(path)).status_code == 409:
                    await asyncio.sleep(0.05)
            assert (await http.get(f"{path}s")).json()[0]["state"] == "recording"
            await sending
            assert (await http.delete(path)).json()["state"] in {"uploading", "ready"}
            known = await in_state(http, f"{path}s", "ready")
            await peer.close()
            await stack.kill("worker-1", restart=False)
            assert await in_state(http, f"{path}s", "ready") == known

            full = await http.post(path)
            assert (full.status_code, full.json()["code"]) == (409, "too_many_recordings")
            led = await http.get(known["url"])
            assert led.status_code == 307
            linked = (await http.get(f"{known['url']}/link")).json()["url"]
            assert linked.startswith(f"{store.url}/recordings/kept/{room}/")
            async with httpx.AsyncClient() as player:
                whole = await player.get(led.headers["location"])
                assert (whole.status_code, whole.headers["content-type"]) == (200, "video/webm")
                assert len(whole.content) == known["bytes"]
                part = await player.get(linked, headers={"range": "bytes=100-199"})
                assert (part.status_code, part.content) == (206, whole.content[100:200])
            page = await http.get("/")
            assert f" {store.url};" in page.headers["content-security-policy"]

            assert (await http.delete(known["url"])).status_code == 204
            assert (await http.get(f"{path}s")).json() == []
            assert store.keys() == []
            # There is room again. Whether the worker's lease has ended already is another matter.
            assert (await http.post(path)).json()["code"] in {"no_publisher", "worker_unreachable"}
    file = tmp_path / "file.webm"
    await asyncio.to_thread(file.write_bytes, whole.content)
    video, _, decoded = opened(file)
    assert decoded == len(video) > 30


async def test_a_recording_of_a_killed_worker_is_lost_until_the_next_one_of_its_host_finishes_it(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "stack"
    async with (
        LocalStack(folder, functions=1, workers=1, environ=child_environ(), report=lambda _: None) as stack,
        httpx.AsyncClient(base_url=stack.functions[0].url) as http,
    ):
        room, owner = await (await guest(http, "Ana")).create_room()
        http.headers["authorization"] = f"Bearer {owner}"
        path = f"/v1/rooms/{room}/recording"
        peer, sending = await published(http, room, _bearer(owner), 4.0)
        async with asyncio.timeout(10):
            while (await http.post(path)).status_code == 409:
                await asyncio.sleep(0.05)
        await sending
        await stack.kill("worker-1", restart=False)
        lost = await in_state(http, f"{path}s", "lost")
        assert (lost["end"], lost["ended_at"]) == ("", None)
        away = await http.get(lost["url"])
        assert (away.status_code, away.json()["code"]) == (503, "host_away")
        await peer.close()
        await stack.start("worker-1")
        known = await in_state(http, f"{path}s", "ready")
        assert (known["id"], known["end"]) == (lost["id"], "interrupted")
        assert known["duration_s"] > 1
        content = (await http.get(known["url"])).content
    file = tmp_path / "file.webm"
    await asyncio.to_thread(file.write_bytes, content)
    video, _, decoded = opened(file)
    assert decoded == len(video) > 30


async def test_only_the_owner_may_record_or_see_recordings(http: httpx.AsyncClient) -> None:
    ana, bo = await guest(http, "Ana"), await guest(http, "Bo")
    room, _ = await ana.create_room()
    tokens = {
        "viewer": await bo.room_token(room),
        "encoder": await ana.room_token(room, "encoder"),
        "elsewhere": (await bo.create_room())[1],
    }
    for name, token in tokens.items():
        for method, path in (
            ("POST", "recording"),
            ("DELETE", "recording"),
            ("GET", "recordings"),
            ("GET", "recordings/worker1-a"),
            ("GET", "recordings/worker1-a/link"),
            ("DELETE", "recordings/worker1-a"),
        ):
            response = await http.request(method, f"/v1/rooms/{room}/{path}", headers=_bearer(token))
            assert (response.status_code, response.json()["code"]) == (403, "forbidden"), (name, method, path)
    assert (await http.get(f"/v1/rooms/{room}/recordings")).status_code == 401


@pytest.mark.parametrize("recording", ["worker1-none", "nobody-1", "worker1-..%2f..%2fetc", "worker1", "%00"])
async def test_a_recording_that_is_not_there_is_a_problem(http: httpx.AsyncClient, recording: str) -> None:
    room, owner = await (await guest(http, "Ana")).create_room()
    assert (await http.get(f"/v1/rooms/{room}/recordings", headers=_bearer(owner))).json() == []
    response = await http.get(f"/v1/rooms/{room}/recordings/{recording}", headers=_bearer(owner))
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"
