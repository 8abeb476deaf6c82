"""Runs a load shape of `k6/` and prints its figures; without --url, against a stack that it starts for the purpose.

Run with `task load -- --shape progressive --scale 0.1`; docs/load-testing.md describes the rest. The last line is one
JSON object. The exit code is 0 when all thresholds were kept, 1 when not.
"""

import argparse
import asyncio
import ipaddress
import json
import os
import re
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from shared.security.keys import KeyRing
from shared.security.tokens import AUDIENCE_IDENTITY, Claims, Grant, Tier, Tokens
from shared.stack import paths
from shared.stack.errors import StackError
from shared.stack.paths import shown
from shared.stack.stack import LocalStack
from tests.bench import machine
from tests.bench.load_stream import live_rooms
from tests.bench.slow_path import MOBILE, SlowPath

SCRIPT: Final = paths.ROOT / "k6" / "main.js"
K6: Final = Path(sys.executable).with_name("k6")
SHAPES: Final = ("progressive", "sustained", "spike", "stress", "recovery", "smoke")
# The longest shape is stress, or sustained with a pace of up to 4; no run goes on for longer than this.
LONGEST_S: Final = 3600.0
# What k6 needs besides the stages: set-up, the last users' farewell, the report.
AROUND_S: Final = 75.0
CUT_S: Final = 30.0
_THRESHOLDS_BROKEN: Final = 99  # k6's exit code for it
_MEMBERS: Final = ("function", "worker", "valkey", "mongod", "balancer")


class LoadError(Exception):
    """The run did not take place, or not to its end."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to run. `thresholds` names groups of k6/thresholds.json; a function process is killed at `kill_at_s`."""

    shape: str = "smoke"
    scale: float = 1.0
    pace: float = 1.0
    activity: float = 1.0
    rooms: int = 1
    seed: str = "1"
    audit: float = 0.25
    extras: str = "auto"
    thresholds: str = "functional,timing"
    kill_at_s: float | None = None


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Where to. With `media` its rooms are made live, which takes SFU workers.

    `jwt_keys` signs identities of premium, streamer and anonymous users; without it all are guests.
    """

    urls: tuple[str, ...]
    jwt_keys: str = ""
    stack: LocalStack | None = None
    media: bool = False


def loopback(url: str) -> str:
    """The URL, if it is this machine's own.

    Raises:
        LoadError: it is not; load is never put on another machine.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    with suppress(ValueError):
        address = ipaddress.ip_address(host)
        if parts.scheme == "http" and address.version == 4 and address.is_loopback:
            return url.rstrip("/")
    if parts.scheme == "http" and host == "localhost":
        return url.rstrip("/")
    raise LoadError(f"{url}: expected http://127.0.0.1:PORT; load tests only ever target the machine that they run on")


async def run(plan: Plan, target: Target, results: Path) -> dict[str, Any]:
    """Run k6 to its end and return its summary, with `k6_exit_code` and the cores that each side used.

    `killed_at` is when a function process was killed, in loop time; None where none was.

    Raises:
        LoadError: k6 could not run the test, or did not end in time.
    """
    shape = await describe(plan)
    if shape["seconds"] > LONGEST_S:
        raise LoadError(f"{shape['seconds']} s are more than {LONGEST_S:.0f}: choose a smaller pace")
    _make_empty(results)
    async with AsyncExitStack() as until_over:
        folder = Path(until_over.enter_context(tempfile.TemporaryDirectory()))
        identities = write_identities(folder, target.jwt_keys, users=int(shape["users"]))
        environ = _environ(plan, target, results, identities)
        target_port = urlsplit(target.urls[0]).port or 80
        slow = await until_over.enter_async_context(SlowPath(target_port, MOBILE))
        environ["HEADRACE_SLOW_URL"] = f"http://127.0.0.1:{slow.port}"
        if target.media:
            rooms = await until_over.enter_async_context(live_rooms(target.urls[0], plan.rooms))
            (folder / "rooms.json").write_text(json.dumps(rooms), encoding="utf-8")
            environ["HEADRACE_LIVE_ROOMS"] = str(folder / "rooms.json")
        log = results / "k6.log"
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                str(K6), "run", "--quiet", "--no-color", str(SCRIPT), env=environ, stdout=output, stderr=output
            )
            figures = await _watch(process, plan, target, deadline_s=shape["seconds"] + AROUND_S)
    if process.returncode not in {0, _THRESHOLDS_BROKEN} or not (results / "summary.json").exists():
        text = log.read_text(encoding="utf-8", errors="replace")
        raise LoadError(f"k6 ended with exit code {process.returncode}:\n{text[-3000:]}")
    summary: dict[str, Any] = json.loads((results / "summary.json").read_text(encoding="utf-8"))
    passed = bool(summary["passed"]) and not figures["stalled"]
    return summary | figures | {"k6_exit_code": process.returncode, "reasons": _reasons(log), "passed": passed}


