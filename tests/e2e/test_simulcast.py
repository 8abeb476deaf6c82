"""Simulcast from the studio page: each viewer gets the size that their way carries, and the picture goes on."""

import asyncio
import json
import re
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from playwright.async_api import Page

from shared.stack.stack import LocalStack
from tests.e2e.conftest import People
from tests.support.narrow_path import NarrowPath
from tests.support.room_client import guest
from tests.support.sfu import sessions

pytestmark = pytest.mark.e2e

# Enough for the smallest layer, not for the next one.
NARROW = 250_000
TIMEOUT_S = 45.0

_OFFER = """
async ({path, token}) => {
  const connection = new RTCPeerConnection();
  window.session = {connection};
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
  return {status: response.status, sdp: await response.text(), location: response.headers.get('location')};
}
"""
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


async def _watch(page: Page, stack: LocalStack, room: str, token: str, bitrate: int | None) -> Player:
    await page.goto(f"{stack.url}/health/live")
    answered = await page.evaluate(_OFFER, {"path": f"/v1/rooms/{room}/whep", "token": token})
    assert answered["status"] == 201, answered["sdp"]
    candidate = re.search(r"a=candidate:\S+ 1 udp \d+ (\S+) (\d+) typ host", answered["sdp"])
    assert candidate is not None
    path = await NarrowPath((candidate[1], int(candidate[2])), bitrate).__aenter__()
    await page.evaluate(_ANSWER, answered["sdp"].replace(candidate[0], _moved(candidate[0], path.port)))
    return Player(page, path, answered["location"])


def _moved(candidate: str, port: int) -> str:
    return re.sub(r" \S+ \d+ typ host", f" 127.0.0.1 {port} typ host", candidate)


async def test_two_viewers_of_one_stream_get_what_their_ways_carry(
    people: People, http: httpx.AsyncClient, stack: LocalStack
) -> None:
    ana = await people("Ana")
    room = await ana.create_room("Three sizes")
    await ana.go_live()
    token = await (await guest(http, "Bo")).room_token(room)
    layers = {report["rid"]: report for report in await ana.stats("outbound-rtp") if report["kind"] == "video"}
    assert set(layers) == {"q", "h", "f"}

    wide = await _watch((await people("wide")).page, stack, room, token, None)
    narrow = await _watch((await people("narrow")).page, stack, room, token, NARROW)
    largest = await wide.until(lambda seen: seen["frameWidth"] == 1280, "the wide way leads to the largest layer")
    await narrow.until(lambda seen: seen["frameWidth"] == 320, "the narrow way leads to the smallest")

    # The ways change places: both go over while they play.
    wide.path.bitrate, narrow.path.bitrate = NARROW, None
    await wide.until(lambda seen: seen["frameWidth"] == 320, "a way that becomes narrow")
    grown = await narrow.until(lambda seen: seen["frameWidth"] > 320, "a way that becomes wide")
    assert grown["keyFramesDecoded"] >= 2
    # Up to when packets were lost there was nothing that a decoder could not take.
    assert (largest["pliCount"], largest["firCount"]) == (0, 0)

    # A choice is the most that is given, and the worker can say why each viewer has what they have.
    headers = {"authorization": f"Bearer {token}"}
    choice = await http.put(f"{narrow.location}/layer", json={"layer": "q"}, headers=headers)
    assert choice.status_code == 204, choice.text
    await narrow.until(lambda seen: seen["frameWidth"] == 320, "the chosen layer")
    assert (await http.put(f"{narrow.location}/layer", json={"layer": "x"}, headers=headers)).status_code == 422
    assert (await http.put(f"{narrow.location}/layer", json={"layer": ""}, headers=headers)).status_code == 400
    infos = [info for worker in stack.workers for info in await sessions(stack, worker.url) if info["room"] == room]
    by_session = {info["session"]: info for info in infos}
    published = next(info for info in infos if info["kind"] == "publish")
    assert [layer["name"] for layer in published["layers"]] == ["q", "h", "f"]
    shown = by_session[narrow.location.rsplit("/", 1)[1]]["adaptation"]
    assert (shown["layer"], shown["choice"]) == ("q", "q")
    assert shown["decisions"][-1]["reason"] == "choice"
    assert {found["reason"] for found in shown["decisions"]} & {"fits", "trial"}
    fallen = by_session[wide.location.rsplit("/", 1)[1]]["adaptation"]["decisions"]
    assert {found["reason"] for found in fallen} & {"overuse", "loss", "queue"}
    for player in (wide, narrow):
        await player.path.__aexit__()
