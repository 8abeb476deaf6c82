"""The streamer, a process of its own: nothing that viewers do delays a frame.

Run by `tests.bench.swarm.source`, which tells it what to do in lines of JSON and reads lines of JSON from it.
"""

import asyncio
import json
import os
import sys
import time
from collections import deque
from contextlib import suppress
from typing import Any, Final

import httpx
import msgspec
from aiortc.rtp import (
    RTCP_PSFB_PLI,
    RTCP_RTPFB_NACK,
    RtcpPacket,
    RtcpPsfbPacket,
    RtcpRtpfbPacket,
    RtcpSenderInfo,
    RtcpSrPacket,
)

from tests.sfu_fleet.peer import AUDIO_SSRC, VIDEO_SSRC, Peer, rtp_packet

from .footage import FRAME_RATE, KEYFRAME_EVERY, OPUS_PER_SECOND, Footage, make

_VIDEO_PAYLOAD_TYPE, _AUDIO_PAYLOAD_TYPE = 106, 111
_HISTORY: Final = 2_048
_CHECK_S: Final = 3.0
_REPORT_S: Final = 1.0
# Encoders do not make a keyframe for each of many who ask at once.
_KEYFRAME_S: Final = 0.5
# Seconds between 1900 and 1970 (RFC 5905, section 6).
_NTP: Final = 2_208_988_800


class Sent(msgspec.Struct, frozen=True):
    """A frame, or a packet of sound (then its number is -1): when it was sent, when it should have been, and its size.

    Times are ns of the real-time clock; the size is that of RTP payloads, in bytes.
    """

    number: int
    at: int
    late_ns: int
    packets: int
    size: int


