"""Traces: off without a trace of OpenTelemetry; on, one trace from the API into the worker, over real OTLP."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from shared.stack import paths
from shared.stack.stack import LocalStack
from shared.telemetry import tracing
from tests.conftest import child_environ
from tests.sfu_fleet.peer import Peer
from tests.support.room_client import guest

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Collector:
    """Takes spans as a collector does: OTLP over HTTP, protobuf."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, Any]] = []
        self.paths: set[str] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.split("content-length:")[1].split("\r\n")[0])
        request = ExportTraceServiceRequest.FromString(await reader.readexactly(length))
        self.paths.add(head.split()[1])
        for resource in request.resource_spans:
            service = {pair.key: pair.value.string_value for pair in resource.resource.attributes}["service.name"]
            self.spans += [(service, span) for scope in resource.scope_spans for span in scope.spans]
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()


@pytest_asyncio.fixture
async def collector() -> AsyncIterator[Collector]:
    collector = Collector()
    yield collector
    await collector.stop()


async def test_a_trace_goes_from_the_caller_through_the_api_into_the_worker(
    collector: Collector, tmp_path: Path
) -> None:
    environ = child_environ() | {tracing.VARIABLE: await collector.start()}
    async with LocalStack(tmp_path, functions=1, workers=1, environ=environ, report=lambda _: None) as stack:
        async with httpx.AsyncClient(base_url=stack.functions[0].url) as http:
            room, owner = await (await guest(http, "Ana")).create_room()
            peer = Peer()
            response = await http.post(
                f"/v1/rooms/{room}/whip",
                content=peer.publish_offer(),
                headers={
                    "content-type": "application/sdp",
                    "authorization": f"Bearer {owner}",
                    "traceparent": f"00-{TRACE}-{CALLER}-01",
                },
            )
            assert response.status_code == 201
            await peer.close()
            await http.get("/v1/rooms/typed-by-somebody")
        log = (stack.logs / "function-1.log").read_text(encoding="utf-8")
    # The processes have stopped, and with them gone all that they had to send.
    mine = {span.span_id.hex(): (service, span) for service, span in collector.spans if span.trace_id.hex() == TRACE}
    by_name = {(service, span.name): span for service, span in mine.values()}
    served = by_name["functions", "POST /v1/rooms/{room_id}/whip"]
    called = by_name["functions", "sfu publish"]
    worked = by_name["sfu", "POST /v1/sessions"]
    assert served.parent_span_id.hex() == CALLER
    assert called.parent_span_id == served.span_id
    assert worked.parent_span_id == called.span_id
    assert f'"trace": "{TRACE}"' in log
    assert collector.paths == {"/v1/traces"}
    names = {span.name for _, span in collector.spans}
    assert not {name for name in names if "typed" in name or "health" in name}


@pytest.mark.parametrize("installed", [True, False])
def test_without_somewhere_to_send_to_nothing_is_imported_and_nothing_is_put_in_front(installed: bool) -> None:
    # redis-py imports OpenTelemetry's metrics by itself wherever it finds them.
    program = """
import sys
if not INSTALLED:
    sys.modules["opentelemetry"] = None
import functions.app, sfu_fleet.worker
from shared.telemetry import tracing
tracing.start("", service="functions", instance="one")
app = object()
assert tracing.traced(app) is app
with tracing.span("a call"):
    assert tracing.headers() == {}
tracing.stop()
parts = ("opentelemetry.sdk.trace", "opentelemetry.exporter", "opentelemetry.trace.propagation.tracecontext")
print(sorted(name for name in sys.modules if name.startswith(parts)))
""".replace("INSTALLED", str(installed))
    environ = child_environ() | {"PYTHONPATH": f"{paths.ROOT}:{paths.SFU_FLEET}"}
    ended = subprocess.run(
        [sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=False, timeout=60
    )
    assert ended.stdout.strip() == "[]", ended.stdout + ended.stderr


def test_without_the_extra_the_setting_says_what_is_missing() -> None:
    program = """
import sys
sys.modules["opentelemetry"] = None
from shared.telemetry import tracing
tracing.start("http://127.0.0.1:4318", service="functions", instance="one")
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=paths.ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert "HEADRACE_OTLP_URL: needs the extra `tracing` to be installed" in ended.stderr
