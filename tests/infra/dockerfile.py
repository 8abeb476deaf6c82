"""A Dockerfile read, and rehearsed without Docker: enough of the language for ours, and an error for the rest."""

import fnmatch
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

# Where steps of ours put things; below each stage's folder in a rehearsal.
_MOVED = re.compile(r"(?<![\w./-])/(app|build|opt|plane|recordings|tmp)(?=[/\s:;\"']|$)")
# Users and Debian's packages are the machine's: what a stage does about them is left out, and the command runs as one
# without rights.
_LEFT_OUT = ("useradd ", "apt-get ")
_UNPRIVILEGED = 10_001


@dataclass(frozen=True)
class Step:
    """RUN, COPY or WORKDIR with its text."""

    instruction: str
    text: str


@dataclass
class Stage:
    """One FROM and what follows."""

    base: str
    name: str
    steps: list[Step] = field(default_factory=list)
    environ: dict[str, str] = field(default_factory=dict)
    user: str = ""
    command: list[str] = field(default_factory=list)
    health_check: list[str] | None = None


@dataclass(frozen=True)
class Dockerfile:
    """The stages in their order."""

    stages: list[Stage]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file.

        Raises:
            ValueError: an instruction that this does not know.
        """
        text = re.sub(r"^\s*#.*\n", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
        stages: list[Stage] = []
        for line in text.replace("\\\n", " ").splitlines():
            instruction, _, rest = line.partition(" ")
            if instruction == "FROM":
                base, _, name = rest.partition(" AS ")
                stages.append(Stage(base, name))
            elif instruction:
                _take(stages[-1], instruction, rest.strip())
        return cls(stages)


def _take(stage: Stage, instruction: str, text: str) -> None:
    match instruction:
        case "RUN" | "COPY" | "WORKDIR":
            stage.steps.append(Step(instruction, text))
        case "ENV":
            stage.environ |= dict(re.findall(r"(\w+)=(\S+)", text))
        case "USER":
            stage.user = text
        case "ENTRYPOINT" | "CMD":
            stage.command = json.loads(text)
        case "HEALTHCHECK":
            stage.health_check = json.loads(text.partition(" CMD ")[2])
        case "EXPOSE" | "VOLUME":
            pass
        case _:
            raise ValueError(f"unknown instruction {instruction}")


def exactly_tagged(image: str) -> bool:
    """Does the tag name one release, to the last part of its version?"""
    return re.search(r":v?\d+\.\d+\.\d+(-[a-z0-9.-]+)?$", image) is not None


def _interpreter() -> Path:
    """This machine's Python, outside of any environment; rather one that every user may run."""
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    found = [Path(folder) / name for folder in (f"{sys.base_prefix}/bin", "/usr/local/bin", "/usr/bin")]
    there = [path.resolve() for path in found if path.exists()]
    return next(filter(_open_to_all, there), there[0])


def _open_to_all(path: Path) -> bool:
    return all(part.stat().st_mode & 0o001 for part in (path, *path.parents))


def _bytes_below(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_symlink() or path.is_file())


