"""New images for functions and workers while people talk and watch: as ECS and auto-scaling replace them, and as timed.

Functions are replaced one after the other with the drain that Terraform gives them: SIGTERM, and a new process when the
old one has ended. Workers are replaced by host: a new one registers, the old one hears from its (fake) metadata service
that it has to go, drains, and tells its (fake) auto-scaling group. Messages lost or doubled are asserted; the longest
time without a new picture is printed, since it is a timing.
"""

import asyncio
import re
import signal
import sys
from pathlib import Path

import pytest
from redis.asyncio import Redis

from shared.security.keys import KeyRing
from shared.stack.paths import ROOT
from shared.stack.stack import LocalStack
from shared.state.connect import connect_redis
from shared.state.fleet import Fleet
from tests.chaos.test_function_killed import eventually_has, ready_again
from tests.conftest import child_environ
from tests.e2e.conftest import People
from tests.e2e.person import Person
from tests.sfu_fleet.host.fake_cloud import FakeCloud
from tests.sfu_fleet.host.running import host

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

# Longest time in seconds for which no picture was displayed that had not been before.
_WATCH_GAPS = """
() => {
  const gaps = window.__gaps = {longest: 0, since: performance.now(), time: -1};
  setInterval(() => {
    const video = document.querySelector('[data-testid="remote-video"]');
    const now = performance.now();
    if (video && video.currentTime !== gaps.time && video.readyState >= 2) {
      gaps.longest = Math.max(gaps.longest, now - gaps.since);
      gaps.since = now;
      gaps.time = video.currentTime;
    }
  }, 20);
}
"""
_LONGEST = "() => Math.max(window.__gaps.longest, performance.now() - window.__gaps.since) / 1000"


def deployed(module: str, field: str) -> int:
    """A default of Terraform's: what is rehearsed is what is deployed."""
    text = (ROOT / "terraform" / "modules" / module / "variables.tf").read_text(encoding="utf-8")
    (found,) = re.findall(rf"^ +{field} += optional\(number, (\d+)\)$", text, re.MULTILINE)
    return int(found)


async def test_an_update_of_functions_and_workers_loses_no_message_and_the_picture_comes_back(
    people: People, tmp_path: Path
) -> None:
    drain = {"HEADRACE_DRAIN_DEADLINE_S": str(deployed("functions", "drain"))}
    async with LocalStack(tmp_path, functions=2, environ={**child_environ(), **drain}, report=lambda _: None) as stack:
        public = KeyRing.from_jwks(stack.jwt_keys).public_jwks()
        timed = {
            "HEADRACE_SFU_ANNOUNCED_ADDRESSES": "127.0.0.1",  # browsers are on this machine
            "HEADRACE_SFU_DRAIN_DEADLINE_S": str(deployed("sfu-fleet", "worker")),
            "HEADRACE_HOST_DRAIN_DEADLINE_S": str(deployed("sfu-fleet", "host")),
        }
        redis = connect_redis(stack.redis_url)
        with FakeCloud("i-00000000000000aaa") as old, FakeCloud("i-00000000000000bbb") as new:
            async with host(old, stack.redis_url, public, **timed):
                await _workers(redis, 2)
                ana, bo = await people("Ana", url=stack.url), await people("Bo", url=stack.url)
                code = await ana.create_room("Never away")
                await ana.go_live()
                await bo.join_by_link(code)
                await bo.watches()
                await bo.page.evaluate(_WATCH_GAPS)
                said: set[str] = set()
                quiet = asyncio.Event()
                talking = asyncio.create_task(_talk(said, quiet, ana, bo))

                for name in ("function-1", "function-2"):
                    pid = stack.process(name).pid
                    await stack.kill(name, signal.SIGTERM)
                    await _replaced(stack, name, pid)
                functions_gap = await bo.page.evaluate(_LONGEST)

                async with host(new, stack.redis_url, public, **timed):
                    await _workers(redis, 4)
                    await bo.page.evaluate("() => { window.__gaps.longest = 0 }")
                    old.categories["autoscaling/target-lifecycle-state"] = "Terminated"
                    await _told(old)
                    await _workers(redis, 2)
                    await bo.watches()
                    workers_gap = await bo.page.evaluate(_LONGEST)

                    quiet.set()
                    await talking
                    for person in (ana, bo):
                        await eventually_has(person, said)
                    assert await ana.texts() == await bo.texts()
                    sys.stdout.write(
                        f"messages {len(said)}, lost 0; longest media gap {functions_gap:.2f} s while functions were "
                        f"replaced, {workers_gap:.2f} s while the host was\n"
                    )
        await redis.aclose()


async def _talk(said: set[str], stop: asyncio.Event, *persons: Person) -> None:
    number = 0
    while not stop.is_set():
        for person in persons:
            text = f"{person.name} {number}"
            await person.say(text)
            said.add(text)
        number += 1
        await asyncio.sleep(0.4)  # viewers may say 5 a second


async def _workers(redis: Redis, count: int) -> None:
    async with asyncio.timeout(60):
        while True:
            if len(await Fleet(redis).workers()) == count:
                return
            await asyncio.sleep(0.1)


async def _replaced(stack: LocalStack, name: str, pid: int) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                if stack.process(name).pid != pid:
                    break
            except ProcessLookupError:
                pass
            await asyncio.sleep(0.1)
    await ready_again(stack, name)


async def _told(cloud: FakeCloud) -> None:
    async with asyncio.timeout(60):
        while not any(told["LifecycleHookName"] == "drain" for told in cloud.did("CompleteLifecycleAction")):
            await asyncio.sleep(0.1)
