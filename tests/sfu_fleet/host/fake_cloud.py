"""A fake of what a host on AWS talks to: the metadata service, version 2, and two calls of EC2 Auto Scaling.

Neither can be had here: the metadata service exists on EC2 alone, and moto has no lifecycle actions. Requests come over
HTTP from the real clients, httpx and botocore, and are kept as they came.
"""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import parse_qs

INSTANCE = "i-0123456789abcdef0"
_RESULT = '<{0}Response xmlns="http://autoscaling.amazonaws.com/doc/2011-01-01/"><{0}Result/></{0}Response>'
_ERROR = "<ErrorResponse><Error><Type>Sender</Type><Code>{0}</Code><Message>{0}</Message></Error></ErrorResponse>"


class FakeCloud:
    """Serves on loopback while it is entered."""

    def __init__(self, instance: str = INSTANCE) -> None:
        self.categories = {
            "instance-id": instance,
            "local-ipv4": "127.0.0.1",
            "public-ipv4": "203.0.113.7",
            "placement/region": "eu-central-1",
            "placement/availability-zone": "eu-central-1a",
        }
        self.actions: list[dict[str, str]] = []
        self.failures: list[str] = []  # error codes of the next actions
        self.tokens = 0
        self.revoked = False
        handler = type("Handler", (_Handler,), {"cloud": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def did(self, action: str) -> list[dict[str, str]]:
        """The requests for an action."""
        return [request for request in self.actions if request["Action"] == action]


class _Handler(BaseHTTPRequestHandler):
    cloud: FakeCloud
    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        lifetime = self.headers.get("X-aws-ec2-metadata-token-ttl-seconds", "")
        if self.path != "/latest/api/token" or not lifetime.isdigit():
            self._answer(400, "")
            return
        self.cloud.tokens += 1
        self.cloud.revoked = False
        self._answer(200, f"token-{self.cloud.tokens}")

    def do_GET(self) -> None:
        valid = f"token-{self.cloud.tokens}"
        if self.headers.get("X-aws-ec2-metadata-token") != valid or self.cloud.revoked:
            self._answer(401, "")
            return
        value = self.cloud.categories.get(self.path.removeprefix("/latest/meta-data/"))
        self._answer(404 if value is None else 200, value or "")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        request = {name: values[0] for name, values in parse_qs(body).items()}
        if self.cloud.failures:
            self._answer(400, _ERROR.format(self.cloud.failures.pop(0)))
            return
        self.cloud.actions.append(request)
        self._answer(200, _RESULT.format(request["Action"]))

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())
