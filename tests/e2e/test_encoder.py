"""A real encoder: FFmpeg's own WHIP client publishes a file, browsers watch it."""

import asyncio
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import httpx
import pytest
from av.filter import Graph
from av.video.frame import PictureType

from shared.stack import paths
from shared.stack.demo import Publishing, ensure_clip
from shared.stack.footage import FRAME_RATE, SAMPLE_RATE
from shared.stack.progress import Progress
from shared.stack.stack import LocalStack
from tests.conftest import child_environ
from tests.e2e.conftest import People
from tests.e2e.person import Person
from tests.support.sfu import sessions

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


def _clip_with_rare_keyframes(target: Path) -> Path:
    """A moving picture and a tone with keyframes that are ten seconds apart, x264's own distance.

    There are three in the first two seconds, so that an encoder whose first packets are lost is live at once.
    """
    with av.open(str(target), "w", format="matroska") as output:
        video = output.add_stream("libx264", rate=FRAME_RATE)
        video.width, video.height, video.pix_fmt = 640, 360, "yuv420p"
        video.bit_rate = 1_000_000
        video.codec_context.gop_size = 10 * FRAME_RATE
        video.codec_context.max_b_frames = 0
        video.options = {
            "profile": "baseline",
            "preset": "veryfast",
            "tune": "zerolatency",
            "x264-params": "scenecut=0:keyint=250:min-keyint=1:bframes=0",
        }
        audio = output.add_stream("libopus", rate=SAMPLE_RATE)
        audio.layout = "stereo"
        for index, picture in enumerate(_frames("testsrc2", "size=640x360:rate=25:duration=12", "format", "yuv420p")):
            picture.pts, picture.time_base = index, Fraction(1, FRAME_RATE)
            picture.pict_type = PictureType.I if index in {0, FRAME_RATE, 2 * FRAME_RATE} else PictureType.NONE
            output.mux(video.encode(picture))
        output.mux(video.encode(None))
        for sound in _frames(
            "sine", "sample_rate=48000:duration=12:samples_per_frame=960", "aformat", "s16:48000:stereo"
        ):
            output.mux(audio.encode(sound))
    return target


def _frames(source: str, arguments: str, form: str, wanted: str) -> Iterator[Any]:
    """What a source filter of FFmpeg makes, in a wanted form."""
    graph = Graph()
    sink = "buffersink" if form == "format" else "abuffersink"
    graph.link_nodes(graph.add(source, arguments), graph.add(form, wanted), graph.add(sink)).configure()
    while True:
        try:
            yield graph.pull()
        except EOFError:
            return


async def test_who_joins_between_two_keyframes_of_an_encoder_that_gives_none_on_request_sees_a_picture_before_the_next(
    people: People, tmp_path: Path
) -> None:
    clip = await asyncio.to_thread(_clip_with_rare_keyframes, tmp_path / "clip.mkv")
    async with LocalStack(tmp_path, functions=1, workers=1, environ=child_environ(), report=lambda _: None) as stack:
        line = await Publishing(clip).run(stack)
        code = line.rsplit("/", 1)[1]
        bo = await people("Bo", url=stack.url)
        at_join = 0
        while (found := await _keyframes(stack)) != at_join:
            at_join = found
            await asyncio.sleep(3)
        await bo.join_by_link(code)
        first = await _video(bo, lambda seen: seen.get("framesDecoded", 0) > 0)
        assert await _keyframes(stack) == at_join
        assert first["keyFramesDecoded"] == 1
        # It had three seconds to catch up with; once it has, pictures are held no longer than those of any stream.
        caught_up = await _video(bo, lambda seen: seen["framesDecoded"] > 6 * FRAME_RATE)
        later = await _video(bo, lambda seen: seen["framesDecoded"] > caught_up["framesDecoded"] + 2 * FRAME_RATE)
        emitted = later["jitterBufferEmittedCount"] - caught_up["jitterBufferEmittedCount"]
        assert (later["jitterBufferDelay"] - caught_up["jitterBufferDelay"]) / emitted < 1
        assert later.get("freezeCount", 0) == 0
        assert later["packetsLost"] == 0
        await bo.watches()


async def _keyframes(stack: LocalStack) -> int:
    (published,) = [info for info in await sessions(stack, stack.workers[0].url) if info["kind"] == "publish"]
    return int(published["layers"][0]["keyframes"])


async def _video(person: Person, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    async with asyncio.timeout(30):
        while True:
            reports = [report for report in await person.stats("inbound-rtp") if report["kind"] == "video"]
            if reports and condition(reports[0]):
                return reports[0]
            await asyncio.sleep(0.1)
