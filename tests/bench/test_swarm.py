"""The media swarm counts what the worker has sent, and sees what is lost."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import av
import pytest
import pytest_asyncio

from sfu_fleet.native import build
from tests.bench.signaling.sampling import Cores
from tests.bench.swarm.footage import Footage, make
from tests.bench.swarm.platform import Platform, Room
from tests.bench.swarm.source import Source
from tests.bench.swarm.swarm import NothingMeasuredError, Result, Swarm, _percentile, _saturated
from tests.bench.swarm.sweep import Step, most
from tests.bench.swarm.viewer import Manners
from tests.support.sfu import sessions

needs_compiler = pytest.mark.skipif(build.compiler() is None, reason="the swarm needs a C compiler")
VIEWERS, SECONDS, BIT_RATE = 6, 2.0, 1_000_000
# Scheduling of a busy machine may hold a frame back at an edge of what is measured.
FEW_FRAMES = 0.05

KEYS = {
    *("viewers", "viewers_connected", "seconds", "offered_kbps", "received_kbps_mean", "loss_ratio", "jitter_ms_p95"),
    *("freezes", "frames_missing_ratio", "frame_latency_ms_p50", "frame_latency_ms_p95", "join_ms_p50", "join_ms_p95"),
    *("worker_cores_mean", "swarm_cores_mean", "saturated", "measured_viewers", "seed", "machine"),
}


@pytest_asyncio.fixture(scope="module")
async def platform() -> AsyncIterator[Platform]:
    async with Platform.own(Cores.of_machine()) as started:
        yield started


@pytest_asyncio.fixture(scope="module")
async def live(platform: Platform) -> AsyncIterator[tuple[Room, Source]]:
    """A room with a stream."""
    room = await platform.room("Swarm")
    async with Source.live(platform, room, BIT_RATE, Cores.of_machine().rest) as source:
        yield room, source


@asynccontextmanager
async def watching(platform: Platform, room: Room, manners: Manners) -> AsyncIterator[Swarm]:
    """Viewers who are there."""
    async with Swarm.of(platform, Cores.of_machine(), manners=manners) as swarm:
        await swarm.join(await platform.seats(room, VIEWERS), 0.5)
        assert not swarm.refusals
        yield swarm


@needs_compiler
async def test_viewers_count_what_the_worker_says_that_it_sent(platform: Platform, live: tuple[Room, Source]) -> None:
    room, source = live
    async with watching(platform, room, Manners()) as swarm:
        found = await swarm.measure(source, SECONDS)
        before = await packets_out(platform)
        seen = {viewer.session: int(viewer.figures().datagrams_ever) for viewer in swarm.viewers}
        await asyncio.sleep(0.5)
        after = await packets_out(platform)
    assert found.viewers_connected == found.measured_viewers == VIEWERS
    assert found.frames_expected > 0
    assert found.frames_missing_ratio <= FEW_FRAMES
    assert found.loss_ratio == 0, found
    assert found.received_kbps_mean == pytest.approx(found.offered_kbps, rel=0.15)
    assert found.worker_cores_mean is not None
    assert len(seen) == VIEWERS
    for session, packets in seen.items():
        assert before[session] <= packets <= after[session]


@needs_compiler
async def test_what_is_thrown_away_is_lost_and_worker_and_viewer_agree_on_it(
    platform: Platform, live: tuple[Room, Source]
) -> None:
    room, source = live
    async with watching(platform, room, Manners(drop_every=50, repairs=False)) as swarm:
        found = await swarm.measure(source, SECONDS)
        told = [info for info in await of_worker(platform) if info["session"] in {v.session for v in swarm.viewers}]
    assert found.nacked == found.repaired == 0
    assert found.loss_ratio == pytest.approx(1 / 50, rel=0.3), found
    assert found.frames_missing_ratio > 1 / 50
    # By receiver reports, and by transport-wide feedback.
    assert all(info["packets_lost"] > 0 for info in told)
    assert all(info["adaptation"]["bandwidth"]["source"] == "transport-cc" for info in told)


@needs_compiler
async def test_what_is_asked_for_again_comes_and_the_frames_with_it(
    platform: Platform, live: tuple[Room, Source]
) -> None:
    room, source = live
    async with watching(platform, room, Manners(drop_every=50)) as swarm:
        found = await swarm.measure(source, SECONDS)
    assert found.repaired > 0
    assert found.nacked >= found.repaired
    assert found.frames_missing_ratio <= FEW_FRAMES
    # Sound is never sent again.
    assert 0 < found.loss_ratio < 1 / 50


@needs_compiler
async def test_without_samples_there_is_no_result(platform: Platform, live: tuple[Room, Source]) -> None:
    _, source = live
    room = await platform.room("Nobody streams")
    async with Swarm.of(platform, Cores.of_machine()) as swarm:
        await swarm.join(await platform.seats(room, 2), 0.1)
        assert len(swarm.refusals) == 2
        assert "409" in swarm.refusals[0]
        with pytest.raises(NothingMeasuredError, match="nobody could join"):
            await swarm.measure(source, 0.1)


@needs_compiler
async def test_the_command_ends_with_its_figures(platform: Platform) -> None:
    ended = await run("--url", platform.url, "--viewers", "3", "--seconds", "1", "--mbps", "1", "--seed", "7")
    assert ended.returncode == 0, ended.stdout[-2000:] + ended.stderr[-3000:]
    figures = json.loads(ended.stdout.splitlines()[-1])
    assert set(figures) >= KEYS
    assert (figures["viewers"], figures["viewers_connected"], figures["seed"]) == (3, 3, 7)
    # Found by the port that it has open.
    assert figures["worker_cores_mean"] is not None


@pytest.mark.parametrize("url", ["http://192.0.2.1:80", "http://127.0.0.1:9"])
async def test_only_a_platform_on_this_machine_is_a_target_and_failure_is_said(url: str) -> None:
    ended = await run("--url", url, "--viewers", "1", "--seconds", "1")
    assert ended.returncode == 1
    assert "nothing was measured: " in ended.stderr
    assert "{" not in ended.stdout.splitlines()[-1]


def test_the_footage_can_be_decoded_with_its_marks_in_it() -> None:
    footage = make(BIT_RATE)
    decoder = av.CodecContext.create("h264", "r")
    assert isinstance(decoder, av.VideoCodecContext)
    decoded = []
    for number, picture in enumerate(footage.pictures[:10]):
        payloads = picture.marked(number, 1_700_000_000_000_000_000)
        assert all(len(payload) <= 1_150 for payload in payloads)
        decoded += decoder.decode(av.Packet(b"".join(b"\0\0\0\1" + unit for unit in units(payloads))))
    decoded += decoder.decode(None)
    assert [frame.width for frame in decoded] == [1280] * 10
    assert [picture.keyframe for picture in footage.pictures[:61:60]] == [True, True]
    assert isinstance(footage, Footage)
    assert footage.kbps == pytest.approx(BIT_RATE / 1000, rel=0.3)


def test_a_swarm_that_is_late_says_so_before_it_blames_the_worker() -> None:
    full = {"worker": 1.0, "swarm": 0.2}
    assert _saturated(full, 1.0, 1.0, 0) == "worker"
    assert _saturated(full, 60.0, 1.0, 0) == "swarm"
    assert _saturated(full, 1.0, 1.0, 1) == "swarm"
    assert _saturated({"worker": 0.5, "swarm": 0.99}, 1.0, 1.0, 0) == "swarm"
    assert _saturated({"swarm": 0.2}, 1.0, 1.0, 0) == "none"


def test_percentiles_are_upper_edges_of_tenths_of_a_millisecond() -> None:
    assert _percentile([0, 9, 0, 1], 90) == pytest.approx(0.2)
    assert _percentile([0, 9, 0, 1], 95) == pytest.approx(0.4)
    assert _percentile([0, 0], 95) != _percentile([0, 0], 95)


@pytest.mark.parametrize(
    ("saturated", "others", "limited_by", "text"),
    [
        ("worker", 0.0, "worker", "40"),
        ("swarm", 0.0, "swarm", "at least 40"),
        ("none", 0.0, "worker", "40"),
        ("none", 0.5, "others", "at least 40"),
    ],
)
def test_a_sweep_that_was_not_ended_by_the_worker_says_at_least(
    saturated: str, others: float, limited_by: str, text: str
) -> None:
    good = Step(1.0, result(viewers=40, loss=0.0, saturated="none", others=0.0))
    bad = Step(1.0, result(viewers=80, loss=0.01, saturated=saturated, others=others))
    found = most(1.0, [good, bad])
    assert (found.text, found.limited_by) == (text, limited_by)
    assert most(1.0, [bad]).viewers == 0


def result(*, viewers: int, loss: float, saturated: str, others: float) -> Result:
    values: dict[str, object] = dict.fromkeys(Result.__struct_fields__, 1.0)
    values |= {"viewers": viewers, "viewers_connected": viewers, "loss_ratio": loss, "freezes": 0}
    values |= {"saturated": saturated, "worker_core_others_mean": others}
    return Result(**values)  # type: ignore[arg-type]


def units(payloads: list[bytes]) -> list[bytes]:
    """The NAL units of a frame's payloads (RFC 6184, sections 5.6 to 5.8)."""
    found: list[bytes] = []
    for payload in payloads:
        kind = payload[0] & 31
        if kind == 24:
            at = 1
            while at < len(payload):
                size = int.from_bytes(payload[at : at + 2], "big")
                found.append(payload[at + 2 : at + 2 + size])
                at += 2 + size
        elif kind == 28:
            if payload[1] & 0x80:
                found.append(bytes((payload[0] & 0xE0 | payload[1] & 31,)))
            found[-1] += payload[2:]
        else:
            found.append(payload)
    return found


async def of_worker(platform: Platform) -> list[dict[str, Any]]:
    assert platform.stack is not None
    return await sessions(platform.stack, platform.stack.workers[0].url)


async def packets_out(platform: Platform) -> dict[str, int]:
    return {info["session"]: info["packets_out"] for info in await of_worker(platform)}


async def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.bench.swarm", *arguments]
    return await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60, check=False)