def _reasons(log: Path) -> dict[str, int]:
    """How often what went wrong, as metrics.js writes it into k6's log."""
    found = re.findall(r'msg="((?:problem|reconnect): [^"]*)"', log.read_text(encoding="utf-8", errors="replace"))
    return dict(Counter(found).most_common())


def _make_empty(results: Path) -> None:
    results.mkdir(parents=True, exist_ok=True)
    for name in ("summary.json", "report.html", "dashboard.html"):
        (results / name).unlink(missing_ok=True)


async def _watch(
    process: asyncio.subprocess.Process, plan: Plan, target: Target, *, deadline_s: float
) -> dict[str, Any]:
    """Wait for the end, with the fault in the middle where one is wished; nothing is left running."""
    sampling = asyncio.create_task(_sample(process.pid, target.stack))
    fault = asyncio.create_task(_kill_function(plan, target.stack))
    stalled = False
    try:
        try:
            async with asyncio.timeout(deadline_s):
                await process.wait()
        except TimeoutError:
            stalled = True
            await _cut(target.stack)
            async with asyncio.timeout(CUT_S):
                await process.wait()
    except TimeoutError:
        raise LoadError(f"k6 did not end within {deadline_s:.0f} s: does the platform still answer?") from None
    finally:
        fault.cancel()
        sampling.cancel()
        if process.returncode is None:
            process.kill()
            await process.wait()
        killed, samples = await asyncio.gather(fault, sampling, return_exceptions=True)
    if isinstance(killed, Exception):
        raise killed
    killed_at = killed if isinstance(killed, float) else None
    return {
        "cores": samples if isinstance(samples, dict) else {},
        "faults": [] if killed_at is None else [f"a function process killed after {plan.kill_at_s:.0f} s"],
        "killed_at": killed_at,
        "stalled": stalled,
    }


async def _cut(stack: LocalStack | None) -> None:
    """Cut every connection: k6 waits for ever for a peer that does not answer, and reports nothing until then."""
    if stack is not None:
        for name in (*(endpoint.name for endpoint in stack.functions), "balancer"):
            await stack.kill(name)


async def with_fault(plan: Plan) -> Plan:
    """The plan with the fault of its shape: in recovery a function process is killed at the first full load."""
    if plan.shape != "recovery":
        return plan
    return msgspec.structs.replace(plan, kill_at_s=(await describe(plan))["seconds"] / 3)


async def _kill_function(plan: Plan, stack: LocalStack | None) -> float | None:
    """When it was, in loop time; None where none is to be killed."""
    if plan.kill_at_s is None:
        return None
    if stack is None:
        raise LoadError("only processes of a stack that was started here are killed")
    await asyncio.sleep(plan.kill_at_s)
    await stack.kill(stack.functions[0].name)
    return asyncio.get_running_loop().time()


async def _sample(k6: int, stack: LocalStack | None) -> dict[str, dict[str, float]]:
    """Cores used, on average and in the busiest second, by k6, by each kind of process of the stack, and by all others.

    What others use is what a run has to be distrusted for: with it, latency measures them.
    """
    used: dict[str, list[float]] = {}
    before: dict[int, float] = {}
    busy = machine.busy_seconds()
    loop = asyncio.get_running_loop()
    at = loop.time()
    try:
        while True:
            groups = {"k6": [k6]} | (_members(stack) if stack else {})
            now = {pid: machine.cpu_seconds([pid]) for pids in groups.values() for pid in pids}
            took, at = loop.time() - at, loop.time()
            busy_before, busy = busy, machine.busy_seconds()
            if before:
                for name, pids in groups.items():
                    # A process that was restarted in between has no figure for this second.
                    used.setdefault(name, []).append(sum(now[pid] - before.get(pid, now[pid]) for pid in pids) / took)
                ours = sum(cores[-1] for name, cores in used.items() if name != "others")
                used.setdefault("others", []).append(max(0.0, (busy - busy_before) / took - ours))
            before = now
            await asyncio.sleep(1)
    except asyncio.CancelledError:
        return {
            name: {"mean": round(sum(cores) / len(cores), 2), "peak": round(max(cores), 2)}
            for name, cores in used.items()
        }


