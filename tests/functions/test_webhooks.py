"""Webhooks: signed, delivered once for each event, again until they arrive, and never to where they may not go."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any

import httpcore
import httpx
import pytest
import pytest_asyncio
from pymongo import AsyncMongoClient
from redis.asyncio import Redis
from standardwebhooks.webhooks import Webhook as Verifier

from functions.archive.notices import NoticeMover
from functions.webhooks.announcing import Announcer
from functions.webhooks.dispatcher import Dispatcher
from functions.webhooks.guard import Forbidden, Guard, check_url, is_public
from functions.webhooks.sending import Sender
from shared.protocol.events import Event
from shared.protocol.messages import GiftEvent, StreamEnded, StreamStarted, encode
from shared.stack.stack import LocalStack
from shared.state.audience import AudienceHistory
from shared.state.directory import Owner, Room, RoomDirectory
from shared.state.documents import Document
from shared.state.notices import Notices
from shared.state.recordings import Recording
from shared.state.webhooks import Deliveries, EventName, NewDelivery, Webhook, Webhooks
from tests.support import mongodb as support
from tests.support.room_client import guest

DATABASE = "webhooks"
ALL: list[EventName] = [
    "stream.started", "stream.ended", "room.full", "recording.ready", "recording.failed", "gift.received",
]  # fmt: skip


class Receiver:
    """A server that is told; `answer` says with which status it answers."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.answer: Callable[[int], int] = lambda _: 204
        self.url = ""
        self.connections: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.append(writer.get_extra_info("peername")[0])
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head.split("\r\n")[1:])}
        body = await reader.readexactly(int(headers["content-length"]))
        self.got.append((headers, body))
        status = self.answer(len(self.got))
        writer.write(f"HTTP/1.1 {status} x\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n".encode())
        await writer.drain()
        writer.close()


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook?x=1"
    async with server:
        yield receiver


class Scene:
    """An owner with a room and the parts that tell."""

    def __init__(self, client: AsyncMongoClient[Document], sender: Sender, room: Room) -> None:
        self.webhooks = Webhooks(client, DATABASE)
        self.deliveries = Deliveries(client, DATABASE)
        self.directory = RoomDirectory(client, DATABASE)
        self.announcer = Announcer(self.directory, self.webhooks, self.deliveries)
        self.history = AudienceHistory(client, DATABASE)
        self.dispatcher = Dispatcher(self.webhooks, self.deliveries, sender, delays_s=(0.0, 0.0))
        self.room = room
        self._collection = client[DATABASE]["webhook_deliveries"]

    async def hook(self, url: str, events: list[EventName] | None = None, room: str = "") -> Webhook:
        return await self.webhooks.create("p1", url, events or ALL, room=room)

    async def send_all(self) -> int:
        """Send what is due, as long as there is something."""
        sent = 0
        while await self.dispatcher.send_one():
            sent += 1
        return sent

    async def due_now(self) -> None:
        await self._collection.update_many({"state": "pending"}, {"$set": {"due": datetime.now(UTC)}})


@pytest_asyncio.fixture
async def scene(state: LocalStack) -> AsyncIterator[Scene]:
    sender = Sender(insecure=True)
    async with support.connect(state.mongodb_uri) as client:
        await support.empty(client, state.mongodb_uri, DATABASE)
        room = await RoomDirectory(client, DATABASE).create("Late night", Owner("p1", "Ana"))
        yield Scene(client, sender, room)
    await sender.close()


def _entries() -> list[tuple[int, bytes]]:
    events: list[Event] = [StreamStarted("w-1", "Ana"), GiftEvent("p2", "Bo", 7, "rose", 2), StreamEnded("w-1", "left")]
    return [(1_764_000_000_000_000 + number, encode(event)) for number, event in enumerate(events)]


def _recording(room: str) -> Recording:
    return Recording(
        id="w1-1", room=room, host="h", started_at=datetime.now(UTC), state="ready", media_type="video/webm", file="f",
        codecs=[],
    )  # fmt: skip


async def test_each_event_is_told_once_signed_and_verified_by_another_implementation(
    scene: Scene, redis: Redis
) -> None:
    async with receiving() as receiver:
        hook = await scene.hook(receiver.url)
        for _ in range(2):  # an archiver that died reads again
            await scene.announcer.entries(scene.room.id, _entries())
            await scene.announcer.recording(_recording(scene.room.id))
        notices = Notices(redis, "test")
        await notices.room_full(scene.room.id, 1500)
        await notices.room_full(scene.room.id, 1500)
        assert await NoticeMover(notices, scene.history, scene.directory, scene.announcer).move()
        assert await scene.send_all() == 5
        told = []
        for headers, body in receiver.got:
            told.append(Verifier(hook.secret).verify(body, headers))
            assert headers["host"] == receiver.url.split("/")[2]
        assert sorted(one["type"] for one in told) == sorted(
            ["stream.started", "stream.ended", "gift.received", "recording.ready", "room.full"]
        )
        gift = next(one for one in told if one["type"] == "gift.received")["data"]
        assert (gift["gift"], gift["quantity"], gift["sender"]) == ("rose", 2, {"id": "p2", "name": "Bo"})
        assert gift["room"] == {"id": scene.room.id, "title": "Late night"}
        assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 5


