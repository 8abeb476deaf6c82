"""Half the frame rate for a real browser from a real browser: nothing missed, nothing asked for, nothing frozen."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Page

from sfu_fleet.publisher import Publisher
from sfu_fleet.subscriber import Leg
from sfu_fleet.worker import SfuWorker
from tests.e2e.conftest import NewPage
from tests.sfu_fleet.conftest import Valkey, eventually, settings_for

pytestmark = pytest.mark.e2e

_PUBLISH = """
async ({codec, mode, rids}) => {
  const connection = window.connection = new RTCPeerConnection();
  const stream = await navigator.mediaDevices.getUserMedia({video: {width: 640, height: 360, frameRate: 30}});
  const encodings = rids.map((rid, index) => ({
    rid, scaleResolutionDownBy: 2 ** (rids.length - 1 - index), ...(mode ? {scalabilityMode: mode} : {}),
  }));
  const sendEncodings = rids.length ? encodings : [mode ? {scalabilityMode: mode} : {}];
  const transceiver = connection.addTransceiver(stream.getVideoTracks()[0], {direction: 'sendonly', sendEncodings});
  const codecs = RTCRtpSender.getCapabilities('video').codecs;
  transceiver.setCodecPreferences(codecs.filter(({mimeType}) => mimeType === codec || mimeType === 'video/rtx'));
  await connection.setLocalDescription();
  return connection.localDescription.sdp;
}
"""
_WATCH = """
async (sdp) => {
  const connection = window.connection = new RTCPeerConnection();
  const video = document.body.appendChild(document.createElement('video'));
  video.autoplay = video.muted = true;
  connection.ontrack = ({streams}) => { video.srcObject = streams[0]; };
  await connection.setRemoteDescription({type: 'offer', sdp});
  await connection.setLocalDescription();
  return connection.localDescription.sdp;
}
"""
_ANSWER = "(sdp) => window.connection.setRemoteDescription({type: 'answer', sdp})"
_VIDEO = """
async () => {
  for (const report of (await window.connection.getStats()).values()) {
    if (report.type === 'inbound-rtp' && report.kind === 'video') return JSON.stringify(report);
  }
  return '{}';
}
"""


@pytest_asyncio.fixture
async def worker(tmp_path: Path) -> AsyncIterator[SfuWorker]:
    """A worker in this process: which layers a viewer gets is for the test to say."""
    valkey = Valkey(tmp_path)
    valkey.start()
    async with SfuWorker(settings_for(valkey.url)) as worker:
        yield worker
    valkey.stop()


async def _video(page: Page) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(await page.evaluate(_VIDEO))
    return found


async def _rate(page: Page) -> tuple[float, dict[str, Any]]:
    """Frames a second over a few, by the frames' own time."""
    before = await _video(page)
    await asyncio.sleep(3)
    after = await _video(page)
    elapsed = (after["timestamp"] - before["timestamp"]) / 1000
    return (after["framesReceived"] - before["framesReceived"]) / elapsed, after


@pytest.mark.parametrize(
    ("codec", "mode", "rids"),
    [("video/VP8", "", ["q", "h", "f"]), ("video/VP9", "L1T3", [])],
)
async def test_a_browser_plays_half_the_frames_and_all_of_them_again(
    new_page: NewPage, worker: SfuWorker, codec: str, mode: str, rids: list[str]
) -> None:
    source, viewer = await new_page(), await new_page()
    offer = await source.evaluate(_PUBLISH, {"codec": codec, "mode": mode, "rids": rids})
    publisher = worker.rooms.publish("room", "streamer", "Streamer", offer)
    await source.evaluate(_ANSWER, publisher.agreement.sdp)
    await eventually(lambda: publisher.live, "live", 20)
    subscriber = worker.rooms.subscribe("room", "viewer", "Viewer", None)
    worker.rooms.answer(subscriber.id, await viewer.evaluate(_WATCH, subscriber.sdp))
    await eventually(lambda: subscriber.state == "connected", "connected", 20)
    # From here on it is the test that decides.
    subscriber._adapt = lambda observed: None  # type: ignore[method-assign] # noqa: ARG005 - its signature
    leg = next(leg for leg in subscriber.legs if leg.uplink.kind == "video")
    leg.switch.to(leg.uplink.layers[0])
    await eventually(lambda: leg.switch.layer is leg.uplink.layers[0] and leg.down.counters.packets > 50, "video", 20)
    await _thinned(publisher, leg, viewer)


async def _thinned(publisher: Publisher, leg: Leg, viewer: Page) -> None:
    layer = leg.uplink.layers[0]
    assert layer.thinning is not None
    await asyncio.sleep(1)
    whole, before = await _rate(viewer)
    requests = publisher.keyframe_requests
    for _ in range(2):
        leg.switch.to(layer, thin=True)
        await eventually(lambda: leg.switch.thinned, "thinned")
        half, _seen = await _rate(viewer)
        assert 0.35 * whole < half < 0.65 * whole
        leg.switch.to(layer)
        await eventually(lambda: not leg.switch.thinned, "whole again")
        again, _seen = await _rate(viewer)
        assert again > 0.8 * whole
    after = await _video(viewer)
    # Nothing was missed, and nothing had to be asked for or begun anew.
    assert publisher.keyframe_requests == requests
    for name in ("packetsLost", "nackCount", "pliCount", "keyFramesDecoded"):
        assert after.get(name, 0) == before.get(name, 0), name
    assert after["framesReceived"] - after["framesDecoded"] - after["framesDropped"] <= 3
