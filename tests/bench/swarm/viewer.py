"""One viewer: WHEP over HTTP, ICE and DTLS in Python, and from then on its socket and its keys are C's."""

import asyncio
import re
import time
from typing import Any, Final

import httpx
import msgspec
from aiortc.rtcdtlstransport import RTCCertificate
from pylibsrtp._binding import ffi as srtp_ffi  # type: ignore[import-not-found]

from sfu_fleet.dtls import PROTECT_RTCP
from sfu_fleet.native.addresses import sockaddr
from tests.bench.sfu.viewers import Viewer
from tests.sfu_fleet.peer import MID_URI, TRANSPORT_CC_URI

from .native import ffi, load

_OPUS, _H264, _RTX = 111, 102, 103
_MID, _TRANSPORT_CC = 1, 5
_CONNECT_TIMEOUT_S: Final = 20.0


class JoinError(Exception):
    """Somebody could not join; the message says why."""


class Seat(msgspec.Struct, frozen=True):
    """What it takes to join: the endpoint's path, and a room token."""

    path: str
    token: str


class Manners(msgspec.Struct, frozen=True):
    """What viewers do: throw every so-and-so-manieth datagram away unread (0: none), and ask for what is missing."""

    drop_every: int = 0
    repairs: bool = True


class SwarmViewer(Viewer):
    """A viewer who is measured. `asked_ns` is when it asked to join, by the real-time clock; `answer` is the SDP."""

    def __init__(self, certificate: RTCCertificate) -> None:
        super().__init__(certificate=certificate)
        self.asked_ns = 0
        self.location = ""
        self.answer = ""
        self._seat = Seat("", "")
        self._swarm: Any = None
        self._member: Any = None
        self._sessions: tuple[Any, ...] = ()

    @property
    def session(self) -> str:
        """The id of the session at the worker."""
        return self.location.rpartition("/")[2]

    def offer(self) -> str:
        """As browsers offer to watch: H.264 with retransmissions, Opus, transport-wide feedback."""
        numbered = f"extmap:{_TRANSPORT_CC} {TRANSPORT_CC_URI}"
        named = f"extmap:{_MID} {MID_URI}"
        profile = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"
        wishes = ("nack", "nack pli", "ccm fir", "goog-remb", "transport-cc")
        video = [
            *(f"rtpmap:{_H264} H264/90000", f"fmtp:{_H264} {profile}"),
            *(f"rtcp-fb:{_H264} {wish}" for wish in wishes),
            *(f"rtpmap:{_RTX} rtx/90000", f"fmtp:{_RTX} apt={_H264}", named, numbered),
        ]
        audio = [f"rtpmap:{_OPUS} opus/48000/2", f"rtcp-fb:{_OPUS} transport-cc", named, numbered]
        sections = [("audio", str(_OPUS), audio), ("video", f"{_H264} {_RTX}", video)]
        return self._description(sections, "recvonly", "actpass")

    async def join(self, http: httpx.AsyncClient, seat: Seat, swarm: Any, manners: Manners) -> None:  # noqa: ANN401 - of C
        """Ask, connect, and let C go on.

        Raises:
            JoinError: the platform refused, or no connection was made in time.
        """
        self._seat = seat
        self.asked_ns = time.time_ns()
        headers = self._headers() | {"content-type": "application/sdp"}
        try:
            response = await http.post(seat.path, content=self.offer(), headers=headers)
            if response.status_code != httpx.codes.CREATED:
                raise JoinError(f"WHEP was answered with {response.status_code}: {response.text[:200]}")
            self.location, self.answer = response.headers["location"], response.text
            found = re.search(rf"^a=extmap:(\d+) {re.escape(TRANSPORT_CC_URI)}", response.text, re.MULTILINE)
            self.feedback_extension = int(found[1]) if found else 0
            async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                await self.connect(response.text, client="a=setup:passive" in response.text)
        except (httpx.HTTPError, TimeoutError, AssertionError, ConnectionError) as error:
            raise JoinError(f"{type(error).__name__}: {error}") from error
        await self._hand_over(swarm, manners)

    async def _hand_over(self, swarm: Any, manners: Manners) -> None:  # noqa: ANN401 - of C
        """Give the socket and the keys to C, and what came meanwhile."""
        task = self.dtls._task
        descriptor = self.release().fileno()
        # It decrypts with the keys that are C's from here on, so it must have ended.
        if task is not None:
            await asyncio.gather(task, return_exceptions=True)
        self._sessions = self.dtls._rx_srtp, self.dtls._tx_srtp
        receive, transmit = (
            ffi.cast("void *", int(srtp_ffi.cast("uintptr_t", session._srtp[0]))) for session in self._sessions
        )
        native = load()
        self._swarm = swarm
        self._member = native.swarm_add(
            *(swarm, descriptor, self.feedback_extension, receive, transmit, ffi.cast("void *", PROTECT_RTCP)),
            sockaddr((self._remote[0], self._remote[1])),
            *(_OPUS, _H264, _RTX, int(manners.repairs), manners.drop_every),
        )
        for packet in self.rtp:
            native.swarm_feed(swarm, self._member, packet, len(packet), 1)
        while not self._port.queue.empty():
            datagram = self._port.queue.get_nowait()
            native.swarm_feed(swarm, self._member, datagram, len(datagram), 0)
        self.rtp.clear()
        native.swarm_start(swarm, self._member)

    def figures(self) -> Any:  # noqa: ANN401 - of C
        """What has come since the measuring began: `struct figures` of native.c."""
        found = ffi.new("struct figures *")
        load().swarm_figures(self._swarm, self._member, found)
        return found

    async def leave(self, http: httpx.AsyncClient) -> None:
        """End the session, and close the socket."""
        if self.location:
            response = await http.delete(self.location, headers=self._headers())
            if response.status_code not in {httpx.codes.NO_CONTENT, httpx.codes.NOT_FOUND}:
                raise JoinError(f"leaving was answered with {response.status_code}")
        self.discard()

    def discard(self) -> None:
        """Close the socket; the other end may find out for itself."""
        if self._member is not None:
            load().swarm_drop(self._swarm, self._member)
            self._member = None
        super().discard()

    def _headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self._seat.token}"}
