"""A browser's stream, recorded: the best of its layers, and a file that the browser itself plays."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.stack.stack import LocalStack
from tests.e2e.conftest import People
from tests.sfu_fleet.recording.media import ascending, opened

pytestmark = pytest.mark.e2e

_IDENTITY = "() => Object.values(localStorage).map(value => { try { return JSON.parse(value).token } catch { } })"

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
    identity = next(filter(None, await ana.page.evaluate(_IDENTITY)))
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
