"""One HTTP server in our own event loop, with our own signal handling.

Granian's command line runs the application in a child process and cancels every socket on SIGTERM before the
application hears of it. Its embedded server runs in this loop instead: one process, one signal owner, a drain that
finishes before the server stops, and an end that no client can put off.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import Any, Final

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.embed import Server
from structlog import get_logger

log = get_logger(__name__)

FINISH_S: Final = 5.0  # for requests that are being answered when the drain is over
_CANCELLED_S: Final = 1.0  # for requests to end that were cancelled
_LEAVE_S: Final = 5.0  # for what the application does at its own end


async def serve(
    app: Any,  # noqa: ANN401 - ASGI
    *,
    host: str,
    port: int,
    drain: Callable[[], Awaitable[None]],
    keep_alive_s: float = 30.0,
    finish_s: float = FINISH_S,
) -> None:
    """Serve `app` until SIGTERM or SIGINT, then await `drain` and stop. A second signal stops at once.

    A connection that has asked nothing for `keep_alive_s` is closed, also one that has never asked anything.

    `drain` has its own deadline: nothing here interrupts it but that second signal. Requests that are still being read
    or answered after it get `finish_s` and are then given up. Granian itself would wait for them for ever, and one
    client that never sends the rest of its request would keep the process until whoever runs it loses patience.

    Raises:
        OSError: the address cannot be bound.
        RuntimeError: the server ended by itself, or the application did not start.
    """
    loop = asyncio.get_running_loop()
    requests = _Requests(app)
    server = Server(
        requests,
        address=host,
        port=port,
        interface=Interfaces.ASGINL,  # its worker tells the application of the end only when all clients have gone
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
    lifespan = _Lifespan(app)
    await lifespan.start()
    try:
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
        await asyncio.wait({serving}, timeout=0.0 if at_once.is_set() else finish_s)
        if not serving.done():
            log.warning("requests_given_up", answering=requests.cancel())
            await asyncio.wait({serving}, timeout=_CANCELLED_S)
        if serving.done():
            serving.result()
        else:
            serving.cancel()
    finally:
        await lifespan.stop()
    log.info("stopped")


async def _drain(drain: Callable[[], Awaitable[None]]) -> None:
    try:
        await drain()
    except Exception:
        # A drain that fails must not keep the process from stopping.
        log.exception("drain_failed")


class _Requests:
    """An ASGI application whose HTTP requests can be cancelled; Granian cancels WebSockets alone."""

    def __init__(self, app: Any) -> None:  # noqa: ANN401 - ASGI
        self._app = app
        self._running: set[asyncio.Task[None]] = set()
        self._cancelling = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        task = asyncio.create_task(self._app(scope, receive, send), name="request")
        self._running.add(task)
        try:
            await task
        except asyncio.CancelledError:
            if not self._cancelling:
                raise
        finally:
            task.cancel()  # when it was this coroutine that was cancelled
            self._running.discard(task)

    def cancel(self) -> int:
        """Cancel what is running; how many that was."""
        self._cancelling = True
        for task in self._running:
            task.cancel()
        return len(self._running)


class _Lifespan:
    """Tells an application of its start and its end (ASGI specification, Lifespan Protocol)."""

    def __init__(self, app: Any) -> None:  # noqa: ANN401 - ASGI
        self._app = app
        self._events: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        self._said: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": {}}
        self._task: asyncio.Task[None] = asyncio.create_task(
            self._app(scope, self._events.get, self._said.put), name="lifespan"
        )

    async def start(self) -> None:
        """Return when the application has started.

        Raises:
            RuntimeError: it did not, or speaks no lifespan; the cause is what it raised.
        """
        self._events.put_nowait({"type": "lifespan.startup"})
        answer = await self._answer(None)
        if answer != "lifespan.startup.complete":
            raise RuntimeError("the application did not start") from self._error()

    async def stop(self) -> None:
        """Let the application end, for a few seconds at most."""
        self._events.put_nowait({"type": "lifespan.shutdown"})
        answer = await self._answer(_LEAVE_S)
        if answer != "lifespan.shutdown.complete":
            log.error("shutdown_failed", answer=answer, exc_info=self._error())

    def _error(self) -> BaseException | None:
        return self._task.exception() if self._task.done() and not self._task.cancelled() else None

    async def _answer(self, timeout_s: float | None) -> str:
        said = asyncio.create_task(self._said.get(), name="lifespan-answer")
        await asyncio.wait({said, self._task}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        if not said.done():
            # The application may say and end in one step.
            await asyncio.sleep(0)
        if said.done():
            return said.result()["type"]
        said.cancel()
        return "ended" if self._task.done() else "nothing in time"
