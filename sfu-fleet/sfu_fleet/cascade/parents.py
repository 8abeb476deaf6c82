"""Asks a worker for a feed of a room, and those that it names instead where it has no room for another one."""

import random
from collections.abc import Sequence

import httpx
import msgspec
from structlog import get_logger

from sfu_fleet.cascade.contract import Elsewhere, Fed, FeedRequest, Parent
from sfu_fleet.cascade.link import RemoteLink
from sfu_fleet.cascade.transports import LinkSocket
from sfu_fleet.errors import NoPublisher, Unreachable
from sfu_fleet.metrics import Metrics

# Workers are near each other. Who does not answer by then is taken for gone, and another one asked.
TIMEOUT = httpx.Timeout(0.8, connect=0.4)
# Of those asked for one link; the origin names some of its edges.
MAX_TRIES = 5
_MULTIPLE_CHOICES = 300

log = get_logger(__name__)


class _Problem(msgspec.Struct, frozen=True):
    code: str = "refused"
    detail: str = ""


class Refused(Exception):  # noqa: N818 - the answer, as the field calls it
    """No parent gave a feed; `code` is the last one's reason, `codes` are those of all that were asked."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.codes: dict[str, str] = {}


class Parents:
    """Opens links; one per worker. `me` is this worker, `address` where it takes media from others."""

    def __init__(self, me: Parent, address: str, metrics: Metrics) -> None:
        self._me = me
        self._address = address
        self._metrics = metrics
        self._http = httpx.AsyncClient(timeout=TIMEOUT, trust_env=False)

    async def close(self) -> None:
        """Close connections."""
        await self._http.aclose()

    async def link(
        self, room: str, candidates: Sequence[Parent], fence: int, token: str, *, fetch: bool = False
    ) -> RemoteLink:
        """A link to the first of the candidates that gives one; `fetch` has them get the stream first.

        Raises:
            Refused: none did.
        """
        waiting = list(candidates)
        refused = Refused(NoPublisher.code, "no worker is known that has the room's stream")
        # With ourselves, who want it.
        codes = {self._me.worker: refused.code}
        while waiting and len(codes) <= MAX_TRIES:
            parent = waiting.pop(0)
            if parent.worker in codes:
                continue
            codes[parent.worker] = ""
            try:
                found = await self._ask(room, parent, fence, token, fetch=fetch)
            except Refused as error:
                refused = error
                codes[parent.worker] = error.code
                log.info("feed_refused", room=room, parent=parent.worker, code=error.code)
                continue
            if isinstance(found, RemoteLink):
                return found
            waiting = [*found.parents, *waiting]
        refused.codes = codes
        raise refused

    async def _ask(self, room: str, parent: Parent, fence: int, token: str, *, fetch: bool) -> RemoteLink | Elsewhere:
        try:
            sock = LinkSocket(self._address, self._metrics)
        except OSError as error:
            raise Refused(Unreachable.code, str(error)) from error
        found: RemoteLink | Elsewhere | None = None
        try:
            request = FeedRequest(self._me.worker, self._me.url, sock.host, sock.port, fence, fetch)
            response = await self._http.post(
                f"{parent.url}/v1/rooms/{room}/feeds",
                content=msgspec.json.encode(request),
                headers={"authorization": f"Bearer {token}", "content-type": "application/json"},
            )
            found = _read(parent, sock, response)
        except (httpx.HTTPError, OSError, msgspec.DecodeError) as error:
            raise Refused(Unreachable.code, f"{type(error).__name__} {error}".strip()) from error
        finally:
            if not isinstance(found, RemoteLink):
                sock.close()
        return found


def some(parents: Sequence[Parent], count: int) -> list[Parent]:
    """So many of them at random, or all: not everybody is to ask the same."""
    return random.sample(parents, min(count, len(parents)))


def _read(parent: Parent, sock: LinkSocket, response: httpx.Response) -> RemoteLink | Elsewhere:
    if response.status_code == _MULTIPLE_CHOICES:
        return msgspec.json.decode(response.content, type=Elsewhere)
    if not response.is_success:
        problem = msgspec.json.decode(response.content, type=_Problem)
        raise Refused(problem.code, problem.detail)
    return RemoteLink(parent, sock, msgspec.json.decode(response.content, type=Fed))
