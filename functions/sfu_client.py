"""How functions reach the SFU fleet: placement chooses a worker, its control API does the rest.

A session's id begins with its worker's id, so any function finds the worker of any session without state.
"""

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import msgspec
from structlog import get_logger

from functions import metrics
from shared.placement.records import Explanation
from shared.protocol.messages import QualityNotice
from shared.security.tokens import AUDIENCE_SFU, LONGEST_LIFETIME_S, Claims, Grant, Tokens
from shared.state.fleet import Fleet, Lease, NoOrigin, NoWorkerAvailable, Placement, Worker
from shared.state.recordings import Recording
from shared.state.rooms import RoomLog
from shared.telemetry import tracing

CONTROL_TOKEN_LIFETIME_S = 60
# An edge may have to look for another parent at any time, and gets a new token with each viewer who comes to it.
RELAY_TOKEN_LIFETIME_S = LONGEST_LIFETIME_S
# Making a session takes a worker some milliseconds, or as long as it needs to find the room's stream at another one.
# Who does not answer by then is stopped, or cut off.
_TIMEOUT = httpx.Timeout(5.0, connect=1.0)
_CREATE_TIMEOUT = httpx.Timeout(1.2, connect=0.5)
# Workers that are tried for one session, and what a worker may say that another one may not.
_TRIES = 3
_ELSEWHERE = frozenset({"worker_unreachable", "unreachable", "draining", "at_capacity", "fenced", "too_deep"})

log = get_logger(__name__)


class SfuError(Exception):
    """The fleet did not do what was asked. `code` is stable; `status` is the HTTP status that fits."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail


class WorkerUnreachable(SfuError):  # noqa: N818 - the state, as operators call it
    """A worker did not answer."""

    def __init__(self) -> None:
        super().__init__(503, "worker_unreachable", "the media server did not answer")


class Session(msgspec.Struct, frozen=True):
    """A media session as the worker describes it; `sdp` is its answer or offer."""

    session: str
    sdp: str
    etag: str


class Restarted(msgspec.Struct, frozen=True):
    """The worker's ICE credentials and candidates after a restart, as an SDP fragment; the credentials also alone."""

    fragment: str
    etag: str
    ufrag: str
    password: str


class SessionPlacement(msgspec.Struct, frozen=True):
    """Whose session it is, and why it is where it is; a publisher's worker is the room's origin."""

    room: str
    kind: str
    participant: str
    placement: Explanation | None = None


class _ProblemBody(msgspec.Struct, frozen=True):
    code: str = "refused"
    title: str = ""
    detail: str = ""


