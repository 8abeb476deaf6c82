"""A worker is told to go, or is gone: whoever watches goes on watching, and the streamer goes on streaming."""

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from playwright.async_api import expect

from shared.stack.stack import LocalStack
from shared.state.connect import connect_redis
from shared.state.fleet import Drain, Fleet, Move
from tests.conftest import child_environ
from tests.e2e.conftest import People
from tests.e2e.person import TIMEOUT_MS, Person
from tests.support.sfu import sessions

pytestmark = pytest.mark.e2e

# The longest time between two pictures on the screen, in ms; a reading begins it anew.
_WATCH_GAPS = """
() => {
  window.__gap = { last: performance.now(), longest: 0 };
  const seen = () => {
    const now = performance.now();
    window.__gap.longest = Math.max(window.__gap.longest, now - window.__gap.last);
    window.__gap.last = now;
    document.querySelector('[data-testid=remote-video]')?.requestVideoFrameCallback(seen);
  };
  document.querySelector('[data-testid=remote-video]').requestVideoFrameCallback(seen);
}
"""
_READ_GAP = "() => { const found = window.__gap.longest; window.__gap.longest = 0; return Math.round(found); }"


async def test_viewers_and_streamer_outlive_every_worker_that_they_were_at(people: People, tmp_path: Path) -> None:
    async with LocalStack(tmp_path, functions=2, workers=3, environ=child_environ(), report=lambda _: None) as stack:
        redis = connect_redis(stack.redis_url)
        try:
            await _outlive(stack, Fleet(redis), await people("Ana", url=stack.url), await people("Bo", url=stack.url))
        finally:
            await redis.aclose()


async def _outlive(stack: LocalStack, fleet: Fleet, ana: Person, bo: Person) -> None:
    code = await ana.create_room("Unsinkable")
    await ana.go_live()
    await bo.join_by_link(code)
    await bo.watches()
    await bo.page.evaluate(_WATCH_GAPS)

    # One word to Bo's worker, and Bo is at another one, which pulls the stream.
    (origin,) = await whereabouts(stack, "publish")
    (first,) = await whereabouts(stack, "subscribe")
    await fleet.order(first.worker, Move(code, first.session))
    edge = await until_one(stack, "subscribe", lambda found: found.name != first.name)
    await bo.watches()
    report("moved to an edge", await bo.page.evaluate(_READ_GAP))
    assert [place.name for place in await whereabouts(stack, "pull")] == [edge.name]
    await expect(bo.page.locator(".stage-trouble")).to_be_hidden()

    # The edge dies without a word. The page notices by itself, and finds another worker.
    await stack.kill(edge.name, signal.SIGKILL, restart=False)
    after = await until_one(stack, "subscribe", lambda found: found.name != edge.name)
    await bo.watches()
    report("the edge was killed", await bo.page.evaluate(_READ_GAP))

    # The origin drains: the streamer's page publishes beside, and Bo's picture goes on at a keyframe of that.
    await fleet.drain(origin.worker, Drain("test", "", 0.0))
    await until_one(stack, "publish", lambda found: found.name != origin.name)
    await gone_from(stack, origin.name)
    await bo.watches()
    report("the origin drained", await bo.page.evaluate(_READ_GAP))
    assert after.name != edge.name
    await expect(bo.by("live-badge")).to_be_visible(timeout=TIMEOUT_MS)
    # To people it was one stream all along.
    assert await bo.by("notice").filter(has_text="is live").count() == 1
    assert await bo.by("notice").filter(has_text="ended").count() == 0
    await expect(ana.by("end-stream")).to_be_visible()


class Place:
    """A session, and the worker that it is at: the process' name, and its id in the fleet."""

    def __init__(self, name: str, session: str) -> None:
        self.name = name
        self.session = session
        self.worker = session.partition("-")[0]


async def whereabouts(stack: LocalStack, kind: str) -> list[Place]:
    """The connected sessions of a kind, at workers that answer."""
    found = []
    for worker in stack.workers:
        try:
            infos = await sessions(stack, worker.url)
        except httpx.HTTPError:
            continue
        found += [Place(worker.name, i["session"]) for i in infos if i["kind"] == kind and i["state"] == "connected"]
    return found


async def until_one(stack: LocalStack, kind: str, wanted: Callable[[Place], bool]) -> Place:
    """Wait until there is a session of the kind that is as wanted."""
    async with asyncio.timeout(30):
        while True:
            if found := [place for place in await whereabouts(stack, kind) if wanted(place)]:
                return found[0]
            await asyncio.sleep(0.1)


async def gone_from(stack: LocalStack, name: str) -> None:
    """Wait until nobody is at a worker."""
    async with asyncio.timeout(40):
        while True:
            places = [place for kind in ("publish", "subscribe", "pull") for place in await whereabouts(stack, kind)]
            if name not in {place.name for place in places}:
                return
            await asyncio.sleep(0.2)


def report(what: str, gap_ms: int) -> None:
    print(f"{what}: {gap_ms} ms without a new picture at most")  # noqa: T201 - shown with -s
