"""Measures everything that was promised and says what is kept: `task sla`, or `task sla -- --profile smoke`.

Writes report.html for people and report.json for programs (docs/sla.md). The last line is one JSON object; the exit
code is 0 when no promise was missed, and a promise is missed when what it needs was not measured.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import traceback
from collections.abc import Awaitable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from shared.stack import paths
from tests.bench import machine
from tests.bench.sla import page, runs
from tests.bench.sla.evidence import Burst, Crowd, Evidence
from tests.bench.sla.objectives import Verdict, verdicts

T = TypeVar("T")

PARTS: Final = ("users", "bursts", "media")


async def gather(profile_name: str, results: Path, *, seed: str, skip: Sequence[str]) -> Evidence:
    """Run a profile. A part that fails is told in `failures` and leaves nothing, so that its objectives are missed."""
    profile = runs.PROFILES[profile_name]
    failures: list[str] = [f"{part}: left out on demand" for part in skip]
    commands = []
    found: list[Burst] = []
    if "bursts" not in skip:
        rates = " ".join(f"{rate:g}" for rate in profile.rates)
        sockets = " ".join(map(str, profile.sockets))
        commands.append(
            f"python -m tests.bench.signaling --peers none --sockets {sockets} --rates {rates} "
            f"--seconds {profile.burst_s:g}"
        )
        print("bursts", flush=True)
        found = await _attempt("bursts", runs.bursts(profile, _say), failures) or []
    crowds: dict[str, Crowd] = {}
    for shape in profile.shapes if "users" not in skip else ():
        commands.append(
            f"python -m tests.bench.load --shape {shape.name} --scale {shape.scale:g} --pace {shape.pace:g} "
            f"--activity {shape.activity:g} --seed {seed}"
        )
        print(f"users: {shape.name}", flush=True)
        crowd = await _attempt(shape.name, runs.crowd(shape, results / shape.name, seed=seed), failures)
        if crowd is not None:
            crowds[shape.name] = crowd
    media = None
    if "media" not in skip:
        commands.append(" ".join(["python", *runs.media_command(profile)]))
        print("media", flush=True)
        media = await _attempt("media", runs.media(profile), failures)
    return Evidence(
        profile=profile_name,
        at=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        commit=_commit(),
        machine=machine.describe(),
        versions=runs.versions(),
        crowds=crowds,
        bursts=found,
        media=media,
        commands=commands,
        failures=failures,
    )


async def _attempt(what: str, work: Awaitable[T], failures: list[str]) -> T | None:
    try:
        return await work
    except Exception as error:  # noqa: BLE001 - of one part, whatever it is: the others are still worth having
        traceback.print_exc()
        failures.append(f"{what}: {type(error).__name__}: {error}"[:500])
        return None


def write(evidence: Evidence, found: Sequence[Verdict], folder: Path) -> None:
    """report.json and report.html."""
    folder.mkdir(parents=True, exist_ok=True)
    document = {"evidence": evidence, "verdicts": list(found)}
    (folder / "report.json").write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n")
    (folder / "report.html").write_text(page.page(evidence, found), encoding="utf-8")


def figures(evidence: Evidence, found: Sequence[Verdict]) -> dict[str, Any]:
    """The last line."""
    whole = [one for one in evidence.bursts if one.missing == 0 and not one.generator_saturated]
    return {
        "profile": evidence.profile,
        "passed": [one.objective for one in found if one.result == "pass"],
        "missed": [one.objective for one in found if one.result == "miss"],
        "not_measurable_here": [one.objective for one in found if one.result == "not measurable here"],
        "best_deliveries_per_second": round(max((one.deliveries_per_s or 0.0 for one in whole), default=0.0)),
        "media_viewers": evidence.media.viewers_connected if evidence.media else None,
    }


def _say(text: str) -> None:
    print(text, flush=True)


def _commit() -> str:
    """Short, with a + where files differ from it; '' outside of a checkout."""
    try:
        ended = subprocess.run(
            ["git", "describe", "--always", "--dirty=+"],
            cwd=paths.ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return ""
    return ended.stdout.strip()


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="task sla --", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--profile", choices=tuple(runs.PROFILES), default="short")
    parser.add_argument("--skip", nargs="*", choices=PARTS, default=[], help="their objectives count as missed")
    parser.add_argument("--seed", default="1")
    parser.add_argument("--out", type=Path, default=paths.DATA / "sla")
    arguments = parser.parse_args()
    folder = arguments.out.resolve()
    evidence = asyncio.run(gather(arguments.profile, folder, seed=arguments.seed, skip=arguments.skip))
    found = verdicts(evidence)
    write(evidence, found, folder)
    for one in found:
        print(f"{one.result:<20} {one.title}: {one.measured}")
    print(f"report: {paths.shown(folder / 'report.html')}")
    print(json.dumps(figures(evidence, found)))
    sys.exit(int(any(one.result == "miss" for one in found)))


if __name__ == "__main__":
    main()
