"""The commands, from the moment at which the virtual environment is there."""

import asyncio
from pathlib import Path
from typing import TypedDict

from . import checks, demo, foreground, observe
from .node import Node
from .progress import Progress
from .stack import Balancing, LocalStack


class Parts(TypedDict):
    """What `LocalStack` is made of, as it was asked for."""

    functions: int
    workers: int
    port: int | None
    balancer: Balancing


def up(data: Path, parts: Parts, *, progress: Progress) -> int:
    """Run the stack until Ctrl-C."""
    return _foreground(data, parts, progress, None)


def show_demo(data: Path, parts: Parts, *, progress: Progress) -> int:
    """Run the stack with an encoder that publishes a film in a loop, until Ctrl-C."""
    step = demo.Publishing(demo.ensure_clip(data, progress=progress))
    return _foreground(data, parts, progress, step)


def observe_stack(data: Path, *, port: int | None) -> int:
    """Run Prometheus beside a stack until Ctrl-C."""
    asyncio.run(observe.run(data, port))
    return 0


def test(node: Node, arguments: list[str]) -> int:
    """Run all checks."""
    return checks.run(checks.all_checks(node, arguments))


def _foreground(data: Path, parts: Parts, progress: Progress, step: foreground.Step | None) -> int:
    async def main() -> None:
        stack = LocalStack(data, **parts, report=progress.note)
        await foreground.run(stack, progress=progress, then=step)

    asyncio.run(main())
    return 0
