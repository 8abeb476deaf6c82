"""Traces across processes: W3C trace context (https://www.w3.org/TR/trace-context/) from the API to the worker's calls.

Off unless there is somewhere to send spans to. Off, nothing of OpenTelemetry is imported and nothing is put in front of
a request; `headers` is one look at a variable.
"""

from __future__ import annotations

import importlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from litestar.enums import ScopeType
from structlog.contextvars import bound_contextvars

from shared.settings import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from litestar.types import ASGIApp, Message, Receive, Scope, Send
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Tracer

VARIABLE = "HEADRACE_OTLP_URL"
"""The setting that names where to."""
# Asked every few seconds by machines.
_SILENT = frozenset({"/health/live", "/health/ready"})


class _Tracing:
    """What there is while traces are on."""

    def __init__(self, api: Any, propagator: Any, provider: TracerProvider) -> None:  # noqa: ANN401 - modules
        self.api = api
        self.propagator = propagator
        self.provider = provider
        self.tracer: Tracer = provider.get_tracer("headrace")


_on: _Tracing | None = None


def start(url: str, *, service: str, instance: str) -> None:
    """Send spans to that OTLP endpoint over HTTP, as http://127.0.0.1:4318; does nothing for an empty one.

    Raises:
        SettingsError: the extra `tracing` is not installed.
    """
    global _on  # noqa: PLW0603 - one per process, like the logs
    if not url:
        return
    try:
        api = importlib.import_module("opentelemetry.trace")
        propagation = importlib.import_module("opentelemetry.trace.propagation.tracecontext")
        resources = importlib.import_module("opentelemetry.sdk.resources")
        sdk = importlib.import_module("opentelemetry.sdk.trace")
        export = importlib.import_module("opentelemetry.sdk.trace.export")
        otlp = importlib.import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    except ImportError as error:
        raise SettingsError(VARIABLE, f"needs the extra `tracing` to be installed ({error.name})") from None
    resource = resources.Resource.create({"service.name": service, "service.instance.id": instance})
    # Whoever calls us decides whether a trace is kept; what begins here is.
    provider = sdk.TracerProvider(resource=resource, shutdown_on_exit=False)
    exporter = otlp.OTLPSpanExporter(endpoint=f"{url.rstrip('/')}/v1/traces")
    # On a thread of its own, with a bounded queue: what does not fit is dropped.
    provider.add_span_processor(export.BatchSpanProcessor(exporter))
    _on = _Tracing(api, propagation.TraceContextTextMapPropagator(), provider)


def stop() -> None:
    """Send what has not been sent, and be off."""
    global _on  # noqa: PLW0603 - see `start`
    if _on is not None:
        _on.provider.shutdown()
        _on = None


@contextmanager
def span(name: str, **attributes: str) -> Iterator[None]:
    """A call to another process, as a span of kind client; nothing when off."""
    if _on is None:
        yield
        return
    with _on.tracer.start_as_current_span(name, kind=_on.api.SpanKind.CLIENT, attributes=attributes):
        yield


def headers() -> dict[str, str]:
    """What a request carries on: `traceparent` within a span, else nothing."""
    carried: dict[str, str] = {}
    if _on is not None:
        _on.propagator.inject(carried)
    return carried


def traced(app: ASGIApp) -> ASGIApp:
    """The application with a span around each request, a child of the caller's; the very same one when off."""
    tracing = _on
    if tracing is None:
        return app

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP or scope["path"] in _SILENT:
            await app(scope, receive, send)
            return
        carrier = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        parent = tracing.propagator.extract(carrier)
        status = 500

        async def send_noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        with tracing.tracer.start_as_current_span(
            scope["method"], context=parent, kind=tracing.api.SpanKind.SERVER
        ) as current:
            trace = format(current.get_span_context().trace_id, "032x")
            with bound_contextvars(trace=trace):
                try:
                    await app(scope, receive, send_noting)
                finally:
                    # The template, for what a user typed has no place in a name.
                    route = scope.get("path_template") or "unmatched"
                    current.update_name(f"{scope['method']} {route}")
                    current.set_attributes({"http.route": route, "http.response.status_code": status})
                    if status >= 500:
                        current.set_status(tracing.api.StatusCode.ERROR)

    return middleware