def _members(stack: LocalStack) -> dict[str, list[int]]:
    names = [endpoint.name for endpoint in (*stack.functions, *stack.workers)] + ["valkey", "mongod", "balancer"]
    groups: dict[str, list[int]] = {name: [] for name in _MEMBERS}
    for name in names:
        with suppress(KeyError, ProcessLookupError):
            pids = machine.descendants(stack.process(name).pid)
            groups[name.partition("-")[0]] += pids
    return groups


async def describe(plan: Plan) -> dict[str, float]:
    """Seconds and users of the shape, read from the same script that will run."""
    process = await asyncio.create_subprocess_exec(
        *(str(K6), "inspect", "--include-system-env-vars", str(SCRIPT)),
        env=_environ(plan, Target(urls=("http://127.0.0.1:1",)), Path(), None),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, problem = await process.communicate()
    if process.returncode:
        raise LoadError(f"k6 cannot read {SCRIPT.name}:\n{problem.decode(errors='replace')[-2000:]}")
    scenarios = json.loads(output)["scenarios"].values()
    stages = [scenario["stages"] for scenario in scenarios]
    return {
        "seconds": max(sum(_seconds(stage["duration"]) for stage in found) for found in stages),
        "users": max(sum(stage["target"] for stage in together) for together in zip(*stages, strict=True)),
    }


def _seconds(duration: str) -> float:
    """Of a duration as Go prints it: 1h2m3s."""
    total, number = 0.0, ""
    for character in duration:
        if character in "hms":
            total += float(number) * {"h": 3600, "m": 60, "s": 1}[character]
            number = ""
        else:
            number += character
    return total


def write_identities(folder: Path, jwt_keys: str, *, users: int) -> Path | None:
    """Sign an identity per user and tier that cannot be had over HTTP; nowhere but in a folder that is removed."""
    if not jwt_keys:
        return None
    tokens = Tokens(KeyRing.from_jwks(jwt_keys))

    def identity(tier: Tier, number: int) -> str:
        name = f"{tier.value} {number}"
        claims = Claims(
            sub=f"load-{os.getpid()}-{tier.value}-{number}", name=name, tier=tier, grants=frozenset({Grant.CREATE_ROOM})
        )
        return tokens.sign(claims, audience=AUDIENCE_IDENTITY, lifetime_s=int(LONGEST_S + 600))

    path = folder / "identities.json"
    path.touch(mode=0o600)
    tiers = (Tier.PREMIUM, Tier.STREAMER, Tier.ANONYMOUS)
    content = {tier.value: [identity(tier, number + 1) for number in range(users)] for tier in tiers}
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def _environ(plan: Plan, target: Target, results: Path, identities: Path | None) -> dict[str, str]:
    # Built from nothing: a proxy or a k6 setting of the user's own would make it another test.
    environ = _inherited()
    named: Mapping[str, object] = {
        "SHAPE": plan.shape,
        "SCALE": plan.scale,
        "PACE": plan.pace,
        "ACTIVITY": plan.activity,
        "ROOMS": plan.rooms,
        "SEED": plan.seed,
        "AUDIT": plan.audit,
        "EXTRAS": plan.extras,
        "THRESHOLDS": plan.thresholds,
        "URL": ",".join(target.urls),
        "RESULTS": results,
        "IDENTITIES": identities or "",
        "MACHINE": machine.describe(),
    }
    return (
        environ
        | {f"HEADRACE_{name}": str(value) for name, value in named.items()}
        | {
            "K6_NO_USAGE_REPORT": "true",
            # k6 would otherwise look for extensions that a script asks for on the network.
            "K6_BINARY_PROVISIONING": "false",
            "K6_AUTO_EXTENSION_RESOLUTION": "false",
            "K6_WEB_DASHBOARD": "true",
            "K6_WEB_DASHBOARD_PORT": "-1",
            "K6_WEB_DASHBOARD_PERIOD": "1s" if plan.shape == "smoke" else "5s",
            "K6_WEB_DASHBOARD_EXPORT": str(results / "dashboard.html"),
        }
    )


def _inherited() -> dict[str, str]:
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}


