"""Looks for lost, doubled and re-ordered messages while the platform is broken: `python -m tests.chaos.loss`."""

import argparse
import asyncio
import json
import sys
import tempfile
from pathlib import Path

import msgspec

from tests.bench.durability import slow_sync

from . import scenario


def main() -> None:
    """Entry point; exit code 1 when anything was lost, doubled or out of order. The last line is one JSON object."""
    parser = argparse.ArgumentParser(prog="tests.chaos.loss", description=(__doc__ or "").strip())
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--per-second", type=float, default=5.0, help="what each client says")
    parser.add_argument("--seed", type=int, default=1, help="of all dice")
    parser.add_argument(
        "--appendfsync", choices=["everysec", "always", "no"], default="", help="another mode of Valkey"
    )
    parser.add_argument("--only", nargs="+", default=[], help="names of faults, as the last lines have them")
    parser.add_argument("--sync-ms", type=int, default=0, help="how much longer a sync of Valkey's disk is to take")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        disk = slow_sync(Path(folder), arguments.sync_ms) if arguments.sync_ms else None
        outcome = asyncio.run(
            scenario.run(
                Path(folder),
                seconds=arguments.minutes * 60,
                clients=arguments.clients,
                per_second=arguments.per_second,
                seed=arguments.seed,
                appendfsync=arguments.appendfsync,
                only=arguments.only,
                slow_sync=disk,
                report=lambda line: print(line, flush=True),
            )
        )
    for example in outcome.verdict.examples:
        print(f"  {example}")
    print(f"faults: {outcome.faults}")
    print(outcome.verdict.line())
    if outcome.unsettled:
        print(f"{outcome.unsettled} clients did not catch up")
    figures = {name: value for name, value in msgspec.to_builtins(outcome.verdict).items() if name != "examples"}
    print(json.dumps({**figures, "seconds": round(outcome.seconds), "faults": sum(outcome.faults.values())}))
    sys.exit(not outcome.clean)


if __name__ == "__main__":
    main()
