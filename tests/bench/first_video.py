"""From a fresh clone to a playing video: runs the demo in a clone of this repository and watches it in Chromium.

`--cold` empties uv's, pip's and npm's caches for the run, by pointing them at empty folders. Run with
`task bench:first-video`. The last line is one JSON object.
"""

import argparse
import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.async_api import async_playwright

from shared.stack import paths
from tests.bench import machine
from tests.e2e.person import Person
from tests.support.chromium import ARGUMENTS, chromium_path

_STAGE = re.compile(r"^✓ (.+?)\s+([0-9.]+) s$")
_LIVE = re.compile(r"The room is live: (\S+)")


async def measure(*, cold: bool) -> dict[str, Any]:
    """Clone, run, watch; run again with everything installed, and watch again."""
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone"
        git = await asyncio.create_subprocess_exec("git", "clone", "-q", paths.ROOT, clone)
        assert await git.wait() == 0
        environ = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
        if cold:
            environ |= {
                name: os.fspath(Path(folder) / name.lower())
                for name in ("UV_CACHE_DIR", "PIP_CACHE_DIR", "NPM_CONFIG_CACHE")
            }
        first = await _until_video(clone, environ)
        second = await _until_video(clone, environ)
    return {"cold_caches": cold, "fresh_clone_s": first, "installed_s": second}


async def _until_video(clone: Path, environ: dict[str, str]) -> dict[str, float]:
    started = time.monotonic()
    stages: dict[str, float] = {}
    # The system's Python, as a newcomer has it, and not this environment's.
    demo = await asyncio.create_subprocess_exec(
        sys._base_executable, "-m", "shared.stack", "demo",  # type: ignore[attr-defined]
        cwd=clone, env=environ, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert demo.stdout is not None
    try:
        async for raw in demo.stdout:
            line = raw.decode().rstrip()
            print(f"  {line}", file=sys.stderr)
            if stage := _STAGE.match(line):
                stages[stage[1].strip()] = float(stage[2])
            if live := _LIVE.search(line):
                stages["room is live, total"] = round(time.monotonic() - started, 1)
                await _watch(live[1])
                stages["video plays, total"] = round(time.monotonic() - started, 1)
                break
        else:
            raise SystemExit("the demo ended before the room was live")
    finally:
        if demo.returncode is None:
            demo.send_signal(signal.SIGINT)
        await demo.communicate()
    return stages


async def _watch(link: str) -> None:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium_path(), args=ARGUMENTS)
        url, _, code = link.rpartition("/r/")
        viewer = await Person.open(await browser.new_context(), url, "Newcomer")
        await viewer.join_by_link(code)
        await viewer.watches(0.2)
        await browser.close()


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cold", action="store_true", help="with empty package caches")
    figures = asyncio.run(measure(cold=parser.parse_args().cold))
    print(f"machine: {machine.describe()}")
    json.dump(figures, sys.stdout)
    print()


if __name__ == "__main__":
    main()