@asynccontextmanager
async def own_stack(*, functions: int, direct: bool, media: bool = True) -> AsyncIterator[Target]:
    """A platform for the time of the run, with an SFU worker for `media`; `direct` goes past the stack's balancer."""
    # No database of the person who runs this; and users come from addresses of their own, as behind a load balancer.
    environ = _inherited() | {"HEADRACE_TRUSTED_PROXIES": "127.0.0.0/8"}
    with tempfile.TemporaryDirectory() as folder:
        workers = 1 if media else 0
        async with LocalStack(
            Path(folder), functions=functions, workers=workers, environ=environ, report=lambda _: None
        ) as stack:
            urls = tuple(endpoint.url for endpoint in stack.functions) if direct else (stack.url,)
            yield Target(urls=urls, jwt_keys=stack.jwt_keys, stack=stack, media=media)


async def _main(arguments: argparse.Namespace, results: Path) -> dict[str, Any]:
    names = [name for name in Plan.__struct_fields__ if name != "kill_at_s"]
    plan = Plan(**{name: getattr(arguments, name) for name in names})
    if arguments.url:
        target = Target(urls=(loopback(arguments.url),), jwt_keys=os.environ.get("HEADRACE_JWT_KEYS", ""))
        return await run(plan, target, results)
    if not arguments.no_fault:
        plan = await with_fault(plan)
    async with own_stack(
        functions=arguments.functions, direct=arguments.direct, media=not arguments.no_media
    ) as target:
        return await run(plan, target, results)


def main() -> None:
    """Entry point."""
    default = Plan()
    parser = argparse.ArgumentParser(prog="task load --", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--shape", choices=SHAPES, default=default.shape)
    parser.add_argument("--scale", type=float, default=0.1, help="of the shape's users: 1 is a thousand")
    parser.add_argument("--pace", type=float, default=default.pace, help="of the shape's seconds")
    parser.add_argument("--activity", type=float, default=default.activity, help="of what users say and do")
    parser.add_argument("--rooms", type=int, default=default.rooms)
    parser.add_argument("--seed", default=default.seed)
    parser.add_argument("--audit", type=float, default=default.audit, help="share of visits compared with the log")
    parser.add_argument("--extras", default=default.extras, help="auto, none, or a list of react,typing,gift")
    parser.add_argument("--thresholds", default=default.thresholds, help="groups of k6/thresholds.json")
    parser.add_argument("--url", help="a platform that runs on this machine already (keys: HEADRACE_JWT_KEYS)")
    parser.add_argument("--functions", type=int, default=2, help="function processes of the stack that is started")
    parser.add_argument("--direct", action="store_true", help="go past the stack's balancer")
    parser.add_argument("--no-media", action="store_true", help="start no SFU worker and have no room live")
    parser.add_argument("--no-fault", action="store_true", help="kill nothing in the shape recovery")
    parser.add_argument("--results", help="folder for summary.json, report.html, dashboard.html and k6.log")
    arguments = parser.parse_args()
    results = Path(arguments.results or paths.DATA / "load" / arguments.shape).resolve()
    try:
        summary = asyncio.run(_main(arguments, results))
    except (LoadError, StackError) as error:
        sys.exit(str(error))
    print("".join(line for line in (results / "k6.log").open(encoding="utf-8") if " level=warning " not in line))
    print(f"reasons: {json.dumps(summary['reasons'])}")
    print(f"machine: {machine.describe()}")
    print(f"cores:   {json.dumps(summary['cores'])}")
    print(f"report:  {shown(results / 'report.html')}")
    print(json.dumps(figures(summary)))
    sys.exit(0 if summary["passed"] else 1)


def figures(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The one line that a program reads."""
    counts, latency = summary["counts"], summary["latency"]["message_ms"]
    return {
        "shape": summary["shape"],
        "users": summary["users"],
        "seconds": summary["seconds"],
        "p50_ms": latency["p50"],
        "p95_ms": latency["p95"],
        "p99_ms": latency["p99"],
        "breaking_point_users": summary["breaking_point_users"],
        "error_rate": summary["error_rate"],
        "faults": summary["faults"],
        "stalled": summary["stalled"],
        **{name: counts[name] for name in ("sent", "delivered", "reconnects", "lost", "duplicated", "misordered")},
        "k6_late_p99_ms": summary["latency"]["generator_lateness_ms"]["p99"],
        "k6_cores": summary["cores"].get("k6", {}).get("mean"),
        "others_cores": summary["cores"].get("others", {}).get("mean"),
        "passed": summary["passed"],
    }


if __name__ == "__main__":
    main()
