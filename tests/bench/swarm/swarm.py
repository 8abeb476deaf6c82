"""Many viewers of one room: how they come, and what came of them."""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final, Literal, Self

import httpx
import msgspec
from aiortc.rtcdtlstransport import RTCCertificate

from sfu_fleet.dtls import UNPROTECT, UNPROTECT_RTCP
from tests.bench import machine
from tests.bench.sfu.viewers import keep_alive
from tests.bench.signaling.sampling import Cores, Sampler

from .footage import FRAME_RATE
from .native import BUCKETS, ffi, load
from .platform import Platform
from .source import Sent, Source
from .viewer import JoinError, Manners, Seat, SwarmViewer

FROZEN_AFTER_S: Final = max(3 / FRAME_RATE, 0.150)
"""Without a new frame for longer than that a picture is frozen."""
WARM_UP_S: Final = 1.0
# What many who came at once have left in queues is not measured: it is over when frames are no later than this again.
_QUIET_MS: Final = 100.0
_QUIET_S: Final = 0.5
_QUIET_TRIES: Final = 20
# Retransmissions take this long at most: ten tries every 50 ms, and what they meet on the way.
SETTLING_S: Final = 1.0
_PICTURE_S: Final = 10.0
_LEAVING_AT_ONCE: Final = 16
_SATURATED: Final = 0.95
# Datagrams that are read later than this waited for the swarm: as long as until the next feedback, which they then
# miss. When they arrived the kernel has noted. Frames that are sent later waited for the publisher.
_LATE_MS: Final = 50.0
_SENT_LATE_MS: Final = 100.0

