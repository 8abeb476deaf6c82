"""ICE-lite (RFC 8445) for every session of a worker over one port.

A lite agent only answers connectivity checks. A check names its session by the user name fragment and proves it with
the password; from then on the address it came from stands for the session. A packet from any other address costs one
look-up and gets no answer, and no answer is longer than its question.
"""

import asyncio
import errno
import socket
import struct
from collections.abc import Callable
from typing import Any, Final, Protocol

import msgspec
from aioice import stun
from structlog import get_logger

from sfu_fleet import stun_answers
from sfu_fleet.congestion.estimator import Controller
from sfu_fleet.dtls import Ciphers, Inbound, Libsrtp
from sfu_fleet.ice_tcp import StreamAddress, Streams
from sfu_fleet.metrics import Metrics
from sfu_fleet.negotiation import random_ice_string

# How many parts an address has says which way its packets go: UDP over IPv4, TCP, UDP over IPv6. Sending costs one
# look-up by that number.
Address = tuple[str, int] | StreamAddress | tuple[str, int, int, int]
_IPV4: Final = 2
_TCP: Final = 3
_IPV6: Final = 4

MAX_ADDRESSES = 8
RECEIVE_BUFFER = SEND_BUFFER = 4 * 1024 * 1024
_USERNAME = 0x0006
_ROLE_CONFLICT = (487, "Role Conflict")
# So long after its last packet an address may be another session's: the port of a peer that has gone.
QUIET_S = 5.0
# A free UDP port may be taken for TCP or on the other family.
_PORT_TRIES = 20

log = get_logger(__name__)


class IceHandler(Protocol):
    """What a session does with the packets of its peer. `heard_at` is when it last sent something authentic."""

    heard_at: float

    def on_dtls(self, data: bytes) -> None:
        """A DTLS record layer datagram, not authenticated yet."""

    def on_srtp(self, data: bytes) -> None:
        """An SRTP or SRTCP packet, not authenticated yet."""

    def on_opened(self, data: bytes, *, rtcp: bool) -> None:
        """An RTP packet or an RTCP compound that has been authenticated and decrypted."""

    def on_fed(self) -> None:
        """The controller that the intake was told of has had feedback, and its estimate should be looked at."""

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

    @property
    def key(self) -> bytes:
        """What messages with these credentials are signed with."""
        return self.password.encode()


class IceAgent:
    """The ICE side of one session. `remote` is where its packets go, as soon as the peer has proved itself.

    During a restart (RFC 8445, section 9) `retiring` are the credentials from before: checks with them are answered
    until the first one with the new credentials has come.
    """

    def __init__(self, credentials: Credentials, handler: IceHandler) -> None:
        self.credentials = credentials
        self.retiring: Credentials | None = None
        self.handler = handler
        self.remote: Address | None = None
        self.nominated = False
        # Addresses that sent a valid check, oldest first.
        self.addresses: dict[Address, None] = {}


class Receiver(Protocol):
    """What an intake hands datagrams to."""

    def receive(self, data: bytes, address: Address) -> None:
        """A datagram as it came."""

    def receive_opened(self, data: bytes, agent: IceAgent, *, rtcp: bool) -> None:
        """What an agent's SRTP or SRTCP packet held."""

    def receive_estimate(self, agent: IceAgent) -> None:
        """What an agent's controller has been fed should be looked at."""

    def count_feedback(self, count: int) -> None:
        """So many packets of transport-wide feedback have been taken in."""

    def refuse(self, reason: str) -> None:
        """A datagram went no further."""


class Intake(Protocol):
    """Reads UDP sockets in place of the event loop, and decrypts what comes from known addresses."""

    def read(self, sock: socket.socket, receiver: Receiver) -> None:
        """Hand what arrives to the receiver, from now on."""

    def learn(self, agent: IceAgent, address: Address) -> None:
        """Packets from this address are this agent's."""

    def forget(self, address: Address) -> None:
        """Packets from this address are nobody's."""

    def agree(self, agent: IceAgent, inbound: Inbound | None) -> None:
        """Decrypt the agent's packets with these keys; with None, hand them on as they come."""

    def follow(self, agent: IceAgent, controller: Controller | None) -> None:
        """Feed the agent's transport-wide feedback to a controller, where that can be done; with None, no more."""

    def remove(self, agent: IceAgent) -> None:
        """Forget an agent that has no addresses any more."""

    def close(self) -> None:
        """Read no more."""


