"""The JSON twin on a real socket: the same room, seen by a client that reads text."""

import json

import httpx
import pytest
from websockets.asyncio.client import connect

from shared.protocol import messages as m
from shared.stack.stack import LocalStack
from tests.support.room_client import guest, joined, socket_url


@pytest.mark.parametrize("port", ["port", "socket_port"])
async def test_a_json_client_and_a_binary_one_talk_to_each_other(
    stack: LocalStack, http: httpx.AsyncClient, port: str
) -> None:
    room, owner = await (await guest(http, "Ana")).create_room()
    viewer = await (await guest(http, "Bo")).room_token(room)
    url = f"http://127.0.0.1:{getattr(stack.functions[0], port)}"
    protocols = [f"{m.SUBPROTOCOL}+json"]
    async with (
        joined(url, room, owner) as ana,
        connect(socket_url(url, room), subprotocols=protocols) as bo,  # type: ignore[arg-type]
    ):
        await bo.send(json.dumps([1, viewer]))
        welcome = json.loads(await bo.recv())
        assert welcome[0] == 33
        await bo.send(json.dumps([3, 77, "hello from text"]))
        await ana.until(lambda: [event.text for _, event in ana.chats] == ["hello from text"])
        await ana.say("hello from bytes")
        texts: list[str] = []
        while texts != ["hello from text", "hello from bytes"]:
            frame = json.loads(await bo.recv())
            if frame[0] == 35:
                texts += [event[4] for _, event in frame[2] if event[0] == 1]
        await bo.send("nonsense")
        while (frame := json.loads(await bo.recv()))[0] != 38:
            pass
        assert frame[1] == 1
