"""A WebRTC peer for tests on a real UDP socket: full ICE check, aiortc's DTLS, pylibsrtp's SRTP, none of our own code.

It speaks raw RTP and RTCP, so that a test decides every byte; SDP is put together from templates.
"""

import asyncio
import secrets
import struct
from typing import Any

from aioice import stun
from aiortc.rtcdtlstransport import RTCCertificate, RTCDtlsFingerprint, RTCDtlsParameters, RTCDtlsTransport
from aiortc.rtp import RtcpPacket, RtpPacket

MID_URI = "urn:ietf:params:rtp-hdrext:sdes:mid"
STREAM_ID_URI = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
REPAIRED_STREAM_ID_URI = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"
TRANSPORT_CC_URI = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
# The ids of header extensions in offers of a simulcast.
TRANSPORT_CC, MID, STREAM_ID, REPAIRED_STREAM_ID = 3, 4, 10, 11
VIDEO_SSRC, AUDIO_SSRC = 0x11111111, 0x22222222

VIDEO_LINES = {
    "VP8": ("96", ["rtpmap:96 VP8/90000"]),
    "H264": (
        "106",
        ["rtpmap:106 H264/90000", "fmtp:106 packetization-mode=1;profile-level-id=42e01f;level-asymmetry-allowed=1"],
    ),
}


class _Port:
    """The datagram side that aiortc's DTLS transport wants."""

    role = "controlling"

    def __init__(self, peer: "Peer") -> None:
        self._peer = peer
        self.queue: asyncio.Queue[bytes] = asyncio.Queue()

    async def _recv(self) -> bytes:
        data = await self.queue.get()
        if not data:
            raise ConnectionError
        return data

    async def _send(self, data: bytes) -> None:
        self._peer.send_raw(data)


class _Dtls(RTCDtlsTransport):
    """Gives RTP and RTCP to the peer as they came, whatever is in them."""

    peer: "Peer"

    async def _handle_rtcp_data(self, data: bytes) -> None:
        self.peer.rtcp.append(data)

    async def _handle_rtp_data(self, data: bytes, arrival_time_ms: int) -> None:  # noqa: ARG002 - aiortc's signature
        self.peer.rtp.append(data)


class _Stream(asyncio.Protocol):
    """A TCP connection with RFC 4571 frames."""

    def __init__(self, peer: "Peer") -> None:
        self._peer = peer
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= 2 and len(self._buffer) >= (end := 2 + int.from_bytes(self._buffer[:2], "big")):
            frame, self._buffer = self._buffer[2:end], self._buffer[end:]
            self._peer.datagram_received(frame, ("", 0))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._peer.stream_lost = True


