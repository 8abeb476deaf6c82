"""An object store that speaks the S3 API on loopback: moto's server, with faults that a test chooses."""

import os
import threading
from collections.abc import Iterable
from typing import Any, Self
from unittest import mock
from urllib.parse import parse_qs
from wsgiref.types import StartResponse, WSGIEnvironment

import httpx
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

from shared.object_store import ObjectStore

BUCKET = "recordings"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}


class LocalObjectStore:
    """A server with one empty bucket. `requests` are the method and the operation of each request, as `PUT part 2`."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self._app: Any = DomainDispatcherApplication(create_backend_app)
        self._away = False
        self._held: dict[str, threading.Event] = {}
        self._environ = mock.patch.dict(os.environ, CREDENTIALS)
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True, request_handler=MotoRequestHandler)
        self._thread = threading.Thread(target=self._server.serve_forever, name="object-store", daemon=True)

    def __enter__(self) -> Self:
        self._environ.start()
        self._thread.start()
        # What it has is the process's: earlier tests had the same bucket.
        httpx.post(f"{self.url}/moto-api/reset").raise_for_status()
        self.client = ObjectStore(BUCKET, endpoint=self.url, region="us-east-1", prefix="kept")
        self.client.client.create_bucket(Bucket=BUCKET)
        self.requests.clear()
        return self

    def __exit__(self, *_: object) -> None:
        self.release_all()
        self.client.close()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._environ.stop()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.port}"

    @property
    def environ(self) -> dict[str, str]:
        """What a process is given to use it."""
        return {
            "HEADRACE_S3_BUCKET": BUCKET,
            "HEADRACE_S3_ENDPOINT": self.url,
            "HEADRACE_S3_PREFIX": "kept",
            **CREDENTIALS,
        }

    def keys(self) -> list[str]:
        answer = self.client.client.list_objects_v2(Bucket=BUCKET)
        return [found["Key"] for found in answer.get("Contents", ())]

    def unfinished(self) -> list[str]:
        answer = self.client.client.list_multipart_uploads(Bucket=BUCKET)
        return [found["Key"] for found in answer.get("Uploads", ())]

    def content(self, key: str) -> bytes:
        return bytes(self.client.client.get_object(Bucket=BUCKET, Key=key)["Body"].read())

    def go_away(self) -> None:
        """Answer everything with 503 from now on."""
        self._away = True

    def come_back(self) -> None:
        self._away = False

    def hold(self, request: str) -> None:
        """Let requests of that kind wait, from their arrival until they are released."""
        self._held[request] = threading.Event()

    def release(self, request: str) -> None:
        self._held.pop(request).set()

    def release_all(self) -> None:
        for request in list(self._held):
            self.release(request)

    def _answer(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request = _named(environ)
        self.requests.append(request)
        if (held := self._held.get(request)) is not None:
            held.wait(60)
        if self._away:
            start_response("503 Service Unavailable", [("content-length", "0")])
            return [b""]
        answer: Iterable[bytes] = self._app(environ, start_response)
        return answer


def _named(environ: WSGIEnvironment) -> str:
    query = parse_qs(str(environ["QUERY_STRING"]), keep_blank_values=True)
    method = str(environ["REQUEST_METHOD"])
    if "partNumber" in query:
        return f"{method} part {query['partNumber'][0]}"
    if "uploads" in query:
        return f"{method} uploads"
    return f"{method} upload" if "uploadId" in query else method
