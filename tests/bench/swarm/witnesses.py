"""Real browsers in the same room: headless Chromium, which decodes and shows what the swarm only counts."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, Self

import msgspec
from playwright.async_api import Browser, Page, async_playwright

from tests.support.chromium import ARGUMENTS, chromium_path

from .platform import Platform, PlatformError
from .swarm import WARM_UP_S
from .viewer import Seat

_PICTURE_S: Final = 20.0
_JOIN: Final = """
async ({path, token}) => {
  const connection = new RTCPeerConnection();
  window.witness = connection;
  connection.addTransceiver('video', {direction: 'recvonly'});
  connection.addTransceiver('audio', {direction: 'recvonly'});
  const video = document.body.appendChild(document.createElement('video'));
  video.autoplay = true;
  video.muted = true;
  connection.ontrack = ({streams}) => { video.srcObject = streams[0]; };
  await connection.setLocalDescription();
  const response = await fetch(path, {
    method: 'POST',
    body: connection.localDescription.sdp,
    headers: {'content-type': 'application/sdp', authorization: `Bearer ${token}`},
  });
  const sdp = await response.text();
  if (response.status !== 201) return `${response.status}: ${sdp}`;
  await connection.setRemoteDescription({type: 'answer', sdp});
  return '';
}
"""
_STATS: Final = """
async () => {
  for (const report of (await window.witness.getStats()).values()) {
    if (report.type === 'inbound-rtp' && report.kind === 'video') return JSON.stringify(report);
  }
  return '{}';
}
"""


class Seen(msgspec.Struct, frozen=True):
    """What one browser's getStats() says of its video over a span (W3C, Identifiers for WebRTC's Statistics API).

    `jitter_buffer_ms` is the mean of what a frame waited in the jitter buffer; nothing where no frame left it.
    """

    frames_decoded: int
    frames_dropped: int
    freezes: int
    frozen_s: float
    jitter_buffer_ms: float | None
    packets_lost: int
    height: int


class Witnesses:
    """Browsers that watch."""

    def __init__(self, pages: Sequence[Page]) -> None:
        self._pages = pages

    @classmethod
    @asynccontextmanager
    async def of(cls, platform: Platform, seats: Sequence[Seat]) -> AsyncIterator[Self]:
        """Let a browser join for each seat, and have them until the exit. They run where this process may.

        Raises:
            PlatformError: one of them got no picture.
            FileNotFoundError: there is no Chromium.
        """
        if not seats:
            yield cls([])
            return
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=chromium_path(), args=ARGUMENTS)
            try:
                yield cls([await _join(browser, platform.url, seat) for seat in seats])
            finally:
                await browser.close()

    async def watch(self, seconds: float) -> list[Seen]:
        """Look on for so long, after as much as the swarm warms up."""
        await asyncio.sleep(WARM_UP_S)
        before = [await _stats(page) for page in self._pages]
        await asyncio.sleep(seconds)
        return [_seen(former, await _stats(page)) for former, page in zip(before, self._pages, strict=True)]


async def _join(browser: Browser, url: str, seat: Seat) -> Page:
    page = await (await browser.new_context()).new_page()
    await page.goto(f"{url}/")
    refusal = await page.evaluate(_JOIN, {"path": seat.path, "token": seat.token})
    if refusal:
        raise PlatformError(f"a browser's WHEP was answered with {refusal[:200]}")
    try:
        async with asyncio.timeout(_PICTURE_S):
            while not (await _stats(page)).get("framesDecoded"):
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise PlatformError("a browser got no picture") from None
    return page


async def _stats(page: Page) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(await page.evaluate(_STATS))
    return found


def _seen(before: dict[str, Any], after: dict[str, Any]) -> Seen:
    def more(name: str) -> float:
        return float(after.get(name, 0)) - float(before.get(name, 0))

    emitted = more("jitterBufferEmittedCount")
    return Seen(
        frames_decoded=int(more("framesDecoded")),
        frames_dropped=int(more("framesDropped")),
        freezes=int(more("freezeCount")),
        frozen_s=round(more("totalFreezesDuration"), 3),
        jitter_buffer_ms=round(1000 * more("jitterBufferDelay") / emitted, 1) if emitted else None,
        packets_lost=int(more("packetsLost")),
        height=int(after.get("frameHeight", 0)),
    )
