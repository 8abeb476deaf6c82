"""Compiles plane.c, once per version of it, into a cache; a machine without a compiler has no native plane.

A container image runs `python -m sfu_fleet.native.build` when it is made, so that its workers need no compiler.
"""

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Final

SOURCE: Final = Path(__file__).with_name("plane.c")
FLAGS: Final = ("-std=gnu11", "-O2", "-Wall", "-Wextra", "-shared", "-fPIC", "-pthread")
_COMPILE_TIMEOUT_S: Final = 120


class NotBuiltError(Exception):
    """There is no native plane here; the message says why."""


def library() -> Path:
    """The compiled plane, compiled now if need be.

    Raises:
        NotBuiltError: no compiler, not Linux, or the compiler failed.
    """
    if not sys.platform.startswith("linux"):
        raise NotBuiltError("the native plane needs Linux")
    source = SOURCE.read_bytes()
    digest = hashlib.sha256(source + " ".join(FLAGS).encode()).hexdigest()[:16]
    name = f"plane-{digest}-{sysconfig.get_platform()}.so"
    for folder in (SOURCE.parent, cache()):
        if (folder / name).is_file():
            return folder / name
    return _compile(cache() / name)


def cache() -> Path:
    """Where compiled planes are kept: HEADRACE_NATIVE_CACHE, or the user's cache folder."""
    chosen = os.environ.get("HEADRACE_NATIVE_CACHE") or os.environ.get("XDG_CACHE_HOME")
    return Path(chosen or Path.home() / ".cache") / "headrace"


def compiler() -> list[str] | None:
    """The command of a C compiler: CC, the machine's, or that of the package ziglang."""
    if chosen := os.environ.get("CC"):
        return shlex.split(chosen)
    for name in ("cc", "gcc", "clang"):
        if found := shutil.which(name):
            return [found]
    return [sys.executable, "-m", "ziglang", "cc"] if find_spec("ziglang") else None


def _compile(target: Path) -> Path:
    command = compiler()
    if command is None:
        raise NotBuiltError("there is no C compiler (cc, gcc, clang, or the package ziglang)")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # Several workers may start at once: each compiles for itself, and the last one's file is as good as any.
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            made = Path(folder) / target.name
            subprocess.run(  # noqa: S603 - the machine's own compiler
                [*command, *FLAGS, "-o", str(made), str(SOURCE)],
                check=True,
                capture_output=True,
                text=True,
                timeout=_COMPILE_TIMEOUT_S,
            )
            made.replace(target)
    except subprocess.CalledProcessError as error:
        raise NotBuiltError(f"the compiler failed: {error.stderr.strip()[-500:]}") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotBuiltError(f"the compiler could not be run: {error}") from None
    return target


if __name__ == "__main__":
    try:
        sys.stdout.write(f"{library()}\n")
    except NotBuiltError as error:
        sys.exit(f"headrace sfu: {error}")
