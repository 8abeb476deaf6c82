"""README's second command: every check of the project in one run, each with its seconds."""

import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from . import paths
from .node import Node


class Check(msgspec.Struct, frozen=True):
    """One program that must end with exit code 0."""

    name: str
    argv: tuple[str, ...]
    cwd: Path
    environ: dict[str, str]


def all_checks(node: Node, pytest_arguments: Sequence[str]) -> list[Check]:
    """Cheap ones first; pytest last, so that its summary is what one sees at the end."""
    binaries = paths.VENV / "bin"
    # Tests start programs of the environment by name.
    python_environ = {**os.environ, "PATH": f"{binaries}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}

    def python(name: str, program: str, *arguments: str) -> Check:
        return Check(name, (str(binaries / program), *arguments), paths.ROOT, python_environ)

    def npm(name: str, *arguments: str) -> Check:
        return Check(name, (*node.npm, *arguments), paths.CLIENT, node.environ())

    return [
        python("ruff check", "ruff", "check"),
        python("ruff format", "ruff", "format", "--check"),
        python("mypy", "mypy"),
        npm("client lint", "run", "lint"),
        npm("client types", "run", "typecheck"),
        npm("client tests", "test"),
        python("pytest", "python", "-m", "pytest", *pytest_arguments),
    ]


def run(checks: Sequence[Check]) -> int:
    """Run all, also after a failure. Returns 0 when all passed, else 1."""
    results: list[tuple[Check, int, float]] = []
    for check in checks:
        print(f"\n── {check.name}", flush=True)
        begin = time.monotonic()
        ended = subprocess.run(check.argv, cwd=check.cwd, env=check.environ, stdin=subprocess.DEVNULL, check=False)
        results.append((check, ended.returncode, time.monotonic() - begin))
    print()
    for check, code, seconds in results:
        verdict = f"✗ {check.name} (exit code {code})" if code else f"✓ {check.name}"
        print(f"{verdict:<32} {seconds:7.1f} s")
    return int(any(code for _, code, _ in results))
