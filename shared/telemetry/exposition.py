"""Metrics on a port of their own, which nobody but a scraper reaches.

prometheus-client's server answers from a thread: also when the event loop is held up, which is when one wants to look.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import REGISTRY, CollectorRegistry, start_http_server


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
