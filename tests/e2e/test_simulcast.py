"""Simulcast from the studio page: each viewer gets the size that their way carries, and the picture goes on."""

import httpx
import pytest

from shared.stack.stack import LocalStack
from tests.e2e.conftest import People
from tests.support.room_client import guest
from tests.support.sfu import sessions
from tests.support.whep_player import INTACT, watch

pytestmark = pytest.mark.e2e

# Enough for the smallest layer, not for the next one.
NARROW = 250_000


async def test_a_broken_picture_would_be_noticed(people: People) -> None:
    page = (await people("Ana")).page
    painted = """
    (spots) => {
      const canvas = new OffscreenCanvas(320, 180);
      const context = canvas.getContext('2d');
      context.fillStyle = 'rgb(0 136 0)';
      context.fillRect(0, 0, 320, 180);
      context.fillStyle = 'rgb(128 128 128)';
      for (const [x, y] of spots) context.fillRect(x, y, 16, 16);
      return (INTACT)(canvas, 320, 180);
    }
    """.replace("INTACT", INTACT.strip())
    # A macroblock on the disc and in a corner, and one on the plain green.
    assert await page.evaluate(painted, [[150, 90], [0, 0]]) is True
    assert await page.evaluate(painted, [[64, 80]]) is False


async def test_two_viewers_of_one_stream_get_what_their_ways_carry(
    people: People, http: httpx.AsyncClient, stack: LocalStack
) -> None:
    ana = await people("Ana")
    room = await ana.create_room("Three sizes")
    await ana.go_live()
    token = await (await guest(http, "Bo")).room_token(room)
    layers = {report["rid"]: report for report in await ana.stats("outbound-rtp") if report["kind"] == "video"}
    assert set(layers) == {"q", "h", "f"}

    wide = await watch((await people("wide")).page, stack, room, token)
    narrow = await watch((await people("narrow")).page, stack, room, token, bitrate=NARROW)
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
    # Chromium's own feedback is what these estimates are made of.
    assert shown["bandwidth"]["source"] == "transport-cc"
    assert shown["bandwidth"]["feedbacks"] > 100
    assert shown["bandwidth"]["feedbacks_refused"] == 0
    assert {found["reason"] for found in shown["decisions"]} & {"fits", "trial"}
    fallen = by_session[wide.location.rsplit("/", 1)[1]]["adaptation"]["decisions"]
    assert {found["reason"] for found in fallen} & {"overuse", "loss", "queue"}
    for player in (wide, narrow):
        shown, broken = await player.pictures()
        assert shown > 30
        assert broken == 0
        await player.path.__aexit__()
