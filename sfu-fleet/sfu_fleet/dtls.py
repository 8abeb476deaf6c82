"""DTLS-SRTP (RFC 5763, RFC 5764): the only module that touches private parts of aiortc, pylibsrtp and aioice.

What it leans on is written down in tests/sfu_fleet/test_dtls_contract.py, which fails when a new version of one of them
changes it.
"""

import asyncio
import secrets
from collections.abc import Callable, Iterable
from enum import Enum
from functools import partial
from typing import Any, Final, Protocol, cast

import msgspec
from aiortc.rtcdtlstransport import (
    SRTP_AEAD_AES_128_GCM,
    SRTP_AEAD_AES_256_GCM,
    RTCCertificate,
    RTCDtlsFingerprint,
    RTCDtlsParameters,
    RTCDtlsTransport,
    SRTPProtectionProfile,
    State,
)
from aiortc.rtcicetransport import RTCIceTransport
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL
from pylibsrtp import ERRORS, Policy, Session
from pylibsrtp._binding import ffi, lib  # type: ignore[import-not-found]
from structlog import get_logger

from sfu_fleet.sdp import Fingerprint
from shared.tasks import end

HANDSHAKE_TIMEOUT_S = 15.0
REPLAY_WINDOW = 1024
# A whole Ethernet frame and libsrtp's longest trailer fit.
MAX_PACKET = 1_900
_BUFFER = 2_048
# A flight of a handshake is a handful of datagrams; more that waits is not ours.
_MAX_QUEUED = 32
# OpenSSL's SSL_CB_ALERT and SSL_CB_WRITE, which pyOpenSSL does not name.
_CALLBACK_ALERT, _CALLBACK_WRITE = 0x4000, 0x08
GCM_KEY_SIZES: Final = {
    profile.libsrtp_profile: profile.key_length for profile in (SRTP_AEAD_AES_128_GCM, SRTP_AEAD_AES_256_GCM)
}
"""Bytes of the master key of the profiles with AES-GCM, by libsrtp's number."""
_CLOSE_NOTIFY, _ILLEGAL_PARAMETER = 0, 47
_ALERTS = {
    40: "handshake failure",
    42: "bad certificate",
    43: "unsupported certificate",
    46: "certificate unknown",
    47: "illegal parameter",
    48: "unknown certificate authority",
    50: "decode error",
    51: "decrypt error",
    70: "protocol version",
    71: "insufficient security",
    80: "internal error",
}

log = get_logger(__name__)


class SrtpError(Exception):
    """libsrtp refused a packet; the message is its reason."""


class SrtpKeys(msgspec.Struct, frozen=True):
    """Master keys with salts of both directions, and libsrtp's number of the protection profile."""

    profile: int
    name: str
    inbound: bytes
    outbound: bytes


def random_keys() -> SrtpKeys:
    """Keys for a peer that is told them otherwise than by a handshake: AES-256-GCM (RFC 7714)."""
    length = SRTP_AEAD_AES_256_GCM.key_length + SRTP_AEAD_AES_256_GCM.salt_length
    name = SRTP_AEAD_AES_256_GCM.openssl_profile.decode()
    return SrtpKeys(
        SRTP_AEAD_AES_256_GCM.libsrtp_profile,
        name,
        inbound=secrets.token_bytes(length),
        outbound=secrets.token_bytes(length),
    )


class DtlsState(Enum):
    """What the owner of a handshake is told."""

    CONNECTED = "connected"
    CLOSED = "closed"
    FAILED = "failed"


class Memory:
    """Memory for packets that are encrypted where they lie: `view` to write them, `address` for C."""

    def __init__(self, size: int) -> None:
        self.cdata: Final = ffi.new("unsigned char[]", size)
        self.view: Final = memoryview(ffi.buffer(self.cdata))
        self.address: Final = int(ffi.cast("uintptr_t", self.cdata))


# Where libsrtp works, one packet after the other, and the length that it reads and writes.
_SCRATCH = Memory(_BUFFER)
_LENGTH: Final = ffi.new("int *")


_PROTECT: Final = int(ffi.cast("uintptr_t", ffi.addressof(lib, "srtp_protect")))
PROTECT_RTCP: Final = int(ffi.cast("uintptr_t", ffi.addressof(lib, "srtp_protect_rtcp")))
"""The address of libsrtp's function that encrypts RTCP."""
UNPROTECT: Final = int(ffi.cast("uintptr_t", ffi.addressof(lib, "srtp_unprotect")))
"""That of the one that decrypts RTP."""
UNPROTECT_RTCP: Final = int(ffi.cast("uintptr_t", ffi.addressof(lib, "srtp_unprotect_rtcp")))
"""That of the one that decrypts RTCP."""

