"""Capture SDP and ICE candidates from headless Chromium and from our own SFU's negotiation, for dictionary and tests.

`python -m tests.shared.protocol.capture dictionary` writes corpus/dictionary, which the SDP dictionary is made of;
`… measured` writes corpus/measured, from another browser and other conversations, which sizes are measured with; and
`… candidates` writes corpus/candidates.json. Addresses are put in place of this machine's (RFC 5737, RFC 3849).
"""

import argparse
import asyncio
import json
import re
import secrets
from pathlib import Path
from typing import Any

from playwright.async_api import Page, async_playwright

from sfu_fleet import sdp
from sfu_fleet.negotiation import LocalTransport, Outgoing, answer_publisher, offer_viewer, random_ice_string
from sfu_fleet.sdp import Fingerprint
from tests.support.chromium import ARGUMENTS, chromium_path

CORPUS = Path(__file__).with_name("corpus")
# Any address of this machine, in the order of appearance, becomes one of these.
_ADDRESSES = {"4": "192.0.2.{}", "6": "2001:db8:85a3::{:x}"}
# A page that may use camera and microphone sees addresses, any other mDNS names.
_SHOW_ADDRESSES = {"--disable-features=WebRtcHideLocalIpsWithMdns", "--use-fake-ui-for-media-stream"}

# A page makes an offer. `tracks`: [kind, send encodings or null, direction]; `codec`: the preferred video codec.
_OFFER = """async ({tracks, codec, gather, data}) => {
  const peer = new RTCPeerConnection({iceServers: [], bundlePolicy: "max-bundle"});
  const stream = await navigator.mediaDevices.getUserMedia({audio: true, video: true});
  if (data) peer.createDataChannel("data");
  for (const [kind, encodings, direction] of tracks) {
    const track = direction === "recvonly" ? kind : stream.getTracks().find((track) => track.kind === kind);
    const transceiver = peer.addTransceiver(track, {
      direction,
      ...(direction !== "recvonly" && {streams: [stream]}),
      ...(encodings && {sendEncodings: encodings}),
    });
    if (codec && kind === "video") {
      const all = RTCRtpSender.getCapabilities("video").codecs;
      const first = all.filter(({mimeType}) => mimeType === codec);
      transceiver.setCodecPreferences([...first, ...all.filter((one) => !first.includes(one))]);
    }
  }
  const gathered = new Promise((done) => peer.onicecandidate = ({candidate}) => candidate || done());
  await peer.setLocalDescription();
  if (gather) await gathered;
  const {sdp} = peer.localDescription;
  (window.peers ??= []).push(peer);
  return sdp;
}"""
_ANSWER = """async ({offer, gather}) => {
  const peer = new RTCPeerConnection({iceServers: [], bundlePolicy: "max-bundle"});
  await peer.setRemoteDescription({type: "offer", sdp: offer});
  const gathered = new Promise((done) => peer.onicecandidate = ({candidate}) => candidate || done());
  await peer.setLocalDescription();
  if (gather) await gathered;
  (window.peers ??= []).push(peer);
  return peer.localDescription.sdp;
}"""
# Returns what `icecandidate` gave.
_CANDIDATES = """async () => {
  const peer = new RTCPeerConnection({iceServers: []});
  peer.addTransceiver("audio");
  peer.addTransceiver("video");
  const found = [];
  const gathered = new Promise((done) => peer.onicecandidate = ({candidate}) => candidate
    ? candidate.candidate && found.push({candidate: candidate.candidate, line: candidate.sdpMLineIndex})
    : done());
  await peer.setLocalDescription();
  await gathered;
  return found;
}"""

_SIMULCAST = [{"rid": "q", "scaleResolutionDownBy": 4}, {"rid": "h", "scaleResolutionDownBy": 2}, {"rid": "f"}]
_OTHER_SIMULCAST = [{"rid": "0", "scaleResolutionDownBy": 2, "maxBitrate": 400_000}, {"rid": "1"}]
_ONE = [{"maxBitrate": 2_500_000, "maxFramerate": 30}]


def _offer(*tracks: list[Any], codec: str = "", gather: bool = False, data: bool = False) -> dict[str, Any]:
    return {"tracks": tracks, "codec": codec, "gather": gather, "data": data}


