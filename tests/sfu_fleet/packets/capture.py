"""Captures one packet of every kind that a real Chromium sends to a worker, or a worker's answer to it.

Run with `python -m tests.sfu_fleet.packets.capture`: it publishes and watches with each codec that Chromium encodes,
loses some packets on purpose so that both sides repair, and writes what it saw beside this file, decrypted. What
Chromium does not send is written by `written.py`.
"""

import asyncio
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from unittest import mock

from playwright.async_api import Browser, Page, Route, async_playwright

from sfu_fleet import rtp
from sfu_fleet.ice import Address, MediaSocket
from sfu_fleet.transport import Transport
from sfu_fleet.worker import SfuWorker
from tests.sfu_fleet.conftest import Valkey, settings_for
from tests.support.chromium import ARGUMENTS, chromium_path

FOLDER: Final = Path(__file__).parent
_SECONDS: Final = 6.0
# One RTP packet of so many is lost on its way in, and on its way out.
_LOST_IN, _LOST_OUT = 41, 37
_ORIGIN: Final = "http://localhost"
_RTCP: Final = {200: "sender-report", 201: "receiver-report", 202: "source-description", 203: "bye"}
_FEEDBACK: Final = {
    (205, 1): "nack",
    (205, 15): "transport-feedback",
    (206, 1): "pli",
    (206, 4): "fir",
    (206, 15): "remb",
}
_STUN: Final = {0x0001: "binding-request", 0x0101: "binding-response", 0x0111: "binding-error"}
_HANDSHAKES: Final = {1: "client-hello", 2: "server-hello", 3: "hello-verify-request", 11: "certificate"}

_PUBLISH = """
async ({codec, redundant}) => {
  const connection = window.publisher = new RTCPeerConnection();
  const stream = await navigator.mediaDevices.getUserMedia({video: {width: 640, height: 360}, audio: true});
  const preferred = (kind, first) => {
    const all = RTCRtpSender.getCapabilities(kind).codecs;
    const wanted = all.filter(({mimeType}) => first.includes(mimeType.toLowerCase()));
    return [...wanted, ...all.filter((found) => !wanted.includes(found))];
  };
  const audio = connection.addTransceiver(stream.getAudioTracks()[0], {direction: 'sendonly'});
  if (redundant) audio.setCodecPreferences(preferred('audio', ['audio/red']));
  const video = connection.addTransceiver(stream.getVideoTracks()[0], {
    direction: 'sendonly', sendEncodings: [{scalabilityMode: codec === 'h264' ? 'L1T1' : 'L1T3'}],
  });
  video.setCodecPreferences(preferred('video', [`video/${codec}`, 'video/rtx']));
  await connection.setLocalDescription();
  return connection.localDescription.sdp;
}
"""
_PUBLISHED = "(sdp) => window.publisher.setRemoteDescription({type: 'answer', sdp})"
_VIEW = """
async (sdp) => {
  const connection = window.viewer = new RTCPeerConnection();
  await connection.setRemoteDescription({type: 'offer', sdp});
  await connection.setLocalDescription();
  return connection.localDescription.sdp;
}
"""
_CLOSE = "() => { window.viewer.close(); window.publisher.close(); }"


class Collection:
    """The first packet of each kind, by name."""

    def __init__(self) -> None:
        self.found: dict[str, bytes] = {}
        self.names: dict[int, str] = {}
        self._counted = 0

    def keep(self, name: str, data: bytes) -> None:
        self.found.setdefault(name, bytes(data))

    def datagram(self, data: bytes) -> None:
        """STUN and DTLS, as they are."""
        if data[0] < 4:
            self.keep(f"stun-{_STUN.get(int.from_bytes(data[:2], 'big'), 'other')}", data)
        elif data[0] == 22:
            self.keep(f"dtls-{_HANDSHAKES.get(data[13], 'handshake')}" if len(data) > 13 else "dtls-short", data)
        elif 20 <= data[0] < 64:
            self.keep(f"dtls-{ {20: 'change-cipher-spec', 21: 'alert'}.get(data[0], 'record') }", data)

    def rtcp(self, compound: bytes) -> None:
        """Each packet of a decrypted compound."""
        at = 0
        while at + 4 <= len(compound):
            size = 4 * int.from_bytes(compound[at + 2 : at + 4], "big") + 4
            kind, form = compound[at + 1], compound[at] & 0x1F
            name = _RTCP.get(kind) or _FEEDBACK.get((kind, form), f"{kind}-{form}")
            self.keep(f"rtcp-{name}", compound[at : at + size])
            at += size
        if compound[1] in _RTCP and 4 * int.from_bytes(compound[2:4], "big") + 4 < len(compound):
            self.keep("rtcp-compound", compound)

    def rtp(self, packet: bytes) -> None:
        """A decrypted packet, by the name of its payload type; what probes are made of has padding alone."""
        parsed = rtp.parse(packet)
        empty = "" if parsed.payload_end > parsed.payload_start else "-padding-only"
        self.keep(f"rtp-{self.names.get(packet[1] & 0x7F, 'other')}{empty}", packet)

    def loses(self, every: int) -> bool:
        """Whether this packet is lost on purpose."""
        self._counted += 1
        return self._counted % every == 0