Crypt = Callable[[Any, Any], int]
"""Encrypts or decrypts the packet at the first pointer, whose length is at the second; 0, or an error as in libsrtp."""


class RtpContext(Protocol):
    """What encrypts RTP to one peer, used by one thread at a time.

    One for good, whoever uses it: it counts how often each SSRC's sequence numbers wrapped (RFC 3711, section 3.3.1).
    For C there are its address, that of the function to call with it, which is like libsrtp's srtp_protect, and how
    many bytes of memory behind the address that function reads.
    """

    address: int
    function: int
    size: int
    protect: Crypt


class RtcpContext(Protocol):
    """What decrypts RTCP from one peer: see `RtpContext`."""

    address: int
    function: int
    unprotect: Crypt


class Ciphers(Protocol):
    """Where contexts come from."""

    def rtp_out(self, keys: SrtpKeys) -> RtpContext:
        """One for RTP to a peer."""

    def rtcp_in(self, keys: SrtpKeys) -> RtcpContext | None:
        """One for RTCP from a peer; None: libsrtp's session for RTP does that too."""


class LibsrtpContext:
    """A libsrtp session for RTP to one peer: see `RtpContext`."""

    def __init__(self, keys: SrtpKeys) -> None:
        self._session = _session(keys.profile, keys.outbound, Policy.SSRC_ANY_OUTBOUND)
        handle = self._session._srtp[0]  # noqa: SLF001
        self.address: int = int(ffi.cast("uintptr_t", handle))
        self.function: int = _PROTECT
        # What is behind the handle is spread over the heap: this is where the ways there begin.
        self.size: int = 64
        # Called through the handle, one crossing per packet: Session.protect copies three times and raises on 1,356 B.
        self.protect: Crypt = partial(lib.srtp_protect, handle)


class Libsrtp:
    """See `Ciphers`."""

    def rtp_out(self, keys: SrtpKeys) -> RtpContext:
        """One for RTP to a peer."""
        return LibsrtpContext(keys)

    def rtcp_in(self, keys: SrtpKeys) -> RtcpContext | None:  # noqa: ARG002 - as of any
        """None of its own."""
        return None


class Outbound:
    """SRTP and SRTCP towards one peer.

    A packet that is sent again must be the same to the last bit: with AES-GCM a second plaintext under the same
    sequence number would give the key away.
    """

    def __init__(self, keys: SrtpKeys, rtp_context: RtpContext | None = None) -> None:
        """With a context of the same keys for RTP, or one of libsrtp's."""
        # Apart from what is for RTCP: it may be lent to the thread of the native plane.
        self.rtp_context: RtpContext = rtp_context or LibsrtpContext(keys)
        self._protect_rtp = self.rtp_context.protect
        self._session = _session(keys.profile, keys.outbound, Policy.SSRC_ANY_OUTBOUND)
        self._protect_rtcp: Crypt = partial(lib.srtp_protect_rtcp, self._session._srtp[0])  # noqa: SLF001

    def protect_in(self, memory: Memory, place: int, length: int) -> int:
        """Encrypt the RTP packet that lies in the memory from `place` on; its new length. There must be room for it.

        Raises:
            SrtpError: it was refused, for instance because its sequence number is far in the past.
        """
        held = _LENGTH
        held[0] = length
        status = self._protect_rtp(memory.cdata + place, held)
        if status:
            raise SrtpError(ERRORS[status])
        return int(held[0])

    def protect_rtcp(self, data: bytes) -> bytes:
        """Encrypt an RTCP compound."""
        return _run(self._protect_rtcp, data)


class Inbound:
    """SRTP and SRTCP from one peer. A replayed packet is refused.

    `address` is the handle of the libsrtp session as a number, for C on the same thread; with `rtcp_address` and the
    address of a function, `rtcp_function`, it decrypts RTCP.
    """

    def __init__(self, keys: SrtpKeys, rtcp: RtcpContext | None = None) -> None:
        """With a context of the same keys for RTCP, or without."""
        self._session = _session(keys.profile, keys.inbound, Policy.SSRC_ANY_INBOUND)
        handle = self._session._srtp[0]  # noqa: SLF001
        self.address: Final = int(ffi.cast("uintptr_t", handle))
        self.rtcp_address: Final = self.address if rtcp is None else rtcp.address
        self.rtcp_function: Final = UNPROTECT_RTCP if rtcp is None else rtcp.function
        self._unprotect: Crypt = partial(lib.srtp_unprotect, handle)
        # It also keeps the context alive.
        self._unprotect_rtcp: Crypt = partial(lib.srtp_unprotect_rtcp, handle) if rtcp is None else rtcp.unprotect

    def unprotect(self, data: bytes) -> bytes:
        """Authenticate and decrypt an RTP packet.

        Raises:
            SrtpError: it is forged, replayed, or not SRTP.
        """
        return _run(self._unprotect, data)

    def unprotect_rtcp(self, data: bytes) -> bytes:
        """Authenticate and decrypt an RTCP compound."""
        return _run(self._unprotect_rtcp, data)


