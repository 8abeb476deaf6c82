"""Schemathesis against a whole platform, with as many cases as there is time for: `task bench:api_contract`.

Method: cases are made from the OpenAPI document, most with a good token and ids of things that exist; each answer must
be one that the document has, in type, headers and schema. Valkey and mongod are real, and so are a function process
and an SFU worker. CI runs a few thousand cases (tests/functions/test_openapi.py).
"""

import argparse
import asyncio
import json
import tempfile
from pathlib import Path

from shared.stack.stack import LocalStack
from tests.bench import machine
from tests.conftest import child_environ
from tests.support.schema_run import Outcome, Scene, run


async def measure(max_examples: int, max_time_s: int, seed: int) -> Outcome:
    """One run."""
    with tempfile.TemporaryDirectory() as folder:
        async with (
            LocalStack(Path(folder), functions=1, workers=1, environ=child_environ(), report=lambda _: None) as stack,
            Scene(stack) as scene,
        ):
            return await run(scene, max_examples=max_examples, max_time_s=max_time_s, seed=seed)


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        prog="tests.bench.api_contract", description=(__doc__ or "").split("\n", maxsplit=1)[0]
    )
    parser.add_argument("--max-examples", type=int, default=60, help="cases of each operation that are made at random")
    parser.add_argument("--max-time-s", type=int, default=240)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    print(f"machine: {machine.describe()}")
    print(f"method:  {' '.join((__doc__ or '').split(chr(10) * 2)[1].split())}")
    outcome = asyncio.run(measure(arguments.max_examples, arguments.max_time_s, arguments.seed))
    print(outcome.text)
    statuses = dict(sorted(outcome.statuses.items()))
    result = {"cases": outcome.cases, "failures": outcome.failures, "server_errors": outcome.server_errors}
    print(json.dumps(result | {"answers_by_status": statuses}))


if __name__ == "__main__":
    main()
