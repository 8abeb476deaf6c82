"""Tasks that go on whatever happens to them, and that end for certain."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from structlog import get_logger

log = get_logger(__name__)

_AGAIN_AFTER_S: Final = 0.1
_FIRST_REST_S: Final = 0.1
_LONGEST_REST_S: Final = 30.0


def keep(
    work: Callable[[], Awaitable[None]],
    name: str,
    failed: Callable[[str], None],
    *,
    first_rest_s: float = _FIRST_REST_S,
) -> "asyncio.Task[None]":
    """Do work that nobody waits for, such as a loop that runs as long as its process, as a task of that name.

    What such work foresees it deals with. When it ends with any other error it would be missed by nobody until its
    results are: so the error is logged and told to `failed` with the task's name, and the work is begun again, after a
    rest that grows from `first_rest_s` as long as it fails at once. It is over when the work returns.
    """
    return asyncio.get_running_loop().create_task(_kept(work, name, failed, first_rest_s), name=name)


async def _kept(work: Callable[[], Awaitable[None]], name: str, failed: Callable[[str], None], rest_s: float) -> None:
    loop = asyncio.get_running_loop()
    first_s = rest_s
    while True:
        began = loop.time()
        try:
            await work()
        except Exception:
            log.exception("task_failed", task=name)
            failed(name)
        else:
            return
        if loop.time() - began > _LONGEST_REST_S:
            rest_s = first_s
        await asyncio.sleep(rest_s)
        rest_s = min(2 * rest_s, _LONGEST_REST_S)


async def end(*tasks: "asyncio.Task[None] | asyncio.Future[None]") -> list[Exception]:
    """Cancel tasks until each has ended; the errors that they ended with.

    Once is not enough: `asyncio.wait_for` of Python 3.11, on which redis-py and aiortc stand, swallows a cancellation
    that meets a result.
    """
    waiting = {task for task in tasks if not task.done()}
    while waiting:
        for task in waiting:
            task.cancel()
        _, waiting = await asyncio.wait(waiting, timeout=_AGAIN_AFTER_S)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    return [result for result in results if isinstance(result, Exception)]
