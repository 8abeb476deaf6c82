"""Compiles the C of this folder, once per version of it, into a cache; without a compiler there is no native plane.

`plane`: the packet plane, which needs the C library alone. `gcm`: encryption by intel-ipsec-mb, which is linked in as a
whole, so that where it runs it need not be installed; without it, libsrtp encrypts.

A container image runs `python -m sfu_fleet.native.build` when it is made, so that its workers need no compiler. There
it has the standard library alone.
"""

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

_FOLDER: Final = Path(__file__).parent
# Sums of doubles must be those of Python: no product and sum in one step.
FLAGS: Final = ("-std=gnu11", "-O2", "-ffp-contract=off", "-Wall", "-Wextra", "-shared", "-fPIC", "-pthread")
# Where a C compiler looks for headers by itself.
_INCLUDES: Final = (Path("/usr/include"), Path("/usr/local/include"))
_COMPILE_TIMEOUT_S: Final = 120


class NotBuiltError(Exception):
    """There is no native plane here; the message says why."""


@dataclass(frozen=True)
class Module:
    """A shared library of ours: what it is made of."""

    name: str
    sources: tuple[Path, ...]
    headers: tuple[Path, ...]
    libraries: tuple[str, ...]
    needs: str = ""
    """A header of somebody else's, without which it cannot be compiled."""
    package: str = ""
    """Debian's package that has it."""

    def file_name(self) -> str:
        """That of what is compiled from the sources as they are."""
        digest = hashlib.sha256(" ".join(FLAGS + self.libraries).encode())
        for source in (*self.sources, *self.headers):
            digest.update(source.read_bytes())
        return f"{self.name}-{digest.hexdigest()[:16]}-{sysconfig.get_platform()}.so"

    def has_its_needs(self) -> bool:
        """Whether a compiler would find what it needs of others."""
        return not self.needs or any((folder / self.needs).is_file() for folder in _INCLUDES)


PLANE: Final = Module(
    "plane",
    tuple(_FOLDER / name for name in ("plane.c", "intake.c", "congestion.c")),
    tuple(_FOLDER / name for name in ("departures.h", "congestion.h")),
    ("-lm",),
)
GCM: Final = Module(
    "gcm",
    (_FOLDER / "gcm.c",),
    (),
    # Of all that it can do, which is much, none is to be seen from outside.
    ("-l:libIPSec_MB.a", "-Wl,--exclude-libs,ALL", "-Wl,--gc-sections", "-s"),
    needs="intel-ipsec-mb.h",
    package="libipsec-mb-dev",
)


def library(module: Module = PLANE) -> Path:
    """The compiled library, compiled now if need be.

    Raises:
        NotBuiltError: no compiler, not Linux, something that it needs is not there, or the compiler failed.
    """
    if not sys.platform.startswith("linux"):
        raise NotBuiltError("the native plane needs Linux")
    name = module.file_name()
    for folder in (_FOLDER, cache_folder()):
        if (folder / name).is_file():
            return folder / name
    if not module.has_its_needs():
        raise NotBuiltError(f"there is no {module.needs} (Debian's package {module.package}, for x86-64)")
    return _compile(module, cache_folder() / name)


def load(ffi: Any, module: Module = PLANE) -> Any:  # noqa: ANN401 - of cffi, which has no types
    """The compiled library, with the functions that `ffi` declares; the same for the same `ffi`.

    Raises:
        NotBuiltError: see `library`.
    """
    return _loaded(ffi, library(module))


@cache
def _loaded(ffi: Any, path: Path) -> Any:  # noqa: ANN401
    try:
        return ffi.dlopen(str(path))
    except OSError as error:
        raise NotBuiltError(f"what was compiled cannot be loaded: {error}") from None


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


def _compile(module: Module, target: Path) -> Path:
    command = compiler()
    if command is None:
        raise NotBuiltError("there is no C compiler (cc, gcc, clang, or the package ziglang)")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # Several workers may start at once: each compiles for itself, and the last one's file is as good as any.
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            made = Path(folder) / target.name
            subprocess.run(  # noqa: S603 - the machine's own compiler
                [*command, *FLAGS, "-o", str(made), *map(str, module.sources), *module.libraries],
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


def main() -> None:
    """Compile what can be compiled here; without the plane, exit with 1."""
    try:
        sys.stdout.write(f"{library(PLANE)}\n")
    except NotBuiltError as error:
        sys.exit(f"headrace sfu: {error}")
    try:
        sys.stdout.write(f"{library(GCM)}\n")
    except NotBuiltError as error:
        sys.stdout.write(f"libsrtp will encrypt: {error}\n")


if __name__ == "__main__":
    main()
