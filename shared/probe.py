"""One question to a process of ours over HTTP: is it well? Containers ask it of themselves, and have no curl."""

import asyncio
from typing import Final

TIMEOUT_S: Final = 2.0
_LOOPBACK: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - recognised, not bound


async def answers(host: str, port: int, path: str = "/health/live") -> bool:
    """Does a GET answer 200 within two seconds? A wildcard stands for the machine itself."""
    request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    try:
        async with asyncio.timeout(TIMEOUT_S):
            reader, writer = await asyncio.open_connection(_LOOPBACK.get(host, host), port)
            try:
                writer.write(request.encode())
                line = await reader.readline()
            finally:
                writer.transport.abort()
    except (OSError, TimeoutError, ValueError):  # ValueError: a line longer than the reader's limit
        return False
    return line.split(b" ")[1:2] == [b"200"]


def exit_code(host: str, port: str) -> int:
    """0 when the process there is alive, 1 when not: what a container's HEALTHCHECK wants."""
    return 0 if asyncio.run(answers(host, int(port))) else 1