def _session(profile: int, key: bytes, direction: int) -> Session:
    policy = Policy(key=key, ssrc_type=direction, srtp_profile=profile)
    # Outbound, NACKed packets are sent again; inbound, libsrtp checks for replay whatever this says.
    policy.allow_repeat_tx = True
    policy.window_size = REPLAY_WINDOW
    return Session(policy)


def _run(function: Crypt, data: bytes) -> bytes:
    size = len(data)
    if size > MAX_PACKET:
        raise SrtpError("packet is too long")
    _SCRATCH.view[:size] = data
    _LENGTH[0] = size
    status = function(_SCRATCH.cdata, _LENGTH)
    if status:
        raise SrtpError(ERRORS[status])
    return bytes(_SCRATCH.view[: _LENGTH[0]])


class Certificate:
    """The worker's self-signed certificate, one for all sessions."""

    def __init__(self) -> None:
        self._certificate = RTCCertificate.generateCertificate()

    @property
    def fingerprints(self) -> tuple[Fingerprint, ...]:
        """The SHA-256 fingerprint, which every peer knows (RFC 8122, section 5)."""
        return tuple(
            Fingerprint(item.algorithm, item.value)
            for item in self._certificate.getFingerprints()
            if item.algorithm == "sha-256"
        )

    def transport(self, port: "_DatagramPort", on_state: Callable[[State], None]) -> "_Transport":
        """A DTLS transport that presents this certificate."""
        certificate = self._certificate
        return _Transport(port, _WatchedCertificate(certificate._key, certificate._cert), on_state)  # noqa: SLF001


class _WatchedCertificate(RTCCertificate):
    """A certificate whose connections tell about alerts: aiortc itself swallows the error that goes with them."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, cert: x509.Certificate) -> None:
        super().__init__(key, cert)
        self.on_alert: Callable[[int, bool], None] | None = None

    def _create_ssl_context(self, srtp_profiles: list[SRTPProtectionProfile]) -> SSL.Context:
        context = super()._create_ssl_context(srtp_profiles)
        context.set_info_callback(self._on_info)
        return context

    def _on_info(self, _connection: SSL.Connection, where: int, value: int) -> None:
        if where & _CALLBACK_ALERT and self.on_alert is not None:
            self.on_alert(value & 0xFF, bool(where & _CALLBACK_WRITE))


class _DatagramPort:
    """What RTCDtlsTransport takes for its ICE transport: a queue of datagrams in, a function out."""

    role = "controlled"

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._send_datagram = send
        self._queue: asyncio.Queue[bytes] = asyncio.Queue(_MAX_QUEUED)

    def feed(self, data: bytes) -> bool:
        """Hand in a received datagram; False when too many wait already."""
        try:
            self._queue.put_nowait(data)
        except asyncio.QueueFull:
            return False
        return True

    async def _recv(self) -> bytes:
        return await self._queue.get()

    async def _send(self, data: bytes) -> None:
        self._send_datagram(data)


class _Transport(RTCDtlsTransport):
    """aiortc's handshake; instead of setting SRTP up it hands the keys out."""

    def __init__(
        self, port: _DatagramPort, certificate: _WatchedCertificate, on_state: Callable[[State], None]
    ) -> None:
        super().__init__(cast("RTCIceTransport", port), [certificate])
        certificate.on_alert = self._on_alert
        self.keys: SrtpKeys | None = None
        self.failure = ""
        self._on_state = on_state

    def _setup_srtp(self) -> None:
        assert self._ssl is not None  # noqa: S101 - aiortc calls this after the handshake
        selected = self._ssl.get_selected_srtp_profile()
        profile = next((item for item in self._srtp_profiles if item.openssl_profile == selected), None)
        if profile is None:
            self.failure = "the peer agreed to no SRTP protection profile"
            self._set_state(State.FAILED)
            return
        length = 2 * (profile.key_length + profile.salt_length)
        material = self._ssl.export_keying_material(b"EXTRACTOR-dtls_srtp", length)
        # RFC 5764, section 4.2: the client's keys come first.
        client, server = (profile.get_key_and_salt(material, index) for index in (0, 1))
        inbound, outbound = (client, server) if self._role == "server" else (server, client)
        self.keys = SrtpKeys(profile.libsrtp_profile, selected.decode(), inbound, outbound)

    def _set_state(self, state: State) -> None:
        if state is State.FAILED and not self.failure:
            self.failure = "the handshake broke off"
        super()._set_state(state)
        self._on_state(state)

    def _on_alert(self, alert: int, ours: bool) -> None:
        if alert != _CLOSE_NOTIFY and not self.failure:
            self.failure = _explain(alert, ours=ours)

    def _validate_peer_identity(self, remoteParameters: RTCDtlsParameters) -> None:  # noqa: N803 - aiortc's name
        # Taken back when the check passes: a failure is told from within it.
        self.failure = "the certificate is not the one whose fingerprint the peer signalled"
        super()._validate_peer_identity(remoteParameters)
        if self._state is not State.FAILED:
            self.failure = ""


