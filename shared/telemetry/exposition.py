"""Metrics on a port of their own, which nobody but a scraper reaches; and the limits of the process they are about.

prometheus-client's server answers from a thread: also when the event loop is held up, which is when one wants to look.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prometheus_client import REGISTRY, CollectorRegistry, start_http_server

_CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
_MEMINFO = Path("/proc/meminfo")


@contextmanager
def exposed(host: str, port: int, registry: CollectorRegistry = REGISTRY) -> Iterator[None]:
    """Serve the registry's metrics while the context is entered; port 0: nowhere.

    Raises:
        OSError: the address cannot be bound.
    """
    if not port:
        yield
        return
    server, thread = start_http_server(port, addr=host, registry=registry)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def memory_limit() -> int:
    """Bytes that this process may use: the least of its container's limits and the machine's memory; 0: unknown."""
    limits = [limit for limit in map(_cgroup_limit, _CGROUP_LIMITS) if limit]
    return min([*limits, *_machine_memory()], default=0)


def _cgroup_limit(path: Path) -> int:
    try:
        text = path.read_text().strip()
    except OSError:
        return 0
    return int(text) if text.isdigit() else 0  # version 2 says "max" where there is none


def _machine_memory() -> list[int]:
    try:
        lines = _MEMINFO.read_text().splitlines()
    except OSError:
        return []
    return [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemTotal:")]
