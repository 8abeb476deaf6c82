"""What a viewer sees on a bad way: loss, delay, a burst of loss, and a bottleneck that comes and goes.

A real Chromium publishes three layers from the studio page; another one watches by WHEP behind a path of ours
(tests/support/narrow_path.py) that loses, delays and narrows. Frames and freezes are those that the viewing browser
counts. In each cell the path is steady, then half of all packets are lost for half a second: recovery is the time from
the end of that burst until half a second has four fifths of the frames it had before. Delay is of the round trip, half
of it each way; loss is in both directions. All of it, encoders included, runs on this machine at once, so frame rates
depend on it. Run with `python -m tests.bench.impaired`; `--plot FILE` draws the layer against time. The last line is
one JSON object.
"""

import argparse
import asyncio
import itertools
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import matplotlib as mpl
import msgspec
from matplotlib import pyplot as plt
from playwright.async_api import Browser, async_playwright

from shared.stack.stack import LocalStack
from tests.bench import machine
from tests.conftest import child_environ
from tests.e2e.person import Person
from tests.support.chromium import ARGUMENTS, chromium_path
from tests.support.room_client import guest
from tests.support.sfu import sessions
from tests.support.whep_player import Player, watch

CELLS: Final = tuple((loss, rtt) for rtt in (20, 100, 200) for loss in (0, 1, 5, 10))
BURST_S, BURST_LOSS = 0.5, 0.5
SETTLING_S: Final = 6.0
LONGEST_RECOVERY_S: Final = 10.0
# From when on, in seconds, the way carries so much; None is as much as the machine does.
STEPS: Final = ((0.0, None), (15.0, 900_000), (35.0, 300_000), (55.0, 900_000), (75.0, None))
LENGTH_S: Final = 100.0


class Cell(msgspec.Struct, frozen=True):
    """What one viewer saw under one loss and round-trip time."""

    loss_percent: float
    rtt_ms: int
    frames_per_second: float
    freezes: int
    frozen_s: float
    height: int
    nacks: int
    repaired: int
    keyframe_requests: int
    recovery_s: float | None


class Moment(msgspec.Struct, frozen=True):
    """What was seen at one time: seconds, the path's bit/s, the picture's height, the worker's estimate in bit/s."""

    at: float
    bitrate: int | None
    height: int
    estimate: int


class Stage:
    """A live room with a publisher in Chromium."""

    def __init__(self, stack: LocalStack, browser: Browser, http: httpx.AsyncClient) -> None:
        self._stack = stack
        self._browser = browser
        self._http = http
        self._room = ""

    async def go_live(self) -> None:
        """Publish three layers."""
        ana = await Person.open(await self._browser.new_context(), self._stack.url, "Ana")
        self._room = await ana.create_room("Bad ways")
        await ana.go_live()

    @asynccontextmanager
    async def viewer(self, *, rtt_s: float, loss: float) -> AsyncIterator[Player]:
        """Somebody who watches on such a path."""
        token = await (await guest(self._http, "Bo")).room_token(self._room)
        context = await self._browser.new_context()
        player = await watch(await context.new_page(), self._stack, self._room, token, rtt_s=rtt_s, loss=loss)
        try:
            yield player
        finally:
            await player.path.__aexit__()
            await context.close()

    async def estimate(self, player: Player) -> int:
        """What the worker thinks that the viewer's way carries, in bit/s; 0 before it thinks anything."""
        session = player.location.rsplit("/", 1)[1]
        for worker in self._stack.workers:
            for info in await sessions(self._stack, worker.url):
                if info["session"] == session and info["adaptation"]:
                    return int(info["adaptation"]["bandwidth"]["estimate"] or 0)
        return 0


@asynccontextmanager
async def stage() -> AsyncIterator[Stage]:
    """Start the platform and the browser, and go live."""
    with tempfile.TemporaryDirectory() as folder:
        async with (
            LocalStack(Path(folder), functions=1, workers=1, environ=child_environ(), report=lambda _: None) as stack,
            httpx.AsyncClient(base_url=stack.url, timeout=30) as http,
            async_playwright() as playwright,
        ):
            browser = await playwright.chromium.launch(executable_path=chromium_path(), args=ARGUMENTS)
            made = Stage(stack, browser, http)
            await made.go_live()
            yield made
            await browser.close()


async def cell(stage: Stage, loss_percent: float, rtt_ms: int, seconds: float) -> Cell:
    """One viewer under one loss and delay."""
    async with stage.viewer(rtt_s=rtt_ms / 1000, loss=loss_percent / 100) as player:
        await player.until(lambda seen: seen.get("framesDecoded", 0) > 0, "a first frame")
        await asyncio.sleep(SETTLING_S)
        before, began = await player.video(), time.monotonic()
        await asyncio.sleep(seconds)
        after, lasted = await player.video(), time.monotonic() - began

        def more(name: str) -> float:
            return float(after.get(name, 0)) - float(before.get(name, 0))

        rate = more("framesDecoded") / lasted
        player.path.loss = BURST_LOSS
        await asyncio.sleep(BURST_S)
        player.path.loss = loss_percent / 100
        recovery_s = await _recovery(player, rate)
        return Cell(
            loss_percent=loss_percent,
            rtt_ms=rtt_ms,
            frames_per_second=round(rate, 1),
            freezes=int(more("freezeCount")),
            frozen_s=round(more("totalFreezesDuration"), 2),
            height=int(after.get("frameHeight", 0)),
            nacks=int(more("nackCount")),
            repaired=int(more("retransmittedPacketsReceived")),
            keyframe_requests=int(more("pliCount") + more("firCount")),
            recovery_s=recovery_s,
        )


