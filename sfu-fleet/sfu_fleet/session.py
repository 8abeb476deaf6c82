"""What a publisher's and a viewer's session have in common: an id, a transport, a state that can be asked for."""

import secrets
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Literal

import msgspec
from structlog import get_logger

from sfu_fleet.adaptation import Decision
from sfu_fleet.bandwidth import BandwidthInfo
from sfu_fleet.ceilings import Bounds, Ceiling
from sfu_fleet.dtls import Certificate, DtlsState
from sfu_fleet.ice import MediaSocket
from sfu_fleet.metrics import Metrics
from sfu_fleet.negotiation import LocalTransport, TrackAgreement
from sfu_fleet.transport import PeerTransport, Transport
from shared.placement.records import Explanation
from shared.protocol.messages import QualityNotice

SESSION_ID_LENGTH = 22
_REMEMBERED_UFRAGS = 16
_ID_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

Kind = Literal["publish", "subscribe", "pull", "feed"]


class State(StrEnum):
    """Where a session stands."""

    NEGOTIATING = "negotiating"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    FAILED = "failed"
    CLOSED = "closed"


class LayerInfo(msgspec.Struct, frozen=True):
    """One layer of a publisher's video: its name, whether it is sent at present, its bit/s, its height in pixels.

    A height of 0 is not known.
    """

    name: str
    active: bool
    bitrate: int
    packets_lost: int
    keyframe_requests: int
    keyframes: int
    height: int = 0


class AdaptationInfo(msgspec.Struct, frozen=True):
    """Which layer a viewer gets and is to get, what the viewer chose, and the latest decisions with their inputs.

    With `thinned` the layer comes without its highest temporal layer. In decisions the layers count from 0, and again
    behind the last for layers that come so. `bandwidth` is what is known of the way. `ceiling` is the limit that keeps
    the viewer from more, if it is one of `bounds` or the choice. `sound_alone` is whether the video is away because the
    way does not carry it.
    """

    layer: str | None
    target: str | None
    choice: str | None
    paused: bool
    switches: int
    thinned: bool
    decisions: list[Decision]
    bandwidth: BandwidthInfo
    ceiling: Ceiling | None
    bounds: Bounds
    sound_alone: bool


class SessionInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A session as the control API shows it. `reason` says why it failed or was closed.

    `warnings` are those of `health.Trouble`, about what a publisher sends. `placement` says why a viewer is here.
    """

    session: str
    room: str
    kind: Kind
    participant: str
    name: str
    state: State
    reason: str
    live: bool
    codecs: list[str]
    protection: str
    age_s: float
    packets_in: int
    packets_out: int
    bytes_in: int
    bytes_out: int
    packets_lost: int
    keyframe_requests: int
    nacks: int
    rtt_ms: float | None
    layers: list[LayerInfo]
    adaptation: AdaptationInfo | None
    warnings: list[str]
    placement: Explanation | None = None


class Identity(msgspec.Struct, frozen=True):
    """Whose session it is."""

    session: str
    room: str
    participant: str
    name: str


class MediaContext(msgspec.Struct, frozen=True):
    """The parts of a worker that every session uses. `candidates` are our announced (address, port).

    `cname` names us in RTCP: one for all that we send, so that viewers play audio and video in step. `feedback`:
    viewers are asked for transport-wide feedback. `traces` is the folder for what viewers' adaptations are fed, None
    for no such record. `tell_quality` is given a room and what a viewer in it gets from now on.
    """

    media_socket: MediaSocket
    certificate: Certificate
    metrics: Metrics
    candidates: tuple[tuple[str, int], ...]
    cname: str
    clock: Callable[[], float]
    tcp_candidates: tuple[tuple[str, int], ...] = ()
    traces: Path | None = None
    feedback: bool = True
    tell_quality: Callable[[str, QualityNotice], None] = lambda _room, _notice: None


def new_session_id(worker_id: str) -> str:
    """`<worker id>-<22 random characters>`: any function finds the worker from the id alone."""
    return f"{worker_id}-" + "".join(secrets.choice(_ID_ALPHABET) for _ in range(SESSION_ID_LENGTH))


class Session(ABC):
    """Base of publishers and subscribers; it is its transport's handler.

    `on_end` is called once when the peer or the handshake ends the session: (session, state, reason).
    """

    kind: Kind

    def __init__(
        self,
        identity: Identity,
        context: MediaContext,
        on_end: Callable[["Session", DtlsState, str], None],
        transport: PeerTransport | None = None,
    ) -> None:
        self.identity = identity
        self.context = context
        self.etag = secrets.token_hex(8)
        self.state = State.NEGOTIATING
        self.reason = ""
        self.created_at = context.clock()
        self.placement: Explanation | None = None
        self.peer_ufrag = ""
        # The user name fragments of the peer's ICE sessions that a restart has ended.
        self.former_ufrags: deque[str] = deque(maxlen=_REMEMBERED_UFRAGS)
        self.nacks = 0
        self.keyframe_requests = 0
        self.transport: PeerTransport = transport or Transport(
            context.media_socket, context.certificate, context.metrics, self
        )
        self._on_end = on_end
        self.log = get_logger(__name__).bind(
            session=identity.session, room=identity.room, kind=self.kind, participant=identity.participant
        )

    @property
    def id(self) -> str:
        """The session's id."""
        return self.identity.session

    @property
    def room(self) -> str:
        """The room's id."""
        return self.identity.room

    def local_transport(self) -> LocalTransport:
        """Our side of the transport for SDP."""
        credentials = self.transport.agent.credentials
        context = self.context
        return LocalTransport(
            credentials.ufrag,
            credentials.password,
            context.certificate.fingerprints,
            context.candidates,
            context.tcp_candidates,
        )

    def restart_ice(self, peer_ufrag: str) -> None:
        """Begin a new ICE session (RFC 8445, section 9) on both sides: the association and the media stay."""
        self.former_ufrags.append(self.peer_ufrag)
        self.peer_ufrag = peer_ufrag
        self.etag = secrets.token_hex(8)
        self.transport.restart()
        # Whoever asks for it is there, though nothing gets through just now.
        self.transport.heard_at = self.context.clock()
        self.log.info("ice_restarted")

    @property
    @abstractmethod
    def agreed_tracks(self) -> Sequence[TrackAgreement]:
        """What was negotiated; empty before."""

    def on_connected(self) -> None:
        """The handshake is done."""
        self.state = State.CONNECTED
        self.log.info("connected", protection=self.transport.protection, remote=str(self.transport.remote))

    def on_disconnected(self, state: DtlsState, reason: str) -> None:
        """The peer closed, or the handshake failed: the owner of the session decides what follows."""
        self._on_end(self, state, reason)

    @abstractmethod
    def on_rtp(self, data: bytes, now: float) -> None:
        """A decrypted RTP packet came."""

    @abstractmethod
    def on_rtcp(self, data: bytes, now: float) -> None:
        """A decrypted RTCP compound came."""

    @abstractmethod
    def on_fed(self, now: float) -> None:
        """The controller of the way to the peer has had feedback."""

    def packets_carried(self) -> int:
        """Packets of media so far: sent to a viewer, received from a publisher."""
        return 0

    @abstractmethod
    def finish(self) -> None:
        """Stop media and timers, and tell the peer as far as RTCP can. The transport is closed by the owner."""

    @abstractmethod
    def info(self) -> SessionInfo:
        """A snapshot for the control API."""

    def snapshot(
        self,
        *,
        live: bool,
        codecs: list[str],
        packets_in: int = 0,
        packets_out: int = 0,
        bytes_in: int = 0,
        bytes_out: int = 0,
        packets_lost: int = 0,
        rtt_ms: float | None = None,
        layers: list[LayerInfo] | None = None,
        adaptation: AdaptationInfo | None = None,
        warnings: list[str] | None = None,
    ) -> SessionInfo:
        """The common part of `info`, with what the kind of session knows."""
        identity = self.identity
        return SessionInfo(
            session=identity.session,
            room=identity.room,
            kind=self.kind,
            participant=identity.participant,
            name=identity.name,
            state=self.state,
            reason=self.reason,
            live=live,
            codecs=codecs,
            protection=self.transport.protection,
            age_s=round(self.context.clock() - self.created_at, 1),
            packets_in=packets_in,
            packets_out=packets_out,
            bytes_in=bytes_in,
            bytes_out=bytes_out,
            packets_lost=packets_lost,
            keyframe_requests=self.keyframe_requests,
            nacks=self.nacks,
            rtt_ms=rtt_ms,
            layers=layers or [],
            adaptation=adaptation,
            warnings=warnings or [],
            placement=self.placement,
        )
