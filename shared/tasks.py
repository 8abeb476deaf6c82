"""Ending tasks for certain."""

import asyncio

_AGAIN_AFTER_S = 0.1


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
