"""A page in Chromium that watches a room by WHEP, on a path whose rate, delay and loss are ours."""

import asyncio
import json
import re
import time
from collections.abc import Callable
from typing import Any

from playwright.async_api import Page

from shared.stack.stack import LocalStack
from tests.support.narrow_path import NarrowPath

TIMEOUT_S = 45.0

# Chromium's fake camera films a disc on plain green: left of the disc there is nothing but green. Whoever sees
# something else there sees a decoder that has lost its way.
INTACT = """
(picture, width, height) => {
  const canvas = new OffscreenCanvas(16, 24);
  const context = canvas.getContext('2d', {willReadFrequently: true});
  context.drawImage(picture, 0.1 * width, 0.2 * height, 0.2 * width, 0.6 * height, 0, 0, 16, 24);
  const pixels = context.getImageData(0, 0, 16, 24).data;
  // Before the very first picture is ready to be drawn, drawing it draws nothing.
  if (pixels.every((value) => value === 0)) return true;
  for (let at = 0; at < pixels.length; at += 4) {
    const [red, green, blue] = pixels.slice(at, at + 3);
    if (red > 40 || blue > 40 || Math.abs(green - 136) > 40) return false;
  }
  return true;
}
"""
_OFFER = """
async ({path, token}) => {
  const connection = new RTCPeerConnection();
  window.session = {connection, shown: 0, broken: 0};
  connection.addTransceiver('video', {direction: 'recvonly'});
  connection.addTransceiver('audio', {direction: 'recvonly'});
  const video = document.body.appendChild(document.createElement('video'));
  video.autoplay = true;
  video.muted = true;
  connection.ontrack = ({streams}) => { video.srcObject = streams[0]; };
  const intact = INTACT;
  const look = () => {
    window.session.shown += 1;
    if (!intact(video, video.videoWidth, video.videoHeight)) window.session.broken += 1;
    video.requestVideoFrameCallback(look);
  };
  video.requestVideoFrameCallback(look);
  await connection.setLocalDescription();
  const response = await fetch(path, {
    method: 'POST',
    body: connection.localDescription.sdp,
    headers: {'content-type': 'application/sdp', authorization: `Bearer ${token}`},
  });
  return {status: response.status, sdp: await response.text(), location: response.headers.get('location')};
}
""".replace("INTACT", INTACT.strip())
_ANSWER = "(sdp) => window.session.connection.setRemoteDescription({type: 'answer', sdp})"
_VIDEO = """
async () => {
  for (const report of (await window.session.connection.getStats()).values()) {
    if (report.type === 'inbound-rtp' && report.kind === 'video') return JSON.stringify(report);
  }
  return '{}';
}
"""


class Player:
    """A WHEP player behind a path of its own."""

    def __init__(self, page: Page, path: NarrowPath, location: str) -> None:
        self.page = page
        self.path = path
        self.location = location

    async def video(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(await self.page.evaluate(_VIDEO))
        return found

    async def pictures(self) -> tuple[int, int]:
        """How many pictures were shown, and how many of them were broken, where the camera is Chromium's fake one."""
        shown, broken = await self.page.evaluate("() => [window.session.shown, window.session.broken]")
        return int(shown), int(broken)

    async def until(self, condition: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
        """Wait for a picture; it must have moved on by then."""
        before = await self.video()
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            seen = await self.video()
            if seen.get("framesDecoded", 0) > before.get("framesDecoded", 0) and condition(seen):
                return seen
            assert time.monotonic() < deadline, f"{what}: {seen}"
            await asyncio.sleep(0.1)


async def watch(
    page: Page,
    stack: LocalStack,
    room: str,
    token: str,
    *,
    bitrate: int | None = None,
    rtt_s: float = 0.0,
    loss: float = 0.0,
) -> Player:
    """Watch a room by WHEP behind a path of its own (see `NarrowPath`). Leave the player's `path` when done."""
    await page.goto(f"{stack.url}/")
    answered = await page.evaluate(_OFFER, {"path": f"/v1/rooms/{room}/whep", "token": token})
    assert answered["status"] == 201, answered["sdp"]
    candidate = re.search(r"a=candidate:\S+ 1 udp \d+ (\S+) (\d+) typ host", answered["sdp"])
    assert candidate is not None
    path = await NarrowPath((candidate[1], int(candidate[2])), bitrate, rtt_s=rtt_s, loss=loss).__aenter__()
    await page.evaluate(_ANSWER, answered["sdp"].replace(candidate[0], _moved(candidate[0], path.port)))
    return Player(page, path, answered["location"])


def _moved(candidate: str, port: int) -> str:
    return re.sub(r" \S+ \d+ typ host", f" 127.0.0.1 {port} typ host", candidate)
