"""Run a stack in the foreground: until Ctrl-C, a signal, or a child that cannot be kept running."""

import asyncio
import signal
from typing import Final, Protocol

from .progress import Progress
from .stack import LocalStack

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Step(Protocol):
    """What a command does once the stack has started; it is a stage of its own."""

    name: str

    async def run(self, stack: LocalStack) -> str:
        """Returns the line to print at the end."""


async def run(stack: LocalStack, *, progress: Progress, then: Step | None = None) -> None:
    """Start, carry out what comes on top, show the address, wait for the end, stop.

    The first signal stops in order, whatever was going on; a second one kills at once.

    Raises:
        StackError: the stack could not be started or kept running.
    """
    loop = asyncio.get_running_loop()
    told = asyncio.Event()

    def tell() -> None:
        if told.is_set():
            stack.kill_all()
        told.set()

    for signum in _SIGNALS:
        loop.add_signal_handler(signum, tell)
    living = asyncio.create_task(_live(stack, progress=progress, then=then), name="stack")
    waiting = asyncio.create_task(told.wait())
    try:
        await asyncio.wait([living, waiting], return_when=asyncio.FIRST_COMPLETED)
        if told.is_set():
            print("\nstopping (once more to kill at once) …", flush=True)
            living.cancel()
            await asyncio.wait([living])
        waiting.cancel()
        if not living.cancelled():
            living.result()
        if told.is_set():
            print("stopped; the data is kept", flush=True)
    finally:
        for signum in _SIGNALS:
            loop.remove_signal_handler(signum)


async def _live(stack: LocalStack, *, progress: Progress, then: Step | None) -> None:
    # By hand instead of `async with`, so that the start is a stage of its own.
    with progress.stage("servers, functions and SFU workers"):
        await stack.__aenter__()
    try:
        line = ""
        if then is not None:
            with progress.stage(then.name):
                line = await then.run(stack)
        print(f"\n{progress.table()}\n", flush=True)
        print(f"Headrace runs at {stack.url}  (Ctrl-C stops it; logs: {stack.logs})", flush=True)
        if line:
            print(line, flush=True)
        raise await stack.failure()
    finally:
        await stack.__aexit__(None, None, None)