class MediaSocket(asyncio.DatagramProtocol):
    """The worker's port: demultiplexes STUN, DTLS and SRTP (RFC 7983) to the sessions, whichever way they came.

    UDP is read by the event loop, or by an intake.
    """

    def __init__(self, metrics: Metrics, intake: Intake | None = None) -> None:
        self._metrics = metrics
        self._intake = intake
        self._sockets: list[socket.socket] = []
        self._traffic = metrics.traffic
        self._by_ufrag: dict[str, IceAgent] = {}
        self._by_address: dict[Address, IceAgent] = {}
        self._transports: list[asyncio.BaseTransport] = []
        self._streams = Streams(self, metrics)
        # By the number of parts of the address.
        self._ways: list[Callable[[Any, Any], int]] = [_no_way] * 5
        self._ways[_TCP] = self._streams.send
        self._descriptors: dict[int, int] = {}
        self.ciphers: Ciphers = Libsrtp()
        """What encrypts to a peer, and decrypts what it sends."""
        # Told when an agent's packets go somewhere else from now on.
        self.on_moved: Callable[[IceAgent], None] = _nobody
        self.port = 0

    @classmethod
    async def open(
        cls,
        host: str,
        port: int,
        metrics: Metrics,
        *,
        ipv6_host: str = "",
        tcp: bool = False,
        intake: Intake | None = None,
    ) -> "MediaSocket":
        """Bind the port: for UDP on `host` and on `ipv6_host` if there is one, and for TCP on the same.

        Raises:
            OSError: the address is taken or not ours.
        """
        hosts = [host, ipv6_host] if ipv6_host else [host]
        bound = _bind(hosts, port, tcp=tcp, tries=1 if port else _PORT_TRIES)
        media_socket = cls(metrics, intake)
        try:
            await media_socket._serve(bound)
        except BaseException:
            media_socket.close()
            for sock in bound:
                sock.close()
            raise
        return media_socket

    async def _serve(self, bound: list[socket.socket]) -> None:
        loop = asyncio.get_running_loop()
        self.port = int(bound[0].getsockname()[1])
        for sock in bound:
            if sock.type == socket.SOCK_STREAM:
                await self._streams.listen(sock)
                continue
            if self._intake is not None:
                self._intake.read(sock, self)
                self._sockets.append(sock)
            else:
                transport, _ = await loop.create_datagram_endpoint(lambda: self, sock=sock)
                self._transports.append(transport)
            parts = _IPV6 if sock.family == socket.AF_INET6 else _IPV4
            self._ways[parts] = sock.sendto
            self._descriptors[parts] = sock.fileno()

    def descriptor(self, address: Address) -> int | None:
        """The socket that reaches a UDP address, for a plane that sends on its own; None for TCP."""
        return self._descriptors.get(len(address))

    def close(self) -> None:
        """Close the sockets."""
        self._streams.close()
        for transport in self._transports:
            transport.close()
        if self._intake is not None:
            self._intake.close()
            self._intake = None
        for sock in self._sockets:
            sock.close()
        self._sockets.clear()

    def add(self, agent: IceAgent) -> None:
        """Answer checks for this agent from now on."""
        self._by_ufrag[agent.credentials.ufrag] = agent

    def assume(self, agent: IceAgent, address: Address) -> None:
        """An agent's packets come from this address and go there: another worker's, which has told us so itself.

        Raises:
            OSError: the address stands for somebody else, or no socket of ours reaches it.
        """
        if self.descriptor(address) is None or not self._is_free(address, agent):
            raise OSError(errno.EADDRINUSE, f"{address[0]} cannot be had")
        self._learn(agent, address, nominated=True)

    def restart(self, agent: IceAgent) -> None:
        """Give an agent new credentials. Its packets go where they went until a check with these has come."""
        if agent.retiring is not None:
            self._by_ufrag.pop(agent.retiring.ufrag, None)
        agent.retiring, agent.credentials = agent.credentials, Credentials.generate()
        self._by_ufrag[agent.credentials.ufrag] = agent

    def remove(self, agent: IceAgent) -> None:
        """Forget an agent and its addresses."""
        for credentials in (agent.credentials, agent.retiring):
            if credentials is not None:
                self._by_ufrag.pop(credentials.ufrag, None)
        for address in list(agent.addresses):
            self._unlearn(agent, address)
        if self._intake is not None:
            self._intake.remove(agent)
        agent.remote = None

    def agree(self, agent: IceAgent, inbound: Inbound | None) -> None:
        """An agent's keys are agreed, or with None, gone: an intake decrypts with them from now on."""
        if self._intake is not None:
            self._intake.agree(agent, inbound)

    def follow(self, agent: IceAgent, controller: Controller | None) -> None:
        """An agent's feedback is for this controller: an intake may feed it."""
        if self._intake is not None:
            self._intake.follow(agent, controller)

    def send(self, data: bytes | memoryview, address: Address) -> bool:
        """Send at once or not at all: media that would have to wait is worth nothing. False when it was dropped."""
        try:
            self._ways[len(address)](data, address)
        except OSError:
            # The send buffer is full, or there is no route. Loss is what RTCP is there to repair.
            self._traffic.send_failures += 1
            return False
        return True

    def receive(self, data: bytes, address: Address) -> None:
        """Hand a datagram to its session; whatever is wrong with it stays here."""
        try:
            self._receive(data, address)
        except Exception:
            self._metrics.drop("internal_error")
            log.exception("datagram_failed", size=len(data), first=data[:1].hex())

    def receive_opened(self, data: bytes, agent: IceAgent, *, rtcp: bool) -> None:
        """Hand on what an intake has decrypted; whatever is wrong with it stays here."""
        try:
            agent.handler.on_opened(data, rtcp=rtcp)
        except Exception:
            self._metrics.drop("internal_error")
            log.exception("packet_failed", size=len(data), first=data[:2].hex())

    def receive_estimate(self, agent: IceAgent) -> None:
        """Have an agent's session look at its estimate; whatever goes wrong stays here."""
        try:
            agent.handler.on_fed()
        except Exception:
            self._metrics.drop("internal_error")
            log.exception("estimate_failed")

    def count_feedback(self, count: int) -> None:
        """Count feedback that an intake has taken in."""
        self._traffic.feedbacks_in += count

    def refuse(self, reason: str) -> None:
        """Count a datagram that an intake did not let pass."""
        self._metrics.drop(reason)

    def is_proven(self, address: Address) -> bool:
        """Whether the address stands for a session."""
        return address in self._by_address

    def forget(self, address: Address) -> None:
        """A connection is gone: its session goes on over the latest other address, if there is one."""
        agent = self._by_address.get(address)
        if agent is None:
            return
        self._unlearn(agent, address)
        if agent.remote == address:
            agent.remote = next(reversed(agent.addresses), None)
            self.on_moved(agent)

    def datagram_received(self, data: bytes, addr: Any) -> None:  # noqa: ANN401 - of four parts with IPv6
        """Take a UDP datagram."""
        self.receive(data, addr)

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
        check = self._authentic(data, address)
        if check is None:
            return
        agent, request, credentials = check
        key = credentials.key
        if "ICE-CONTROLLED" in request.attributes:
            # RFC 8445, section 7.3.1.1: a lite agent is always the controlled one.
            self._answer(_role_conflict(request.transaction_id, key), len(data), address)
            return
        answer = stun_answers.success(request.transaction_id, address[0], address[1], key)
        if not self._answer(answer, len(data), address):
            return
        if credentials is agent.credentials and agent.retiring is not None:
            self._by_ufrag.pop(agent.retiring.ufrag, None)
            agent.retiring = None
            agent.nominated = False
        self._learn(agent, address, nominated="USE-CANDIDATE" in request.attributes)
        self._traffic.stun_checks += 1
        agent.handler.on_check()

    def _authentic(self, data: bytes, address: Address) -> tuple[IceAgent, stun.Message, Credentials] | None:
        """Whose check it is, and with which credentials, of now or of before a restart; None where it is none."""
        ufrag = local_ufrag(data)
        agent = self._by_ufrag.get(ufrag)
        if agent is None:
            self._metrics.drop("unknown_ufrag")
            return None
        try:
            request = stun.parse_message(data)
        except (ValueError, struct.error):
            # aioice checks the lengths of some attributes only.
            self._metrics.drop("stun_malformed")
            return None
        if request.message_method != stun.Method.BINDING or request.message_class != stun.Class.REQUEST:
            self._metrics.drop("stun_unexpected")
            return None
        retiring = agent.retiring
        credentials = retiring if retiring is not None and ufrag == retiring.ufrag else agent.credentials
        if not request.check_message_integrity(credentials.key):
            self._metrics.drop("stun_integrity")
            return None
        if not self._is_free(address, agent):
            self._metrics.drop("address_taken")
            return None
        return agent, request, credentials

    def _answer(self, answer: bytes, size: int, address: Address) -> bool:
        """Answer a check, but never with more than it brought: a source address may be a victim's."""
        if len(answer) > size:
            self._metrics.drop("stun_short")
            return False
        self.send(answer, address)
        return True

    def _is_free(self, address: Address, agent: IceAgent) -> bool:
        """Whether the address may stand for this agent: whoever sends under another's address must not get its way."""
        holder = self._by_address.get(address)
        if holder is None or holder is agent:
            return True
        return asyncio.get_running_loop().time() - holder.handler.heard_at > QUIET_S

    def _learn(self, agent: IceAgent, address: Address, *, nominated: bool) -> None:
        """Remember a proven address; the latest nominated one is where we send."""
        if self._by_address.get(address) is not agent:
            self.forget(address)
            self._by_address[address] = agent
            if self._intake is not None and len(address) != _TCP:
                self._intake.learn(agent, address)
        agent.addresses.pop(address, None)
        agent.addresses[address] = None
        if nominated or not agent.nominated:
            moved = agent.remote is not None and agent.remote != address
            agent.remote = address
            agent.nominated = agent.nominated or nominated
            if moved:
                self.on_moved(agent)
        while len(agent.addresses) > MAX_ADDRESSES:
            self._unlearn(agent, next(known for known in agent.addresses if known != agent.remote))

    def _unlearn(self, agent: IceAgent, address: Address) -> None:
        agent.addresses.pop(address, None)
        if self._by_address.get(address) is agent:
            del self._by_address[address]
            if len(address) == _TCP:
                self._streams.hang_up(address)
            elif self._intake is not None:
                self._intake.forget(address)


