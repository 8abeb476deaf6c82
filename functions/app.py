"""The function process: composes the functions that it is to serve, and runs them. `python -m functions.app`."""

import asyncio
import gc
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import uvloop
from litestar import Litestar, Request, Response, get
from litestar.config.cors import CORSConfig
from litestar.di import Provide
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, YamlRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.types import ControllerRouterHandler
from pymongo.errors import PyMongoError
from redis.exceptions import RedisError
from structlog import get_logger

from functions import health, metrics, vitals
from functions.api import history, media, recordings, rooms
from functions.archive.archiver import Archiver
from functions.archive.recordings import RecordingArchiver
from functions.context import Context, build_context
from functions.request_log import request_log
from functions.settings import Settings
from functions.sfu_client import SfuError
from functions.signaling import routes as signaling
from functions.signaling.granian_socket import raw_socket
from functions.signaling.picows_server import SocketServer
from functions.web.site import build_routes
from shared.serving import serve
from shared.settings import SettingsError, load
from shared.state.fleet import NoWorkerAvailable
from shared.telemetry import tracing
from shared.telemetry.exposition import exposed
from shared.telemetry.logs import configure_logging
from shared.telemetry.problems import EXCEPTION_HANDLERS, Problem, problem_response

MAX_BODY_BYTES = 64 * 1024

log = get_logger(__name__)


def build_app(context: Context) -> Litestar:
    """The ASGI application of one process."""
    settings = context.settings
    handlers: list[ControllerRouterHandler] = [*health.ROUTES]
    if "api" in settings.functions:
        handlers += [*rooms.ROUTES, *history.ROUTES, *media.ROUTES, *recordings.ROUTES, openapi]
    if "signaling" in settings.functions:
        handlers += signaling.ROUTES
    if "web" in settings.functions:
        handlers += build_routes(settings.web_root, media_origin=context.store.origin() if context.store else "")

    def provide_context() -> Context:
        return context

    return Litestar(
        handlers,
        dependencies={"context": Provide(provide_context, sync_to_thread=False)},
        exception_handlers=EXCEPTION_HANDLERS
        | {SfuError: _sfu_refused, NoWorkerAvailable: _no_worker, RedisError: _unavailable, PyMongoError: _unavailable},
        cors_config=CORSConfig(
            allow_origins=list(settings.allowed_origins),
            allow_methods=["GET", "POST", "PATCH", "DELETE", "OPTIONS"],
            allow_headers=["authorization", "content-type", "if-match", "range"],
            expose_headers=[
                "location",
                "etag",
                "link",
                "x-request-id",
                "retry-after",
                "accept-ranges",
                "content-range",
                "content-disposition",
            ],
            max_age=600,
        ),
        openapi_config=OpenAPIConfig(
            title="Headrace",
            version="0.1.0",
            description="Rooms, tokens, and media over WHIP and WHEP. Errors are problem details (RFC 9457).",
            # Litestar also serves it as JSON and YAML below this path; /openapi.json is where tools look.
            path="/openapi",
            render_plugins=[JsonRenderPlugin(), YamlRenderPlugin()],
            components=Components(
                security_schemes={
                    "identity": SecurityScheme(type="http", scheme="bearer", description="identity token"),
                    "room": SecurityScheme(type="http", scheme="bearer", description="room token"),
                }
            ),
        ),
        request_max_body_size=MAX_BODY_BYTES,
        lifespan=[_lifespan(context)],
        logging_config=None,
        debug=False,
    )


# In a thread: the first call takes half a second, which would hold up every socket.
@get("/openapi.json", include_in_schema=False, sync_to_thread=True)
def openapi(request: Request[Any, Any, Any]) -> dict[str, Any]:
    """The OpenAPI document."""
    return request.app.openapi_schema.to_schema()


def _lifespan(context: Context) -> Any:  # noqa: ANN401 - Litestar's own type is private
    @asynccontextmanager
    async def lifespan(_app: Litestar) -> AsyncIterator[None]:
        context.hub.start()
        tasks = [
            asyncio.create_task(vitals.watch_loop(), name="loop-lag"),
            asyncio.create_task(vitals.watch_dependencies(context.redis, context.mongodb), name="dependencies"),
            asyncio.create_task(context.desk.run(), name="attendance-desk"),
            asyncio.create_task(context.door.run(), name="door"),
            asyncio.create_task(context.bus.run(), name="bus"),
            asyncio.create_task(context.ephemeral.run(), name="ephemeral"),
            asyncio.create_task(signaling.expire_silent(context), name="expire-silent"),
            asyncio.create_task(signaling.hold_places(context), name="hold-places"),
        ]
        if "archive" in context.settings.functions:
            archiver = Archiver(context.redis, context.archive, context.settings.instance)
            tasks.append(asyncio.create_task(archiver.run(), name="archiver"))
            moving = RecordingArchiver(context.reports, context.catalogue)
            tasks.append(asyncio.create_task(moving.run(), name="recording-archiver"))
        sockets = SocketServer(context)
        if context.settings.socket_port and "signaling" in context.settings.functions:
            await sockets.start(context.settings.host, context.settings.socket_port)
        try:
            yield
        finally:
            await sockets.stop()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await context.close()

    return lifespan


def _sfu_refused(_request: Request[Any, Any, Any], error: SfuError) -> Response[dict[str, Any]]:
    headers = {"retry-after": "1"} if error.status in {409, 503} else {}
    return problem_response(Problem(error.status, error.code, "The media server refused", error.detail, headers))


def _no_worker(_request: Request[Any, Any, Any], error: NoWorkerAvailable) -> Response[dict[str, Any]]:
    return problem_response(Problem(503, "no_capacity", "Unavailable", str(error), {"retry-after": "2"}))


def _unavailable(_request: Request[Any, Any, Any], error: Exception) -> Response[dict[str, Any]]:
    log.warning("dependency_lost", error=type(error).__name__)
    detail = "a database cannot be reached at the moment"
    return problem_response(Problem(503, "unavailable", "Unavailable", detail, {"retry-after": "2"}))


def _calm_collector() -> None:
    """Keep the garbage collector off the hot path.

    A thousand sockets are a million objects that live long; at the default thresholds going over them again and again
    took a quarter of the processor under load. Reference counting frees what is freed here; cycles are rare.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 100)


async def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; then turn readiness off, let sockets move, and stop."""
    context = build_context(settings)
    _calm_collector()

    async def drain() -> None:
        context.draining = True
        metrics.DRAINING.set(1)
        await signaling.drain_sockets(context, settings.drain_deadline_s)

    tracing.start(settings.otlp_url, service="functions", instance=settings.instance)
    app = raw_socket(tracing.traced(request_log(build_app(context))))
    try:
        with exposed(settings.metrics_host, settings.metrics_port):
            await serve(app, host=settings.host, port=settings.port, drain=drain, keep_alive_s=settings.keep_alive_s)
    finally:
        tracing.stop()


def main() -> None:
    """Entry point of the container."""
    try:
        settings = load(Settings)
        # Containers of one service have the same environment, and each a name of its own.
        settings = msgspec.structs.replace(settings, instance=settings.instance or socket.gethostname()[:64])
        configure_logging(
            format=settings.log_format, level=settings.log_level, service="functions", instance=settings.instance
        )
        uvloop.run(run(settings))
    except SettingsError as error:
        sys.exit(f"headrace functions: {error}")
    except OSError as error:
        sys.exit(f"headrace functions: cannot listen: {error}")


if __name__ == "__main__":
    main()
