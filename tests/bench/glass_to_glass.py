"""Glass to glass on loopback: from the drawing of a picture to its display at a viewer.

The publisher's camera is a canvas with the time of drawing in squares (clock_picture.js); the viewer reads the squares
of every frame that it displays and compares with the same machine's clock. The way is the product's own: studio page,
SFU worker, room page. The limit of this machine is measured in the same run: two peer connections in one page, with
no server between. Both include encoding and decoding in software.

Run with `task bench:latency`. The last line is one JSON object.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, async_playwright

from shared.stack.stack import LocalStack
from tests.bench import machine
from tests.e2e.person import Person
from tests.support.chromium import ARGUMENTS, chromium_path

CLOCK = Path(__file__).with_name("clock_picture.js")
SETTLING_S = 3.0


async def measure(seconds: float) -> dict[str, Any]:
    """Run once and return the figures."""
    with tempfile.TemporaryDirectory() as folder:
        async with (
            LocalStack(Path(folder), functions=2, workers=2, report=lambda _: None) as stack,
            async_playwright() as playwright,
        ):
            browser = await playwright.chromium.launch(executable_path=chromium_path(), args=ARGUMENTS)
            servers = [stack.process(name).pid for name in ("function-1", "function-2", "worker-1", "worker-2")]
            # Servers on the first core, browsers on the last: what one side needs does not slow the other.
            cores = sorted(os.sched_getaffinity(0))
            for pid in servers:
                machine.pin(pid, {cores[0]})
            for pid in _browser_processes():
                machine.pin(pid, {cores[-1]})
            direct = await _direct(browser, stack.url, seconds)
            through = await _through(browser, stack.url, seconds, servers)
            await browser.close()
    return _report(direct, through, seconds)


async def _direct(browser: Browser, url: str, seconds: float) -> list[float | None]:
    context = await browser.new_context()
    page = await context.new_page()
    await page.add_init_script(path=CLOCK)
    await page.goto(f"{url}/")
    found: list[float | None] = await page.evaluate("(seconds) => window.__clock.direct(seconds)", seconds)
    await context.close()
    return found


async def _through(browser: Browser, url: str, seconds: float, servers: list[int]) -> dict[str, Any]:
    contexts = [await browser.new_context(), await browser.new_context()]
    for context in contexts:
        await context.add_init_script(path=CLOCK)
    ana, bo = [await Person.open(context, url, name) for context, name in zip(contexts, ("Ana", "Bo"), strict=True)]
    code = await ana.create_room("Clock")
    await ana.go_live()
    await bo.join_by_link(code)
    await bo.watches()
    await asyncio.sleep(SETTLING_S)
    sides = (servers, _browser_processes())
    before = [machine.cpu_seconds(side) for side in sides]
    started = asyncio.get_running_loop().time()
    found = await bo.by("remote-video").evaluate("(video, seconds) => window.__clock.watch(video, seconds)", seconds)
    took = asyncio.get_running_loop().time() - started
    after = [machine.cpu_seconds(side) for side in sides]
    (video,) = [report for report in await bo.stats("inbound-rtp") if report["kind"] == "video"]
    for context in contexts:
        await context.close()
    return {
        "found": found,
        "server_cores": (after[0] - before[0]) / took,
        "browser_cores": (after[1] - before[1]) / took,
        "size": f"{video['frameWidth']}x{video['frameHeight']}",
        "jitter_buffer_ms": 1000 * video["jitterBufferDelay"] / max(1, video["jitterBufferEmittedCount"]),
    }


def _browser_processes() -> list[int]:
    return [pid for pid in machine.descendants(os.getpid()) if _is_browser(pid)]


def _is_browser(pid: int) -> bool:
    try:
        return "chromium" in Path(f"/proc/{pid}/comm").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return False


def _report(direct: list[float | None], through: dict[str, Any], seconds: float) -> dict[str, Any]:
    straight = [value for value in direct if value is not None]
    served = [value for value in through["found"] if value is not None]
    figures = {
        "p50_ms": round(machine.percentile(served, 50), 1),
        "p95_ms": round(machine.percentile(served, 95), 1),
        "frames_read": len(served),
        "frames_unreadable": len(through["found"]) - len(served),
        "frames_per_second": round(len(through["found"]) / seconds, 1),
        "direct_p50_ms": round(machine.percentile(straight, 50), 1),
        "direct_p95_ms": round(machine.percentile(straight, 95), 1),
        "jitter_buffer_mean_ms": round(through["jitter_buffer_ms"], 1),
        "server_cores": round(through["server_cores"], 2),
        "browser_cores": round(through["browser_cores"], 2),
        "seconds": seconds,
    }
    figures["ratio_to_direct_p95"] = round(figures["p95_ms"] / figures["direct_p95_ms"], 2)
    return figures | {"size": through["size"]}


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=30.0)
    figures = asyncio.run(measure(parser.parse_args().seconds))
    print(f"machine: {machine.describe()}")
    print(f"method:  {' '.join((__doc__ or '').split(chr(10) * 2)[1].split())}")
    print("pinning: servers on the first core, browsers (software encoder and decoder included) on the last")
    saturated = "the browsers' core" if figures["browser_cores"] > 0.9 else "neither side"
    print(f"saturated: {saturated}")
    json.dump(figures, sys.stdout)
    print()


if __name__ == "__main__":
    main()
