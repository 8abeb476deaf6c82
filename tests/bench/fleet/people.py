"""A streamer and viewers who do over raw WebRTC what our web client does: move when told to, and when nothing comes.

Every frame has its number, so that each viewer knows what they missed, whichever session it came by.
"""

import asyncio
import struct
from contextlib import suppress
from typing import Final

from aiortc.rtp import RTCP_PSFB_PLI, RtcpPacket, RtcpPsfbPacket, RtcpRrPacket, RtpPacket
from redis.exceptions import RedisError

from functions.sfu_client import Session, SfuClient, SfuError
from shared.security.tokens import Claims, Grant
from shared.state.fleet import NoWorkerAvailable
from tests.sfu_fleet.peer import VIDEO_SSRC, Peer, rtp_packet

FRAME_RATE: Final = 25
PACKETS_PER_FRAME: Final = 3
# As in the web client (media-health.ts, viewer.ts).
GONE_S: Final = 1.2
_SAMPLE_S: Final = 0.4
_RETRY_S: Final = 0.5
_FORMER_S: Final = 8.0
_CHECK_S: Final = 2.0
_MARK: Final = struct.Struct("!4sI")
_MAGIC: Final = b"frme"
_KEY: Final = b"\x10\x00\x9d\x01\x2a"
_DELTA: Final = b"\x10\x01\x00\x00\x00"
_MORE: Final = b"\x00\x00\x00\x00\x00"
ROOM: Final = "rehearsal01"
_REFUSED: Final = (SfuError, NoWorkerAvailable, RedisError, OSError, AssertionError, TimeoutError)


class _Peer(Peer):
    """A peer that knows when it last heard something, and hands media on."""

    def __init__(self, host: str) -> None:
        super().__init__()
        self._host = host
        self.session = ""
        self.heard_at = float("inf")
        self._checked_at = 0.0

    async def rebind(self) -> None:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=(self._host, 0))

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.heard_at = asyncio.get_running_loop().time()
        super().datagram_received(data, addr)

    def keep_alive(self, now: float) -> None:
        if now - self._checked_at > _CHECK_S:
            self._checked_at = now
            with suppress(OSError):
                self.send_raw(self.binding_request())

    def gone(self, now: float) -> bool:
        """Whether nothing has come for so long that the worker is taken for gone."""
        return now - self.heard_at > GONE_S

    async def leave(self) -> None:
        with suppress(Exception):
            async with asyncio.timeout(2):
                await self.close()


def _claims(name: str, grant: Grant) -> Claims:
    return Claims(sub=name, name=name, room=ROOM, grants=frozenset({grant}))


class Person:
    """What streamer and viewers have in common: a session, and at times another one that is being made beside it."""

    grant: Grant

    def __init__(self, name: str, sfu: SfuClient, host: str) -> None:
        self.name = name
        self.claims = _claims(name, self.grant)
        self._sfu = sfu
        self._host = host
        self.current: _Peer | None = None
        self.told: str | None = None
        self.moves = 0
        self._going: asyncio.Task[None] | None = None
        self._retiring: set[asyncio.Task[None]] = set()
        self._task = asyncio.create_task(self._watch(), name=name)

    @property
    def sessions(self) -> set[str]:
        """Those that are still theirs."""
        return {self.current.session} if self.current is not None else set()

    def relocate(self, session: str) -> None:
        """The worker of that session is about to go."""
        if self.current is not None and self.current.session == session:
            self.told = session

    async def close(self) -> None:
        """Leave."""
        for task in (self._task, self._going, *self._retiring):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        if self.current is not None:
            with suppress(*_REFUSED):
                await self._sfu.end(self.claims, self.current.session)
            await self.current.leave()

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            now = loop.time()
            peer = self.current
            if peer is not None:
                peer.keep_alive(now)
            if self._going is None and (peer is None or peer.gone(now) or self.told == peer.session):
                self._going = asyncio.create_task(self._go_over(peer), name=f"{self.name}-over")
            await asyncio.sleep(_SAMPLE_S / 2)

    async def _go_over(self, former: _Peer | None) -> None:
        try:
            peer = await self._connect(former.session if former is not None else None)
        except _REFUSED:
            await asyncio.sleep(_RETRY_S)
            return
        finally:
            self._going = None
        self.current, self.told = peer, None
        if former is not None:
            self.moves += 1
            retiring = asyncio.create_task(self._retire(former))
            self._retiring.add(retiring)
            retiring.add_done_callback(self._retiring.discard)

    async def _retire(self, former: _Peer) -> None:
        with suppress(*_REFUSED):
            await self._sfu.end(self.claims, former.session)
        await former.leave()

    async def _connect(self, instead_of: str | None) -> _Peer:
        raise NotImplementedError


