"""Our own worker as a benchmark's target: alone on a core, joined over its control API as the functions do it."""

import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final, Self

import httpx
import msgspec
from prometheus_client.parser import text_string_to_metric_families

from shared.security.keys import KeyRing
from shared.security.tokens import AUDIENCE_SFU, Claims, Grant, Tokens
from shared.stack.stack import LocalStack
from tests.bench import machine
from tests.bench.signaling.sampling import Cores
from tests.conftest import child_environ

from .viewers import Viewer

_PUBLISHER: Final = "publisher"
_LAG: Final = "sfu_event_loop_lag_seconds_bucket"
# Longer than any run.
_TOKEN_S: Final = 3_600


class Lag(msgspec.Struct, frozen=True):
    """How often the event loop's timers were how late, since the worker began: upper edges in seconds, and counts."""

    counts: Mapping[float, float]

    def since(self, before: "Lag") -> "Lag":
        """The same for what came after `before`."""
        return Lag({edge: count - before.counts[edge] for edge, count in self.counts.items()})

    def percentile_ms(self, percent: float) -> float:
        """The upper edge of the interval that the percentile is in; not a number without observations."""
        edges = sorted(self.counts)
        total = self.counts[edges[-1]]
        if not total:
            return float("nan")
        return next(edge for edge in edges if self.counts[edge] >= total * percent / 100) * 1000


class Worker:
    """A worker and whoever is in its rooms."""

    keeps_alive = True
    joins_at_once = 8

    def __init__(
        self, http: httpx.AsyncClient, token: Callable[[str, str], str], pid: int, metrics_url: str, jwks: str = ""
    ) -> None:
        self.pids = (pid,)
        self.jwks = jwks
        # What placement says of a session, where there is any.
        self.placed: Mapping[str, Any] = {}
        self._http = http
        self._token = token
        self._metrics_url = metrics_url
        self._sessions: dict[Viewer, tuple[str, str, str]] = {}

    @classmethod
    @asynccontextmanager
    async def running(cls, plane: str, cores: Cores, *, workers: int = 1) -> AsyncIterator[Sequence[Self]]:
        """Start so many workers with one packet plane on the server's core, Valkey on the other."""
        environ = {**child_environ(), "HEADRACE_SFU_PLANE": plane, "HEADRACE_SFU_CAPACITY_PPS": "100000000"}
        async with AsyncExitStack() as running:
            enter = running.enter_async_context
            folder = Path(running.enter_context(tempfile.TemporaryDirectory()))
            stack = await enter(LocalStack(folder, workers=workers, mongod=False, environ=environ, report=_silent))
            machine.pin(stack.process("valkey").pid, {cores.rest})
            tokens = Tokens(KeyRing.from_jwks(stack.jwt_keys))

            def token(name: str, room: str) -> str:
                claims = Claims(sub=name, room=room, grants=frozenset({Grant.CONTROL}))
                return tokens.sign(claims, audience=AUDIENCE_SFU, lifetime_s=_TOKEN_S)

            found = []
            for endpoint in stack.workers:
                pid = stack.process(endpoint.name).pid
                machine.pin(pid, {cores.server})
                http = await enter(httpx.AsyncClient(base_url=endpoint.url, timeout=30))
                found.append(cls(http, token, pid, endpoint.metrics_url, stack.jwt_keys))
            yield found

    async def publish(self, peer: Viewer, room: int, *, audio: bool = True, video: str | None = "VP8") -> None:
        """Connect a room's publisher."""
        created = await self._create(peer, _PUBLISHER, room, "publish", peer.publish_offer(audio=audio, video=video))
        # The worker is the DTLS client where the offer lets it choose (RFC 5763, section 5).
        await peer.connect(created["sdp"], client="a=setup:passive" in created["sdp"])

    async def view(self, viewer: Viewer, room: int) -> None:
        """Connect a viewer."""
        created = await self._create(viewer, f"v{viewer.ufrag}", room, "subscribe", None)
        # With retransmissions, as browsers answer: only then may packets be padded to make trains longer.
        answer = {"sdp": viewer.view_answer(created["sdp"], rtx=True)}
        response = await self._http.put(self._path(viewer, "/answer"), json=answer, headers=self._headers(viewer))
        response.raise_for_status()
        await viewer.connect(created["sdp"], client=True)

    async def leave(self, viewer: Viewer) -> None:
        """Disconnect a viewer."""
        response = await self._http.delete(self._path(viewer), headers=self._headers(viewer))
        # One who has just been taken for dead has left as well.
        if response.status_code != httpx.codes.NOT_FOUND:
            response.raise_for_status()

    async def present(self) -> frozenset[Viewer]:
        """Whose session there is."""
        headers = {"authorization": f"Bearer {self._token('bench', '')}"}
        response = await self._http.get("/v1/sessions", headers=headers)
        response.raise_for_status()
        alive = {info["session"] for info in response.json() if info["state"] == "connected"}
        return frozenset(viewer for viewer, (_, _, session) in self._sessions.items() if session in alive)

    @property
    def url(self) -> str:
        """Its control API."""
        return str(self._http.base_url).rstrip("/")

    async def lag(self) -> Lag:
        """How late its event loop's timers have been so far."""
        response = await self._http.get(self._metrics_url)
        response.raise_for_status()
        samples = [sample for family in text_string_to_metric_families(response.text) for sample in family.samples]
        return Lag({float(sample.labels["le"]): sample.value for sample in samples if sample.name == _LAG})

    async def _create(self, peer: Viewer, name: str, room: int, kind: str, offer: str | None) -> dict[str, Any]:
        self._sessions[peer] = name, f"bench-{room}", ""
        body = {"room": f"bench-{room}", "participant": name, "name": name, "kind": kind, "offer": offer}
        body |= self.placed
        response = await self._http.post("/v1/sessions", json=body, headers=self._headers(peer))
        response.raise_for_status()
        created: dict[str, Any] = response.json()
        self._sessions[peer] = name, f"bench-{room}", created["session"]
        return created

    def _headers(self, peer: Viewer) -> dict[str, str]:
        name, room, _ = self._sessions[peer]
        return {"authorization": f"Bearer {self._token(name, room)}"}

    def _path(self, peer: Viewer, tail: str = "") -> str:
        return f"/v1/sessions/{self._sessions[peer][2]}{tail}"


def _silent(_line: str) -> None:
    """Say nothing of what the stack does."""