async def _recovery(player: Player, rate: float) -> float | None:
    """Seconds until half a second with four fifths of the frames began; None when there was none in time."""
    began = time.monotonic()
    seen: list[tuple[float, int]] = []
    while (now := time.monotonic() - began) < LONGEST_RECOVERY_S:
        seen.append((now, int((await player.video()).get("framesDecoded", 0))))
        for at, frames in seen:
            if at <= now - 0.5:
                if seen[-1][1] - frames >= 0.8 * rate * (now - at):
                    return round(at, 2)
            else:
                break
        seen = [entry for entry in seen if entry[0] > now - 0.6]
        await asyncio.sleep(0.05)
    return None


async def bottleneck(stage: Stage, steps: Sequence[tuple[float, int | None]], length_s: float) -> list[Moment]:
    """One viewer whose way becomes narrow and wide again: what was seen every quarter of a second."""
    moments = []
    async with stage.viewer(rtt_s=0.05, loss=0.0) as player:
        await player.until(lambda seen: seen.get("framesDecoded", 0) > 0, "a first frame")
        began = time.monotonic()
        while (now := time.monotonic() - began) < length_s:
            player.path.bitrate = [bitrate for at, bitrate in steps if at <= now][-1]
            seen = await player.video()
            moments.append(
                Moment(
                    round(now, 2),
                    player.path.bitrate,
                    int(seen.get("frameHeight", 0)),
                    await stage.estimate(player),
                )
            )
            await asyncio.sleep(0.25)
    return moments


def draw(moments: Sequence[Moment], path: Path) -> None:
    """The picture's height, and what the way carried and was thought to carry, against time."""
    mpl.use("svg")
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "headrace", "font.size": 9})
    figure, (heights, rates) = plt.subplots(2, 1, sharex=True, figsize=(8, 4.5), layout="constrained")
    times = [moment.at for moment in moments]
    heights.step(times, [moment.height for moment in moments], where="post", color="tab:blue")
    heights.set_ylabel("picture height, lines")
    heights.set_ylim(bottom=0)
    top = max(moment.estimate for moment in moments) / 1e6 * 1.1 or 1.0
    carried = [min(top, (moment.bitrate or 1e12) / 1e6) for moment in moments]
    rates.step(times, carried, where="post", color="tab:gray", label="the way carries")
    rates.plot(times, [moment.estimate / 1e6 for moment in moments], color="tab:orange", label="estimate")
    rates.set_ylabel("Mbit/s")
    rates.set_xlabel("seconds")
    rates.set_ylim(0, top)
    rates.legend(loc="lower right")
    for axes in (heights, rates):
        axes.grid(alpha=0.3)
    figure.savefig(path, metadata={"Date": None})


def switching_s(moments: Sequence[Moment], steps: Sequence[tuple[float, int | None]]) -> list[dict[str, Any]]:
    """For each step, when the picture's size changed for the first and for the last time after it."""
    found = []
    for index, (at, bitrate) in enumerate(steps[1:], 1):
        until = steps[index + 1][0] if index + 1 < len(steps) else moments[-1].at
        span = [moment for moment in moments if at <= moment.at < until]
        changes = [round(new.at - at, 2) for old, new in itertools.pairwise(span) if old.height != new.height]
        found.append(
            {
                "kbps": None if bitrate is None else bitrate // 1000,
                "first_change_s": changes[0] if changes else None,
                "settled_s": changes[-1] if changes else None,
                "height": span[-1].height if span else None,
            }
        )
    return found


async def _main() -> int:
    parser = argparse.ArgumentParser(prog="tests.bench.impaired", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=8.0, help="of each cell, before its burst of loss")
    parser.add_argument("--cells", nargs="*", default=[f"{loss},{rtt}" for loss, rtt in CELLS], help="LOSS,RTT_MS")
    parser.add_argument("--plot", type=Path, help="where to draw the layer against time (SVG)")
    parser.add_argument("--bottleneck-scale", type=float, default=1.0, help="stretches the bottleneck's times")
    arguments = parser.parse_args()
    print(f"machine: {machine.describe()}\nmethod:  {' '.join((__doc__ or '').split())}")
    cells: list[Cell] = []
    async with stage() as live:
        print("  loss   rtt  frames/s  freezes  frozen s  height  nacks  repaired  keyframes asked  recovery s")
        for text in arguments.cells:
            loss, rtt = text.split(",")
            found = await cell(live, float(loss), int(rtt), arguments.seconds)
            cells.append(found)
            recovery = "-" if found.recovery_s is None else f"{found.recovery_s:.2f}"
            print(
                f"{found.loss_percent:5.1f}% {found.rtt_ms:4}ms {found.frames_per_second:8.1f} {found.freezes:8}"
                f" {found.frozen_s:9.2f} {found.height:7} {found.nacks:6} {found.repaired:9}"
                f" {found.keyframe_requests:16} {recovery:>11}",
                flush=True,
            )
        scale = arguments.bottleneck_scale
        steps = [(at * scale, bitrate) for at, bitrate in STEPS]
        moments = await bottleneck(live, steps, LENGTH_S * scale)
    switches = switching_s(moments, steps)
    for entry in switches:
        print(f"bottleneck: {entry}")
    if arguments.plot:
        draw(moments, arguments.plot)
    print(json.dumps({"cells": [msgspec.to_builtins(found) for found in cells], "bottleneck": switches}))
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(_main()))
