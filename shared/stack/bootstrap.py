"""From a checkout and some Python to the checkout's own environment, and into it.

uv installs the locked packages (seconds instead of the better part of a minute); pip, which needs nothing but Python,
installs uv, and takes over when uv cannot do it.
"""

import fcntl
import hashlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NoReturn

from . import paths
from .commands import run_logged
from .errors import CommandFailed
from .progress import Progress

_UV: Final = paths.VENV / "bin" / "uv"
_UV_REQUIREMENTS: Final = paths.STACK / "requirements-uv.txt"
RUN_REQUIREMENTS: Final = paths.ROOT / "requirements.txt"
DEV_REQUIREMENTS: Final = paths.ROOT / "requirements-dev.txt"


def ensure(requirements: Path, *, progress: Progress, logs: Path) -> None:
    """Make the environment hold `requirements`, then continue inside it: outside, this call does not return.

    Raises:
        CommandFailed: the environment could not be made or filled.
    """
    log = logs / "bootstrap.log"
    with _one_at_a_time():
        if not _usable():
            with progress.stage("virtual environment"):
                _create(log)
        _link_checkout()
        # Both commands share one environment, so packages are added and never removed: `uv pip sync` would make `up`
        # and `test` undo each other's work, and would take uv itself away.
        if not is_installed(requirements):
            with progress.stage("python packages"):
                install(requirements, progress=progress, log=log)
    if not paths.in_venv():
        _continue_inside(progress)


def install(requirements: Path, *, progress: Progress, log: Path, options: tuple[str, ...] = ()) -> None:
    """Install exactly what a lock file says, hash by hash; index settings come from the user's environment."""
    what = f"installing {paths.shown(requirements)}"
    arguments = ["--require-hashes", *options, "-r", str(requirements)]
    try:
        _ensure_uv(log)
        uv_environ = {**os.environ, "UV_PYTHON_DOWNLOADS": "never"}
        uv = [str(_UV), "pip", "install", "--python", str(paths.VENV_PYTHON), *arguments]
        run_logged(uv, log=log, what=what, environ=uv_environ)
    except CommandFailed:
        # pip reads configuration that uv does not (pip.conf, PIP_*): behind a company's index it may be what works.
        progress.note("  uv could not install the packages; trying pip, which takes longer")
        run_logged([*_pip(), "install", "--no-input", *arguments], log=log, what=what)
    _stamp(requirements).write_text(_digest(requirements))


def is_installed(requirements: Path) -> bool:
    """Has this very lock file been installed? The stamp lies in the environment and goes with it."""
    try:
        return _stamp(requirements).read_text() == _digest(requirements)
    except OSError:
        return False


def _stamp(requirements: Path) -> Path:
    return paths.VENV / f".installed-{requirements.stem}"


def _digest(requirements: Path) -> str:
    return hashlib.sha256(requirements.read_bytes()).hexdigest()


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    # `up` and `test` given at the same moment in one checkout must not fill the environment together.
    paths.DATA.mkdir(exist_ok=True)
    with (paths.DATA / "bootstrap.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _usable() -> bool:
    # The link dangles when the Python that made the environment was upgraded away.
    return paths.VENV_PYTHON.exists() and (paths.VENV / "pyvenv.cfg").exists()


def _create(log: Path) -> None:
    with_pip = [] if importlib.util.find_spec("ensurepip") else ["--without-pip"]
    argv = [sys.executable, "-m", "venv", "--clear", *with_pip, str(paths.VENV)]
    run_logged(argv, log=log, what="making the virtual environment")


def _pip() -> list[str]:
    if any(paths.VENV.glob("lib/python3*/site-packages/pip/__main__.py")):
        return [str(paths.VENV_PYTHON), "-m", "pip"]
    # An environment without pip (no ensurepip here, or made by uv) is filled by the machine's own pip from outside.
    return [sys.executable, "-m", "pip", "--python", str(paths.VENV_PYTHON)]


def _ensure_uv(log: Path) -> None:
    if _UV.exists() and is_installed(_UV_REQUIREMENTS):
        return
    arguments = ["install", "--no-input", "--require-hashes", "-r", str(_UV_REQUIREMENTS)]
    run_logged([*_pip(), *arguments], log=log, what="installing uv")
    _stamp(_UV_REQUIREMENTS).write_text(_digest(_UV_REQUIREMENTS))


def _link_checkout() -> None:
    # A .pth file makes the packages importable from where they are. An editable install does the same by way of a build
    # backend, which would be one more download and two seconds, for the same line in the same folder.
    content = f"{paths.ROOT}\n{paths.SFU_FLEET}\n"
    for site_packages in paths.VENV.glob("lib/python3*/site-packages"):
        link = site_packages / "headrace.pth"
        if not link.exists() or link.read_text() != content:
            link.write_text(content)


def _continue_inside(progress: Progress) -> NoReturn:
    # exec keeps the process id, so that Ctrl-C, `kill` and a service manager go on reaching the one they started.
    sys.stdout.flush()
    environ = {**os.environ, **progress.carry()}
    module = [str(paths.VENV_PYTHON), "-m", "shared.stack", *sys.argv[1:]]
    os.execve(module[0], module, environ)  # noqa: S606 - becoming the program is the point, and no shell is involved
