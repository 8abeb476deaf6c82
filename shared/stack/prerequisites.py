"""What the machine must bring, checked before anything is started; all that is missing is reported together.

Each check answers with `Missing` (one line: what, and what to do) or nothing. Only the standard library, since it runs
before anything is installed.
"""

import ctypes
import importlib.util
import os
import platform
import resource
import shutil
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from . import debian, paths
from .errors import CommandFailed, PrerequisitesMissing
from .progress import Progress

MIN_DESCRIPTORS: Final = 1024
# More than any local room needs. Some container runtimes allow 2^30, and programs that walk up to it then crawl.
MAX_DESCRIPTORS: Final = 65_536
COMPILER_NAMES: Final = ("cc", "gcc", "clang")
# What sfu_fleet.native.gcm is compiled with.
FAST_SRTP_HEADER: Final = Path("/usr/include/intel-ipsec-mb.h")
CHROMIUM_NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# What the mongod of the wheel is linked against and a slim image may lack, with the Debian package that has it.
_MONGOD_LIBRARIES: Final = {
    "libcurl.so.4": "libcurl4",
    "libssl.so.3": "libssl3",
    "libcrypto.so.3": "libssl3",
    "liblzma.so.5": "liblzma5",
}
_OWN_MONGODB: Final = "or set MONGODB_URI to a MongoDB of yours (a replica set)"


@dataclass(frozen=True)
class Missing:
    """One thing that the machine lacks."""

    what: str
    remedy: str
    package: str | None = None  # of Debian, when that is all it takes

    def line(self) -> str:
        """As it is printed."""
        return f"✗ {self.what}: {self.remedy}"


@dataclass(frozen=True)
class Needs:
    """What the command that was given will use."""

    data: Path
    mongod: bool = True
    valkey: bool = True
    port: int | None = None
    chromium: bool = False
    compiler: bool = False
    """A C compiler is put to use where there is one, and not missed where it cannot be installed."""
    observing: bool = False
    """So are Prometheus and HAProxy: tests that run them are left out without."""
    faults: bool = False
    """Likewise what drops packets and sets clocks."""
    prometheus: bool = False
    haproxy: bool = False

    @classmethod
    def of_services(
        cls, data: Path, environ: Mapping[str, str], port: int | None = None, *, haproxy: bool = False
    ) -> "Needs":
        """The embedded servers are needed unless the user names others."""
        mongod, valkey = not environ.get("MONGODB_URI"), not environ.get("REDIS_URL")
        return cls(data=data, mongod=mongod, valkey=valkey, port=port, haproxy=haproxy)


def ensure(needs: Needs, progress: Progress) -> None:
    """Check everything, and install what Debian packages can mend where we may.

    Raises:
        PrerequisitesMissing: one line for each thing that is missing.
    """
    missing = list(check(needs))
    if debian.can_install():
        log = needs.data / "logs" / "apt.log"
        if packages := sorted({item.package for item in missing if item.package}):
            with progress.stage(f"apt-get install {' '.join(packages)}"):
                debian.install(packages, log=log)
            missing = list(check(needs))
        if wishes := sorted(_wishes(needs, shutil.which)):
            try:
                with progress.stage(f"apt-get install {' '.join(wishes)}"):
                    debian.install(wishes, log=log)
            except CommandFailed as failed:
                progress.note(f"  what needs {', '.join(wishes)} is left out: {str(failed).splitlines()[0]}")
    if missing:
        raise PrerequisitesMissing("\n".join(item.line() for item in missing))


def _wishes(needs: Needs, which: Callable[[str], str | None]) -> Iterator[str]:
    if needs.compiler and not any(which(name) for name in COMPILER_NAMES):
        yield from ("gcc", "libc6-dev")
    if needs.compiler and platform.machine() == "x86_64" and not FAST_SRTP_HEADER.exists():
        yield "libipsec-mb-dev"
    if needs.observing:
        yield from (name for name in ("prometheus", "haproxy") if not _installed(name, which))
    if needs.faults and not _installed("iptables", which):
        yield "iptables"
    if needs.faults and libfaketime() is None:
        yield "libfaketime"


def check(needs: Needs) -> Iterator[Missing]:
    """All that is missing, in the order in which one would mend it."""
    yield from _platform(platform.system(), platform.machine())
    yield from _venv()
    for directory in (paths.ROOT, needs.data):
        yield from _writable(directory)
    yield from _descriptors(raise_descriptor_limit())
    if needs.mongod:
        yield from _mongod(platform.system(), platform.libc_ver(), _loadable)
    if needs.port is not None:
        yield from _port(needs.port)
    if needs.chromium:
        yield from _chromium(shutil.which)
    if needs.prometheus and not _installed("prometheus", shutil.which):
        yield Missing("no Prometheus", "apt-get install prometheus", "prometheus")
    if needs.haproxy and not _installed("haproxy", shutil.which):
        yield Missing("no HAProxy", "apt-get install haproxy, or leave --balancer out", "haproxy")


