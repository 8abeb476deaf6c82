"""A storm of keyframe requests: by default a thousand viewers ask within a second, spread evenly over it.

How many requests reach the publisher, whether every viewer gets a keyframe after they have asked, and after how long.
The publisher is an encoder that answers each request with its next frame. Viewers went through ICE, DTLS and SRTP. Both
planes, one after the other. Run with `python -m tests.bench.keyframes`. The last line is one JSON object; the exit code
is 1 when more than two requests reached the publisher or a viewer got no keyframe.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from typing import Any, Final

import msgspec
from aiortc.rtcdtlstransport import RTCCertificate
from aiortc.rtp import RTCP_PSFB_FIR, RTCP_PSFB_PLI, RtcpPsfbPacket, RtcpRrPacket, RtpPacket

from shared.stack.prerequisites import raise_descriptor_limit
from tests.bench import machine
from tests.bench.sfu.viewers import Viewer, keep_alive
from tests.bench.sfu.worker import Worker
from tests.bench.signaling.sampling import Cores
from tests.sfu_fleet.peer import VIDEO_SSRC, VP8_DELTA, VP8_KEYFRAME, Peer, rtp_packet

_FRAME_S: Final = 0.1
# Longer than requests are held back for one another's sake.
_CALM_S: Final = 1.5
_PATIENCE_S: Final = 10.0
_AT_ONCE: Final = 8
_SSRC: Final = 1


class Encoder:
    """Sends a frame of one packet ten times a second, a keyframe when one was asked for since the last."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self.requests = 0
        self._number = 0

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            asked = self.asked()
            head = VP8_KEYFRAME if asked or not self._number else VP8_DELTA
            self._peer.send_rtp(rtp_packet(self._number, timestamp=self._number * 9_000, payload=head))
            self._number += 1
            await asyncio.sleep(_FRAME_S)

    def asked(self) -> int:
        """How many requests have come since the last look."""
        kinds = {RTCP_PSFB_PLI, RTCP_PSFB_FIR}
        feedback = [packet for packet in self._peer.feedback() if isinstance(packet, RtcpPsfbPacket)]
        self._peer.rtcp.clear()
        found = sum(packet.fmt in kinds and packet.media_ssrc in {0, VIDEO_SSRC} for packet in feedback)
        self.requests += found
        return found


class Watcher:
    """A viewer of an encoder: asks for a keyframe, and knows when it came."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        peer.rtp = self._received = _Received()
        self._asked_at = float("inf")

    @property
    def playing(self) -> bool:
        """Whether it has had its first keyframe."""
        return bool(self._received.keyframes)

    def ask(self) -> None:
        """Send a Picture Loss Indication (RFC 4585, section 6.3.1)."""
        pli = RtcpPsfbPacket(fmt=RTCP_PSFB_PLI, ssrc=_SSRC, media_ssrc=self._received.ssrc)
        self._peer.send_rtcp(RtcpRrPacket(ssrc=_SSRC), pli)
        self._asked_at = time.perf_counter()

    @property
    def waited_s(self) -> float | None:
        """From its request to the next keyframe; nothing before that came."""
        after = (at for at in self._received.keyframes if at >= self._asked_at)
        first = next(after, None)
        return None if first is None else first - self._asked_at


class _Received(list[bytes]):
    """What a peer received: of video the times of its keyframes, and its SSRC, are kept and nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.keyframes: list[float] = []
        self.ssrc = 0

    def append(self, data: bytes) -> None:
        packet = RtpPacket.parse(data)
        self.ssrc = packet.ssrc
        if packet.payload.startswith(VP8_KEYFRAME):
            self.keyframes.append(time.perf_counter())


class Outcome(msgspec.Struct, frozen=True):
    """What came of a storm."""

    viewers: int
    requests: int
    """That reached the publisher."""
    waits_s: tuple[float, ...]
    """Of those who were served, in order."""

    @property
    def served(self) -> int:
        """How many got a keyframe after they had asked."""
        return len(self.waits_s)


async def storm(encoder: Encoder, watchers: Sequence[Watcher], *, within_s: float) -> Outcome:
    """Let everybody ask, evenly spread over that time; ends when all are served and nobody asks any more."""
    await _until(lambda: all(watcher.playing for watcher in watchers))
    await asyncio.sleep(_CALM_S)
    encoder.asked()
    before, began = encoder.requests, time.perf_counter()
    for place, watcher in enumerate(watchers):
        await asyncio.sleep(max(0.0, began + place * within_s / len(watchers) - time.perf_counter()))
        watcher.ask()
    await _until(lambda: all(watcher.waited_s is not None for watcher in watchers))
    await asyncio.sleep(_CALM_S)
    encoder.asked()
    waits = sorted(wait for watcher in watchers if (wait := watcher.waited_s) is not None)
    return Outcome(len(watchers), encoder.requests - before, tuple(waits))


async def _until(condition: Any) -> None:  # noqa: ANN401 - anything that can be asked
    deadline = time.perf_counter() + _PATIENCE_S
    while not condition() and time.perf_counter() < deadline:
        await asyncio.sleep(_FRAME_S)


async def _plane(plane: str, cores: Cores, viewers: int, within_s: float) -> Outcome:
    certificate = RTCCertificate.generateCertificate()
    at_once = asyncio.Semaphore(_AT_ONCE)
    async with AsyncExitStack() as running:
        (worker,) = await running.enter_async_context(Worker.running(plane, cores))
        source = Viewer(certificate=certificate)
        peers = [source]
        alive = asyncio.create_task(keep_alive(peers))
        running.callback(alive.cancel)
        await worker.publish(source, 0, audio=False)
        encoder = Encoder(source)
        sending = asyncio.create_task(encoder.run())
        running.callback(sending.cancel)

        async def join() -> Watcher:
            async with at_once:
                viewer = Viewer(certificate=certificate)
                watcher = Watcher(viewer)
                await worker.view(viewer, 0)
                peers.append(viewer)
                return watcher

        watchers = await asyncio.gather(*(join() for _ in range(viewers)))
        outcome = await storm(encoder, watchers, within_s=within_s)
        for peer in peers:
            peer.discard()
    return outcome


async def _main(arguments: argparse.Namespace) -> int:
    cores = Cores.of_machine()
    os.sched_setaffinity(0, {cores.rest})
    print(f"machine: {machine.describe()}")
    print(f"method:  {' '.join((__doc__ or '').split())}")
    results = {}
    for plane in ("native", "python"):
        found = await _plane(plane, cores, arguments.viewers, arguments.within)
        waits = [wait * 1000 for wait in found.waits_s] or [float("nan")]
        percentiles = {f"wait_p{percent}_ms": round(machine.percentile(waits, percent)) for percent in (50, 95, 100)}
        results[plane] = {"viewers": found.viewers, "requests": found.requests, "served": found.served, **percentiles}
        print(f"{plane}: {found.viewers:,} asked, {found.requests} reached the publisher, {found.served:,} were served")
    print(json.dumps(results))
    return int(any(found["requests"] > 2 or found["served"] < found["viewers"] for found in results.values()))


def main() -> int:
    """Run as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--viewers", type=int, default=1_000)
    parser.add_argument("--within", type=float, default=0.95, help="seconds in which all of them ask")
    arguments = parser.parse_args()
    raise_descriptor_limit()
    return asyncio.run(_main(arguments))


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
