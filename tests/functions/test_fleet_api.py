import asyncio
import io
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from rich.console import Console

from shared.security import operators
from shared.security.keys import KeyRing
from shared.security.tokens import AUDIENCE_FLEET, Claims, Grant, Tokens
from shared.stack import fleet, fleet_view
from shared.stack.stack import LocalStack
from tests.sfu_fleet.peer import Peer
from tests.support.room_client import guest

SDP = {"content-type": "application/sdp"}


@pytest_asyncio.fixture
async def operator(stack: LocalStack) -> AsyncIterator[httpx.AsyncClient]:
    """A client with an operator's token, at another function process than `http`; drains are taken back."""
    token = operators.sign_operator(Tokens(KeyRing.from_jwks(stack.jwt_keys)), "ana", 60)
    headers = {"authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=stack.functions[1].url, headers=headers) as client:
        yield client
        for worker in (await client.get("/v1/fleet/workers")).json():
            if worker["drain"]:
                await client.delete(f"/v1/fleet/workers/{worker['id']}/drain")


class Scene:
    """A room with a publisher and a viewer who have exchanged descriptions."""

    def __init__(self, room: str, publisher: str, viewer: str) -> None:
        self.room = room
        self.publisher = publisher
        self.viewer = viewer

    @property
    def worker(self) -> str:
        return self.publisher.partition("-")[0]


async def _scene(http: httpx.AsyncClient) -> Scene:
    room, token = await (await guest(http, "Ana")).create_room()
    headers = SDP | {"authorization": f"Bearer {token}"}
    peer = Peer()
    published = await http.post(f"/v1/rooms/{room}/whip", content=peer.publish_offer(), headers=headers)
    watched = await http.post(f"/v1/rooms/{room}/whep", content=peer.view_offer(), headers=headers)
    assert (published.status_code, watched.status_code) == (201, 201), watched.text
    return Scene(room, *(answer.headers["location"].rpartition("/")[2] for answer in (published, watched)))


def _problem(response: httpx.Response, status: int, code: str) -> None:
    assert (response.status_code, response.json()["code"]) == (status, code), response.text


async def test_the_fleet_is_for_operators_alone(http: httpx.AsyncClient, stack: LocalStack) -> None:
    ana = await guest(http, "Ana")
    _, room_token = await ana.create_room()
    sign = Tokens(KeyRing.from_jwks(stack.jwt_keys)).sign
    without = sign(Claims(sub="ana"), audience=AUDIENCE_FLEET, lifetime_s=60)
    elsewhere = sign(Claims(sub="ana", grants=frozenset({Grant.OPERATE})), audience="headrace-room", lifetime_s=60)
    for method, path in (
        ("GET", "workers"), ("GET", "rooms"), ("GET", "rooms/x"), ("GET", "sessions/x"), ("PUT", "workers/x/drain"),
        ("DELETE", "workers/x/drain"), ("POST", "rooms/x/move"), ("POST", "sessions/x/move"),
    ):  # fmt: skip
        body: dict[str, str] | None = {} if method in {"PUT", "POST"} else None
        for token, status, code in (
            ("", 401, "unauthorized"),
            (ana.headers["authorization"].partition(" ")[2], 401, "token_refused"),
            (room_token, 401, "token_refused"),
            (elsewhere, 401, "token_refused"),
            (without, 403, "forbidden"),
        ):
            headers = {"authorization": f"Bearer {token}"} if token else {}
            _problem(await http.request(method, f"/v1/fleet/{path}", json=body, headers=headers), status, code)


async def test_workers_are_listed_with_what_placement_counts_with(operator: httpx.AsyncClient) -> None:
    workers = (await operator.get("/v1/fleet/workers")).json()
    assert [worker["id"] for worker in workers] == ["worker1", "worker2"]
    for worker in workers:
        assert worker["capacity_pps"] == 50_000
        assert 0 <= worker["booked_pps"] < worker["capacity_pps"]
        assert worker["media"].startswith("127.0.0.1:")
        assert (worker["draining"], worker["drain"]) == (False, None)


async def test_a_room_and_the_reason_why_its_viewer_is_there_can_be_read(
    http: httpx.AsyncClient, operator: httpx.AsyncClient
) -> None:
    scene = await _scene(http)
    room = (await operator.get(f"/v1/fleet/rooms/{scene.room}")).json()
    assert (room["room"], room["origin"], room["edges"]) == (scene.room, scene.worker, [])
    assert room["token"] > 0
    assert scene.room in {found["room"] for found in (await operator.get("/v1/fleet/rooms")).json()}
    of_worker = (await operator.get("/v1/fleet/rooms", params={"worker": scene.worker, "limit": 1000})).json()
    assert scene.room in {found["room"] for found in of_worker}
    explained = (await operator.get(f"/v1/fleet/sessions/{scene.viewer}")).json()
    assert (explained["room"], explained["kind"], explained["worker"]) == (scene.room, "subscribe", scene.worker)
    assert explained["placement"]["reason"] == "serves_room"
    (then,), (now,) = explained["placement"]["considered"], explained["now"]
    assert (then["worker"], then["verdict"], then["zone_distance"]) == (scene.worker, "admitted", 0)
    assert (now["worker"], now["verdict"]) == (scene.worker, "up")
    assert now["load"] >= then["load"]
    publisher = (await operator.get(f"/v1/fleet/sessions/{scene.publisher}")).json()
    assert (publisher["kind"], publisher["placement"]) == ("publish", None)


async def test_a_drained_worker_gets_no_room_until_the_drain_is_taken_back(
    http: httpx.AsyncClient, operator: httpx.AsyncClient
) -> None:
    response = await operator.put("/v1/fleet/workers/worker1/drain", json={"reason": "kernel update"})
    assert response.status_code == 200
    drained = response.json()
    assert (drained["id"], drained["draining"]) == ("worker1", True)
    assert (drained["drain"]["by"], drained["drain"]["reason"]) == ("ana", "kernel update")
    for _ in range(4):
        assert (await _scene(http)).worker == "worker2"
    listed = (await operator.get("/v1/fleet/workers")).json()
    assert [worker["draining"] for worker in listed] == [True, False]
    assert (await operator.delete("/v1/fleet/workers/worker1/drain")).status_code == 204
    _problem(await operator.delete("/v1/fleet/workers/worker1/drain"), 404, "not_draining")
    async with asyncio.timeout(20):
        # Functions go by a view of the fleet that is up to a quarter of a second old.
        while (await _scene(http)).worker != "worker1":
            await asyncio.sleep(0.1)


async def test_moves_are_ordered_and_those_that_make_no_sense_are_refused(
    http: httpx.AsyncClient, operator: httpx.AsyncClient
) -> None:
    scene = await _scene(http)
    other = "worker2" if scene.worker == "worker1" else "worker1"
    for path in (f"rooms/{scene.room}", f"sessions/{scene.viewer}"):
        url = f"/v1/fleet/{path}/move"
        _problem(await operator.post(url, json={"to": scene.worker}), 409, "already_there")
        _problem(await operator.post(url, json={"to": "nobody"}), 404, "worker_unknown")
        _problem(await operator.post(url, json={"where": other}), 400, "malformed")
    await operator.put(f"/v1/fleet/workers/{other}/drain", json={})
    _problem(await operator.post(f"/v1/fleet/sessions/{scene.viewer}/move", json={"to": other}), 409, "draining")
    await operator.delete(f"/v1/fleet/workers/{other}/drain")
    moved = await operator.post(f"/v1/fleet/sessions/{scene.viewer}/move", json={"to": other})
    assert moved.status_code == 202
    assert (await operator.post(f"/v1/fleet/rooms/{scene.room}/move", json={})).status_code == 202


async def test_what_is_not_there_is_said_to_be_so(operator: httpx.AsyncClient) -> None:
    _problem(await operator.get("/v1/fleet/rooms/nobody-here"), 404, "room_unserved")
    _problem(await operator.get("/v1/fleet/sessions/worker1-nobody"), 404, "unknown_session")
    _problem(await operator.get("/v1/fleet/sessions/nobody-x"), 404, "unknown_session")
    _problem(await operator.put("/v1/fleet/workers/nobody/drain", json={}), 404, "worker_unknown")
    _problem(await operator.post("/v1/fleet/rooms/nobody-here/move", json={}), 404, "room_unserved")


def test_a_token_is_printed_for_who_has_the_keys(
    stack: LocalStack, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = tmp_path / "keys.json"
    keys.write_text(stack.jwt_keys)
    assert operators.main(["ana", "--keys", str(keys), "--hours", "1"]) == 0
    claims = Tokens(KeyRing.from_jwks(stack.jwt_keys)).verify(capsys.readouterr().out.strip(), audience=AUDIENCE_FLEET)
    assert (claims.sub, claims.grants) == ("ana", frozenset({Grant.OPERATE}))
    monkeypatch.delenv(operators.KEYS, raising=False)
    assert operators.main(["ana"]) == 2
    monkeypatch.setenv(operators.KEYS, KeyRing.from_jwks(stack.jwt_keys).public_jwks())
    assert operators.main(["ana"]) == 2
    assert "no signing key" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        operators.main(["ana", "--hours", "13"])


async def _fleet(stack: LocalStack, keys: Path, *arguments: str) -> int:
    return await asyncio.to_thread(
        fleet.main, ["--url", stack.functions[0].url, "--keys", str(keys), "--once", *arguments]
    )


@pytest.mark.usefixtures("operator")  # which takes drains back
async def test_the_terminal_shows_the_fleet_and_operates_it(
    http: httpx.AsyncClient,
    stack: LocalStack,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("LINES", "500")  # other tests have left rooms, and all are to be shown
    monkeypatch.delenv(fleet.TOKEN, raising=False)
    keys = tmp_path / "keys.json"
    keys.write_text(stack.jwt_keys)
    scene = await _scene(http)
    assert await _fleet(stack, keys, "drain", "worker1", "--reason", "new kernel") == 0
    assert await _fleet(stack, keys) == 0
    shown = capsys.readouterr().out
    assert "2 workers  ·  1 draining" in shown
    assert re.search(r"worker1 +- +0\.1\.0 +draining \(\w+: new kernel\)", shown)
    assert scene.room in shown
    assert await _fleet(stack, keys, "undrain", "worker1") == 0
    assert await _fleet(stack, keys, "undrain", "worker1") == 1
    assert "nobody has told this worker to drain" in capsys.readouterr().err
    assert await _fleet(stack, keys, "explain", scene.viewer) == 0
    assert '"reason": "serves_room"' in capsys.readouterr().out
    assert await _fleet(stack, keys, "move", scene.room, "--to", scene.worker) == 1
    assert "already_there" in capsys.readouterr().err
    assert await _fleet(stack, tmp_path / "nowhere.json") == 2
    monkeypatch.setenv(fleet.TOKEN, "nonsense")
    assert await _fleet(stack, keys) == 1
    assert "token_refused" in capsys.readouterr().err


def test_of_many_workers_the_draining_and_the_fullest_are_shown() -> None:
    workers = [
        fleet_view.Worker(f"w{number:02d}", "", "", 100, number, number, 0, 50, 0, 0, draining=number == 3, drain=None)
        for number in range(60)
    ]
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(fleet_view.rendered(workers, [], at="12:00:00", lines=22))
    shown = console.export_text()
    assert "w03 " in shown
    assert "leaving" in shown
    assert "w59 " in shown
    assert "w50 " not in shown
    assert "… 50 more" in shown


def test_of_many_rooms_the_largest_are_shown() -> None:
    rooms = [fleet_view.Room(f"room-{number}", None, number, []) for number in range(100)]
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(fleet_view.rendered([], rooms, at="12:00:00", lines=20))
    shown = console.export_text()
    assert "room-99 " in shown
    assert "room-85 " not in shown
    assert "… 86 more" in shown