def _payload_types(description: str) -> dict[int, str]:
    lines = [line.split(":", 1)[1].split(" ", 1) for line in description.split("\r\n") if line.startswith("a=rtpmap")]
    return {int(number): name.split("/")[0].lower() for number, name in lines}


async def _round(worker: SfuWorker, page: Page, collection: Collection, codec: str, *, redundant: bool) -> None:
    offer = await page.evaluate(_PUBLISH, {"codec": codec, "redundant": redundant})
    publisher = worker.rooms.publish("room", "streamer", "Streamer", offer)
    collection.names = _payload_types(publisher.agreement.sdp)
    await page.evaluate(_PUBLISHED, publisher.agreement.sdp)
    while publisher.packets < 30:
        await asyncio.sleep(0.1)
    viewer = worker.rooms.subscribe("room", "viewer", "Viewer", None)
    viewer.accept(await page.evaluate(_VIEW, viewer.sdp))
    await asyncio.sleep(_SECONDS)
    await page.evaluate(_CLOSE)
    await asyncio.sleep(0.5)
    worker.rooms.end(viewer, "captured")
    worker.rooms.end(publisher, "captured")


def _hooks(collection: Collection) -> list[Any]:
    """Patches that see what passes, and lose some of it."""
    receive, send, opened = MediaSocket._receive, MediaSocket.send, Transport.on_opened

    def on_receive(self: MediaSocket, data: bytes, address: Address) -> None:
        collection.datagram(data)
        if 128 <= data[0] < 192 and not rtp.is_rtcp(data) and collection.loses(_LOST_IN):
            return
        receive(self, data, address)

    def on_send(self: MediaSocket, data: bytes | memoryview, address: Address) -> bool:
        collection.datagram(bytes(data))
        if 128 <= data[0] < 192 and not rtp.is_rtcp(bytes(data[:2])) and collection.loses(_LOST_OUT):
            return True
        return send(self, data, address)

    def on_opened(self: Transport, data: bytes, *, rtcp: bool) -> None:
        (collection.rtcp if rtcp else collection.rtp)(data)
        opened(self, data, rtcp=rtcp)

    patched: Callable[..., Any] = mock.patch.object
    return [
        patched(MediaSocket, "_receive", on_receive),
        patched(MediaSocket, "send", on_send),
        patched(Transport, "on_opened", on_opened),
    ]


async def _page(browser: Browser) -> Page:
    """An empty page of an origin that may use a camera."""
    page = await browser.new_page()

    async def fulfil(route: Route) -> None:
        await route.fulfill(body="<!doctype html><title>capture</title>", content_type="text/html")

    await page.route(f"{_ORIGIN}/**", fulfil)
    await page.goto(f"{_ORIGIN}/")
    return page


async def capture() -> dict[str, bytes]:
    """What was seen, by kind."""
    collection = Collection()
    with tempfile.TemporaryDirectory() as folder:
        valkey = Valkey(Path(folder))
        valkey.start()
        patches = _hooks(collection)
        for patch in patches:
            patch.start()
        try:
            settings = settings_for(valkey.url, plane="python", feedback="on")
            async with SfuWorker(settings) as worker, async_playwright() as playwright:
                browser = await playwright.chromium.launch(executable_path=chromium_path(), args=ARGUMENTS)
                page = await _page(browser)
                for codec in ("vp8", "vp9", "h264", "av1"):
                    await _round(worker, page, collection, codec, redundant=codec == "vp8")
                await browser.close()
        finally:
            for patch in patches:
                patch.stop()
            valkey.stop()
    return collection.found


def main() -> int:
    """Write the files."""
    for name, data in sorted(asyncio.run(capture()).items()):
        sys.stdout.write(f"{name:28} {len(data):5} bytes\n")
        (FOLDER / f"chromium-{name}.bin").write_bytes(data)
    return 0


if __name__ == "__main__":
    sys.exit(main())
