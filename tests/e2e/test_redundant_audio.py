"""Redundant Opus from a real browser: heard by one that has agreed to it, and by one that has not."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Page

from sfu_fleet.worker import SfuWorker
from tests.e2e.conftest import NewPage
from tests.sfu_fleet.conftest import Valkey, eventually, settings_for

pytestmark = pytest.mark.e2e

_PUBLISH = """
async () => {
  const connection = window.connection = new RTCPeerConnection();
  const stream = await navigator.mediaDevices.getUserMedia({audio: true});
  const transceiver = connection.addTransceiver(stream.getAudioTracks()[0], {direction: 'sendonly'});
  const {codecs} = RTCRtpSender.getCapabilities('audio');
  const red = codecs.filter(({mimeType}) => mimeType === 'audio/red');
  transceiver.setCodecPreferences([...red, ...codecs.filter(({mimeType}) => mimeType === 'audio/opus')]);
  await connection.setLocalDescription();
  return connection.localDescription.sdp;
}
"""
_WATCH = """
async (sdp) => {
  const connection = window.connection = new RTCPeerConnection();
  const audio = document.body.appendChild(document.createElement('audio'));
  audio.autoplay = true;
  connection.ontrack = ({streams}) => { audio.srcObject = streams[0]; };
  await connection.setRemoteDescription({type: 'offer', sdp});
  await connection.setLocalDescription();
  return connection.localDescription.sdp;
}
"""
_ANSWER = "(sdp) => window.connection.setRemoteDescription({type: 'answer', sdp})"
_AUDIO = """
async () => {
  const reports = [...(await window.connection.getStats()).values()];
  return JSON.stringify(reports.find(({type, kind}) => type === 'inbound-rtp' && kind === 'audio') ?? {});
}
"""


@pytest_asyncio.fixture
async def worker(tmp_path: Path) -> AsyncIterator[SfuWorker]:
    """A worker in this process."""
    valkey = Valkey(tmp_path)
    valkey.start()
    async with SfuWorker(settings_for(valkey.url)) as worker:
        yield worker
    valkey.stop()


async def _heard(page: Page) -> dict[str, Any]:
    async with asyncio.timeout(20):
        while True:
            found: dict[str, Any] = json.loads(await page.evaluate(_AUDIO))
            if found.get("totalAudioEnergy", 0) > 0 and found["packetsReceived"] > 100:
                return found
            await asyncio.sleep(0.1)


async def test_a_browser_s_redundant_sound_is_heard_with_and_without_agreement(
    new_page: NewPage, worker: SfuWorker
) -> None:
    source, reader, other = await new_page(), await new_page(), await new_page()
    publisher = worker.rooms.publish("room", "streamer", "Streamer", await source.evaluate(_PUBLISH))
    await source.evaluate(_ANSWER, publisher.agreement.sdp)
    await eventually(lambda: publisher.live, "live", 20)
    for page, offered in ((reader, True), (other, False)):
        subscriber = worker.rooms.subscribe("room", "viewer", "Viewer", None)
        # Without it, the offer is as that to viewers of a publisher who has none.
        lines = [line for line in subscriber.sdp.split("\r\n") if offered or ":63 " not in line]
        shown = "\r\n".join(lines) if offered else "\r\n".join(lines).replace(" 111 63\r\n", " 111\r\n")
        worker.rooms.answer(subscriber.id, await page.evaluate(_WATCH, shown))
    heard, unpacked = await _heard(reader), await _heard(other)
    size = heard["bytesReceived"] / heard["packetsReceived"]
    assert size > 1.5 * unpacked["bytesReceived"] / unpacked["packetsReceived"], "two frames in each packet"
    assert heard["packetsLost"] == unpacked["packetsLost"] == 0
    assert worker.metrics.drops.get("payload_type", 0) == 0
