"""The function process: composes the functions that it is to serve, and runs them. `python -m functions.app`."""

import asyncio
import gc
import math
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import msgspec
import uvloop
from litestar import Litestar, Request, Response, get
from litestar.config.cors import CORSConfig
from litestar.di import Provide
from litestar.middleware import DefineMiddleware
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, YamlRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.types import ControllerRouterHandler, Scope
from prometheus_client import REGISTRY
from pymongo.errors import PyMongoError
from redis.exceptions import RedisError
from structlog import get_logger

from functions import health, metrics, vitals
from functions.api import (
    auth,
    fleet,
    history,
    keys,
    listing,
    media,
    people,
    recordings,
    room_changes,
    rooms,
    sessions,
    statistics,
    users,
    webhooks,
)
from functions.api.idempotency import IdempotencyMiddleware
from functions.api.openapi import document
from functions.api.rates import RateMiddleware
from functions.archive.archiver import Archiver
from functions.archive.notices import NoticeMover
from functions.archive.reaper import Reaper
from functions.archive.recordings import RecordingArchiver
from functions.archive.sweeper import Sweeper
from functions.context import Context, build_context
from functions.http_security import secured
from functions.request_log import request_log
from functions.settings import Settings
from functions.sfu_client import SfuError
from functions.signaling import routes as signaling
from functions.signaling.granian_socket import raw_socket
from functions.signaling.picows_server import SocketServer
from functions.web.site import build_routes
from functions.webhooks.dispatcher import Dispatcher
from shared.cache.errors import CacheOverloaded
from shared.serving import serve
from shared.settings import SettingsError, load
from shared.state.directory import Unchanged
from shared.state.fleet import NoWorkerAvailable
from shared.tasks import end, keep
from shared.telemetry import own_use, tracing
from shared.telemetry.exposition import exposed
from shared.telemetry.logs import configure_logging
from shared.telemetry.problems import EXCEPTION_HANDLERS, Problem, problem_response
from shared.version import VERSION

MAX_BODY_BYTES = 64 * 1024

log = get_logger(__name__)


def build_app(context: Context) -> Litestar:
    """The ASGI application of one process."""
    settings = context.settings
    handlers: list[ControllerRouterHandler] = [*health.ROUTES]
    if "api" in settings.functions:
        for part in (rooms, listing, room_changes, people, history, statistics, media, recordings, webhooks, fleet):
            handlers += part.ROUTES
        handlers += [*sessions.ROUTES, *users.ROUTES, *keys.ROUTES, openapi]
    if "signaling" in settings.functions:
        handlers += signaling.ROUTES
    if "web" in settings.functions:
        handlers += build_routes(settings.web_root, media_origin=context.store.origin() if context.store else "")

    def provide_context() -> Context:
        return context

    async def before_request(request: Request[Any, Any, Any]) -> None:
        await auth.recognise_key(request, context)

    async def after_exception(error: Exception, scope: Scope) -> None:
        await auth.count_offence(error, scope, context)

    return Litestar(
        handlers,
        before_request=before_request,
        after_exception=[after_exception],
        dependencies={"context": Provide(provide_context, sync_to_thread=False)},
        exception_handlers=EXCEPTION_HANDLERS
        | {SfuError: _sfu_refused, NoWorkerAvailable: _no_worker, RedisError: _unavailable, PyMongoError: _unavailable}
        | {CacheOverloaded: _overloaded, Unchanged: _unchanged},
        cors_config=CORSConfig(
            allow_origins=list(settings.allowed_origins),
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"],
            allow_headers=["authorization", "content-type", "idempotency-key", "if-match", "if-none-match", "range"],
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
            version=VERSION,
            description="Live rooms, the people in them, and media over WHIP and WHEP. Errors are problems (RFC 9457).",
            # Litestar also serves it as JSON and YAML below this path; /openapi.json is where tools look.
            path="/openapi",
            render_plugins=[JsonRenderPlugin(), YamlRenderPlugin()],
            components=Components(
                security_schemes={
                    "identity": SecurityScheme(type="http", scheme="bearer", description="identity token, or API key"),
                    "room": SecurityScheme(type="http", scheme="bearer", description="room token"),
                    "operator": SecurityScheme(type="http", scheme="bearer", description="operator's token"),
                }
            ),
        ),
        middleware=[
            DefineMiddleware(RateMiddleware, context=context),
            DefineMiddleware(IdempotencyMiddleware, context=context, max_body_bytes=MAX_BODY_BYTES),
        ],
        request_max_body_size=MAX_BODY_BYTES,
        lifespan=[_lifespan(context)],
        logging_config=None,
        debug=False,
    )


