"""One HTTP server in our own event loop, with our own signal handling.

Granian's command line runs the application in a child process and cancels every socket on SIGTERM before the
application hears of it. Its embedded server runs in this loop instead: one process, one signal owner, and a drain that
finishes before the server stops.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import Any

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.embed import Server
from structlog import get_logger

log = get_logger(__name__)


async def serve(
    app: Any,  # noqa: ANN401 - ASGI
    *,
    host: str,
    port: int,
    drain: Callable[[], Awaitable[None]],
    keep_alive_s: float = 30.0,
) -> None:
    """Serve `app` until SIGTERM or SIGINT, then await `drain` and stop. A second signal stops at once.

    A connection that has asked nothing for `keep_alive_s` is closed, also one that has never asked anything.

    `drain` has its own deadline: nothing here interrupts it but that second signal.

    Raises:
        OSError: the address cannot be bound.
        RuntimeError: the server ended by itself.
    """
    loop = asyncio.get_running_loop()
    server = Server(
        app,
        address=host,
        port=port,
        interface=Interfaces.ASGI,
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=int(keep_alive_s * 1000)),
        websockets=True,
        backlog=4096,
        log_level=LogLevels.error,  # what it says at start and stop is ours to say
    )
    stopping = asyncio.Event()
    at_once = asyncio.Event()

    def on_signal(number: int) -> None:
        log.info("signal", signal=signal.Signals(number).name, again=stopping.is_set())
        (at_once if stopping.is_set() else stopping).set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    serving = loop.create_task(server.serve(), name="granian")
    waiting = loop.create_task(stopping.wait(), name="stop-signal")
    log.info("listening", host=host, port=port)
    await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
    if serving.done():
        waiting.cancel()
        serving.result()
        message = "the HTTP server stopped by itself"
        raise RuntimeError(message)
    draining = loop.create_task(_drain(drain), name="drain")
    hurry = loop.create_task(at_once.wait(), name="stop-at-once")
    await asyncio.wait({draining, hurry}, return_when=asyncio.FIRST_COMPLETED)
    for task in (draining, hurry):
        task.cancel()
    await asyncio.gather(draining, hurry, return_exceptions=True)
    server.stop()  # type: ignore[no-untyped-call]
    await serving
    log.info("stopped")


async def _drain(drain: Callable[[], Awaitable[None]]) -> None:
    try:
        await drain()
    except Exception:
        # A drain that fails must not keep the process from stopping.
        log.exception("drain_failed")