def _role_conflict(transaction: bytes, key: bytes) -> bytes:
    message = stun.Message(stun.Method.BINDING, stun.Class.ERROR, transaction, {"ERROR-CODE": _ROLE_CONFLICT})
    message.add_message_integrity(key)
    return bytes(message)


def _nobody(_agent: IceAgent) -> None:
    return


def _no_way(_data: object, address: Address) -> int:
    raise OSError(errno.ENETUNREACH, f"no socket for {address}")


def _bind(hosts: list[str], port: int, *, tcp: bool, tries: int) -> list[socket.socket]:
    """Sockets of all hosts and kinds on one port, UDP first."""
    while True:
        try:
            return _bind_once(hosts, port, tcp=tcp)
        except OSError as error:
            tries -= 1
            if error.errno != errno.EADDRINUSE or tries == 0:
                raise


def _bind_once(hosts: list[str], port: int, *, tcp: bool) -> list[socket.socket]:
    bound: list[socket.socket] = []
    try:
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM) if tcp else (socket.SOCK_DGRAM,):
            for host in hosts:
                sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind)
                bound.append(sock)
                sock.setblocking(False)
                if sock.family == socket.AF_INET6:
                    # Each family has its own socket: with a common one every IPv4 address would be a mapped one.
                    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                if kind == socket.SOCK_STREAM:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                else:
                    # The kernel caps these at net.core.rmem_max and wmem_max.
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
                sock.bind((host, port))
                port = int(sock.getsockname()[1])
    except BaseException:
        for sock in bound:
            sock.close()
        raise
    return bound


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