async def test_only_what_was_asked_for_of_the_rooms_that_were_meant_is_told(scene: Scene) -> None:
    async with receiving() as receiver:
        await scene.hook(receiver.url, ["stream.ended"])
        await scene.hook(receiver.url, ["stream.started"], room="abcdefghjk")
        off = await scene.hook(receiver.url)
        await scene.webhooks.update(off.id, version=1, active=False)
        await scene.announcer.entries(scene.room.id, _entries())
        await scene.send_all()
        assert [json.loads(body)["type"] for _, body in receiver.got] == ["stream.ended"]


async def test_what_does_not_arrive_is_told_again_until_it_does_or_is_given_up(scene: Scene) -> None:
    async with receiving() as receiver:
        hook = await scene.hook(receiver.url, ["stream.started"])
        receiver.answer = lambda count: 500 if count < 3 else 200
        await scene.announcer.entries(scene.room.id, _entries())
        for _ in range(3):
            await scene.send_all()
            await scene.due_now()
        (delivery,), _ = await scene.deliveries.of_webhook(hook.id, limit=5)
        assert (delivery.state, [attempt.status for attempt in delivery.attempts]) == ("delivered", [500, 500, 200])
        assert len({body for _, body in receiver.got}) == 1
        found = await scene.webhooks.find(hook.id)
        assert found is not None
        assert found.failing_since is None
        receiver.answer = lambda _: 302
        await scene.deliveries.again(delivery)
        for _ in range(4):
            await scene.send_all()
            await scene.due_now()
        (delivery,), _ = await scene.deliveries.of_webhook(hook.id, limit=5)
        assert (delivery.state, delivery.attempts[-1].error) == ("failed", "redirects are not followed")
        found = await scene.webhooks.find(hook.id)
        assert found is not None
        assert found.failing_since is not None
        assert found.active


async def test_a_webhook_that_is_gone_is_switched_off(scene: Scene) -> None:
    async with receiving() as receiver:
        hook = await scene.hook(receiver.url, ["stream.started"])
        receiver.answer = lambda _: 410
        await scene.announcer.entries(scene.room.id, _entries())
        await scene.send_all()
        found = await scene.webhooks.find(hook.id)
        assert found is not None
        assert not found.active


async def test_a_delivery_whose_sender_died_is_sent_by_another(scene: Scene) -> None:
    async with receiving() as receiver:
        hook = await scene.hook(receiver.url, ["stream.started"])
        await scene.announcer.entries(scene.room.id, _entries())
        taken = await scene.deliveries.claim()
        assert taken is not None
        assert await scene.deliveries.claim() is None
        assert taken.due - datetime.now(UTC) > timedelta(seconds=30)
        await scene.due_now()
        await scene.send_all()
        assert len(receiver.got) == 1
        await scene.webhooks.delete(hook.id)
        await scene.deliveries.add([NewDelivery(hook.id, "late", "ping", "{}")])
        await scene.send_all()
        assert await scene.deliveries.of_webhook(hook.id, limit=5) == ([], None)


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "192.168.0.1", "172.16.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
     "255.255.255.255", "::1", "::", "fe80::1", "fc00::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1",
     "2002:7f00:1::", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "ff02::1", "192.0.0.1", "198.18.0.1", "240.0.0.1"],
)  # fmt: skip
def test_an_address_that_is_not_of_the_internet_is_refused(address: str) -> None:
    assert not is_public(ip_address(address))
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(Forbidden):
        check_url(f"https://{host}/x", insecure=False)


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946", "::ffff:93.184.216.34"])
def test_an_address_of_the_internet_is_taken(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    "url",
    ["http://example.com/", "ftp://example.com/", "https://", "https:///x", "https://a@example.com/",
     "https://a:b@example.com/", "https://example.com/#x", "https://example.com:22/", "https://example.com:99999/",
     "https://exa mple.com/", "https://example.com/\n", "https://exämple.com/", "//example.com/", "x", "",
     "https://example.com/" + "a" * 2000, "https://[::1]/", "https://[/", "https://127.0.0.1:8443/"],
)  # fmt: skip
def test_a_url_that_no_webhook_may_have_is_refused(url: str) -> None:
    with pytest.raises(Forbidden):
        check_url(url, insecure=False)