def raise_descriptor_limit() -> int:
    """Raise the soft limit of open files to what we may; children inherit it. Returns the limit in force."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = MAX_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MAX_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
        except (OSError, ValueError):  # macOS caps it below the hard limit that it reports
            return soft
        return allowed
    return MAX_DESCRIPTORS if soft == resource.RLIM_INFINITY else soft


def libfaketime() -> Path | None:
    """The library that sets the clock of a process, in which folder Debian has it; None where it is not installed."""
    return next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)


def _installed(name: str, which: Callable[[str], str | None]) -> bool:
    # Debian puts some programs where only root's PATH leads.
    return bool(which(name)) or Path("/usr/sbin", name).exists()


def _platform(system: str, machine: str) -> Iterator[Missing]:
    if system not in {"Linux", "Darwin"} or machine not in {"x86_64", "aarch64", "arm64"}:
        yield Missing(
            f"{system} on {machine} is not supported",
            "use Linux (x86_64, aarch64) or macOS; on Windows, WSL 2",
        )


def _venv() -> Iterator[Missing]:
    if paths.in_venv() or paths.VENV_PYTHON.exists():
        return
    if importlib.util.find_spec("venv") is None:
        yield Missing("this Python has no venv module", "apt-get install python3-venv", _python_package())
    # Without ensurepip an environment starts empty, which is enough when the machine's own pip can fill it.
    elif importlib.util.find_spec("ensurepip") is None and importlib.util.find_spec("pip") is None:
        yield Missing("this Python has neither ensurepip nor pip", "apt-get install python3-venv", _python_package())


def _python_package() -> str | None:
    # Debian's package belongs to Debian's Python only; another one has to be mended by whoever installed it.
    return "python3-venv" if sys.executable.startswith("/usr/bin/") else None


def _writable(directory: Path) -> Iterator[Missing]:
    existing = directory
    while not existing.exists():
        existing = existing.parent
    if not existing.is_dir():
        yield Missing(f"{directory} is not a directory", "name another with --data")
    elif not os.access(existing, os.W_OK | os.X_OK):
        yield Missing(
            f"no permission to write in {existing}",
            f"chown it to {_user()}, or work in a copy of the checkout (data: --data DIR)",
        )


def _user() -> str:
    return os.environ.get("USER") or f"uid {os.getuid()}"


def _descriptors(limit: int) -> Iterator[Missing]:
    if limit < MIN_DESCRIPTORS:
        yield Missing(
            f"too few file descriptors ({limit}, at least {MIN_DESCRIPTORS} are needed)",
            f"ulimit -n {MIN_DESCRIPTORS} (as root, or raise the hard limit in /etc/security/limits.conf)",
        )


def _mongod(system: str, libc: tuple[str, str], loadable: Callable[[str], bool]) -> Iterator[Missing]:
    if system != "Linux":
        yield Missing(
            f"there is no embedded mongod for {system}", "set MONGODB_URI to a MongoDB of yours (a replica set)"
        )
        return
    name, version = libc
    if name != "glibc" or _numbers(version) < (2, 34):
        found = f"{name} {version}".strip() or "another C library"
        yield Missing(
            f"the embedded mongod needs glibc 2.34 or newer, here is {found}",
            f"use Debian 12, Ubuntu 22.04 or newer, {_OWN_MONGODB}",
        )
        return
    packages: dict[str, list[str]] = {}
    for library, package in _MONGOD_LIBRARIES.items():
        if not loadable(library):
            packages.setdefault(package, []).append(library)
    for package, libraries in packages.items():
        yield Missing(
            f"the embedded mongod needs {' and '.join(libraries)}",
            f"apt-get install {package}, {_OWN_MONGODB}",
            package,
        )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def _loadable(library: str) -> bool:
    # Asking the loader is the only answer that holds for multi-arch paths, LD_LIBRARY_PATH and Nix alike.
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _port(port: int) -> Iterator[Missing]:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except PermissionError:
            yield Missing(f"no permission to listen on port {port}", "choose one above 1023 with --port")
        except OSError:
            yield Missing(f"port {port} is taken", "choose another with --port, or leave it out to get a free one")


def _chromium(which: Callable[[str], str | None]) -> Iterator[Missing]:
    if not any(which(name) for name in CHROMIUM_NAMES):
        yield Missing(
            "no Chromium for the end-to-end tests",
            "apt-get install chromium, or leave these tests out: test -m 'not e2e'",
            "chromium",
        )
