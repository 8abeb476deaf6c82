"""The commands, from the moment at which the virtual environment is there."""

import asyncio
from pathlib import Path

from . import checks, demo, foreground
from .node import Node
from .progress import Progress
from .stack import LocalStack


def up(data: Path, *, functions: int, workers: int, port: int | None, progress: Progress) -> int:
    """Run the stack until Ctrl-C."""
    return _foreground(data, functions, workers, port, progress, None)


def show_demo(data: Path, *, functions: int, workers: int, port: int | None, progress: Progress) -> int:
    """Run the stack with an encoder that publishes a film in a loop, until Ctrl-C."""
    step = demo.Publishing(demo.ensure_clip(data, progress=progress))
    return _foreground(data, functions, workers, port, progress, step)


def test(node: Node, arguments: list[str]) -> int:
    """Run all checks."""
    return checks.run(checks.all_checks(node, arguments))


def _foreground(
    data: Path, functions: int, workers: int, port: int | None, progress: Progress, step: foreground.Step | None
) -> int:
    async def main() -> None:
        stack = LocalStack(data, functions=functions, workers=workers, port=port, report=progress.note)
        await foreground.run(stack, progress=progress, then=step)

    asyncio.run(main())
    return 0