class SfuClient:
    """Creates, answers and ends media sessions.

    Every method raises `SfuError`, or `redis.exceptions.RedisError` and
    `shared.state.fleet.NoWorkerAvailable` where placement fails.
    """

    def __init__(self, fleet: Fleet, room_log: RoomLog, tokens: Tokens, zone: str = "") -> None:
        self._fleet = fleet
        self._log = room_log
        self._tokens = tokens
        self._zone = zone
        self._http = httpx.AsyncClient(timeout=_TIMEOUT, trust_env=False)

    async def publish(self, claims: Claims, offer: str, *, instead_of: str | None = None) -> Session:
        """Answer a publisher's SDP offer, at the worker that has the room's origin or is given it now.

        With `instead_of`, a session of theirs, it is the same stream, and another worker becomes the origin, if there
        is one.
        """
        if await self._log.ended(claims.room):
            raise SfuError(409, "room_ended", "the room is over: its owner can open it again")
        avoid = _worker_of(instead_of)
        tries = _TRIES
        while True:
            tries -= 1
            lease = await self._origin(claims.room, avoid)
            placed = {"token": lease.token, "continues": instead_of or ""}
            try:
                return await self._create(lease.worker, claims, "publish", offer, placed)
            except WorkerUnreachable:
                # Who comes to publish has no stream there either: the room goes to another worker.
                await self._fleet.release_origin(claims.room, lease.token)
                if tries == 0:
                    raise
                avoid |= {lease.worker.id}
            except SfuError as refused:
                # It has begun to drain since, or has heard of a later lease than ours.
                if tries == 0 or refused.code not in _ELSEWHERE:
                    raise
                avoid |= {lease.worker.id}

    async def subscribe(self, claims: Claims, offer: str | None = None, *, instead_of: str | None = None) -> Session:
        """Answer a viewer's SDP offer (WHEP), or make one when there is none.

        With `instead_of`, a session of theirs, they get another worker than that one's, if there is one.
        """
        avoid = _worker_of(instead_of)
        tries = _TRIES
        while True:
            tries -= 1
            placement = await self._place(claims, avoid)
            try:
                return await self._create(placement.worker, claims, "subscribe", offer, self._described(placement))
            except SfuError as refused:
                if tries == 0 or refused.code not in _ELSEWHERE:
                    raise
                avoid |= {placement.worker.id}

    async def answer(self, claims: Claims, session: str, sdp: str) -> None:
        """Hand over a viewer's answer to the worker's offer."""
        await self._call("answer", claims, session, "PUT", "/answer", {"sdp": sdp})

    async def trickle(self, claims: Claims, session: str, fragment: str, etag: str | None) -> Restarted | None:
        """Hand over a trickle ICE fragment (RFC 8840); the worker's side of it where that restarted ICE."""
        body = {"fragment": fragment, "etag": etag}
        response = await self._call("trickle", claims, session, "PATCH", "", body)
        return msgspec.json.decode(response.content, type=Restarted) if response.status_code == 200 else None

    async def restart(self, claims: Claims, session: str, ufrag: str, password: str) -> Restarted:
        """Restart ICE with a client's new credentials; asked for again with the same ones it is answered again."""
        fragment = f"a=ice-ufrag:{ufrag}\r\na=ice-pwd:{password}\r\n"
        restarted = await self.trickle(claims, session, fragment, "*")
        if restarted is None:
            raise SfuError(409, "not_restarted", "these are the credentials that the session began with")
        return restarted

    async def choose(
        self, claims: Claims, session: str, layer: str | None, *, paused: bool, sound: bool = True
    ) -> QualityNotice | None:
        """Hand over a viewer's choice of layer, of no video, or of no sound either; what they get now, if anything."""
        body = {"layer": layer, "paused": paused, "sound": sound}
        response = await self._call("choose", claims, session, "PUT", "/layer", body)
        return msgspec.json.decode(response.content, type=QualityNotice | None)

    async def fit(self, claims: Claims, session: str, height: int) -> None:
        """Hand over the height of a viewer's player in pixels, 0 where it is not known."""
        await self._call("fit", claims, session, "PUT", "/viewport", {"height": height})

    async def end(self, claims: Claims, session: str) -> None:
        """End a session."""
        await self._call("end", claims, session, "DELETE", "", None)

    async def find_session(self, claims: Claims, session: str) -> SessionPlacement:
        """What a session's worker knows of why it is there."""
        response = await self._call("explain", claims, session, "GET", "", None)
        return msgspec.json.decode(response.content, type=SessionPlacement)

    async def start_recording(
        self, claims: Claims, layer: str | None, *, longest_s: float, largest_bytes: int
    ) -> Recording:
        """Record the room's stream, where it is live, up to the given limits; 0 is none."""
        worker = await self._live_worker(claims.room)
        body = {"layer": layer, "longest_s": longest_s, "largest_bytes": largest_bytes}
        response = await self._request("record", worker, claims, "POST", _recording(claims.room), body)
        return msgspec.json.decode(response.content, type=Recording)

    async def stop_recording(self, claims: Claims) -> Recording:
        """End the room's recording, and with it the file."""
        worker = await self._live_worker(claims.room)
        response = await self._request("record_end", worker, claims, "DELETE", _recording(claims.room), None)
        return msgspec.json.decode(response.content, type=Recording)

    async def delete_recording(self, worker: Worker, claims: Claims, recording: str) -> None:
        """Delete a recording from a worker's host."""
        path = f"{_recording(claims.room)}s/{recording}"
        await self._request("recording_delete", worker, claims, "DELETE", path, None)

    async def open_recording(
        self, worker: Worker, claims: Claims, recording: str, byte_range: str | None
    ) -> httpx.Response:
        """A recording's file, or a part of it, as a response that is still to be read and closed."""
        headers = {"authorization": f"Bearer {self._token(claims)}"} | ({"range": byte_range} if byte_range else {})
        request = self._http.build_request(
            "GET", f"{worker.url}{_recording(claims.room)}s/{recording}", headers=headers
        )
        try:
            response = await self._http.send(request, stream=True)
            if response.is_success or response.status_code == 416:
                return response
            await response.aread()
        except (httpx.HTTPError, TimeoutError) as error:
            raise _unreachable(worker, "recording", error) from error
        raise _refused(response)

    async def close(self) -> None:
        """Close the connections to the workers."""
        await self._http.aclose()

    async def _origin(self, room: str, avoid: frozenset[str]) -> Lease:
        with _counted():
            try:
                return await self._fleet.acquire_origin(room, self._zone, avoid=avoid)
            except NoWorkerAvailable:
                if not avoid:
                    raise
                # Better the one that was to be avoided than none: it may be the only one, and well.
                return await self._fleet.acquire_origin(room, self._zone)

    async def _place(self, claims: Claims, avoid: frozenset[str]) -> Placement:
        try:
            with _counted():
                try:
                    return await self._fleet.place_viewer(claims.room, self._zone, viewer=claims.sub, avoid=avoid)
                except NoWorkerAvailable:
                    if not avoid:
                        raise
                    return await self._fleet.place_viewer(claims.room, self._zone, viewer=claims.sub)
        except NoOrigin:
            raise SfuError(409, "no_publisher", "nobody is live in this room") from None

    async def _live_worker(self, room: str) -> Worker:
        live = await self._log.live(room)
        worker = await self._fleet.find(live.worker) if live else None
        if worker is None:
            raise SfuError(409, "no_publisher", "nobody is live in this room")
        return worker

    def _described(self, placement: Placement) -> dict[str, Any]:
        """What a worker is told of why a viewer comes to it."""
        parent = placement.parent
        explanation = Explanation(
            placement.reason, self._zone, time.time(), parent.id if parent else "", placement.considered
        )
        return {
            "token": placement.origin.token,
            "origin": _named(placement.origin.worker) if parent else None,
            "parent": _named(parent) if parent else None,
            "relay": self._relay_token(placement.origin.room) if parent else "",
            "placement": msgspec.to_builtins(explanation),
        }

    async def _create(
        self, worker: Worker, claims: Claims, kind: str, offer: str | None, placed: dict[str, Any]
    ) -> Session:
        body = {
            "room": claims.room,
            "kind": kind,
            "participant": claims.sub,
            "name": claims.name,
            "offer": offer,
            **placed,
        }
        response = await self._request(kind, worker, claims, "POST", "/v1/sessions", body, _CREATE_TIMEOUT)
        return msgspec.json.decode(response.content, type=Session)

    async def _call(
        self, call: str, claims: Claims, session: str, method: str, suffix: str, body: dict[str, Any] | None
    ) -> httpx.Response:
        worker = await self._fleet.find(session.partition("-")[0])
        # What is not of the form of an id never becomes part of a URL.
        if worker is None or not _is_id(session):
            raise SfuError(404, "unknown_session", "there is no such media session")
        return await self._request(call, worker, claims, method, f"/v1/sessions/{session}{suffix}", body)

    async def _request(
        self,
        call: str,
        worker: Worker,
        claims: Claims,
        method: str,
        path: str,
        body: dict[str, Any] | None,
        patience: httpx.Timeout = _TIMEOUT,
    ) -> httpx.Response:
        token = self._token(claims)
        started = time.perf_counter()
        try:
            with tracing.span(f"sfu {call}", worker=worker.id):
                headers = {"authorization": f"Bearer {token}"} | tracing.headers()
                response = await self._http.request(
                    method, worker.url + path, json=body, headers=headers, timeout=patience
                )
        except (httpx.HTTPError, TimeoutError) as error:
            raise _unreachable(worker, call, error) from error
        metrics.SFU_SECONDS.labels(call).observe(time.perf_counter() - started)
        if response.is_success:
            return response
        raise _refused(response)

    def _relay_token(self, room: str) -> str:
        """A token with which a worker may have the room's stream from others: workers have no keys to sign with."""
        claims = Claims(sub="edges", room=room, grants=frozenset({Grant.RELAY}))
        return self._tokens.sign(claims, audience=AUDIENCE_SFU, lifetime_s=RELAY_TOKEN_LIFETIME_S)

    def _token(self, claims: Claims) -> str:
        """A control token that says on whose behalf we call, good for this one call."""
        return self._tokens.sign(
            Claims(
                sub=claims.sub,
                name=claims.name,
                tier=claims.tier,
                room=claims.room,
                grants=(claims.grants & {Grant.MODERATE}) | {Grant.CONTROL},
                jti=secrets.token_urlsafe(12),
            ),
            audience=AUDIENCE_SFU,
            lifetime_s=CONTROL_TOKEN_LIFETIME_S,
        )