async def test_a_name_that_turns_private_after_it_was_checked_is_not_connected_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """DNS rebinding: the first look-up is of a public address, each later one of ours. There is no later one."""
    looked: list[str] = []

    async def resolve(host: str, port: int, **_: Any) -> list[Any]:  # noqa: ANN401 - as the loop's
        looked.append(host)
        address = "93.184.216.34" if len(looked) == 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    connected: list[str] = []

    async def connect(_self: object, host: str, *_: object, **__: object) -> httpcore.AsyncNetworkStream:
        connected.append(host)
        raise httpcore.ConnectError("not in a test")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve, raising=False)
    monkeypatch.setattr(httpcore.AnyIOBackend, "connect_tcp", connect)
    with pytest.raises(httpcore.ConnectError):
        await Guard(insecure=False).connect_tcp("rebind.example", 443)
    assert (looked, connected) == (["rebind.example"], ["93.184.216.34"])
    with pytest.raises(Forbidden):
        await Guard(insecure=False).connect_tcp("rebind.example", 443)
    assert connected == ["93.184.216.34"]


async def test_a_name_with_one_private_address_among_public_ones_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async def resolve(_host: str, port: int, **_: Any) -> list[Any]:  # noqa: ANN401 - as the loop's
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in ("93.184.216.34", "10.0.0.7")
        ]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve, raising=False)
    with pytest.raises(Forbidden):
        await Guard(insecure=False).connect_tcp("both.example", 443)


async def test_a_webhook_at_this_machine_gets_nothing_from_a_sender_that_guards(scene: Scene) -> None:
    async with receiving() as receiver:
        hook = await scene.hook(receiver.url.replace("127.0.0.1", "localhost").replace("http:", "https:"))
        sender = Sender(insecure=False)
        attempt = await sender.send(hook, await _delivery(scene, hook))
        await sender.close()
        assert attempt.error == "refused: its address is not a public one"
        assert receiver.connections == []


async def _delivery(scene: Scene, hook: Webhook) -> Any:  # noqa: ANN401 - a Delivery
    await scene.deliveries.add([NewDelivery(hook.id, "e", "ping", "{}")])
    return await scene.deliveries.find(f"{hook.id}:e")


async def test_an_owner_makes_reads_tries_changes_and_deletes_webhooks_over_http(http: httpx.AsyncClient) -> None:
    ana, bo = await guest(http, "Ana"), await guest(http, "Bo")
    room, _ = await ana.create_room()
    request = {"url": "https://example.com/x", "events": ["stream.started", "stream.started"], "room": room}
    made = await http.post("/v1/webhooks", json=request, headers=ana.headers)
    assert made.status_code == 201, made.text
    webhook, secret = made.json()["webhook"], made.json()["secret"]
    assert secret.startswith("whsec_")
    assert (webhook["events"], webhook["room"]) == (["stream.started"], room)
    path = made.headers["location"]
    read = await http.get(path, headers=ana.headers)
    assert (read.json(), "secret" in read.text) == (webhook, False)
    for stranger in (await http.get(path, headers=bo.headers), await http.delete(path, headers=bo.headers)):
        assert (stranger.status_code, stranger.json()["code"]) == (404, "webhook_unknown")
    changed = await http.patch(path, json={"active": False}, headers=ana.headers | {"if-match": read.headers["etag"]})
    assert changed.json()["active"] is False
    stale = await http.patch(path, json={"active": True}, headers=ana.headers | {"if-match": read.headers["etag"]})
    assert stale.status_code == 412
    pinged = await http.post(f"{path}/ping", headers=ana.headers)
    assert (pinged.status_code, pinged.json()["state"]) == (202, "pending")
    deliveries = (await http.get(f"{path}/deliveries", headers=ana.headers)).json()["deliveries"]
    assert [one["id"] for one in deliveries] == [pinged.json()["id"]]
    again = await http.post(f"{path}/deliveries/{pinged.json()['id']}/retry", headers=ana.headers)
    assert again.status_code == 202, again.text
    for url in ("http://example.com/", "https://127.0.0.1/", "https://169.254.169.254/latest/", "https://u:p@e.com/"):
        refused = await http.post("/v1/webhooks", json=request | {"url": url}, headers=ana.headers)
        assert (refused.status_code, refused.json()["code"]) == (400, "url_refused")
    theirs = await http.post("/v1/webhooks", json=request, headers=bo.headers)
    assert (theirs.status_code, theirs.json()["code"]) == (403, "forbidden")
    assert (await http.delete(path, headers=ana.headers)).status_code == 204
    assert (await http.get("/v1/webhooks", headers=ana.headers)).json()["webhooks"] == []
