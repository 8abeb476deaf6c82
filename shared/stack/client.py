"""The web client: installed from its lock file, built and checked with npm, and only when something changed."""

import hashlib
from pathlib import Path
from typing import Final

from . import paths
from .commands import run_logged
from .errors import CommandFailed
from .node import Node
from .progress import Progress

_BUILT: Final = paths.CLIENT / "dist" / "index.html"
# Inside node_modules, because a stamp must not outlive what it speaks of.
_INSTALLED_STAMP: Final = paths.CLIENT / "node_modules" / ".headrace-installed"
_BUILT_STAMP: Final = paths.CLIENT / "node_modules" / ".headrace-built"
_LOCK: Final = paths.CLIENT / "package-lock.json"
_NOT_SOURCE: Final = frozenset({"node_modules", "dist", "coverage"})


def ensure_packages(node: Node, *, progress: Progress, logs: Path) -> None:
    """`npm ci`, unless what the lock file says is installed already.

    Raises:
        CommandFailed: npm ended with an error; the log has the rest.
    """
    if not _LOCK.exists():
        raise CommandFailed(f"{paths.shown(_LOCK)} is missing: this is not a whole checkout")
    digest = hashlib.sha256(_LOCK.read_bytes()).hexdigest()
    if _holds(_INSTALLED_STAMP, digest):
        return
    with progress.stage("client packages (npm ci)"):
        run_npm(node, "ci", "--no-audit", "--no-fund", logs=logs)
    _INSTALLED_STAMP.write_text(digest)


def ensure_built(node: Node, *, progress: Progress, logs: Path) -> None:
    """Build the client, unless this very source was built already.

    Raises:
        CommandFailed: npm ended with an error; the log has the rest.
    """
    digest = source_digest(paths.CLIENT, paths.ROOT / "shared" / "protocol")
    if _BUILT.exists() and _holds(_BUILT_STAMP, digest):
        return
    with progress.stage("web client (npm run build)"):
        run_npm(node, "run", "build", logs=logs)
    _BUILT_STAMP.write_text(digest)


def run_npm(node: Node, *arguments: str, logs: Path) -> None:
    """Run npm in the client's folder, its output in a log."""
    run_logged(
        [*node.npm, *arguments],
        log=logs / "npm.log",
        what=f"npm {' '.join(arguments)}",
        cwd=paths.CLIENT,
        environ={**node.environ(), "NO_COLOR": "1"},
    )


def source_digest(*roots: Path) -> str:
    """One hash over names and contents of all source files below the roots, generated folders left out."""
    digest = hashlib.sha256()
    for root in roots:
        for path in sorted(root.rglob("*")):
            relative = path.relative_to(root)
            if path.suffix == ".pyc" or _NOT_SOURCE.intersection(relative.parts) or not path.is_file():
                continue
            content = path.read_bytes()
            digest.update(f"{relative}\0{len(content)}\0".encode())
            digest.update(content)
    return digest.hexdigest()


def _holds(stamp: Path, digest: str) -> bool:
    try:
        return stamp.read_text() == digest
    except OSError:
        return False
