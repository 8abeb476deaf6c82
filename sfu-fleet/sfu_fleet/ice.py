"""ICE-lite (RFC 8445) for every session of a worker over one UDP socket.

A lite agent only answers connectivity checks. A check names its session by the user name fragment and proves it with
the password; from then on the address it came from stands for the session. A packet from any other address costs one
look-up and gets no answer.
"""

import asyncio
import socket
import struct
from typing import Protocol

import msgspec
from aioice import stun
from structlog import get_logger

from sfu_fleet.metrics import Metrics
from sfu_fleet.negotiation import random_ice_string

Address = tuple[str, int]

MAX_ADDRESSES = 8
RECEIVE_BUFFER = SEND_BUFFER = 4 * 1024 * 1024
_USERNAME = 0x0006
_ROLE_CONFLICT = (487, "Role Conflict")

log = get_logger(__name__)


class IceHandler(Protocol):
    """What a session does with the packets of its peer."""

    def on_dtls(self, data: bytes) -> None:
        """A DTLS record layer datagram, not authenticated yet."""

    def on_srtp(self, data: bytes) -> None:
        """An SRTP or SRTCP packet, not authenticated yet."""

    def on_check(self) -> None:
        """The peer sent an authenticated connectivity check."""


class Credentials(msgspec.Struct, frozen=True):
    """Our user name fragment and password for one session (128 bits of randomness in the password)."""

    ufrag: str
    password: str

    @classmethod
    def generate(cls) -> "Credentials":
        """Fresh ones."""
        return cls(random_ice_string(8), random_ice_string(24))


class IceAgent:
    """The ICE side of one session. `remote` is where its packets go, as soon as the peer has proved itself."""

    def __init__(self, credentials: Credentials, handler: IceHandler) -> None:
        self.credentials = credentials
        self.handler = handler
        self.key = credentials.password.encode()
        self.remote: Address | None = None
        self.nominated = False
        # Addresses that sent a valid check, oldest first.
        self.addresses: dict[Address, None] = {}


