"""How functions reach the SFU fleet: placement chooses a worker, its control API does the rest.

A session's id begins with its worker's id, so any function finds the worker of any session without state.
"""

import time
from typing import Any

import httpx
import msgspec
from structlog import get_logger

from functions import metrics
from shared.security.tokens import AUDIENCE_SFU, Claims, Grant, Tokens
from shared.state.fleet import Fleet, Worker
from shared.state.rooms import RoomLog

CONTROL_TOKEN_LIFETIME_S = 60

log = get_logger(__name__)


class SfuError(Exception):
    """The fleet did not do what was asked. `code` is stable; `status` is the HTTP status that fits."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail


class Session(msgspec.Struct, frozen=True):
    """A media session as the worker describes it; `sdp` is its answer or offer."""

    session: str
    sdp: str
    etag: str


class Restarted(msgspec.Struct, frozen=True):
    """The worker's ICE credentials and candidates after a restart, as an SDP fragment."""

    fragment: str
    etag: str


class _ProblemBody(msgspec.Struct, frozen=True):
    code: str = "refused"
    title: str = ""
    detail: str = ""


class SfuClient:
    """Creates, answers and ends media sessions.

    Every method raises `SfuError`, or `redis.exceptions.RedisError` and
    `shared.state.fleet.NoWorkerAvailable` where placement fails.
    """

    def __init__(self, fleet: Fleet, room_log: RoomLog, tokens: Tokens) -> None:
        self._fleet = fleet
        self._log = room_log
        self._tokens = tokens
        self._http = httpx.AsyncClient(timeout=httpx.Timeout(5.0, connect=1.0), trust_env=False)

    async def publish(self, claims: Claims, offer: str) -> Session:
        """Answer a publisher's SDP offer."""
        worker = await self._fleet.place(claims.room)
        return await self._create(worker, claims, "publish", offer)

    async def subscribe(self, claims: Claims, offer: str | None = None) -> Session:
        """Answer a viewer's SDP offer (WHEP), or make one when there is none."""
        live = await self._log.live(claims.room)
        worker = await self._fleet.find(live.worker) if live else None
        if worker is None:
            raise SfuError(409, "no_publisher", "nobody is live in this room")
        return await self._create(worker, claims, "subscribe", offer)

    async def answer(self, claims: Claims, session: str, sdp: str) -> None:
        """Hand over a viewer's answer to the worker's offer."""
        await self._call("answer", claims, session, "PUT", "/answer", {"sdp": sdp})

    async def trickle(self, claims: Claims, session: str, fragment: str, etag: str | None) -> Restarted | None:
        """Hand over a trickle ICE fragment (RFC 8840); the worker's side of it where that restarted ICE."""
        body = {"fragment": fragment, "etag": etag}
        response = await self._call("trickle", claims, session, "PATCH", "", body)
        return msgspec.json.decode(response.content, type=Restarted) if response.status_code == 200 else None

    async def choose(self, claims: Claims, session: str, layer: str | None, *, paused: bool) -> None:
        """Hand over a viewer's choice of layer."""
        await self._call("choose", claims, session, "PUT", "/layer", {"layer": layer, "paused": paused})

    async def end(self, claims: Claims, session: str) -> None:
        """End a session."""
        await self._call("end", claims, session, "DELETE", "", None)

    async def close(self) -> None:
        """Close the connections to the workers."""
        await self._http.aclose()

    async def _create(self, worker: Worker, claims: Claims, kind: str, offer: str | None) -> Session:
        body = {
            "room": claims.room,
            "kind": kind,
            "participant": claims.sub,
            "name": claims.name,
            "offer": offer,
        }
        response = await self._request(kind, worker, claims, "POST", "/v1/sessions", body)
        return msgspec.json.decode(response.content, type=Session)

    async def _call(
        self, call: str, claims: Claims, session: str, method: str, suffix: str, body: dict[str, Any] | None
    ) -> httpx.Response:
        worker = await self._fleet.find(session.partition("-")[0])
        # What is not of the form of an id never becomes part of a URL.
        if worker is None or not session.replace("-", "").isalnum() or not session.isascii():
            raise SfuError(404, "unknown_session", "there is no such media session")
        return await self._request(call, worker, claims, method, f"/v1/sessions/{session}{suffix}", body)

    async def _request(
        self, call: str, worker: Worker, claims: Claims, method: str, path: str, body: dict[str, Any] | None
    ) -> httpx.Response:
        token = self._tokens.sign(
            Claims(
                sub=claims.sub,
                name=claims.name,
                tier=claims.tier,
                room=claims.room,
                grants=(claims.grants & {Grant.MODERATE}) | {Grant.CONTROL},
            ),
            audience=AUDIENCE_SFU,
            lifetime_s=CONTROL_TOKEN_LIFETIME_S,
        )
        started = time.perf_counter()
        try:
            response = await self._http.request(
                method, worker.url + path, json=body, headers={"authorization": f"Bearer {token}"}
            )
        except (httpx.HTTPError, TimeoutError) as error:
            metrics.SFU_ERRORS.labels("unreachable").inc()
            log.warning("sfu_unreachable", worker=worker.id, call=call, error=type(error).__name__)
            raise SfuError(503, "worker_unreachable", "the media server did not answer") from error
        metrics.SFU_SECONDS.labels(call).observe(time.perf_counter() - started)
        if response.is_success:
            return response
        problem = _problem_of(response)
        metrics.SFU_ERRORS.labels(problem.code).inc()
        raise SfuError(response.status_code, problem.code, problem.detail or problem.title)


def _problem_of(response: httpx.Response) -> _ProblemBody:
    try:
        return msgspec.json.decode(response.content, type=_ProblemBody)
    except msgspec.DecodeError:
        return _ProblemBody(detail=f"status {response.status_code}")
