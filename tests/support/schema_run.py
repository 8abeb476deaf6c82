"""Schemathesis against a function process: cases made from the OpenAPI document, with tokens and rooms that exist.

`python -m tests.bench.api_contract` runs many of them.
"""

import asyncio
import json
import os
import re
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import httpx

from shared.stack import paths
from shared.stack.stack import LocalStack
from tests.support.room_client import Person, guest

# What is checked of each answer. Left out: that every case that fits the schema is accepted, since a schema cannot say
# that a time must be in the future, or that an SDP offer must be one.
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance,unsupported_method"
)
_HOOKS = "tests.support.schema_hooks"


class Outcome(NamedTuple):
    """What came of a run; `text` is all that it said."""

    cases: int
    failures: int
    server_errors: int
    statuses: dict[str, int]
    text: str


class Scene:
    """An owner with rooms, a webhook and tokens, for the cases to meet with."""

    def __init__(self, stack: LocalStack, function: int = 0) -> None:
        self.url = stack.functions[function].url
        self._http = httpx.AsyncClient(base_url=self.url)
        self.known: dict[str, Any] = {}

    async def __aenter__(self) -> Self:
        """Make them."""
        owner: Person = await guest(self._http, "Ana")
        room, token = await owner.create_room()
        # Ended and deleted by some of the cases.
        doomed, doomed_token = await owner.create_room()
        webhook = await self._http.post(
            "/v1/webhooks", json={"url": "https://example.com/x", "events": ["room.full"]}, headers=owner.headers
        )
        self.known = {
            "identity": owner.headers["authorization"].removeprefix("Bearer "),
            "room": room,
            "room_token": token,
            "doomed": doomed,
            "doomed_token": doomed_token,
            "webhook": webhook.json()["webhook"]["id"],
            "participant": owner.id,
        }
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the client."""
        await self._http.aclose()


async def run(scene: Scene, *, max_examples: int, max_time_s: int, seed: int) -> Outcome:
    """Run it in a process of its own; what is printed is kept."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "events.ndjson"
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{scene.url}/openapi.json"),
            *("--checks", CHECKS, "--max-examples", str(max_examples), "--seed", str(seed)),
            *("--max-time", str(max_time_s), "--phases", "examples,coverage,fuzzing", "--no-shrink", "--no-color"),
            *("--continue-on-failure", "--suppress-health-check", "all", "--warnings", "off"),
            *("--report", "ndjson", "--report-ndjson-path", str(log), "--generation-database", ":memory:"),
            cwd=paths.ROOT,
            env=os.environ
            | {"SCHEMATHESIS_HOOKS": _HOOKS, "HEADRACE_SCENE": json.dumps(scene.known), "PYTHONPATH": "."},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        text = output.decode(errors="replace")
        statuses = _statuses(log)
    found = re.search(r"(\d+) generated, (\d+) passed", text)
    cases, passed = (int(found[1]), int(found[2])) if found else (0, 0)
    # It exits with 0 when every check held and nothing went wrong with the cases themselves.
    failures = 0 if process.returncode == 0 else max(1, cases - passed)
    errors = sum(count for status, count in statuses.items() if status in {"500", "502", "504"})
    return Outcome(cases, failures, errors, statuses, text)


def _statuses(log: Path) -> dict[str, int]:
    found: dict[str, int] = {}
    for line in log.read_text(encoding="utf-8").splitlines():
        for status in re.findall(r'"status_code": ?(\d{3})', line):
            found[status] = found.get(status, 0) + 1
    return found