_SENT = ["audio", None, "sendonly"]
# Name of the conversation: (offer of the publisher, the viewer gathers candidates).
_SCENES = {
    "dictionary": {
        "plain": _offer(_SENT, ["video", _ONE, "sendonly"]),
        "simulcast": _offer(_SENT, ["video", _SIMULCAST, "sendonly"]),
        "h264": _offer(_SENT, ["video", _ONE, "sendonly"], codec="video/H264"),
        "vp9": _offer(_SENT, ["video", _ONE, "sendonly"], codec="video/VP9"),
        "av1": _offer(_SENT, ["video", _ONE, "sendonly"], codec="video/AV1"),
        "gathered": _offer(_SENT, ["video", _SIMULCAST, "sendonly"], gather=True),
    },
    "measured": {
        "plain": _offer(_SENT, ["video", _ONE, "sendonly"]),
        "simulcast": _offer(_SENT, ["video", _SIMULCAST, "sendonly"]),
        "gathered": _offer(_SENT, ["video", _ONE, "sendonly"], gather=True),
        "h264-simulcast": _offer(_SENT, ["video", _OTHER_SIMULCAST, "sendonly"], codec="video/H264", gather=True),
        "video-first-data": _offer(["video", _ONE, "sendonly"], _SENT, data=True),
        "video-only-av1": _offer(["video", _ONE, "sendonly"], codec="video/AV1"),
    },
}


async def _page(stack: Any, *, mdns: bool = False) -> Page:  # noqa: ANN401 - playwright's own, which has no name
    arguments = [argument for argument in ARGUMENTS if not (mdns and argument in _SHOW_ADDRESSES)]
    browser = await stack.chromium.launch(executable_path=chromium_path(), args=arguments)
    page: Page = await (await browser.new_context()).new_page()
    await page.route("**/*", lambda route: route.fulfill(body="<!doctype html>", content_type="text/html"))
    # A secure context, as getUserMedia wants; nothing leaves the browser.
    await page.goto("http://localhost/")
    return page


def _worker() -> LocalTransport:
    """What a worker's session says of itself, with values of its own each time."""
    return LocalTransport(
        random_ice_string(8),
        random_ice_string(24),
        (Fingerprint("sha-256", ":".join(f"{byte:02X}" for byte in secrets.token_bytes(32))),),
        (("192.0.2.50", secrets.randbelow(20_000) + 40_000),),
    )


async def _descriptions(name: str) -> dict[str, str]:
    """Offers and answers by name; both directions of each conversation."""
    found: dict[str, str] = {}
    async with async_playwright() as playwright:
        page = await _page(playwright)
        for scene, offer in _SCENES[name].items():
            published = await page.evaluate(_OFFER, offer)
            agreement = answer_publisher(sdp.parse(published), _worker())
            outgoing = [Outgoing(track.kind, track.codec, secrets.randbits(32)) for track in agreement.tracks]
            watched = offer_viewer(outgoing, _worker(), secrets.token_hex(8))
            found[f"{scene}-publish-offer"] = published
            found[f"{scene}-publish-answer"] = agreement.sdp
            found[f"{scene}-watch-offer"] = watched
            found[f"{scene}-watch-answer"] = await page.evaluate(_ANSWER, {"offer": watched, "gather": offer["gather"]})
        await page.context.browser.close()  # type: ignore[union-attr]
    return {name: _anonymous(text) for name, text in found.items()}


def _anonymous(text: str) -> str:
    """`text` with this machine's addresses replaced: those of candidates, connection and rtcp lines."""
    own: dict[str, str] = {}
    for address in re.findall(r" (?:IP[46]|\d{1,10}) ([0-9a-f.:]{7,})(?= |\r|$)", text):
        if address not in {"0.0.0.0", "127.0.0.1", "192.0.2.50"}:
            family = "6" if ":" in address else "4"
            own.setdefault(address, _ADDRESSES[family].format(len(own) + 17))
    for address, replacement in own.items():
        text = text.replace(f" {address}", f" {replacement}")
    return text


async def _candidates() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    async with async_playwright() as playwright:
        for mdns in (True, False):
            page = await _page(playwright, mdns=mdns)
            rows = await page.evaluate(_CANDIDATES)
            found += [{"candidate": _anonymous(row["candidate"]), "line": row["line"]} for row in rows]
            await page.context.browser.close()  # type: ignore[union-attr]
    return found


async def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=[*_SCENES, "candidates"])
    what = parser.parse_args().what
    if what == "candidates":
        rows = json.dumps(await _candidates(), indent=1)
        (CORPUS / "candidates.json").write_text(rows + "\n", encoding="utf-8")
        return
    folder = CORPUS / what
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (await _descriptions(what)).items():
        (folder / f"{name}.sdp").write_bytes(text.encode())


if __name__ == "__main__":
    asyncio.run(_main())
