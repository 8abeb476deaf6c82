"""Debian packages: what a machine lacks is installed without asking, but only where that is ours to do (root, apt)."""

import os
import shutil
from pathlib import Path

from .commands import run_logged


def can_install() -> bool:
    """Are we root on a machine with apt?"""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def install(packages: list[str], *, log: Path) -> None:
    """Install packages by name; the lists are fetched first because slim images ship none.

    Raises:
        CommandFailed: apt-get ended with an error.
    """
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    run_logged(["apt-get", "update", "-q"], log=log, what="apt-get update", environ=environ)
    run_logged(
        ["apt-get", "install", "-q", "-y", "--no-install-recommends", *packages],
        log=log,
        what=f"apt-get install {' '.join(packages)}",
        environ=environ,
    )
