"""One peer's transport: ICE-lite, then DTLS, then SRTP, over the worker's socket."""

import asyncio
from collections.abc import Iterable
from typing import Protocol

from structlog import get_logger

from sfu_fleet.congestion.estimator import Controller
from sfu_fleet.dtls import Certificate, Dtls, DtlsState, Inbound, Outbound, SrtpError, SrtpKeys
from sfu_fleet.ice import Address, Credentials, IceAgent, MediaSocket
from sfu_fleet.metrics import Metrics
from sfu_fleet.rtp import is_rtcp
from sfu_fleet.sdp import Fingerprint

log = get_logger(__name__)


class TransportHandler(Protocol):
    """What a session does when its transport has something."""

    def on_connected(self) -> None:
        """Keys are agreed: RTP and RTCP may flow."""

    def on_rtp(self, data: bytes, now: float) -> None:
        """A decrypted RTP packet."""

    def on_rtcp(self, data: bytes, now: float) -> None:
        """A decrypted RTCP compound."""

    def on_fed(self, now: float) -> None:
        """The controller given to `Transport.follow` has had feedback."""

    def on_disconnected(self, state: DtlsState, reason: str) -> None:
        """The peer closed the association, or the handshake failed."""


class PeerTransport:
    """The way to one peer with whom keys are agreed. `heard_at` is when it last sent something authentic, in loop time.

    How keys are agreed is up to the subclass.
    """

    def __init__(self, media_socket: MediaSocket, metrics: Metrics, handler: TransportHandler) -> None:
        self._socket = media_socket
        self._metrics = metrics
        self._handler = handler
        self._clock = asyncio.get_running_loop().time
        self.agent = IceAgent(Credentials.generate(), self)
        self._silent = False
        self._inbound: Inbound | None = None
        self.outbound: Outbound | None = None
        self.heard_at = self._clock()

    @property
    def remote(self) -> Address | None:
        """Where the peer is, once it has proved itself."""
        return self.agent.remote

    @property
    def protection(self) -> str:
        """Name of the SRTP protection profile; empty while there are no keys."""
        return ""

    @property
    def negotiated(self) -> bool:
        """Whether the peer can be told of other credentials: offer and answer are complete."""
        return False

    def silence(self) -> None:
        """Tell the handler nothing more; sending still works until `close`."""
        self._silent = True
        self._inbound = None
        self._socket.agree(self.agent, None)
        self._socket.follow(self.agent, None)

    async def close(self) -> None:
        """Forget the peer."""
        self.silence()
        self._socket.remove(self.agent)
        self.outbound = None

    def send_rtcp(self, compound: bytes) -> None:
        """Encrypt and send an RTCP compound, if the peer is there."""
        remote = self.agent.remote
        if self.outbound is None or remote is None:
            return
        try:
            self._socket.send(self.outbound.protect_rtcp(compound), remote)
        except SrtpError as error:
            self._metrics.drop("srtp_protect")
            log.debug("rtcp_not_sent", error=str(error))

    def restart(self) -> None:
        """Give our side new ICE credentials. The association and its keys stay."""
        self._socket.restart(self.agent)

    def on_check(self) -> None:
        """The peer is alive."""
        self.heard_at = self._clock()

    def on_dtls(self, data: bytes) -> None:  # noqa: ARG002 - the handler's signature
        """There is no handshake here."""
        self._metrics.drop("dtls_queue")

    def on_srtp(self, data: bytes) -> None:
        """Decrypt a packet and hand it on."""
        inbound = self._inbound
        if inbound is None:
            self._metrics.drop("srtp_early")
            return
        rtcp = is_rtcp(data)
        try:
            opened = inbound.unprotect_rtcp(data) if rtcp else inbound.unprotect(data)
        except SrtpError:
            self._metrics.drop("srtp_unprotect")
            return
        self.on_opened(opened, rtcp=rtcp)

    def on_opened(self, data: bytes, *, rtcp: bool) -> None:
        """Hand on a decrypted packet."""
        self.heard_at = now = self._clock()
        if rtcp:
            self._handler.on_rtcp(data, now)
        else:
            self._handler.on_rtp(data, now)

    def follow(self, controller: Controller) -> None:
        """The peer's transport-wide feedback is for this controller: it may be fed without the handler."""
        self._socket.follow(self.agent, controller)

    def on_fed(self) -> None:
        """Feedback went to the controller."""
        self.heard_at = now = self._clock()
        if not self._silent:
            self._handler.on_fed(now)

    def _agree(self, keys: SrtpKeys) -> None:
        """Use these keys from now on."""
        ciphers = self._socket.ciphers
        self._inbound = Inbound(keys, ciphers.rtcp_in(keys))
        self.outbound = Outbound(keys, ciphers.rtp_out(keys))
        self._socket.agree(self.agent, self._inbound)
        self.heard_at = self._clock()


class Transport(PeerTransport):
    """The way to a peer out there: ICE finds it, DTLS agrees on the keys."""

    def __init__(
        self, media_socket: MediaSocket, certificate: Certificate, metrics: Metrics, handler: TransportHandler
    ) -> None:
        super().__init__(media_socket, metrics, handler)
        self._dtls = Dtls(certificate, send=self._send_datagram, on_state=self._on_dtls_state)
        self._peer: tuple[tuple[Fingerprint, ...], bool] | None = None
        media_socket.add(self.agent)

    @property
    def failure(self) -> str:
        """Why the handshake failed."""
        return self._dtls.failure

    @property
    def negotiated(self) -> bool:
        """Whether the peer's fingerprint is known, that is offer and answer are complete."""
        return self._peer is not None

    @property
    def protection(self) -> str:
        """Name of the SRTP protection profile; empty before the handshake."""
        return self._dtls.keys.name if self._dtls.keys else ""

    def start(self, fingerprints: Iterable[Fingerprint], *, dtls_client: bool) -> None:
        """Begin the DTLS handshake, at once or with the peer's first check: before that there is nowhere to send."""
        self._peer = tuple(fingerprints), dtls_client
        self._start_handshake()

    async def close(self) -> None:
        """Send close_notify, then forget the peer."""
        self.silence()
        await self._dtls.close()
        await super().close()

    def on_check(self) -> None:
        """The peer is alive."""
        super().on_check()
        if not self._dtls.started:
            self._start_handshake()

    def on_dtls(self, data: bytes) -> None:
        """Hand a datagram to the handshake."""
        if not self._dtls.feed(data):
            self._metrics.drop("dtls_queue")

    def _start_handshake(self) -> None:
        if self._peer is not None and self.agent.remote is not None:
            fingerprints, client = self._peer
            self._dtls.start(fingerprints, client=client)

    def _send_datagram(self, data: bytes) -> None:
        if self.agent.remote is not None:
            self._socket.send(data, self.agent.remote)

    def _on_dtls_state(self, state: DtlsState) -> None:
        if self._silent:
            return
        keys = self._dtls.keys
        if state is DtlsState.CONNECTED and keys is not None:
            self._agree(keys)
            self._handler.on_connected()
        else:
            self._handler.on_disconnected(state, self._dtls.failure)