class Streamer(Person):
    """Sends numbered frames by every session that it has, and a keyframe in each where it is asked for one."""

    grant = Grant.PUBLISH

    def __init__(self, name: str, sfu: SfuClient, host: str) -> None:
        self.frame = 0
        self.sent_at: dict[int, float] = {}
        self._sequences: dict[_Peer, int] = {}
        self._sending = asyncio.create_task(self._send_for_ever(), name="frames")
        super().__init__(name, sfu, host)

    async def close(self) -> None:
        """End the stream."""
        self._sending.cancel()
        await asyncio.gather(self._sending, return_exceptions=True)
        await super().close()

    async def _connect(self, instead_of: str | None) -> _Peer:
        peer = _Peer(self._host)
        try:
            session: Session = await self._sfu.publish(
                self.claims, peer.publish_offer(audio=False), instead_of=instead_of
            )
            peer.session = session.session
            async with asyncio.timeout(3):
                await peer.connect(session.sdp, client="a=setup:passive" in session.sdp)
        except BaseException:
            await peer.leave()
            raise
        self._sequences[peer] = 0
        return peer

    async def _retire(self, former: _Peer) -> None:
        # Viewers go over at a keyframe of the new session: so long the former one goes on.
        await asyncio.sleep(_FORMER_S)
        self._sequences.pop(former, None)
        await super()._retire(former)

    async def _send_for_ever(self) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        while True:
            self.frame += 1
            self.sent_at[self.frame] = loop.time()
            for peer in list(self._sequences):
                self._send(peer)
            await asyncio.sleep(max(0.0, began + self.frame / FRAME_RATE - loop.time()))

    def _send(self, peer: _Peer) -> None:
        first = self._sequences[peer] == 0
        key = first or _asked(peer)
        for part in range(PACKETS_PER_FRAME):
            self._sequences[peer] += 1
            prefix = (_KEY if key else _DELTA) if part == 0 else _MORE
            payload = prefix + _MARK.pack(_MAGIC, self.frame) + bytes(600)
            last = part == PACKETS_PER_FRAME - 1
            packet = rtp_packet(
                self._sequences[peer], timestamp=self.frame * 90_000 // FRAME_RATE, payload=payload, marker=last
            )
            with suppress(Exception):
                peer.send_rtp(packet)


def _asked(peer: _Peer) -> bool:
    compounds, peer.rtcp = peer.rtcp, []
    for compound in compounds:
        with suppress(ValueError):
            for packet in RtcpPacket.parse(compound):
                if isinstance(packet, RtcpPsfbPacket) and packet.fmt == RTCP_PSFB_PLI:
                    return packet.media_ssrc == VIDEO_SSRC
    return False


class Watcher(Person):
    """Notes which frames have come whole, and when the first packet of each came."""

    grant = Grant.SUBSCRIBE

    def __init__(self, name: str, sfu: SfuClient, host: str) -> None:
        self.frames: dict[int, float] = {}
        self._parts: dict[int, set[int]] = {}
        self.packets = 0
        super().__init__(name, sfu, host)

    def read(self) -> None:
        """Take what has come."""
        peers = [self.current] if self.current is not None else []
        for peer in peers:
            self._read(peer)

    async def _connect(self, instead_of: str | None) -> _Peer:
        peer = _Peer(self._host)
        try:
            session = await self._sfu.subscribe(self.claims, instead_of=instead_of)
            peer.session = session.session
            await self._sfu.answer(self.claims, session.session, peer.view_answer(session.sdp))
            async with asyncio.timeout(3):
                await peer.connect(session.sdp)
                # As a browser shows it: over when there is a picture.
                waited = 0
                while not peer.rtp:
                    await asyncio.sleep(0.02)
                    waited += 1
                    if waited % 25 == 0:
                        peer.send_rtcp(RtcpRrPacket(ssrc=1))
        except BaseException:
            if peer.session:
                with suppress(*_REFUSED):
                    await self._sfu.end(self.claims, peer.session)
            await peer.leave()
            raise
        return peer

    async def _go_over(self, former: _Peer | None) -> None:
        await super()._go_over(former)
        self.read()
        if former is not None:
            self._read(former)

    def _read(self, peer: _Peer) -> None:
        now = asyncio.get_running_loop().time()
        packets, peer.rtp = peer.rtp, []
        for data in packets:
            packet = RtpPacket.parse(data)
            at = packet.payload.find(_MAGIC, 0, 24)
            if at < 0:
                continue
            self.packets += 1
            frame = _MARK.unpack_from(packet.payload, at)[1]
            parts = self._parts.setdefault(frame, set())
            parts.add(packet.sequence_number)
            if len(parts) == PACKETS_PER_FRAME:
                self.frames.setdefault(frame, now)
                self._parts.pop(frame - 200, None)