class Streamer:
    """Sends a clip in a loop, and a keyframe next when asked for one."""

    def __init__(self, peer: Peer, footage: Footage) -> None:
        self._peer = peer
        self._footage = footage
        self._began = time.time_ns()
        self._sequences = {VIDEO_SSRC: 0, AUDIO_SSRC: 0}
        self._octets = {VIDEO_SSRC: [0, 0], AUDIO_SSRC: [0, 0]}
        self._history: deque[tuple[int, bytes]] = deque(maxlen=_HISTORY)
        self._place = 0
        self._keyframe_at = 0.0
        self._number = 0
        self._sound = 0
        self.log: deque[Sent] = deque(maxlen=200_000)
        self.asked_again = 0

    async def run(self) -> None:
        """Stream until cancelled."""
        frame, sound, report, check = 0, 0, 0.0, 0.0
        began = time.perf_counter()
        offset_ns = time.time_ns() - time.perf_counter_ns()
        while True:
            at = min(frame / FRAME_RATE, (sound + 0.5) / OPUS_PER_SECOND)
            await asyncio.sleep(max(0.0, began + at - time.perf_counter()))
            self._listen()
            due_ns = int((began + at) * 1e9) + offset_ns
            if frame / FRAME_RATE == at:
                self._send_picture(due_ns)
                frame += 1
            else:
                self._send_sound(due_ns)
                sound += 1
            if at - report >= _REPORT_S:
                self._report()
                report = at
            if at - check >= _CHECK_S:
                self._peer.send_raw(self._peer.binding_request())
                check = at

    def sent(self, from_ns: int, until_ns: int) -> dict[str, Any]:
        """What was sent from then until then."""
        within = [entry for entry in self.log if from_ns <= entry.at < until_ns]
        frames = [entry for entry in within if entry.number >= 0]
        return {
            "frames": len(frames),
            "packets": sum(entry.packets for entry in within),
            "bytes": sum(entry.size for entry in within),
            "late_ms": max((entry.late_ns for entry in within), default=0) / 1e6,
            "asked_again": self.asked_again,
        }

    def _send_picture(self, due_ns: int) -> None:
        pictures = self._footage.pictures
        picture = pictures[self._place % len(pictures)]
        self._place += 1
        now = time.time_ns()
        payloads = picture.marked(self._number, now)
        self.log.append(Sent(self._number, now, now - due_ns, len(payloads), sum(map(len, payloads))))
        self._number += 1
        for index, payload in enumerate(payloads):
            last = index == len(payloads) - 1
            self._send(VIDEO_SSRC, _VIDEO_PAYLOAD_TYPE, self._timestamp(now, 90_000), payload, marker=last)

    def _send_sound(self, due_ns: int) -> None:
        payload = self._footage.sounds[self._sound % len(self._footage.sounds)]
        now = time.time_ns()
        self.log.append(Sent(-1, now, now - due_ns, 1, len(payload)))
        self._send(AUDIO_SSRC, _AUDIO_PAYLOAD_TYPE, self._sound * 960, payload, marker=self._sound == 0)
        self._sound += 1

    def _send(self, ssrc: int, payload_type: int, timestamp: int, payload: bytes, *, marker: bool) -> None:
        sequence = self._sequences[ssrc] = (self._sequences[ssrc] + 1) & 0xFFFF
        packet = rtp_packet(
            sequence, timestamp=timestamp, payload_type=payload_type, ssrc=ssrc, payload=payload, marker=marker
        )
        if ssrc == VIDEO_SSRC:
            self._history.append((sequence, packet))
        self._octets[ssrc][0] += 1
        self._octets[ssrc][1] += len(payload)
        with suppress(OSError):
            self._peer.send_rtp(packet)

    def _timestamp(self, at_ns: int, rate: int) -> int:
        # When a frame is sent, not when it should be: what the streamer itself is late is not the network's jitter.
        return (at_ns - self._began) * rate // 1_000_000_000

    def _listen(self) -> None:
        compounds, self._peer.rtcp = self._peer.rtcp, []
        for compound in compounds:
            with suppress(ValueError):
                for packet in RtcpPacket.parse(compound):
                    if isinstance(packet, RtcpPsfbPacket) and packet.fmt == RTCP_PSFB_PLI:
                        self._keyframe_next()
                    elif isinstance(packet, RtcpRtpfbPacket) and packet.fmt == RTCP_RTPFB_NACK:
                        self._send_again(set(packet.lost))

    def _keyframe_next(self) -> None:
        now = time.monotonic()
        if now - self._keyframe_at > _KEYFRAME_S and self._place % KEYFRAME_EVERY > 1:
            self._keyframe_at = now
            self._place += -self._place % KEYFRAME_EVERY

    def _send_again(self, sequences: set[int]) -> None:
        for sequence, packet in list(self._history):
            if sequence in sequences:
                self.asked_again += 1
                with suppress(OSError):
                    self._peer.send_rtp(packet)

    def _report(self) -> None:
        now = time.time_ns()
        ntp = (now // 1_000_000_000 + _NTP) << 32 | (now % 1_000_000_000 << 32) // 1_000_000_000
        times = {VIDEO_SSRC: self._timestamp(now, 90_000), AUDIO_SSRC: self._sound * 960}
        for ssrc, (packets, octets) in self._octets.items():
            info = RtcpSenderInfo(ntp, times[ssrc] & 0xFFFFFFFF, packets, octets & 0xFFFFFFFF)
            with suppress(OSError):
                self._peer.send_rtcp(RtcpSrPacket(ssrc=ssrc, sender_info=info))


async def _main() -> None:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    order = json.loads(await reader.readline())
    os.sched_setaffinity(0, {order["core"]})
    footage = make(order["bit_rate"])
    peer = Peer()
    headers = {"authorization": f"Bearer {order['token']}"}
    async with httpx.AsyncClient(base_url=order["url"], timeout=15, headers=headers) as http:
        offer = peer.publish_offer(video="H264")
        answered = await http.post(order["path"], content=offer, headers={"content-type": "application/sdp"})
        answered.raise_for_status()
        # The worker is the DTLS client where the offer lets it choose (RFC 5763, section 5).
        await peer.connect(answered.text, client="a=setup:passive" in answered.text)
        streamer = Streamer(peer, footage)
        streaming = asyncio.create_task(streamer.run(), name="stream")
        _say({"kbps": footage.kbps, "packets_per_second": footage.packets_per_second})
        while line := await reader.readline():
            if streaming.done():
                streaming.result()
            asked = json.loads(line)
            _say(streamer.sent(asked["from_ns"], asked["until_ns"]))
        streaming.cancel()
        await asyncio.gather(streaming, return_exceptions=True)
        await http.delete(answered.headers["location"])
    await peer.close()


def _say(what: dict[str, Any]) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    asyncio.run(_main())