class Peer(asyncio.DatagramProtocol):
    """A publisher or viewer. `rtp` and `rtcp` collect what it received, decrypted."""

    ice_role = "ICE-CONTROLLING"

    def __init__(self, *, certificate: RTCCertificate | None = None) -> None:
        self.certificate = certificate or RTCCertificate.generateCertificate()
        self.ufrag, self.password = secrets.token_hex(4), secrets.token_hex(12)
        self.rtp: list[bytes] = []
        self.rtcp: list[bytes] = []
        self.checks_answered = 0
        self.errors: list[int] = []
        self.mapped: tuple[str, int] | None = None
        self._port = _Port(self)
        self.dtls = _Dtls(self._port, [self.certificate])  # type: ignore[arg-type]
        self.dtls.peer = self
        self._transport: asyncio.DatagramTransport | None = None
        self.stream: asyncio.Transport | None = None
        self.stream_lost = False
        self._remote: tuple[str, int] = ("127.0.0.1", 9)
        self._remote_ufrag = self._remote_password = ""

    @property
    def fingerprint(self) -> str:
        return next(f.value for f in self.certificate.getFingerprints() if f.algorithm == "sha-256")

    def transport_lines(self, setup: str) -> list[str]:
        return [
            f"ice-ufrag:{self.ufrag}",
            f"ice-pwd:{self.password}",
            f"fingerprint:sha-256 {self.fingerprint}",
            f"setup:{setup}",
        ]

    def publish_offer(
        self,
        *,
        video: str | None = "VP8",
        audio: bool = True,
        setup: str = "actpass",
        rids: tuple[str, ...] = (),
        group: tuple[int, ...] = (),
        group_rtx: tuple[int, ...] = (),
        rtx: str = "",
        red: str = "",
    ) -> str:
        sections = []
        if audio:
            lines = ["rtpmap:111 opus/48000/2", f"ssrc:{AUDIO_SSRC} cname:peer"]
            lines += [f"rtpmap:{red} red/48000/2", f"fmtp:{red} 111/111"] if red else []
            sections.append(("audio", f"{red} 111".lstrip(), lines))
        if video is not None:
            payload_type, lines = VIDEO_LINES[video]
            feedback = [f"rtcp-fb:{payload_type} {value}" for value in ("nack", "nack pli", "goog-remb")]
            sources = [f"ssrc:{ssrc} cname:peer" for ssrc in group or (VIDEO_SSRC,)]
            if group:
                sources.append("ssrc-group:SIM " + " ".join(map(str, group)))
                sources += [f"ssrc-group:FID {media} {again}" for media, again in zip(group, group_rtx, strict=False)]
            if rids:
                extensions = [(TRANSPORT_CC, TRANSPORT_CC_URI), (MID, MID_URI), (STREAM_ID, STREAM_ID_URI)]
                extensions += [(REPAIRED_STREAM_ID, REPAIRED_STREAM_ID_URI)] if rtx else []
                sources = [f"extmap:{identifier} {uri}" for identifier, uri in extensions]
                sources += [*(f"rid:{rid} send" for rid in rids), f"simulcast:send {';'.join(rids)}"]
            if rtx:
                feedback += [f"rtpmap:{rtx} rtx/90000", f"fmtp:{rtx} apt={payload_type}"]
            sections.append(("video", f"{payload_type} {rtx}".rstrip(), [*lines, *feedback, *sources]))
        return self._description(sections, "sendonly", setup)

    def view_offer(self, *, setup: str = "actpass", video_payload_type: str = "120") -> str:
        lines = [f"rtpmap:{video_payload_type} VP8/90000", f"rtcp-fb:{video_payload_type} nack"]
        sections = [("audio", "109", ["rtpmap:109 opus/48000/2"]), ("video", video_payload_type, lines)]
        return self._description(sections, "recvonly", setup)

    def view_answer(self, offer: str, *, setup: str = "active", rtx: bool = False) -> str:
        """Accept every section of an offer with its first payload type; with `rtx`, with all that it lists."""
        sections = []
        for block in offer.replace("\r", "").split("\nm=")[1:]:
            words = block.split("\n", 1)[0].split()
            wanted = ("a=rtpmap", "a=fmtp", "a=rtcp-fb", "a=extmap")
            lines = [line[2:] for line in block.split("\n") if line.startswith(wanted)]
            sections.append((words[0], " ".join(words[3:]) if rtx else words[3], lines))
        return self._description(sections, "recvonly", setup)

    def _description(self, sections: list[tuple[str, str, list[str]]], direction: str, setup: str) -> str:
        lines = ["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "t=0 0"]
        lines.append("a=group:BUNDLE " + " ".join(str(index) for index in range(len(sections))))
        for index, (kind, payload_type, extra) in enumerate(sections):
            lines += [f"m={kind} 9 UDP/TLS/RTP/SAVPF {payload_type}", "c=IN IP4 0.0.0.0", f"a=mid:{index}"]
            mid = [] if any(line.startswith("extmap") for line in extra) else [f"extmap:4 {MID_URI}"]
            attributes = [direction, "rtcp-mux", "rtcp-rsize", *mid, *extra, *self.transport_lines(setup)]
            lines += [f"a={line}" for line in attributes]
        return "\r\n".join([*lines, ""])

    async def connect(self, remote_sdp: str, *, client: bool = True, over: str = "udp") -> None:
        """Check connectivity with a candidate of a description, then shake hands."""
        await self.open(remote_sdp, over=over)
        await self.check()
        self.dtls._set_role("client" if client else "server")
        async with asyncio.timeout(10):
            await self.dtls.start(RTCDtlsParameters([RTCDtlsFingerprint("sha-256", self._remote_fingerprint)]))

    async def open(self, remote_sdp: str, *, over: str = "udp") -> None:
        """Open the socket towards the first candidate of a description that has all those words."""
        values: dict[str, str] = {}
        candidates = [line for line in remote_sdp.split("\r\n") if line.startswith("a=candidate:")]
        candidate = next(line for line in candidates if set(over.split()) <= set(line.split()))
        for line in remote_sdp.split("\r\n"):
            name, _, value = line.removeprefix("a=").partition(":")
            values.setdefault(name, value)
        words = candidate.split()
        self._remote = (words[4], int(words[5]))
        self.take_credentials(remote_sdp)
        self._remote_fingerprint = values["fingerprint"].removeprefix("sha-256 ")
        if " tcp " in candidate:
            loop = asyncio.get_running_loop()
            self.stream, _ = await loop.create_connection(lambda: _Stream(self), *self._remote)
        else:
            await self.rebind()

    def take_credentials(self, text: str) -> None:
        """Use the ICE credentials of a description or fragment."""
        values = dict(line[2:].split(":", 1) for line in text.split("\r\n") if ":" in line)
        self._remote_ufrag, self._remote_password = values["ice-ufrag"], values["ice-pwd"]

    async def rebind(self) -> None:
        """Take another local port, as a NAT may do."""
        if self._transport is not None:
            self._transport.close()
        loop = asyncio.get_running_loop()
        host = "::1" if ":" in self._remote[0] else "127.0.0.1"
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=(host, 0))

    def binding_request(self, *, nominate: bool = True, password: str | None = None, bare: bool = False) -> bytes:
        attributes: dict[str, Any] = {"USERNAME": f"{self._remote_ufrag}:{self.ufrag}"}
        if not bare:
            attributes |= {"PRIORITY": 1, self.ice_role: 1}
        if nominate and not bare:
            attributes["USE-CANDIDATE"] = None
        message = stun.Message(stun.Method.BINDING, stun.Class.REQUEST, attributes=attributes)
        message.add_message_integrity((password or self._remote_password).encode())
        return bytes(message)

    async def check(self) -> None:
        """Send a connectivity check until it is answered."""
        before = self.checks_answered
        for _ in range(50):
            self.send_raw(self.binding_request())
            await asyncio.sleep(0.02)
            if self.checks_answered > before:
                return
        raise AssertionError("no answer to connectivity checks")

    def send_raw(self, data: bytes) -> None:
        if self.stream is not None:
            self.stream.write(len(data).to_bytes(2, "big") + data)
        elif self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(data, self._remote)

    def send_rtp(self, data: bytes) -> None:
        self.send_raw(self.dtls._tx_srtp.protect(data))

    def send_rtcp(self, *packets: object) -> None:
        compound = b"".join(packet if isinstance(packet, bytes) else bytes(packet) for packet in packets)  # type: ignore[call-overload]
        self.send_raw(self.dtls._tx_srtp.protect_rtcp(compound))

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:  # noqa: ARG002 - asyncio's signature
        if data[0] < 4:
            message = stun.parse_message(data)
            if message.message_class == stun.Class.RESPONSE:
                assert message.check_message_integrity(self._remote_password.encode())
                self.mapped = message.attributes["XOR-MAPPED-ADDRESS"]
                self.checks_answered += 1
            elif message.error_code is not None:
                self.errors.append(message.error_code)
        else:
            self._port.queue.put_nowait(data)

    async def stop_dtls(self) -> None:
        """Send close_notify."""
        await self.dtls.stop()

    async def close(self) -> None:
        task = self.dtls._task
        self._port.queue.put_nowait(b"")
        await self.dtls.stop()
        if task is not None:
            await asyncio.gather(task, return_exceptions=True)
        for transport in (self._transport, self.stream):
            if transport is not None:
                transport.close()

    def video(self) -> list[RtpPacket]:
        return [packet for packet in self.packets() if packet.payload_type not in {109, 111}]

    def audio(self) -> list[RtpPacket]:
        return [packet for packet in self.packets() if packet.payload_type in {109, 111}]

    def packets(self) -> list[RtpPacket]:
        return [RtpPacket.parse(data) for data in self.rtp]

    def feedback(self) -> list[Any]:
        """All RTCP packets received."""
        return [packet for compound in self.rtcp for packet in RtcpPacket.parse(compound)]


def rtp_packet(
    sequence: int,
    *,
    timestamp: int = 0,
    payload_type: int = 96,
    ssrc: int = VIDEO_SSRC,
    payload: bytes = b"",
    marker: bool = True,
    padding: int = 0,
    extension: bytes = b"",
) -> bytes:
    """A packet with every field chosen."""
    first = 0x80 | (0x20 if padding else 0) | (0x10 if extension else 0)
    second = payload_type | (0x80 if marker else 0)
    header = struct.pack("!BBHII", first, second, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc)
    tail = bytes(padding - 1) + bytes((padding,)) if padding else b""
    return header + extension + payload + tail


VP8_KEYFRAME = b"\x10\x00\x9d\x01\x2a" + bytes(20)
VP8_DELTA = b"\x10\x01" + bytes(20)
OPUS = b"\xfc\xff\xfe"