# In a thread: the first call takes half a second, which would hold up every socket.
@get("/openapi.json", include_in_schema=False, sync_to_thread=True)
def openapi(request: Request[Any, Any, Any]) -> dict[str, Any]:
    """The OpenAPI document."""
    return document(request.app)


def _lifespan(context: Context) -> Any:  # noqa: ANN401 - Litestar's own type is private
    @asynccontextmanager
    async def lifespan(_app: Litestar) -> AsyncIterator[None]:
        context.hub.start()
        vitals.watch_identity(context.tokens)
        tasks = [
            _keep(vitals.watch_loop, "loop-lag"),
            _keep(partial(vitals.watch_dependencies, context.redis, context.mongodb), "dependencies"),
            _keep(context.cache.run, "cache"),
            _keep(context.desk.run, "attendance-desk"),
            _keep(context.door.run, "door"),
            _keep(context.bus.run, "bus"),
            _keep(context.ephemeral.run, "ephemeral"),
            _keep(context.sampling.run, "sampling"),
            _keep(partial(signaling.expire_silent, context), "expire-silent"),
            _keep(partial(signaling.hold_places, context), "hold-places"),
            _keep(partial(context.keys.follow, context.tokens), "keys"),
            _keep(context.revocations.follow, "revocations"),
        ]
        if "archive" in context.settings.functions:
            tasks += _archiving(context)
        sockets = SocketServer(context)
        if context.settings.socket_port and "signaling" in context.settings.functions:
            await sockets.start(context.settings.host, context.settings.socket_port)
        try:
            yield
        finally:
            await sockets.stop()
            await end(*tasks)
            await context.close()

    return lifespan


def _keep(work: Callable[[], Awaitable[None]], name: str) -> asyncio.Task[None]:
    return keep(work, name, metrics.task_failed)


def _archiving(context: Context) -> list[asyncio.Task[None]]:
    archiver = Archiver(context.redis, context.archive, context.directory, context.announcer, context.settings.instance)
    recordings = RecordingArchiver(context.reports, context.catalogue, context.announcer)
    notices = NoticeMover(context.notices, context.audience, context.directory, context.announcer)
    sweeper = Sweeper(context.directory, context.archive, context.audience)
    reaper = Reaper(context.directory, context.log, context.fleet)
    dispatcher = Dispatcher(context.webhooks, context.deliveries, context.sender)
    return [
        _keep(archiver.run, "archiver"),
        _keep(recordings.run, "recording-archiver"),
        _keep(notices.run, "notices"),
        _keep(sweeper.run, "sweeper"),
        _keep(reaper.run, "reaper"),
        _keep(dispatcher.run, "webhooks"),
    ]


def _sfu_refused(_request: Request[Any, Any, Any], error: SfuError) -> Response[dict[str, Any]]:
    headers = {"retry-after": "1"} if error.status in {409, 503} else {}
    return problem_response(Problem(error.status, error.code, "The media server refused", error.detail, headers))


def _no_worker(_request: Request[Any, Any, Any], error: NoWorkerAvailable) -> Response[dict[str, Any]]:
    return problem_response(Problem(503, "no_capacity", "Unavailable", str(error), {"retry-after": "2"}))


def _unavailable(_request: Request[Any, Any, Any], error: Exception) -> Response[dict[str, Any]]:
    log.warning("dependency_lost", error=type(error).__name__)
    detail = "a database cannot be reached at the moment"
    return problem_response(Problem(503, "unavailable", "Unavailable", detail, {"retry-after": "2"}))


def _overloaded(_request: Request[Any, Any, Any], error: CacheOverloaded) -> Response[dict[str, Any]]:
    headers = {"retry-after": str(math.ceil(error.retry_after_s))}
    return problem_response(Problem(503, "overloaded", "Unavailable", str(error), headers))


def _unchanged(_request: Request[Any, Any, Any], error: Unchanged) -> Response[dict[str, Any]]:
    """Somebody else changed or deleted the room at the same moment."""
    return problem_response(Problem(409, "changed_meanwhile", "Changed meanwhile", str(error)))


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
    own_use.measure(REGISTRY, cores=settings.cpu_limit)
    for function in settings.functions:
        metrics.SERVES.labels(function).set(1)
    app = raw_socket(
        tracing.traced(request_log(secured(build_app(context), production=settings.environment == "production")))
    )
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
