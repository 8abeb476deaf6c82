"""Runs a k6 script that consists of claims (claims.js) and hands back what became of them."""

import asyncio
import json
from pathlib import Path

from tests.bench.load import K6

FOLDER = Path(__file__).parent


async def claims(script: str) -> dict[str, tuple[int, int]]:
    """Passes and fails by claim; what failed is in k6's own words in the assertion."""
    process = await asyncio.create_subprocess_exec(
        *(str(K6), "run", "--quiet", "--no-color", "--no-usage-report", str(FOLDER / script)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, problems = await process.communicate()
    assert process.returncode == 0, problems.decode()
    found: dict[str, tuple[int, int]] = json.loads(output)
    return found