class MediaSocket(asyncio.DatagramProtocol):
    """The worker's UDP socket: demultiplexes STUN, DTLS and SRTP (RFC 7983) to the sessions."""

    def __init__(self, sock: socket.socket, metrics: Metrics) -> None:
        self._sock = sock
        self._metrics = metrics
        self._traffic = metrics.traffic
        self._by_ufrag: dict[str, IceAgent] = {}
        self._by_address: dict[Address, IceAgent] = {}
        self._transport: asyncio.BaseTransport | None = None

    @classmethod
    async def open(cls, host: str, port: int, metrics: Metrics) -> "MediaSocket":
        """Bind the socket.

        Raises:
            OSError: the address is taken or not ours.
        """
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            # The kernel caps these at net.core.rmem_max and wmem_max.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
            sock.bind((host, port))
            media_socket = cls(sock, metrics)
            loop = asyncio.get_running_loop()
            media_socket._transport, _ = await loop.create_datagram_endpoint(lambda: media_socket, sock=sock)
        except BaseException:
            sock.close()
            raise
        return media_socket

    @property
    def port(self) -> int:
        """The UDP port."""
        return int(self._sock.getsockname()[1])

    @property
    def family(self) -> int:
        """AF_INET or AF_INET6."""
        return self._sock.family

    def fileno(self) -> int:
        """The descriptor, for a plane that sends on its own."""
        return self._sock.fileno()

    def close(self) -> None:
        """Close the socket."""
        if self._transport is not None:
            self._transport.close()

    def add(self, agent: IceAgent) -> None:
        """Answer checks for this agent from now on."""
        self._by_ufrag[agent.credentials.ufrag] = agent

    def remove(self, agent: IceAgent) -> None:
        """Forget an agent and its addresses."""
        self._by_ufrag.pop(agent.credentials.ufrag, None)
        for address in agent.addresses:
            if self._by_address.get(address) is agent:
                del self._by_address[address]
        agent.addresses.clear()
        agent.remote = None

    def send(self, data: bytes | memoryview, address: Address) -> bool:
        """Send at once or not at all: media that would have to wait is worth nothing. False when it was dropped."""
        try:
            self._sock.sendto(data, address)
        except OSError:
            # The send buffer is full, or there is no route. Loss is what RTCP is there to repair.
            self._traffic.send_failures += 1
            return False
        return True

    def datagram_received(self, data: bytes, addr: Address) -> None:
        """Hand a datagram to its session; whatever is wrong with it stays here."""
        try:
            self._receive(data, addr[:2])
        except Exception:
            self._metrics.drop("internal_error")
            log.exception("datagram_failed", size=len(data), first=data[:1].hex())

    def error_received(self, exc: Exception) -> None:
        """Count an error that the kernel reports for an earlier send."""
        self._traffic.send_failures += 1
        log.debug("socket_error", error=str(exc))

    def _receive(self, data: bytes, address: Address) -> None:
        first = data[0] if data else 255
        if 128 <= first < 192:
            agent = self._by_address.get(address)
            if agent is not None:
                agent.handler.on_srtp(data)
                return
        elif 20 <= first < 64:
            agent = self._by_address.get(address)
            if agent is not None:
                agent.handler.on_dtls(data)
                return
        elif first < 4:
            self._on_stun(data, address)
            return
        else:
            self._metrics.drop("not_webrtc")
            return
        self._metrics.drop("unknown_address")

    def _on_stun(self, data: bytes, address: Address) -> None:
        agent = self._by_ufrag.get(local_ufrag(data))
        if agent is None:
            self._metrics.drop("unknown_ufrag")
            return
        try:
            request = stun.parse_message(data)
        except (ValueError, struct.error):
            # aioice checks the lengths of some attributes only.
            self._metrics.drop("stun_malformed")
            return
        if request.message_method != stun.Method.BINDING or request.message_class != stun.Class.REQUEST:
            self._metrics.drop("stun_unexpected")
            return
        if not request.check_message_integrity(agent.key):
            self._metrics.drop("stun_integrity")
            return
        if "ICE-CONTROLLED" in request.attributes:
            # RFC 8445, section 7.3.1.1: a lite agent is always the controlled one.
            self._answer(agent, request, address, stun.Class.ERROR, "ERROR-CODE", _ROLE_CONFLICT)
            return
        self._learn(agent, address, nominated="USE-CANDIDATE" in request.attributes)
        self._answer(agent, request, address, stun.Class.RESPONSE, "XOR-MAPPED-ADDRESS", address)
        self._traffic.stun_checks += 1
        agent.handler.on_check()

    def _answer(
        self, agent: IceAgent, request: stun.Message, address: Address, kind: stun.Class, name: str, value: object
    ) -> None:
        response = stun.Message(stun.Method.BINDING, kind, request.transaction_id, {name: value})
        response.add_message_integrity(agent.key)
        self.send(bytes(response), address)

    def _learn(self, agent: IceAgent, address: Address, *, nominated: bool) -> None:
        """Remember a proven address; the latest nominated one is where we send."""
        agent.addresses.pop(address, None)
        agent.addresses[address] = None
        self._by_address[address] = agent
        if nominated or not agent.nominated:
            agent.remote = address
            agent.nominated = agent.nominated or nominated
        while len(agent.addresses) > MAX_ADDRESSES:
            oldest = next(known for known in agent.addresses if known != agent.remote)
            del agent.addresses[oldest]
            if self._by_address.get(oldest) is agent:
                del self._by_address[oldest]


def local_ufrag(data: bytes) -> str:
    """Our half of the USERNAME of a STUN message (RFC 8445, section 7.2.2), read without parsing the rest.

    Empty when there is none. Strangers' packets stop here, before anything is built or hashed.
    """
    position, size = 20, len(data)
    while position + 4 <= size:
        kind, length = struct.unpack_from("!HH", data, position)
        position += 4
        if kind == _USERNAME:
            name = data[position : position + length]
            return name.partition(b":")[0].decode("ascii", "replace")
        position += length + -length % 4
    return ""
