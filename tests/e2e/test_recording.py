"""A browser's stream, recorded: the best of its layers, and a file that the browser itself plays."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.async_api import Browser, expect

from shared.stack.stack import LocalStack
from tests.conftest import child_environ
from tests.e2e.conftest import SCREENSHOTS, People
from tests.e2e.person import Person
from tests.sfu_fleet.recording.media import ascending, decoded_widths, opened
from tests.support.object_store import LocalObjectStore
from tests.support.room_client import guest

pytestmark = pytest.mark.e2e

# The page keeps its identity token to itself; a script of its origin can get another one with the cookie.
_IDENTITY = """
async () => {
  const headers = {'content-type': 'application/json'};
  const answer = await fetch('/v1/sessions/refresh', {method: 'POST', headers, body: '{}'});
  return (await answer.json()).token;
}
"""

# Plays the file from its middle on.
_PLAY = """
async ([url, token]) => {
  const answer = await fetch(url, {headers: {authorization: `Bearer ${token}`}});
  const video = document.createElement('video');
  video.muted = true;
  video.src = URL.createObjectURL(await answer.blob());
  await new Promise((done, failed) => { video.onloadedmetadata = done; video.onerror = () => failed(video.error); });
  const duration = video.duration;
  await new Promise(done => { video.onseeked = done; video.currentTime = duration / 2; });
  await video.play();
  await new Promise(done => { video.onended = done; });
  const frames = video.getVideoPlaybackQuality().totalVideoFrames;
  return {width: video.videoWidth, height: video.videoHeight, duration, end: video.currentTime, frames};
}
"""


async def test_a_browsers_best_layer_is_recorded_and_plays_in_a_browser(
    people: People, stack: LocalStack, tmp_path: Path
) -> None:
    ana = await people("Ana")
    code = await ana.create_room("For keeps")
    await ana.go_live()
    identity = await ana.page.evaluate(_IDENTITY)
    async with httpx.AsyncClient(base_url=stack.url) as http:
        answer = await http.post(f"/v1/rooms/{code}/tokens", json={}, headers={"authorization": f"Bearer {identity}"})
        token = answer.json()["token"]
        http.headers["authorization"] = f"Bearer {token}"
        started = await http.post(f"/v1/rooms/{code}/recording")
        assert started.status_code == 201, started.text
        # Bandwidth estimation lets the larger layers begin one after another.
        await asyncio.sleep(12)
        known = (await http.delete(f"/v1/rooms/{code}/recording")).json()
        assert known["state"] == "ready"
        content = (await http.get(known["url"])).content
    file = tmp_path / "file"
    await asyncio.to_thread(file.write_bytes, content)
    video, audio, decoded = opened(file)
    assert decoded == len(video) > 100
    assert ascending([at for at, _ in video])
    assert ascending(audio)
    assert abs(video[-1][0] - audio[-1]) < 0.5
    sent: list[dict[str, Any]] = [report for report in await ana.stats("outbound-rtp") if report["kind"] == "video"]
    played = await ana.page.evaluate(_PLAY, [known["url"], token])
    assert played["width"] == max(report.get("frameWidth", 0) for report in sent)
    assert played["duration"] == pytest.approx(known["duration_s"], abs=0.1)
    assert played["frames"] > 0


# Publishes over WHIP with the given codec alone.
_PUBLISH = """
async ({path, token, codec}) => {
  const connection = new RTCPeerConnection();
  const stream = await navigator.mediaDevices.getUserMedia({video: true, audio: true});
  for (const track of stream.getTracks()) {
    const transceiver = connection.addTransceiver(track, {streams: [stream], direction: 'sendonly'});
    if (track.kind === 'video') {
      const codecs = RTCRtpSender.getCapabilities('video').codecs;
      transceiver.setCodecPreferences(codecs.filter(({mimeType}) => mimeType === codec));
    }
  }
  await connection.setLocalDescription();
  const response = await fetch(path, {
    method: 'POST',
    body: connection.localDescription.sdp,
    headers: {'content-type': 'application/sdp', authorization: `Bearer ${token}`},
  });
  await connection.setRemoteDescription({type: 'answer', sdp: await response.text()});
  return response.status;
}
"""


async def test_av1_of_a_browser_is_recorded_and_decodes_frame_by_frame(
    people: People, stack: LocalStack, tmp_path: Path
) -> None:
    ana = await people("Ana")
    async with httpx.AsyncClient(base_url=stack.url) as http:
        code, token = await (await guest(http, "Ana")).create_room()
        http.headers["authorization"] = f"Bearer {token}"
        await ana.page.goto(stack.url)
        whip = {"path": f"/v1/rooms/{code}/whip", "token": token, "codec": "video/AV1"}
        assert await ana.page.evaluate(_PUBLISH, whip) == 201
        async with asyncio.timeout(20):
            while (started := await http.post(f"/v1/rooms/{code}/recording")).status_code == 409:
                await asyncio.sleep(0.1)
        assert started.status_code == 201, started.text
        assert (started.json()["media_type"], started.json()["codecs"]) == ("video/webm", ["av1", "opus"])
        await asyncio.sleep(6)
        known = (await http.delete(f"/v1/rooms/{code}/recording")).json()
        assert (known["state"], known["dropped_frames"]) == ("ready", 0)
        content = (await http.get(known["url"])).content
    file = tmp_path / "file.webm"
    await asyncio.to_thread(file.write_bytes, content)
    video, audio, decoded = opened(file)
    assert decoded == len(video) > 30
    assert video[0] == (0.0, True)
    assert ascending([at for at, _ in video])
    assert ascending(audio)
    played = await ana.page.evaluate(_PLAY, [known["url"], token])
    assert played["frames"] > 0
    assert played["width"] == max(decoded_widths(file))


# How many frames the element has decoded, and what it knows of the file.
_PLAYED = """
(video) => ({
  frames: video.getVideoPlaybackQuality().totalVideoFrames,
  at: video.currentTime, duration: video.duration, width: video.videoWidth, error: video.error?.message ?? null,
})
"""


async def _decoded(person: Person, past: int) -> dict[str, Any]:
    """What the player in the page says once it has decoded more frames than that."""
    async with asyncio.timeout(20):
        while True:
            played: dict[str, Any] = await person.by("recording-video").evaluate(_PLAYED)
            assert played["error"] is None
            if played["frames"] > past:
                return played
            await asyncio.sleep(0.1)


async def _record_and_play(ana: Person, *, seconds: float) -> None:
    """Record in the studio and play it there: decoded frames advance, and a seek finds its place."""
    await ana.create_room("For keeps")
    await expect(ana.by("record")).to_be_disabled()
    await ana.go_live()
    await ana.by("record").click()
    await expect(ana.by("recording-now")).to_be_visible()
    await expect(ana.by("recording-state")).to_have_text("Recording")
    await asyncio.sleep(seconds)
    await ana.by("record").click()
    await expect(ana.by("recording-state")).to_have_text("Ready")
    await ana.by("recording-play").click()
    first = await _decoded(ana, 0)
    later = await _decoded(ana, first["frames"] + 5)
    assert later["at"] > first["at"]
    assert later["width"] > 0
    assert later["duration"] > seconds / 2
    await ana.by("recording-video").evaluate(
        "video => new Promise(done => { video.onseeked = done; video.currentTime = video.duration / 2; })"
    )
    sought: dict[str, Any] = await ana.by("recording-video").evaluate(_PLAYED)
    assert sought["at"] >= later["duration"] / 2


async def test_the_studio_records_plays_downloads_and_deletes(people: People, tmp_path: Path) -> None:
    ana = await people("Ana")
    await _record_and_play(ana, seconds=6)
    await ana.by("recordings").scroll_into_view_if_needed()
    await ana.page.screenshot(path=SCREENSHOTS / "recordings.png")
    async with ana.page.expect_download() as downloading:
        await ana.by("recording-download").click()
    download = await downloading.value
    file = tmp_path / "download"
    await download.save_as(file)
    assert download.suggested_filename.endswith((".webm", ".mkv"))
    video, _, decoded = opened(file)
    assert decoded == len(video) > 30
    await ana.by("recording-delete").click()
    await ana.by("recording-delete-confirm").click()
    await expect(ana.by("recording")).to_have_count(0)
    assert ana.console == []


async def test_the_studio_plays_from_the_object_store_after_the_workers_are_gone(
    browser: Browser, tmp_path: Path
) -> None:
    with LocalObjectStore() as store:
        environ = child_environ() | store.environ
        async with (
            LocalStack(tmp_path / "stack", functions=1, workers=1, environ=environ, report=lambda _: None) as stack,
            AsyncExitStack() as exits,
        ):
            ana = await People(browser, stack.url, exits)("Ana")
            await _record_and_play(ana, seconds=4)
            source = await ana.by("recording-video").get_attribute("src")
            assert source is not None
            assert source.startswith(store.url)
            await stack.kill("worker-1", restart=False)
            await ana.page.reload()
            await ana.by("recording-play").click()
            first = await _decoded(ana, 0)
            await _decoded(ana, first["frames"] + 5)
