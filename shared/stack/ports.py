"""Free loopback ports that stay free between two lives of a process."""

import random
import socket
from pathlib import Path
from typing import Final

DEFAULT_PUBLIC_PORT: Final = 8080
_PUBLIC_TRIES: Final = 100
_BACKLOG: Final = 1024
_LOWEST: Final = 10_240


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on, all different.

    They lie below the range from which the kernel takes the local ports of outgoing connections: none of those can sit
    on the port of a process that is being restarted.
    """
    held: list[socket.socket] = []
    try:
        while len(held) < count:
            candidate = socket.socket()
            held.append(candidate)
            try:
                candidate.bind(("127.0.0.1", random.randrange(_LOWEST, _ephemeral_start())))  # noqa: S311 - no secret
            except OSError:
                held.pop().close()
        return [int(holder.getsockname()[1]) for holder in held]
    finally:
        for holder in held:
            holder.close()


def listen_public(port: int | None) -> socket.socket:
    """Listen on the port that the user asked for, else on 8080 or the next free one.

    Raises:
        OSError: the port asked for is taken, or none of a hundred is free.
    """
    candidates = [port] if port is not None else range(DEFAULT_PUBLIC_PORT, DEFAULT_PUBLIC_PORT + _PUBLIC_TRIES)
    refused: OSError | None = None
    for candidate in candidates:
        try:
            return socket.create_server(("127.0.0.1", candidate), backlog=_BACKLOG)
        except OSError as error:
            refused = error
    raise refused or OSError("no port to try")


def _ephemeral_start() -> int:
    try:
        lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError):  # not Linux: the range that RFC 6335 names
        return 49_152
    return lowest if lowest >= 2 * _LOWEST else 32_768
