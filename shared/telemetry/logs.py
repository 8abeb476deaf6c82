"""Structured logs: one event per line, with the request or connection it belongs to.

Bind ids with `structlog.contextvars.bound_contextvars(request_id=…)`; every line logged inside carries them, also those
of the standard library's loggers.
"""

import logging
import sys
from typing import Literal

import structlog

LogFormat = Literal["json", "console"]
LogLevel = Literal["debug", "info", "warning", "error"]

# Below warning these say what our own request log says already, or what nobody reads.
_QUIET = ("httpx", "httpcore", "pymongo", "aiortc", "aioice", "granian.access")


def configure_logging(*, format: LogFormat, level: LogLevel, **bound: str) -> None:  # noqa: A002 - the setting's name
    """Send structlog and the standard library's loggers to stderr in one format, with `bound` on every line."""
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _with(bound),
        structlog.processors.StackInfoRenderer(),
    ]
    if format == "json":
        shared.append(structlog.processors.format_exc_info)
    renderer: structlog.types.Processor = (
        structlog.processors.JSONRenderer() if format == "json" else structlog.dev.ConsoleRenderer(colors=False)
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


def _with(bound: dict[str, str]) -> structlog.types.Processor:
    def add(_logger: object, _method: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
        for key, value in bound.items():
            event.setdefault(key, value)
        return event

    return add
