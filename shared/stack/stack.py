"""The local stack as one object: `up`, `demo` and the tests' fixtures all start this."""

import asyncio
import contextlib
import fcntl
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self

import msgspec
from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared.security.files import write_private
from shared.security.keys import KeyRing, generate_jwks
from shared.state.migrate import APP_NAME, migrate

from . import embedded, haproxy, probe, targets
from .endpoint import Endpoint
from .errors import DataDirectoryBusy, ServiceUnreachable, StackError
from .ledger import Ledger
from .ports import free_ports, listen_public
from .prerequisites import raise_descriptor_limit
from .supervisor import Child, ChildSpec, Supervisor

_USER_SERVER_TIMEOUT_S: Final = 5.0
# Functions tell their clients to move and workers hand their viewers over before they stop.
_DRAIN_DEADLINE_S: Final = 12.0
_BALANCER: Final = "balancer"

Balancing = Literal["own", "haproxy"]


class LocalStack:
    """Start the parts asked for on free loopback ports, and stop them all at the end of the `async with`.

    `functions` and `workers` are counts; with `functions` a balancer listens on `port` (None: 8080 or the next free
    one): our own, or HAProxy. Valkey, the cache's own and mongod are embedded unless `environ` has REDIS_URL,
    HEADRACE_CACHE_URL or MONGODB_URI; `valkey=False` (both) and `mongod=False` leave them out altogether. `environ` is
    what the children get, with ours on top.

    Use it from the main thread: Linux ends the children when the thread that started them ends.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        functions: int = 0,
        workers: int = 0,
        port: int | None = None,
        balancer: Balancing = "own",
        valkey: bool = True,
        mongod: bool = True,
        environ: Mapping[str, str] = os.environ,
        report: Callable[[str], None] = print,
    ) -> None:
        self.data_dir = data_dir.resolve()
        self.redis_url = environ.get("REDIS_URL", "")
        self.cache_url = environ.get("HEADRACE_CACHE_URL", "")
        self.mongodb_uri = environ.get("MONGODB_URI", "")
        self.jwt_keys = ""
        self.functions: list[Endpoint] = []
        self.workers: list[Endpoint] = []
        self._counts = functions, workers
        self._port = port
        self._balancing = balancer
        self._embed = valkey and not self.redis_url, mongod and not self.mongodb_uri
        self._embed_cache = valkey and not self.cache_url
        self._check_own = valkey and bool(self.redis_url), mongod and bool(self.mongodb_uri)
        self._environ = dict(environ)
        self._report = report
        self._exit = contextlib.AsyncExitStack()
        self._listener: socket.socket | None = None
        self._supervisor: Supervisor | None = None
        self._extras: list[str] = []

    async def __aenter__(self) -> Self:
        """Start; what has been started is stopped again when a later part fails.

        Raises:
            DataDirectoryBusy: another stack runs on `data_dir`.
            ServiceUnreachable: the user's own Redis or MongoDB does not answer.
            ChildFailed: a process did not become ready.
        """
        try:
            await self._start()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop in order: no new connections, then those who serve them, then what they keep their state in."""
        await self._stop()

    @property
    def url(self) -> str:
        """The public address, that of the balancer."""
        if self._listener is None:
            raise StackError("this stack has no functions, so it has no public address")
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    @property
    def logs(self) -> Path:
        """The folder of all logs."""
        return self.data_dir / "logs"

    @property
    def keys_file(self) -> Path:
        """The keys that sign, which functions read again when they change (`python -m shared.security rotate`)."""
        return self.data_dir / "keys.json"

    @property
    def public_keys_file(self) -> Path:
        """Their public parts, which workers read again when they change."""
        return self.data_dir / "keys.public.json"

    def process(self, name: str) -> Child:
        """A child by name: valkey, cache, mongod, function-1 …, worker-1 …, balancer.

        Raises:
            KeyError: there is none of that name.
        """
        return self._running().children[name]

    async def kill(self, name: str, signum: int = signal.SIGKILL, *, restart: bool = True) -> None:
        """Signal a child; after SIGKILL, wait until it is dead. `restart=False`: it stays so until `start`."""
        child = self.process(name)
        child.restart = restart
        pid = child.pid
        child.send(signum)
        if signum == signal.SIGKILL:
            with contextlib.suppress(ProcessLookupError):
                while child.pid == pid:  # noqa: ASYNC110 - the watcher polls as well, there is no event to wait for
                    await asyncio.sleep(0.01)

    async def start(self, name: str, environ: Mapping[str, str] | None = None) -> Child:
        """Start a child again that was killed with `restart=False`, on its same port; ready when this returns.

        `environ` is for it alone, on top of what it had.
        """
        child = self.process(name)
        await child.ended.wait()
        spec = msgspec.structs.replace(child.spec, environ={**child.spec.environ, **(environ or {})})
        return await self._running().start(spec)

    async def add(self, spec: ChildSpec) -> Child:
        """Have one more process kept running; it is stopped before the functions are."""
        self._extras.append(spec.name)
        return await self._running().start(spec)

    async def failure(self) -> StackError:
        """Wait until a child cannot be kept running."""
        return await self._running().failure()

    def kill_all(self) -> None:
        """Cut a stop short that takes too long."""
        if self._supervisor is not None:
            self._supervisor.kill_all()

    def _running(self) -> Supervisor:
        if self._supervisor is None:
            raise StackError("this stack was not started")
        return self._supervisor

    async def _start(self) -> None:
        raise_descriptor_limit()
        self.logs.mkdir(parents=True, exist_ok=True)
        self._lock()
        ledger = Ledger(self.data_dir / "processes.json")
        if reaped := ledger.reap():
            self._report(f"ended what an earlier start left running: {', '.join(reaped)}")
        self._supervisor = Supervisor(logs=self.logs, ledger=ledger, report=self._report)
        await self._start_state()
        await self._start_ours()

    async def _start_state(self) -> None:
        redis_port, mongo_port, cache_port = free_ports(3)
        specs: list[ChildSpec] = []
        if self._embed[0]:
            specs.append(embedded.valkey(port=redis_port, data=self.data_dir / "valkey", environ=self._environ))
            self.redis_url = f"redis://127.0.0.1:{redis_port}/0"
        if self._embed[1]:
            specs.append(embedded.mongod(port=mongo_port, data=self.data_dir / "mongo", environ=self._environ))
            self.mongodb_uri = f"mongodb://127.0.0.1:{mongo_port}/?replicaSet={embedded.REPLICA_SET}"
        if self._embed_cache:
            specs.append(embedded.cache(port=cache_port, data=self.data_dir / "cache", environ=self._environ))
            self.cache_url = f"redis://127.0.0.1:{cache_port}/0"
        await self._start_all(specs)
        if self._check_own[0]:
            await _check_redis(self.redis_url)
        if self._check_own[1]:
            await _check_mongodb(self.mongodb_uri)

    async def _start_ours(self) -> None:
        functions, workers = self._counts
        if functions or workers:
            self.jwt_keys = self._keys()
        if functions:
            await _migrate(self.mongodb_uri, self._environ.get("MONGODB_DATABASE", "headrace"))
        ports = iter(free_ports(3 * functions + 2 * workers))
        self.functions = [
            Endpoint(f"function-{n}", next(ports), next(ports), next(ports)) for n in range(1, functions + 1)
        ]
        self.workers = [Endpoint(f"worker-{n}", next(ports), 0, next(ports)) for n in range(1, workers + 1)]
        targets.write(self.data_dir, {"functions": self.functions, "sfu": self.workers})
        specs = [*map(self._function, self.functions), *map(self._worker, self.workers)]
        if functions:
            self._listener = listen_public(self._port)
            specs.append(self._balancer(self._listener))
        await self._start_all(specs)

    async def _start_all(self, specs: list[ChildSpec]) -> None:
        starts = [asyncio.create_task(self._running().start(spec)) for spec in specs]
        try:
            await asyncio.gather(*starts)
        finally:
            for start in starts:
                start.cancel()

    def _function(self, endpoint: Endpoint) -> ChildSpec:
        environ = {
            **self._environ,
            **self._shared_environ(endpoint.name, endpoint),
            "MONGODB_URI": self.mongodb_uri,
            "HEADRACE_CACHE_URL": self.cache_url,
            "HEADRACE_JWT_KEYS_FILE": str(self.keys_file),
            # There is no TLS here, without which cookies would go nowhere.
            "HEADRACE_INSECURE_COOKIES": "true",
            # The balancer forwards bytes and says nothing of clients, so limits by address have nothing to go by.
            "HEADRACE_TRUSTED_PROXIES": "127.0.0.0/8,::1/128",
            "HEADRACE_HOST": "127.0.0.1",
            "HEADRACE_PORT": str(endpoint.port),
            "HEADRACE_SOCKET_PORT": str(endpoint.socket_port),
        }
        return _ours("functions.app", endpoint, environ)

    def _worker(self, endpoint: Endpoint) -> ChildSpec:
        environ = {
            **self._environ,
            **self._shared_environ(endpoint.name.replace("-", ""), endpoint),
            # A worker only verifies: the private parts stay with those who sign.
            "HEADRACE_JWT_KEYS_FILE": str(self.public_keys_file),
            "HEADRACE_SFU_CONTROL_HOST": "127.0.0.1",
            "HEADRACE_SFU_CONTROL_PORT": str(endpoint.port),
            "HEADRACE_SFU_MEDIA_HOST": "127.0.0.1",
            "HEADRACE_SFU_RECORDINGS": str(self.data_dir / "recordings"),
        }
        return _ours("sfu_fleet", endpoint, environ)

    def _shared_environ(self, instance: str, endpoint: Endpoint) -> dict[str, str]:
        return {
            "REDIS_URL": self.redis_url,
            "HEADRACE_ENVIRONMENT": "development",
            "HEADRACE_INSTANCE": instance,
            "HEADRACE_METRICS_HOST": "127.0.0.1",
            "HEADRACE_METRICS_PORT": str(endpoint.metrics_port),
            "PYTHONUNBUFFERED": "1",  # or the last words of a process that is killed are lost
        }

    def _balancer(self, listener: socket.socket) -> ChildSpec:
        # It gets the listening socket instead of a port: no other program can take the port in between, and while a
        # crashed balancer is restarted connections wait instead of being refused.
        port = int(listener.getsockname()[1])
        if self._balancing == "haproxy":
            config = haproxy.write_config(self.data_dir, listener.fileno(), self.functions)
            argv: tuple[str, ...] = (haproxy.program(), "-db", "-f", str(config))
        else:
            backends = [
                part
                for endpoint in self.functions
                for part in ("--backend", f"127.0.0.1:{endpoint.port}:{endpoint.socket_port}")
            ]
            listen = ("--listen-fd", str(listener.fileno()))
            argv = (sys.executable, "-m", "shared.stack.balancer", *listen, *backends)

        async def ready() -> bool:
            return await probe.http_ok(port)

        return ChildSpec(
            name=_BALANCER,
            argv=argv,
            ready=ready,
            environ=self._environ,
            stop_deadline_s=5,
            pass_fds=(listener.fileno(),),
        )

    def _keys(self) -> str:
        """The keys that sign this stack's tokens, made once, so that tokens in browsers outlive a restart."""
        if not self.keys_file.exists():
            write_private(self.keys_file, generate_jwks())
        document = self.keys_file.read_text(encoding="utf-8")
        write_private(self.public_keys_file, KeyRing.from_jwks(document).public_jwks())
        return document

    def _lock(self) -> None:
        # The kernel drops the lock with the process, however that ends; children do not inherit the descriptor.
        lock = self._exit.enter_context((self.data_dir / "lock").open("a+", encoding="utf-8"))
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            raise DataDirectoryBusy(
                f"another stack (process {holder}) runs on {self.data_dir}: stop it, or use another folder (--data)"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()

    async def _stop(self) -> None:
        if self._supervisor is not None:
            for names in (
                self._extras,  # clients of ours, which say goodbye through the balancer
                [_BALANCER],
                [endpoint.name for endpoint in self.functions],
                [endpoint.name for endpoint in self.workers],
                ["mongod", "cache", "valkey"],
            ):
                await self._supervisor.stop(names)
                if names == [_BALANCER] and self._listener is not None:
                    self._listener.close()
            await self._supervisor.close()
        await self._exit.aclose()


def _ours(module: str, endpoint: Endpoint, environ: Mapping[str, str]) -> ChildSpec:
    async def ready() -> bool:
        return await probe.http_ok(endpoint.port)

    return ChildSpec(
        name=endpoint.name,
        argv=(sys.executable, "-m", module),
        ready=ready,
        environ=environ,
        stop_deadline_s=_DRAIN_DEADLINE_S,
    )


async def _check_redis(url: str) -> None:
    try:
        async with asyncio.timeout(_USER_SERVER_TIMEOUT_S), Redis.from_url(url) as client:
            await client.execute_command("PING")  # type: ignore[no-untyped-call, unused-ignore]
    except (RedisError, OSError, TimeoutError, ValueError) as error:
        raise ServiceUnreachable(f"REDIS_URL is set, but no Redis answers there: {_first_line(error)}") from None


async def _check_mongodb(uri: str) -> None:
    try:
        client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
            uri, serverSelectionTimeoutMS=int(_USER_SERVER_TIMEOUT_S * 1000), serverMonitoringMode="poll"
        )
        async with client:
            await client.admin.command("ping")
    except (PyMongoError, ValueError) as error:
        raise ServiceUnreachable(f"MONGODB_URI is set, but no MongoDB answers there: {_first_line(error)}") from None


async def _migrate(uri: str, database: str) -> None:
    """What a deploy does before it starts functions (`python -m shared.state.migrate`)."""
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
        uri, appname=APP_NAME, tz_aware=True, serverMonitoringMode="poll"
    )
    try:
        async with client:
            await migrate(client, database)
    except PyMongoError as error:
        raise ServiceUnreachable(f"the database {database} could not be prepared: {_first_line(error)}") from None


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