Saturated = Literal["worker", "swarm", "none"]


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one number of viewers. Sums and distributions are over all who are measured, which is all of them.

    Rates are kbit/s of RTP payload; `loss_ratio` is of packets whose number was skipped and that no retransmission
    brought; cores are processors' worth of time: `foreign` is what was used of the two cores by all but worker, swarm
    and publisher (by functions, databases and browsers as well), `worker_core_others` by others of the worker's core.
    """

    viewers: int
    viewers_connected: int
    seconds: float
    offered_kbps: float
    received_kbps_mean: float
    packets_expected: int
    packets_lost: int
    loss_ratio: float
    repaired: int
    nacked: int
    keyframes_asked: int
    jitter_ms_p95: float
    freezes: int
    frozen_s: float
    frames_expected: int
    frames_missing_ratio: float
    frame_latency_ms_p50: float
    frame_latency_ms_p95: float
    frame_latency_ms_p99: float
    frame_latency_ms_max: float
    join_ms_p50: float
    join_ms_p95: float
    worker_cores_mean: float | None
    swarm_cores_mean: float
    publisher_cores_mean: float
    foreign_cores_mean: float
    worker_core_others_mean: float
    read_late_ms_p99: float
    sent_late_ms_max: float
    overflowed: int
    refused: int
    dropped: int
    saturated: Saturated
    measured_viewers: int

    @property
    def good(self) -> bool:
        """Whether everybody got the stream: at most 0.1 % lost, no frame frozen."""
        return self.loss_ratio <= 0.001 and not self.freezes and self.viewers_connected == self.viewers


class NothingMeasuredError(Exception):
    """There is no sample to tell of; the message says why."""


class Swarm:
    """Viewers of a room, who come and stay. `refusals` says why some did not come."""

    def __init__(self, platform: Platform, cores: Cores, *, manners: Manners | None = None, seed: int = 1) -> None:
        self._platform = platform
        self._cores = cores
        self._manners = manners or Manners()
        self._random = random.Random(seed)
        self._certificate = RTCCertificate.generateCertificate()
        self._wanted = 0
        self._alive: list[SwarmViewer] = []
        self.viewers: list[SwarmViewer] = []
        self.refusals: list[str] = []
        self._native = load().swarm_open(
            cores.rest, round(FROZEN_AFTER_S * 1e9), ffi.cast("void *", UNPROTECT), ffi.cast("void *", UNPROTECT_RTCP)
        )

    @classmethod
    @asynccontextmanager
    async def of(
        cls, platform: Platform, cores: Cores, *, manners: Manners | None = None, seed: int = 1
    ) -> AsyncIterator[Self]:
        """Have a swarm until the exit, when all of it leaves."""
        swarm = cls(platform, cores, manners=manners, seed=seed)
        alive = asyncio.create_task(keep_alive(swarm._alive), name="swarm-alive")
        try:
            yield swarm
        finally:
            alive.cancel()
            await asyncio.gather(alive, return_exceptions=True)
            await swarm._leave(list(swarm._alive))
            load().swarm_close(swarm._native)

    async def join(self, seats: Sequence[Seat], window_s: float) -> None:
        """Let one more viewer join for each seat, at times drawn evenly from the window, and wait for their pictures.

        Who is refused, or does not connect, is told in `refusals` and missing from `viewers`.
        """
        self._wanted += len(seats)
        times = sorted(self._random.uniform(0.0, window_s) for _ in seats)
        joined = await asyncio.gather(*(self._join(seat, at) for seat, at in zip(seats, times, strict=True)))
        came = [viewer for viewer in joined if viewer is not None]
        async with _within(_PICTURE_S):
            while not all(viewer.figures().keyframe_ns for viewer in came):
                await asyncio.sleep(0.1)
        self.viewers += came

    async def dismiss(self, count: int) -> None:
        """Let the latest so many leave, and forget those who could not join."""
        stay = max(0, len(self.viewers) - count)
        gone, self.viewers = self.viewers[stay:], self.viewers[:stay]
        self._wanted = stay
        await self._leave(gone)

    async def measure(self, source: Source, seconds: float) -> Result:
        """Look on for so long.

        Raises:
            NothingMeasuredError: nobody is there, nothing was sent, or nothing came.
        """
        if not self.viewers:
            raise NothingMeasuredError(f"nobody could join: {self.refusals[0] if self.refusals else 'nobody tried'}")
        native = load()
        await asyncio.sleep(WARM_UP_S)
        await self._quiet()
        groups: dict[str, Sequence[int]] = {"swarm": [os.getpid()], "publisher": [source.pid]}
        worker = self._platform.worker_pid(self.viewers[0].answer)
        if worker is not None:
            groups["worker"] = [worker]
        sampler = Sampler(groups, self._cores)
        native.swarm_begin(self._native)
        await asyncio.sleep(seconds)
        native.swarm_end(self._native)
        window = ffi.new("int64_t[2]")
        native.swarm_window(self._native, window, window + 1)
        lasted = (window[1] - window[0]) / 1e9
        sample = sampler.sample(lasted)
        await asyncio.sleep(SETTLING_S)
        sent = await source.sent(window[0], window[1])
        used = {name: sample.of(name) for name in groups}
        others = max(0.0, sample.of(f"core:{self._cores.server}") - used.get("worker", 0.0))
        return self._result(sent, lasted, used, foreign=sample.foreign(self._cores), others=others)

    async def _quiet(self) -> None:
        for _ in range(_QUIET_TRIES):
            load().swarm_begin(self._native)
            await asyncio.sleep(_QUIET_S)
            latency, _ = self._histograms()
            if _percentile(latency, 95) <= _QUIET_MS:
                return

    def _result(self, sent: Sent, lasted: float, used: dict[str, float], *, foreign: float, others: float) -> Result:
        found = [viewer.figures() for viewer in self.viewers]
        latency, late = self._histograms()
        expected, frames = sum(one.expected for one in found), sum(one.frames for one in found)
        if not sent.frames or not expected or not frames:
            raise NothingMeasuredError(
                f"no samples: {sent.frames} frames were sent, {expected} packets and {frames} frames came"
            )
        lost = sum(one.lost for one in found)
        due = sent.frames * len(found)
        joins = [(one.keyframe_ns - viewer.asked_ns) / 1e6 for one, viewer in zip(found, self.viewers, strict=True)]
        joins = [join for one, join in zip(found, joins, strict=True) if one.keyframe_ns]
        overflowed = sum(one.overflowed for one in found)
        late_p99 = _percentile(late, 99)
        return Result(
            viewers=self._wanted,
            viewers_connected=len(joins),
            seconds=lasted,
            offered_kbps=sent.bytes * 8 / 1000 / lasted,
            received_kbps_mean=sum(one.bytes for one in found) * 8 / 1000 / lasted / len(found),
            packets_expected=expected,
            packets_lost=lost,
            loss_ratio=lost / expected,
            repaired=sum(one.repaired for one in found),
            nacked=sum(one.nacked for one in found),
            keyframes_asked=sum(one.keyframes_asked for one in found),
            jitter_ms_p95=machine.percentile([one.jitter_ms for one in found], 95),
            freezes=sum(one.freezes for one in found),
            frozen_s=sum(one.frozen_s for one in found),
            frames_expected=due,
            frames_missing_ratio=max(0, due - frames) / due,
            frame_latency_ms_p50=_percentile(latency, 50),
            frame_latency_ms_p95=_percentile(latency, 95),
            frame_latency_ms_p99=_percentile(latency, 99),
            frame_latency_ms_max=_percentile(latency, 100),
            join_ms_p50=machine.percentile(joins, 50),
            join_ms_p95=machine.percentile(joins, 95),
            worker_cores_mean=used.get("worker"),
            swarm_cores_mean=used["swarm"],
            publisher_cores_mean=used["publisher"],
            foreign_cores_mean=foreign,
            worker_core_others_mean=others,
            read_late_ms_p99=late_p99,
            sent_late_ms_max=sent.late_ms,
            overflowed=overflowed,
            refused=sum(one.refused for one in found),
            dropped=sum(one.dropped for one in found),
            saturated=_saturated(used, late_p99, sent.late_ms, overflowed),
            measured_viewers=len(found),
        )

    def _histograms(self) -> tuple[list[int], list[int]]:
        latency, late = (ffi.new("uint32_t[]", BUCKETS) for _ in range(2))
        load().swarm_histograms(self._native, latency, late)
        return list(latency), list(late)

    async def _join(self, seat: Seat, at: float) -> SwarmViewer | None:
        await asyncio.sleep(at)
        viewer = SwarmViewer(self._certificate)
        try:
            await viewer.join(self._platform.http, seat, self._native, self._manners)
        except JoinError as error:
            self.refusals.append(str(error))
            viewer.discard()
            return None
        self._alive.append(viewer)
        return viewer

    async def _leave(self, viewers: Sequence[SwarmViewer]) -> None:
        at_once = asyncio.Semaphore(_LEAVING_AT_ONCE)

        async def leave(viewer: SwarmViewer) -> None:
            async with at_once:
                # The platform may be gone by now, and then nobody is left to be told.
                with suppress(httpx.HTTPError, JoinError):
                    await viewer.leave(self._platform.http)
            viewer.discard()

        for viewer in viewers:
            self._alive.remove(viewer)
        await asyncio.gather(*(leave(viewer) for viewer in viewers))


def _saturated(used: dict[str, float], read_late_ms: float, sent_late_ms: float, overflowed: int) -> Saturated:
    """Which side could not do more; the swarm where it was both, since then nothing is known of the worker."""
    if used["swarm"] > _SATURATED or read_late_ms > _LATE_MS or sent_late_ms > _SENT_LATE_MS or overflowed:
        return "swarm"
    return "worker" if used.get("worker", 0.0) > _SATURATED else "none"


def _percentile(histogram: Sequence[int], percent: float) -> float:
    """Of a histogram in tenths of a millisecond, the upper edge of the bucket, in ms; not a number without samples."""
    wanted, seen = sum(histogram) * percent / 100, 0
    if not wanted:
        return float("nan")
    for bucket, count in enumerate(histogram):
        seen += count
        if seen >= wanted:
            return (bucket + 1) / 10
    return len(histogram) / 10


@asynccontextmanager
async def _within(seconds: float) -> AsyncIterator[None]:
    """Give up waiting after so long, without a word."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            yield
