"""Viewers that go through real ICE and DTLS in Python and then leave their sockets to a sink in C."""

import asyncio
import socket
import struct
import time
from collections.abc import Callable
from typing import Any, Final

import httpx

from tests.sfu_fleet.peer import Peer

from .stream import sent_at

# Not in Python's socket module (Linux, socket(7)).
_SO_TIMESTAMPNS: Final = 35
_KEEP_ALIVE_S: Final = 3.0
_RECEIVE_BUFFER: Final = 2 * 1024 * 1024


class Viewer(Peer):
    """A peer whose socket outlives its Python side."""

    sock: socket.socket | None = None

    async def rebind(self) -> None:
        """Open a socket that can be given away: asyncio gets a duplicate."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        sock.bind(("127.0.0.1", 0))
        self.sock = sock
        self._transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, sock=sock.dup())

    def release(self) -> socket.socket:
        """Stop listening in Python; the association stays. The socket is the caller's."""
        assert self._transport is not None
        assert self.sock is not None
        if self.dtls._task is not None:
            self.dtls._task.cancel()
        self._transport.close()
        return self.sock

    def keep_alive(self) -> None:
        """Send a connectivity check."""
        if self.sock is not None:
            self.sock.sendto(self.binding_request(), self._remote)

    @property
    def keys(self) -> Any:  # noqa: ANN401 - aiortc's own
        """The decrypting SRTP session."""
        return self.dtls._rx_srtp


class Witness:
    """Reads one viewer's socket in Python: delay from the sender's clock to the kernel's time of arrival."""

    def __init__(self, viewer: Viewer) -> None:
        self._keys = viewer.keys
        self._sock = viewer.release()
        self._sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self.delays_ms: list[float] = []
        self.packets = 0
        asyncio.get_running_loop().add_reader(self._sock, self._read)

    def close(self) -> None:
        """Stop reading."""
        asyncio.get_running_loop().remove_reader(self._sock)

    def _read(self) -> None:
        for _ in range(64):
            try:
                data, ancillary, _, _ = self._sock.recvmsg(2048, 64)
            except BlockingIOError:
                return
            if not 128 <= data[0] < 192 or 192 <= data[1] < 224:
                continue
            self.packets += 1
            arrived = next(
                (
                    seconds * 1_000_000_000 + nanoseconds
                    for level, kind, value in ancillary
                    if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS
                    for seconds, nanoseconds in [struct.unpack("=qq", value[:16])]
                ),
                time.time_ns(),
            )
            sent = sent_at(self._keys.unprotect(data))
            if sent is not None:
                self.delays_ms.append((arrived - sent) / 1e6)


class Control:
    """The worker's control API, as the functions use it."""

    def __init__(self, http: httpx.AsyncClient, token: Callable[[str], str], room: str) -> None:
        self._http = http
        self._token = token
        self._room = room

    async def publish(self, peer: Peer) -> None:
        """Connect a publisher."""
        created = await self._create("publisher", "publish", peer.publish_offer())
        # The worker is the DTLS client where the offer lets it choose (RFC 5763, section 5).
        await peer.connect(created["sdp"], client="a=setup:passive" in created["sdp"])

    async def view(self, viewer: Viewer, name: str) -> None:
        """Connect a viewer."""
        created = await self._create(name, "subscribe", None)
        response = await self._http.put(
            f"/v1/sessions/{created['session']}/answer",
            json={"sdp": viewer.view_answer(created["sdp"])},
            headers=self._headers(name),
        )
        response.raise_for_status()
        await viewer.connect(created["sdp"], client=True)

    async def _create(self, name: str, kind: str, offer: str | None) -> dict[str, Any]:
        body = {"room": self._room, "participant": name, "name": name, "kind": kind, "offer": offer}
        response = await self._http.post("/v1/sessions", json=body, headers=self._headers(name))
        response.raise_for_status()
        created: dict[str, Any] = response.json()
        return created

    def _headers(self, name: str) -> dict[str, str]:
        return {"authorization": f"Bearer {self._token(name)}"}


async def keep_alive(viewers: list[Viewer]) -> None:
    """Let the worker know that everybody is there, until cancelled."""
    while True:
        for viewer in list(viewers):
            viewer.keep_alive()
            await asyncio.sleep(_KEEP_ALIVE_S / max(1, len(viewers)))
        if not viewers:
            await asyncio.sleep(0.1)