class Rehearsal:
    """One Dockerfile, its stages as folders. After `build`, `command` with `environ` in `workdir` is the container."""

    def __init__(self, dockerfile: Dockerfile, context: Path, folder: Path) -> None:
        self._dockerfile = dockerfile
        self._context = context
        self._folder = folder
        self._ignored = (context / ".dockerignore").read_text(encoding="utf-8").split("\n")
        self._last = dockerfile.stages[-1]
        self.workdir = self._root(self._last) / "app"
        self.layers: list[tuple[str, int]] = []
        """What each step of the last stage adds to it: the step, bytes."""

    @property
    def user(self) -> int | None:
        """Who runs it: somebody without rights, if we may become that, and they may read the machine's Python."""
        return _UNPRIVILEGED if os.geteuid() == 0 and _open_to_all(_interpreter()) else None

    def build(self) -> None:
        """Do every stage's steps."""
        for stage in self._dockerfile.stages:
            self._root(stage).mkdir(parents=True)
            self._build(stage)

    def command(self) -> list[str]:
        """Process 1."""
        return [self._program(self._last.command[0]), *self._last.command[1:]]

    def health_check(self) -> list[str]:
        """What says whether it is well."""
        check = self._last.health_check or []
        return [self._program(check[0]), *check[1:]]

    def environ(self, **more: str) -> dict[str, str]:
        """The image's environment, and what a person adds. Nothing of this process's."""
        root = self._root(self._last)
        own = {name: _MOVED.sub(rf"{root}/\1", f" {value}").strip() for name, value in self._last.environ.items()}
        own["PATH"] = f"{root}/opt/venv/bin:{os.defpath}"
        return own | more

    def _program(self, name: str) -> str:
        return str(self._root(self._last) / "opt" / "venv" / "bin" / name)

    def _root(self, stage: Stage) -> Path:
        return self._folder / (stage.name or "last")

    def _build(self, stage: Stage) -> None:
        root, workdir = self._root(stage), self._root(stage)
        size = 0
        for step in stage.steps:
            self._do(root, workdir, step)
            if step.instruction == "WORKDIR":
                workdir = root / step.text.lstrip("/")
            if stage is self._last:
                before, size = size, _bytes_below(root)
                self.layers.append((f"{step.instruction} {step.text}", size - before))

    def _do(self, root: Path, workdir: Path, step: Step) -> None:
        if step.instruction == "WORKDIR":
            (root / step.text.lstrip("/")).mkdir(parents=True, exist_ok=True)
        elif step.instruction == "COPY":
            self._copy(root, workdir, step.text.split())
        elif not step.text.startswith(_LEFT_OUT):
            self._run(root, workdir, step.text)

    def _run(self, root: Path, workdir: Path, text: str) -> None:
        (root / "tmp").mkdir(exist_ok=True)
        tools = root.parent / "tools"
        tools.mkdir(exist_ok=True)
        # The base image's interpreter and its pip.
        for name, line in (("python", f'exec {_interpreter()} "$@"'), ("pip", f'exec {sys.executable} -m pip "$@"')):
            (tools / name).write_text(f"#!/bin/sh\n{line}\n", encoding="utf-8")
            (tools / name).chmod(0o755)
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "HEADRACE_"))}
        done = subprocess.run(
            ["/bin/sh", "-euc", _MOVED.sub(rf"{root}/\1", f" {text}")],
            cwd=workdir,
            env={**environ, "PATH": f"{tools}:{environ.get('PATH', os.defpath)}"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"RUN {text}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"

    def _copy(self, root: Path, workdir: Path, words: list[str]) -> None:
        origin, filtered = self._context, True
        if words[0].startswith("--from="):
            origin, filtered = self._folder / words.pop(0).removeprefix("--from="), False
        *sources, target = words
        for source in sources:
            found = sorted(origin.glob(source.lstrip("/")))
            assert found, f"COPY {source}: there is nothing"
            for path in found:
                destination = root / target.lstrip("/") if target.startswith("/") else workdir / target
                if path.is_dir():
                    ignore = self._ignore if filtered else None
                    shutil.copytree(path, destination, ignore=ignore, symlinks=True, dirs_exist_ok=True)
                    continue
                if target.endswith("/"):
                    destination /= path.name
                destination.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, destination)

    def _ignore(self, folder: str, names: list[str]) -> set[str]:
        # Of .dockerignore what matters here: patterns for every depth, and folders by their whole path.
        inside = Path(folder).relative_to(self._context)
        anywhere = [line.removeprefix("**/") for line in self._ignored if line.startswith("**/")]
        return {
            name
            for name in names
            if any(fnmatch.fnmatch(name, pattern) for pattern in anywhere) or str(inside / name) in self._ignored
        }
