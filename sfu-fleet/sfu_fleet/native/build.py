"""Compiles the C of this folder, once per version of it, into a cache; without a compiler there is no native plane.

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
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

SOURCES: Final = tuple(Path(__file__).with_name(name) for name in ("plane.c", "intake.c", "congestion.c"))
HEADERS: Final = tuple(Path(__file__).with_name(name) for name in ("departures.h", "congestion.h"))
# Sums of doubles must be those of Python: no product and sum in one step.
FLAGS: Final = ("-std=gnu11", "-O2", "-ffp-contract=off", "-Wall", "-Wextra", "-shared", "-fPIC", "-pthread")
LIBRARIES: Final = ("-lm",)
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
    digest = hashlib.sha256(" ".join(FLAGS + LIBRARIES).encode())
    for source in (*SOURCES, *HEADERS):
        digest.update(source.read_bytes())
    name = f"plane-{digest.hexdigest()[:16]}-{sysconfig.get_platform()}.so"
    for folder in (SOURCES[0].parent, cache_folder()):
        if (folder / name).is_file():
            return folder / name
    return _compile(cache_folder() / name)


def load(ffi: Any) -> Any:  # noqa: ANN401 - of cffi, which has no types
    """The compiled plane, with the functions that `ffi` declares; the same for the same `ffi`.

    Raises:
        NotBuiltError: see `library`.
    """
    return _loaded(ffi, library())


@cache
def _loaded(ffi: Any, path: Path) -> Any:  # noqa: ANN401
    return ffi.dlopen(str(path))


def cache_folder() -> Path:
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
                [*command, *FLAGS, "-o", str(made), *map(str, SOURCES), *LIBRARIES],
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
