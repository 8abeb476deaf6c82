"""Viewers that go through real ICE and DTLS in Python and then leave their sockets to a sink in C."""

import asyncio
import random
import re
import socket
import struct
import time
from collections.abc import Sequence
from typing import Any, Final

from aioice import stun
from pylibsrtp._binding import ffi as srtp_ffi  # type: ignore[import-not-found]

from sfu_fleet.dtls import PROTECT_RTCP
from sfu_fleet.native.addresses import sockaddr
from tests.sfu_fleet.peer import TRANSPORT_CC_URI, Peer

from .native import ffi, load
from .stream import sent_at

# Not in Python's socket module (Linux, socket(7)).
_SO_TIMESTAMPNS: Final = 35
# RFC 8445, section 5.1.2.1, of the only host candidate.
_HOST_PRIORITY: Final = 2_130_706_431
_KEEP_ALIVE_S: Final = 4.0
_KEEP_ALIVE_STEP_S: Final = 0.05
_RECEIVE_BUFFER: Final = 2 * 1024 * 1024


class Viewer(Peer):
    """A peer whose socket outlives its Python side."""

    sock: socket.socket | None = None
    check_due = 0.0
    feedback_extension = 0
    """The header extension with transport-wide numbers, where they were offered."""
    _sinks: Any = None
    _sink: Any = None

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Answer the connectivity checks of a full ICE agent (RFC 8445, section 7.3); the rest is a peer's."""
        if data[0] < 4 and (check := stun.parse_message(data)).message_class == stun.Class.REQUEST:
            answer = stun.Message(stun.Method.BINDING, stun.Class.RESPONSE, transaction_id=check.transaction_id)
            answer.attributes["XOR-MAPPED-ADDRESS"] = addr
            answer.add_message_integrity(self.password.encode())
            self.send_raw(bytes(answer))
        else:
            super().datagram_received(data, addr)

    async def rebind(self) -> None:
        """Open a socket that can be given away, unless it is open: asyncio gets a duplicate."""
        # The other end is on this machine: an address of its own reaches it over lo, as loopback addresses do.
        await self.bind(self._remote[0])

    async def bind(self, host: str) -> None:
        """Open the socket already, for a description that has its candidate."""
        if self.sock is not None:
            return
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        sock.bind((host, 0))
        self.sock = sock
        self._transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, sock=sock.dup())

    def with_candidate(self, description: str) -> str:
        """A description of ours with our only candidate (RFC 8839, section 5.1), for a peer that needs to be told."""
        assert self.sock is not None
        host, port = self.sock.getsockname()
        candidate = f"a=candidate:1 1 udp {_HOST_PRIORITY} {host} {port} typ host\r\na=end-of-candidates\r\n"
        return description.replace("a=mid:0\r\n", f"a=mid:0\r\n{candidate}", 1)

    def release(self) -> socket.socket:
        """Stop listening in Python; the association stays. The socket is the caller's."""
        assert self.sock is not None
        if self.dtls._task is not None:
            self.dtls._task.cancel()
        if self._transport is not None:
            self._transport.close()
        return self.sock

    def view_answer(self, offer: str, *, setup: str = "active", rtx: bool = False) -> str:
        """Answer, and remember what the other end wants feedback about."""
        found = re.search(rf"^a=extmap:(\d+) {re.escape(TRANSPORT_CC_URI)}", offer, re.MULTILINE)
        self.feedback_extension = int(found[1]) if found else 0
        return super().view_answer(offer, setup=setup, rtx=rtx)

    def sink(self, sinks: Any) -> None:  # noqa: ANN401 - of C
        """Leave what arrives to C from now on, feedback included."""
        self._sinks, self._sink = sinks, load().sinks_add(sinks, self.release().fileno())
        if self.feedback_extension:
            self._sending = self.dtls._tx_srtp
            load().sinks_feed_back(
                sinks,
                self._sink,
                self.feedback_extension,
                ffi.cast("void *", int(srtp_ffi.cast("uintptr_t", self._sending._srtp[0]))),
                ffi.cast("void *", PROTECT_RTCP),
                sockaddr((self._remote[0], self._remote[1])),
            )

    def keep_alive(self) -> None:
        """Send a connectivity check."""
        if self.sock is not None and self.sock.fileno() >= 0:
            self.sock.sendto(self.binding_request(), self._remote)

    def discard(self) -> None:
        """Close the socket; the other end may find out for itself."""
        if self._sink is not None:
            load().sinks_drop(self._sinks, self._sink)
            self._sink = None
        if self.sock is not None:
            self.release().close()

    @property
    def protection(self) -> str:
        """The SRTP profile that DTLS chose (RFC 5764, section 4.1.2)."""
        assert self.dtls._ssl is not None
        return self.dtls._ssl.get_selected_srtp_profile().decode()

    @property
    def keys(self) -> Any:  # noqa: ANN401 - aiortc's own
        """The decrypting SRTP session."""
        return self.dtls._rx_srtp


class Witness:
    """Reads one viewer's socket in Python: delay from the sender's clock to the kernel's time of arrival."""

    def __init__(self, viewer: Viewer) -> None:
        self.viewer = viewer
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


async def keep_alive(peers: Sequence[Viewer]) -> None:
    """Let the worker know that everybody is there, until cancelled."""
    while True:
        await asyncio.sleep(_KEEP_ALIVE_STEP_S)
        now = time.monotonic()
        for peer in [peer for peer in peers if peer.check_due <= now]:
            peer.keep_alive()
            # Not all of those at once who joined at once.
            peer.check_due = now + random.uniform(0.5, 1.0) * _KEEP_ALIVE_S
