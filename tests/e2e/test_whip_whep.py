"""WHIP and WHEP as any client speaks them: browsers here, with plain fetch and no code of ours."""

from typing import Any

import httpx
import pytest
from playwright.async_api import expect

from shared.stack.stack import LocalStack
from tests.e2e.conftest import People
from tests.e2e.person import TIMEOUT_MS, Person
from tests.support.room_client import guest

pytestmark = pytest.mark.e2e

_EXCHANGE = """
async ({path, token, publish, tcp}) => {
  const connection = new RTCPeerConnection();
  window.session = {connection};
  if (publish) {
    const stream = await navigator.mediaDevices.getUserMedia({video: true, audio: true});
    stream.getTracks().forEach((track) => connection.addTrack(track, stream));
  } else {
    connection.addTransceiver('video', {direction: 'recvonly'});
    connection.addTransceiver('audio', {direction: 'recvonly'});
    const video = document.body.appendChild(document.createElement('video'));
    video.dataset.testid = 'remote-video';
    video.autoplay = true;
    connection.ontrack = ({streams}) => { video.srcObject = streams[0]; };
  }
  await connection.setLocalDescription();
  const response = await fetch(path, {
    method: 'POST',
    body: connection.localDescription.sdp,
    headers: {'content-type': 'application/sdp', authorization: `Bearer ${token}`},
  });
  let answer = await response.text();
  // As on a network that lets no UDP through.
  if (tcp) answer = answer.replace(/a=candidate:.* udp .*\\r\\n/g, '');
  if (response.ok) await connection.setRemoteDescription({type: 'answer', sdp: answer});
  return {status: response.status, body: answer, headers: Object.fromEntries(response.headers)};
}
"""


async def test_a_plain_whip_client_is_watched_by_a_plain_whep_client(
    people: People, http: httpx.AsyncClient, stack: LocalStack
) -> None:
    room, owner, viewer, _, player, published = await _published(people, http, stack)
    _is_created(published, f"/v1/rooms/{room}/whip/")
    await _live(http, room, True)
    watched = await player.page.evaluate(
        _EXCHANGE, {"path": f"/v1/rooms/{room}/whep", "token": viewer, "publish": False}
    )
    _is_created(watched, f"/v1/rooms/{room}/whep/")
    await player.watches()

    whip, whep = published["headers"]["location"], watched["headers"]["location"]
    etag = published["headers"]["etag"]
    fragment = {"content-type": "application/trickle-ice-sdpfrag", "authorization": f"Bearer {owner}"}
    for changes, status in (({"if-match": etag}, 204), ({"if-match": '"other"'}, 412), ({}, 204)):
        response = await http.patch(whip, content="a=mid:0\r\n", headers=fragment | changes)
        assert response.status_code == status, response.text

    # The publisher's session is not the viewer's to end, and hers is not his.
    assert (await http.delete(whip, headers={"authorization": f"Bearer {viewer}"})).status_code == 403
    stranger = {"authorization": f"Bearer {await (await guest(http, 'Cy')).room_token(room)}"}
    assert (await http.delete(whep, headers=stranger)).status_code == 404
    for location, token in ((whep, viewer), (whip, owner)):
        headers = {"authorization": f"Bearer {token}"}
        assert (await http.delete(location, headers=headers)).status_code == 204
        assert (await http.delete(location, headers=headers)).status_code == 404
    await _live(http, room, False)


