"""What somebody does on the page, and what they see there."""

import asyncio
import json
import time
from typing import Any

from playwright.async_api import BrowserContext, ConsoleMessage, Locator, Page, expect

TIMEOUT_MS = 20_000

# Keeps every peer connection where a test can ask it for statistics.
_KEEP_CONNECTIONS = """
window.__connections = [];
window.RTCPeerConnection = new Proxy(window.RTCPeerConnection, {
  construct(target, args) {
    const made = new target(...args);
    window.__connections.push(made);
    return made;
  },
});
"""

_STATS = """
async (type) => {
  const found = [];
  for (const connection of window.__connections) {
    if (connection.connectionState === 'closed') continue;
    for (const report of (await connection.getStats()).values()) if (report.type === type) found.push(report);
  }
  return JSON.stringify(found);
}
"""

# Mean and spread of the picture's brightness, from 0 to 255.
_PICTURE = """
(video) => {
  const canvas = document.createElement('canvas');
  canvas.width = 64; canvas.height = 36;
  const context = canvas.getContext('2d');
  context.drawImage(video, 0, 0, 64, 36);
  const pixels = context.getImageData(0, 0, 64, 36).data;
  const light = [];
  for (let i = 0; i < pixels.length; i += 4) light.push((pixels[i] + pixels[i + 1] + pixels[i + 2]) / 3);
  const mean = light.reduce((a, b) => a + b) / light.length;
  const spread = Math.sqrt(light.reduce((a, b) => a + (b - mean) ** 2, 0) / light.length);
  return {mean, spread, width: video.videoWidth, height: video.videoHeight};
}
"""


class Person:
    """One browser profile with one page."""

    def __init__(self, page: Page, url: str, name: str) -> None:
        self.page = page
        self.url = url
        self.name = name
        self.console: list[str] = []
        page.set_default_timeout(TIMEOUT_MS)
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.console.append(f"pageerror: {error}"))

    @classmethod
    async def open(cls, context: BrowserContext, url: str, name: str) -> "Person":
        await context.add_init_script(_KEEP_CONNECTIONS)
        return cls(await context.new_page(), url, name)

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.console.append(f"{message.type}: {message.text}")

    def by(self, test_id: str) -> Locator:
        return self.page.get_by_test_id(test_id)

    async def create_room(self, title: str) -> str:
        """Make a room from the first page; returns its code."""
        await self.page.goto(self.url)
        await self.by("name-input").fill(self.name)
        await self.by("title-input").fill(title)
        await self.by("create-room").click()
        await self.page.wait_for_url("**/r/*")
        return self.page.url.rsplit("/", 1)[1]

    async def go_live(self) -> None:
        await self.by("go-live").click()
        await expect(self.by("end-stream")).to_be_visible(timeout=TIMEOUT_MS)
        await expect(self.by("live-badge")).to_be_visible(timeout=TIMEOUT_MS)

    async def join_by_code(self, code: str) -> None:
        await self.page.goto(self.url)
        await self.by("name-input").fill(self.name)
        await self.by("join-code").fill(code)
        await self.by("join-room").click()
        await self.page.wait_for_url("**/r/*")
        await self.connected()

    async def join_by_link(self, code: str) -> None:
        """A link asks somebody who was never here for a name first."""
        await self.page.goto(f"{self.url}/r/{code}")
        await self.by("name-input").fill(self.name)
        await self.by("join-room").click()
        await self.connected()

    async def connected(self) -> None:
        await expect(self.by("connection-state")).to_have_text("connected", ignore_case=True, timeout=TIMEOUT_MS)

    async def say(self, text: str) -> None:
        await self.by("chat-input").fill(text)
        await self.by("chat-send").click()

    async def texts(self) -> list[str]:
        """The chat messages on the page, in order."""
        found: list[str] = await self.by("chat-message").evaluate_all(
            "rows => rows.map(row => row.querySelector('p').textContent)"
        )
        return found

    async def sees_chat(self, text: str) -> None:
        await expect(self.by("chat-message").filter(has_text=text).first).to_be_visible(timeout=TIMEOUT_MS)

    async def watches(self, seconds: float = 1.0) -> dict[str, Any]:
        """Wait for a picture that moves and a sound that is heard; returns what was measured.

        Decoded frames must advance, the picture must not be black or blank, and audio energy must grow.
        """
        await expect(self.by("remote-video")).to_be_visible(timeout=TIMEOUT_MS)
        before = await self._decoded_past(0)
        await asyncio.sleep(seconds)
        after = await self._decoded_past(before["framesDecoded"] + 5)
        picture: dict[str, float] = await self.by("remote-video").evaluate(_PICTURE)
        assert picture["mean"] > 8, f"the picture is black: {picture}"
        assert picture["spread"] > 5, f"the picture is blank: {picture}"
        assert after["energy"] > before["energy"] > 0, "nothing is heard"
        return {**after, **picture}

    async def _decoded_past(self, frames: int) -> dict[str, Any]:
        deadline = time.monotonic() + TIMEOUT_MS / 1000
        while True:
            inbound = await self.stats("inbound-rtp")
            video = next((report for report in inbound if report["kind"] == "video"), {})
            audio = next((report for report in inbound if report["kind"] == "audio"), {})
            if video.get("framesDecoded", 0) > frames and audio.get("totalAudioEnergy", 0) > 0:
                return {**video, "energy": audio["totalAudioEnergy"]}
            assert time.monotonic() < deadline, f"no new frames: {video} {audio} {self.console}"
            await asyncio.sleep(0.1)

    async def stats(self, kind: str) -> list[dict[str, Any]]:
        """Reports of one type from all open peer connections (W3C webrtc-stats)."""
        return list(json.loads(await self.page.evaluate(_STATS, kind)))