def _explain(alert: int, *, ours: bool) -> str:
    """An alert (RFC 8446, section 6) in words, and what is behind it where we know."""
    reason = f"{'we' if ours else 'the peer'} refused with alert {alert} ({_ALERTS.get(alert, 'unknown')})"
    if ours and alert == _ILLEGAL_PARAMETER:
        reason += (
            ": the peer's certificate is probably on a curve that TLS does not allow, such as the P-224 one that"
            " FFmpeg's whip muxer makes; give it a P-256 certificate with cert_file and key_file"
        )
    return reason


class Dtls:
    """One DTLS association: the handshake as client or server, then only close_notify matters.

    `on_state` is told once about CONNECTED, and once about CLOSED (the peer's close_notify) or FAILED. After `close`
    it is told nothing.
    """

    def __init__(
        self,
        certificate: Certificate,
        *,
        send: Callable[[bytes], None],
        on_state: Callable[[DtlsState], None],
    ) -> None:
        self._port = _DatagramPort(send)
        self._transport = certificate.transport(self._port, self._state_changed)
        self._notify = on_state
        self._task: asyncio.Task[None] | None = None
        self._closing = False

    @property
    def keys(self) -> SrtpKeys | None:
        """The SRTP keys, once connected."""
        return self._transport.keys

    @property
    def failure(self) -> str:
        """Why the handshake failed, for people."""
        return self._transport.failure

    @property
    def started(self) -> bool:
        """Whether `start` was called."""
        return self._task is not None

    def start(self, fingerprints: Iterable[Fingerprint], *, client: bool) -> None:
        """Begin the handshake; datagrams that came before wait in the queue."""
        parameters = RTCDtlsParameters([RTCDtlsFingerprint(item.algorithm, item.value) for item in fingerprints])
        self._transport._set_role("client" if client else "server")  # noqa: SLF001
        self._task = asyncio.get_running_loop().create_task(self._handshake(parameters), name="dtls-handshake")

    def feed(self, data: bytes) -> bool:
        """Hand in a DTLS datagram; False when it had to be dropped."""
        return self._port.feed(data)

    async def close(self) -> None:
        """Send close_notify and end every task of the association."""
        if self._closing:
            return
        self._closing = True
        # stop() forgets the task it cancels, so that nobody would see how it ended.
        tasks = [task for task in (self._task, self._transport._task) if task is not None]  # noqa: SLF001
        await self._transport.stop()
        for error in await end(*tasks):
            log.debug("dtls_task_failed", error=repr(error))

    async def _handshake(self, parameters: RTCDtlsParameters) -> None:
        try:
            async with asyncio.timeout(HANDSHAKE_TIMEOUT_S):
                await self._transport.start(parameters)
        except TimeoutError:
            self._fail("the peer did not finish the handshake in time")
        except (SSL.Error, ValueError, OSError) as error:
            self._fail(str(error) or type(error).__name__)

    def _fail(self, reason: str) -> None:
        self._transport.failure = reason
        self._transport._set_state(State.FAILED)  # noqa: SLF001

    def _state_changed(self, state: State) -> None:
        if self._closing:
            return
        told = {
            State.CONNECTED: DtlsState.CONNECTED,
            State.CLOSED: DtlsState.CLOSED,
            State.FAILED: DtlsState.FAILED,
        }.get(state)
        if told is not None:
            self._notify(told)
