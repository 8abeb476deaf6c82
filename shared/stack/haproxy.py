"""HAProxy as the cloud load balancer's stand-in, with its time-outs: `up --balancer haproxy`.

It is what the cloud's is and our own is not: it reads every request, writes X-Forwarded-For, cuts connections that are
silent for too long, and sends a request again that nobody has begun to answer.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from .endpoint import Endpoint
from .errors import PrerequisitesMissing

# As terraform/modules/functions sets them: clients ping every 20 s.
IDLE_S: Final = 600
_DEBIANS: Final = Path("/usr/sbin/haproxy")


def program() -> str:
    """HAProxy's path.

    Raises:
        PrerequisitesMissing: it is not installed.
    """
    # Debian puts it where only root's PATH leads.
    found = shutil.which("haproxy") or (str(_DEBIANS) if _DEBIANS.exists() else None)
    if found is None:
        raise PrerequisitesMissing("✗ no HAProxy: apt-get install haproxy, or leave --balancer out")
    return found


def write_config(data: Path, listener: int, functions: Sequence[Endpoint]) -> Path:
    """Write the configuration for a listening socket that is handed over as a descriptor, and return its path."""
    file = data / "haproxy.cfg"
    file.write_text(_config(listener, functions), encoding="utf-8")
    return file


def _config(listener: int, functions: Sequence[Endpoint]) -> str:
    requests = "\n".join(f"    server {found.name} 127.0.0.1:{found.port} check" for found in functions)
    # One look at a process decides for both of its ports, so that they come and go together.
    sockets = "\n".join(
        f"    server {found.name} 127.0.0.1:{found.socket_port} track requests/{found.name}" for found in functions
    )

    return f"""\
defaults
    mode http
    timeout connect 5s
    timeout client {IDLE_S}s
    timeout server {IDLE_S}s
    timeout tunnel {IDLE_S}s
    timeout http-request 60s
    timeout http-keep-alive {IDLE_S}s
    option forwardfor
    option redispatch
    retries 2
    balance leastconn
    option httpchk GET /health/ready
    default-server inter 1s fastinter 250ms downinter 250ms rise 1 fall 2

frontend public
    bind fd@{listener}
    acl room_socket path_reg ^/v1/rooms/[^/]+/socket$
    use_backend sockets if room_socket
    default_backend requests

backend requests
{requests}

backend sockets
{sockets}
"""
