"""Where a process of the local stack answers."""

import msgspec


class Endpoint(msgspec.Struct, frozen=True):
    """A process of ours and where it answers HTTP."""

    name: str
    port: int
    socket_port: int = 0
    """Of a function: where it takes room sockets more cheaply than on `port`."""
    metrics_port: int = 0
    """Where Prometheus may ask it."""

    @property
    def url(self) -> str:
        """Without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def socket_url(self) -> str:
        """The same, of `socket_port`."""
        return f"http://127.0.0.1:{self.socket_port}"

    @property
    def metrics_url(self) -> str:
        """Where its metrics are."""
        return f"http://127.0.0.1:{self.metrics_port}/metrics"
