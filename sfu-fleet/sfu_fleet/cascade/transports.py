"""The two ends of the way between two workers: SRTP over UDP with keys that the control API has carried.

The parent sends from its media port, so that whatever sends to viewers sends to edges as well. The edge takes each feed
on a socket of its own, connected to the parent: the kernel tells feeds apart, refuses strangers, and says at once when
nobody is there any more.
"""

import asyncio
import socket
from collections.abc import Callable

from structlog import get_logger

from sfu_fleet.dtls import Inbound, Outbound, SrtpError, SrtpKeys
from sfu_fleet.ice import RECEIVE_BUFFER, Address, MediaSocket
from sfu_fleet.metrics import Metrics
from sfu_fleet.rtp import is_rtcp
from sfu_fleet.transport import PeerTransport, TransportHandler

# Datagrams that are read before other callbacks of the event loop have their turn.
_BATCH = 64
_LARGEST = 2_048

log = get_logger(__name__)


def address_of(host: str, port: int) -> Address:
    """As the sockets of `sfu_fleet.ice` have it."""
    return (host, port, 0, 0) if ":" in host else (host, port)


class FeedTransport(PeerTransport):
    """The parent's end."""

    def __init__(
        self, media_socket: MediaSocket, metrics: Metrics, handler: TransportHandler, keys: SrtpKeys, to: Address
    ) -> None:
        """Send to that address and take what comes from there.

        Raises:
            OSError: the address is another session's, or cannot be reached.
        """
        super().__init__(media_socket, metrics, handler)
        self._name = keys.name
        media_socket.assume(self.agent, to)
        self._agree(keys)

    @property
    def protection(self) -> str:
        """Name of the SRTP protection profile."""
        return self._name


class LinkSocket:
    """The edge's end. `on_datagram` is given what was in a packet, and whether that is RTCP.

    `refused` is whether the parent's host has said that nobody listens there.
    """

    def __init__(self, host: str, metrics: Metrics) -> None:
        """Bind a port of this host.

        Raises:
            OSError: the address is not ours.
        """
        self._metrics = metrics
        self._loop = asyncio.get_running_loop()
        self._socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self._inbound: Inbound | None = None
        self._outbound: Outbound | None = None
        self._on_packet: Callable[[bytes, bool], None] = lambda _data, _rtcp: None
        self.refused = False
        try:
            self._socket.setblocking(False)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            self._socket.bind((host, 0))
        except BaseException:
            self._socket.close()
            raise
        self.host = host
        self.port = int(self._socket.getsockname()[1])

    def open(self, parent: Address, keys: SrtpKeys, on_packet: Callable[[bytes, bool], None]) -> None:
        """Talk to a parent from now on.

        Raises:
            OSError: there is no way there.
        """
        self._socket.connect(parent)
        self._inbound, self._outbound = Inbound(keys), Outbound(keys)
        self._on_packet = on_packet
        self._loop.add_reader(self._socket.fileno(), self._read)

    def send_rtcp(self, compound: bytes) -> None:
        """Encrypt and send; what cannot be sent is said again, or not worth it."""
        if self._outbound is None:
            return
        try:
            self._socket.send(self._outbound.protect_rtcp(compound))
        except ConnectionRefusedError:
            self.refused = True
        except (OSError, SrtpError) as error:
            log.debug("link_not_sent", error=str(error))

    def close(self) -> None:
        """Forget the parent."""
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()
        self._inbound = self._outbound = None

    def _read(self) -> None:
        for _ in range(_BATCH):
            try:
                data = self._socket.recv(_LARGEST)
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionRefusedError:
                self.refused = True
                continue
            except OSError:
                return
            inbound = self._inbound
            if inbound is None or len(data) < 8:
                continue
            rtcp = is_rtcp(data)
            try:
                opened = inbound.unprotect_rtcp(data) if rtcp else inbound.unprotect(data)
            except SrtpError:
                self._metrics.drop("srtp_unprotect")
                continue
            try:
                self._on_packet(opened, rtcp)
            except Exception:
                self._metrics.drop("internal_error")
                log.exception("link_packet_failed", size=len(data))
            if self._inbound is None:
                return
