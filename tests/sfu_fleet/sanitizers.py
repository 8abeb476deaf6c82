"""The programs of native/ that call our C with nonsense, compiled with the compiler's checks, and run."""

import subprocess
from functools import cache
from pathlib import Path

from sfu_fleet.native import build

_FLAGS = ("-std=gnu11", "-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-pthread")


@cache
def compiled(name: str, folder: Path, *more: str) -> Path:
    """A program, which has the C that it abuses in it; `more` is what else it is linked with."""
    command = build.compiler()
    assert command is not None
    target, source = folder / name, Path(__file__).parent / "native" / f"{name}.c"
    include = f"-I{build.PLANE.sources[0].parent}"
    subprocess.run([*command, *_FLAGS, include, "-o", str(target), str(source), *more], check=True)
    return target


def abuse(program: Path, seed: int, calls: int) -> str:
    """Let it make so many calls; what it printed."""
    command = [str(program), str(seed), str(calls)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stdout + run.stderr[-4000:]
    return run.stdout
