"""A real encoder: FFmpeg's own WHIP client publishes a file, browsers watch it."""

import asyncio
from pathlib import Path

import httpx
import pytest

from shared.stack import paths
from shared.stack.demo import Publishing, ensure_clip
from shared.stack.progress import Progress
from shared.stack.stack import LocalStack
from tests.conftest import child_environ
from tests.e2e.conftest import People

pytestmark = pytest.mark.e2e


async def test_a_file_published_by_ffmpeg_over_whip_plays_in_browsers_round_after_round(
    people: People, tmp_path: Path
) -> None:
    clip = await asyncio.to_thread(ensure_clip, paths.DATA, progress=Progress())
    async with LocalStack(tmp_path, functions=2, workers=2, environ=child_environ(), report=lambda _: None) as stack:
        line = await Publishing(clip).run(stack)
        code = line.rsplit("/", 1)[1]
        bo, cy = await people("Bo", url=stack.url), await people("Cy", url=stack.url, phone=True)
        await bo.join_by_link(code)
        await cy.join_by_code(code)
        # The clip has 5.3 s: this sees its seam.
        seen = await bo.watches(8.0)
        assert (seen["width"], seen["height"]) == (1280, 720)
        # 25 are sent; a machine that is busy elsewhere shows fewer, and must not freeze for it.
        assert seen["framesPerSecond"] >= 10
        assert seen.get("freezeCount", 0) == 0
        codecs = {report["mimeType"] for report in await bo.stats("codec")}
        assert codecs == {"video/H264", "audio/opus"}
        await cy.watches()
        async with httpx.AsyncClient() as http:
            room = (await http.get(f"{stack.url}/v1/rooms/{code}")).json()
        assert room["live"] is True
        # Stopping the encoder is its DELETE: viewers are told at once, not after a time-out.
        await stack.kill("encoder", 15, restart=False)
        await asyncio.wait_for(_ended(stack.url, code), 5)


async def _ended(url: str, code: str) -> None:
    async with httpx.AsyncClient() as http:
        while (await http.get(f"{url}/v1/rooms/{code}")).json()["live"]:
            await asyncio.sleep(0.1)