_RESTART = """
async ({path, token}) => {
  const {connection} = window.session;
  connection.restartIce();
  await connection.setLocalDescription();
  const of = (name, sdp) => sdp.match(new RegExp(`a=${name}:(.*)`))[1].trim();
  const offer = connection.localDescription.sdp;
  const response = await fetch(path, {
    method: 'PATCH',
    body: `a=ice-ufrag:${of('ice-ufrag', offer)}\\r\\na=ice-pwd:${of('ice-pwd', offer)}\\r\\n`,
    headers: {
      'content-type': 'application/trickle-ice-sdpfrag', 'if-match': '*', authorization: `Bearer ${token}`,
    },
  });
  const fragment = await response.text();
  if (response.status !== 200) return {status: response.status, body: fragment};
  const answer = connection.currentRemoteDescription.sdp
    .replace(/a=ice-ufrag:.*/g, `a=ice-ufrag:${of('ice-ufrag', fragment)}`)
    .replace(/a=ice-pwd:.*/g, `a=ice-pwd:${of('ice-pwd', fragment)}`);
  await connection.setRemoteDescription({type: 'answer', sdp: answer});
  const restarted = async () => {
    const stats = [...(await connection.getStats()).values()].find(({type}) => type === 'transport');
    return stats.iceLocalUsernameFragment === of('ice-ufrag', offer) && stats.iceState === 'connected';
  };
  for (let tries = 0; tries < 100 && !(await restarted()); tries += 1) {
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return {status: 200, restarted: await restarted(), etag: response.headers.get('etag')};
}
"""


async def test_a_browser_restarts_ice_and_another_one_watches_over_tcp(
    people: People, http: httpx.AsyncClient, stack: LocalStack
) -> None:
    room, owner, viewer, publisher, player, published = await _published(people, http, stack)
    await _live(http, room, True)
    watched = await player.page.evaluate(
        _EXCHANGE, {"path": f"/v1/rooms/{room}/whep", "token": viewer, "publish": False, "tcp": True}
    )
    await player.watches()
    protocols = await player.page.evaluate("""
        async () => [...(await window.session.connection.getStats()).values()]
            .filter(({type}) => type === 'remote-candidate').map(({protocol}) => protocol)
    """)
    assert set(protocols) == {"tcp"}

    for person, session, token in ((publisher, published, owner), (player, watched, viewer)):
        path = session["headers"]["location"]
        restarted = await person.page.evaluate(_RESTART, {"path": path, "token": token})
        assert restarted["status"] == 200, restarted
        assert restarted["restarted"]
        assert restarted["etag"] != session["headers"]["etag"]
    await player.watches()


async def test_the_api_can_be_browsed_without_anything_from_elsewhere(people: People, stack: LocalStack) -> None:
    reader = await people("reader")
    requested: list[str] = []
    reader.page.on("request", lambda request: requested.append(request.url))
    await reader.page.goto(f"{stack.url}/docs")
    await expect(reader.page.get_by_text("/v1/rooms/{room_id}/whip").first).to_be_visible(timeout=TIMEOUT_MS)
    assert all(url.startswith((stack.url, "data:", "blob:")) for url in requested), requested
    assert not reader.console


def _is_created(response: dict[str, Any], prefix: str) -> None:
    assert response["status"] == 201, response["body"]
    headers = response["headers"]
    assert headers["content-type"].startswith("application/sdp")
    assert headers["location"].startswith(prefix)
    assert headers["etag"].startswith('"')
    assert headers["etag"].endswith('"')


async def _live(http: httpx.AsyncClient, room: str, wanted: bool) -> None:
    for _ in range(200):
        if (await http.get(f"/v1/rooms/{room}")).json()["live"] is wanted:
            return
    raise AssertionError(f"live is not {wanted}")


async def _published(
    people: People, http: httpx.AsyncClient, stack: LocalStack
) -> tuple[str, str, str, Person, Person, dict[str, Any]]:
    """A room, tokens of owner and viewer, two plain pages, and what the publishing of the first was answered with."""
    ana, bo = await guest(http, "Ana"), await guest(http, "Bo")
    room, owner = await ana.create_room("Plain")
    viewer = await bo.room_token(room)
    publisher, player = await people("publisher"), await people("player")
    for page in (publisher.page, player.page):
        await page.goto(f"{stack.url}/")
    published = await publisher.page.evaluate(
        _EXCHANGE, {"path": f"/v1/rooms/{room}/whip", "token": owner, "publish": True}
    )
    return room, owner, viewer, publisher, player, published
