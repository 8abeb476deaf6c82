"""Signing keys are rotated while the platform is used: how many good tokens are refused (none must be).

Two function processes and a worker, which follow a key file. Clients refresh their identity at one process and use it
at the other, for room tokens, room sockets, and an offer that a worker has to judge, so every kind of token that there
is gets signed and verified across processes all the time. Meanwhile the command rotates the keys, again and again, with
a lead that is just longer than it takes every process to read the file. Run with `python -m tests.bench.rotation`. The
last line is one JSON object; the exit code is 1 when a good token was refused.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

import httpx
import jwt
import msgspec
from websockets.asyncio.client import connect

from shared.protocol import messages as m
from shared.protocol.errors import ErrorCode
from shared.security import __main__ as command
from shared.security.key_source import FILE_INTERVAL_S
from shared.security.keys import KeyRing
from shared.stack.stack import LocalStack
from tests.bench import machine
from tests.support.room_client import socket_url

LEAD_S: Final = 3 * FILE_INTERVAL_S
_OFFER = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"
# An identity may join once a second.
_JOIN_INTERVAL_S: Final = 1.1
_STATUS: Final = {ErrorCode.UNAUTHORIZED: 401, ErrorCode.TOKEN_EXPIRED: 401, ErrorCode.RATE_LIMITED: 429}
_SDP = {"content-type": "application/sdp"}


class Tally(msgspec.Struct):
    """What was answered: by what was asked and status; and tokens by the kid that signed them."""

    answers: Counter[tuple[str, int]] = msgspec.field(default_factory=Counter)
    kids: Counter[str] = msgspec.field(default_factory=Counter)

    def signed(self, token: str) -> str:
        """Count whose signature a token has."""
        self.kids[jwt.get_unverified_header(token)["kid"]] += 1
        return token

    @property
    def refused(self) -> dict[str, int]:
        """Good tokens that were refused, by what was asked."""
        return {asked: count for (asked, status), count in self.answers.items() if status == 401}


class Client:
    """Somebody who does everything that takes a token, in turn, at two function processes."""

    def __init__(self, http: list[httpx.AsyncClient], stack: LocalStack, tally: Tally) -> None:
        self._http = http
        self._stack = stack
        self._tally = tally
        self._identity = self._refresh_token = self._room = ""
        self._turn = 0
        self._joins_at = 0.0

    async def begin(self) -> None:
        """Become a guest, and have a room."""
        guest = (await self._http[0].post("/v1/guests", json={"name": "Ana"})).raise_for_status().json()
        self._identity, self._refresh_token = guest["token"], guest["refresh_token"]
        room = (await self._post("/v1/rooms", {"title": "t"}, self._identity)).raise_for_status().json()
        self._room = room["room"]["id"]

    async def go_round(self) -> None:
        """Refresh, get a room token, join the room, offer a stream, each at the other process than the one before."""
        renewed = await self._post("/v1/sessions/refresh", {"refresh_token": self._refresh_token})
        self._count("refresh", renewed)
        self._refresh_token = renewed.json()["refresh_token"]
        self._identity = self._tally.signed(renewed.json()["token"])
        entered = await self._post(f"/v1/rooms/{self._room}/tokens", {}, self._identity)
        self._count("room_token", entered)
        token = self._tally.signed(entered.json()["token"])
        if time.monotonic() >= self._joins_at:
            self._joins_at = time.monotonic() + _JOIN_INTERVAL_S
            await self._join(token)
        headers = _SDP | {"authorization": f"Bearer {token}"}
        # What it answers to a good token is that there is nothing to agree on in the offer.
        offered = await self._next().post(f"/v1/rooms/{self._room}/whip", content=_OFFER, headers=headers)
        self._count("worker", offered)

    async def _join(self, token: str) -> None:
        self._turn += 1
        url = self._stack.functions[self._turn % len(self._http)].url
        async with connect(socket_url(url, self._room), subprotocols=[m.SUBPROTOCOL]) as socket:  # type: ignore[list-item]
            await socket.send(m.encode(m.Join(token)))
            frame = await asyncio.wait_for(socket.recv(), 10)
            assert isinstance(frame, bytes)
            said = m.decode_server(frame)
            status = _STATUS.get(ErrorCode(said.code), 400) if isinstance(said, m.Error) else 101
            self._tally.answers["socket", status] += 1

    async def _post(self, path: str, body: dict[str, Any], token: str = "") -> httpx.Response:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        return await self._next().post(path, json=body, headers=headers)

    def _next(self) -> httpx.AsyncClient:
        self._turn += 1
        return self._http[self._turn % len(self._http)]

    def _count(self, asked: str, response: httpx.Response) -> None:
        self._tally.answers[asked, response.status_code] += 1


async def rotate_under_load(stack: LocalStack, *, rotations: int, clients: int, lead_s: float = LEAD_S) -> Tally:
    """Rotate the keys of a running stack so many times while clients go on; what they were answered."""
    tally = Tally()
    async with (
        httpx.AsyncClient(base_url=stack.functions[0].url, timeout=30) as one,
        httpx.AsyncClient(base_url=stack.functions[1].url, timeout=30) as two,
    ):
        people = [Client([one, two], stack, tally) for _ in range(clients)]
        for person in people:
            await person.begin()
        over = asyncio.Event()

        async def use(person: Client) -> None:
            while not over.is_set():
                await person.go_round()

        uses = [asyncio.create_task(use(person)) for person in people]
        try:
            for _ in range(rotations):
                await asyncio.to_thread(rotate, stack, lead_s)
                await _signed_by_newest(stack, tally)
        finally:
            over.set()
            await asyncio.gather(*uses)
    return tally


def rotate(stack: LocalStack, lead_s: float) -> None:
    """Rotate the keys of a running stack; the new one signs after `lead_s`.

    Raises:
        RuntimeError: the command failed.
    """
    files = ["--file", str(stack.keys_file), "--public", str(stack.public_keys_file)]
    if command.main(["rotate", *files, "--lead", str(lead_s)]):
        raise RuntimeError("the keys could not be rotated")


async def _signed_by_newest(stack: LocalStack, tally: Tally) -> None:
    """Wait until tokens of the key that was made last are around, a few times as many as there are processes."""
    newest = next(iter(KeyRing.from_jwks(stack.keys_file.read_text(encoding="utf-8")).keys))
    async with asyncio.timeout(60):
        while tally.kids[newest] < 20:
            await asyncio.sleep(0.05)


async def _run(rotations: int, clients: int, folder: Path) -> dict[str, Any]:
    environ = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    async with LocalStack(folder, functions=2, workers=1, environ=environ, report=lambda _: None) as stack:
        began = time.monotonic()
        tally = await rotate_under_load(stack, rotations=rotations, clients=clients)
        seconds = time.monotonic() - began
    for (asked, status), count in sorted(tally.answers.items()):
        print(f"{asked:12} {status} {count:8}")
    print(f"tokens by key: {dict(tally.kids)}")
    return {
        "rotations_count": rotations,
        "clients_count": clients,
        "lead_s": LEAD_S,
        "run_s": round(seconds, 1),
        "answers_count": sum(tally.answers.values()),
        "keys_that_signed_count": len(tally.kids),
        "refused_good_tokens_count": sum(tally.refused.values()),
    }


def main() -> int:
    """Run it; 1 when a good token was refused."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.rotation", description=__doc__)
    parser.add_argument("--rotations", type=int, default=10)
    parser.add_argument("--clients", type=int, default=16)
    given = parser.parse_args()
    print(machine.describe())
    with tempfile.TemporaryDirectory() as folder:
        result = asyncio.run(_run(given.rotations, given.clients, Path(folder)))
    print(json.dumps(result))
    return 1 if result["refused_good_tokens_count"] else 0


if __name__ == "__main__":
    sys.exit(main())
