"""Connections to the managed state, with bounds: a lost server is an error within seconds, never a hang."""

from typing import Any

from pymongo import AsyncMongoClient
from redis.asyncio import BlockingConnectionPool, Redis, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError, RedisClusterException

from shared.state import redis_py
from shared.state.documents import Document

CONNECTIONS = 100
CONNECT_TIMEOUT_S = 2.0
COMMAND_TIMEOUT_S = 5.0
APP_NAME = "headrace"

redis_py.mend()


def connect_redis(url: str) -> Redis:
    """A client for `redis://` or `rediss://`; it connects at the first command and reconnects by itself.

    One quick retry covers a connection that died while idle. Longer outages are the caller's to see. A server that is
    no primary any more is left as if it had gone: after an orderly change of primary its connections stay open, and
    only a new one leads to whoever has its name now.
    """
    return Redis.from_pool(
        BlockingConnectionPool.from_url(
            url,
            # A pool that does not block raises an error for the command after the hundredth at once.
            max_connections=CONNECTIONS,
            timeout=COMMAND_TIMEOUT_S,
            protocol=3,
            decode_responses=False,
            socket_connect_timeout=CONNECT_TIMEOUT_S,
            socket_timeout=COMMAND_TIMEOUT_S,
            socket_keepalive=True,
            health_check_interval=15,
            retry=Retry(ExponentialBackoff(cap=0.2, base=0.05), retries=1),
            retry_on_error=[RedisConnectionError, ReadOnlyError],
        )
    )


def connect_mongodb(
    uri: str,
    *listeners: Any,  # noqa: ANN401 - pymongo's own are several
    app_name: str = APP_NAME,
) -> AsyncMongoClient[Document]:
    """A client for a replica set; one per process. Server selection fails after 3 s rather than the default 30.

    `listeners` are those of `pymongo.monitoring`; `app_name` is what the server logs and profiles it by.
    """
    return AsyncMongoClient(
        uri,
        serverSelectionTimeoutMS=3000,
        connectTimeoutMS=2000,
        socketTimeoutMS=5000,
        maxPoolSize=20,
        tz_aware=True,
        appname=app_name,
        event_listeners=listeners,
    )


class _Cluster(RedisCluster):
    """A cluster whose errors are all `RedisError`: redis-py's own for "no shard answers" is not."""

    async def execute_command(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - redis-py's signature
        try:
            return await super().execute_command(*args, **kwargs)
        except RedisClusterException as error:
            raise RedisConnectionError(str(error)) from error


def connect_redis_cluster(url: str) -> RedisCluster:
    """The same for a cluster, given the URL of any of its members. Commands follow their key to its shard."""
    return _Cluster.from_url(
        url,
        protocol=3,
        decode_responses=False,
        socket_connect_timeout=CONNECT_TIMEOUT_S,
        socket_timeout=COMMAND_TIMEOUT_S,
        socket_keepalive=True,
        health_check_interval=15,
        # While a shard fails over, the others go on; what waits for it hears of it within a few seconds.
        require_full_coverage=False,
        retry=Retry(ExponentialBackoff(cap=0.2, base=0.05), retries=3),
    )
