"""Health: liveness says that this process can run code, readiness that it wants traffic."""

import asyncio
from typing import Any

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.types import ControllerRouterHandler
from pymongo.errors import PyMongoError
from redis.exceptions import RedisError

from functions.context import Context

CHECK_TIMEOUT_S = 2.0


@get("/health/live", tags=["operations"], summary="Liveness")
async def live() -> dict[str, str]:
    """Always 200 while the event loop turns. A lost dependency must never get this process killed."""
    return {"status": "live"}


@get("/health/ready", tags=["operations"], summary="Readiness")
async def ready(context: NamedDependency[Context]) -> Response[dict[str, Any]]:
    """200 when this process wants traffic, else 503.

    Redis and draining decide. MongoDB is reported only: without it chat and video go on.
    """
    redis_up, mongodb_up = await asyncio.gather(_redis_answers(context), _mongodb_answers(context))
    wanted = redis_up and not context.draining
    body = {
        "status": "ready" if wanted else "not ready",
        "redis": "up" if redis_up else "down",
        "mongodb": "up" if mongodb_up else "down",
        "draining": context.draining,
        "instance": context.settings.instance,
    }
    return Response(body, status_code=200 if wanted else 503)


async def _redis_answers(context: Context) -> bool:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            return bool(await context.redis.ping())
    except (RedisError, OSError, TimeoutError):
        return False


async def _mongodb_answers(context: Context) -> bool:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            await context.mongodb.admin.command("ping")
    except (PyMongoError, OSError, TimeoutError):
        return False
    return True


ROUTES: list[ControllerRouterHandler] = [live, ready]