def _worker_of(session: str | None) -> frozenset[str]:
    return frozenset({session.partition("-")[0]} if session else ())


def _named(worker: Worker) -> dict[str, str]:
    return {"id": worker.id, "url": worker.url, "media": worker.media}


def _recording(room: str) -> str:
    return f"/v1/rooms/{room}/recording"


def _is_id(text: str) -> bool:
    return text.isascii() and text.replace("-", "").isalnum()


@contextmanager
def _counted() -> Iterator[None]:
    """Count how placement ends."""
    try:
        yield
    except NoWorkerAvailable:
        metrics.PLACEMENTS.labels("no_capacity").inc()
        raise
    metrics.PLACEMENTS.labels("placed").inc()


def _unreachable(worker: Worker, call: str, error: Exception) -> SfuError:
    metrics.SFU_ERRORS.labels("unreachable").inc()
    log.warning("sfu_unreachable", worker=worker.id, call=call, error=type(error).__name__)
    return WorkerUnreachable()


def _refused(response: httpx.Response) -> SfuError:
    problem = _problem_of(response)
    metrics.SFU_ERRORS.labels(problem.code).inc()
    return SfuError(response.status_code, problem.code, problem.detail or problem.title)


def _problem_of(response: httpx.Response) -> _ProblemBody:
    try:
        return msgspec.json.decode(response.content, type=_ProblemBody)
    except msgspec.DecodeError:
        return _ProblemBody(detail=f"status {response.status_code}")
