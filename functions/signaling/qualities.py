"""What viewers get, on its way from the workers to their sockets; and the heights of their players, on the way there.

A process keeps only which of its sockets watches which session. A socket that comes back says it again with its wish.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from shared.protocol import messages as m
from shared.state.qualities import Leaving, decode_qualities

# A player that is being resized says so at every step; the worker hears of it this often, of the latest.
VIEWPORT_INTERVAL_S = 0.25
# A page has one session, or two while it goes over to the next.
MAX_SESSIONS = 4


class Peer(Protocol):
    """A socket."""

    def put(self, message: m.ServerMessage) -> None:
        """Send a message."""


class Qualities:
    """One per process."""

    def __init__(self) -> None:
        self._watching: dict[str, Peer] = {}
        # What each of them gets, as last said: the room, and the height in lines (0: no video).
        self._heights: dict[str, tuple[str, int]] = {}
        # The sockets of each participant, who may have several.
        self._attending: dict[str, set[Peer]] = {}

    def attend(self, participant: str, peer: Peer) -> None:
        """A socket of that participant's is here."""
        self._attending.setdefault(participant, set()).add(peer)

    def leave(self, participant: str, peer: Peer) -> None:
        """It is here no more."""
        peers = self._attending.get(participant, set())
        peers.discard(peer)
        if not peers:
            self._attending.pop(participant, None)

    def watch(self, session: str, peer: Peer) -> None:
        """A session of that socket's: the worker has said that it is."""
        self._watching[session] = peer

    def forget(self, session: str, peer: Peer) -> None:
        """The socket watches it no more; if another one does by now, nothing changes."""
        if self._watching.get(session) is peer:
            del self._watching[session]
            self._heights.pop(session, None)

    def heights(self) -> dict[str, dict[int, int]]:
        """Room → height in lines → how many of this process's viewers get it."""
        found: dict[str, dict[int, int]] = {}
        for room, height in self._heights.values():
            counts = found.setdefault(room, {})
            counts[height] = counts.get(height, 0) + 1
        return found

    def on_qualities(self, room: str, data: bytes) -> None:
        """Something came from a worker."""
        for news in decode_qualities(data):
            if isinstance(news, Leaving):
                # Their pages know which of them has that session.
                for attending in self._attending.get(news.participant, ()):
                    attending.put(m.Relocate(news.session))
            elif (peer := self._watching.get(news.notice.session)) is not None:
                notice = news.notice
                self._heights[notice.session] = room, notice.height if notice.layer is not None else 0
                peer.put(notice)


class Viewports:
    """The heights of one connection's players: the latest of each session, handed on at an interval."""

    def __init__(self, hand_on: Callable[[str, int], Awaitable[None]]) -> None:
        self._hand_on = hand_on
        self._latest: dict[str, int] = {}
        self._task: asyncio.Task[None] | None = None

    def note(self, message: m.Viewport) -> None:
        """A player's height; of several that wait, the latest goes."""
        if message.session not in self._latest and len(self._latest) >= MAX_SESSIONS:
            return
        self._latest[message.session] = message.height
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work(), name="viewports")

    def stop(self) -> None:
        """Hand on nothing more."""
        if self._task is not None:
            self._task.cancel()

    async def _work(self) -> None:
        while self._latest:
            session = next(iter(self._latest))
            await self._hand_on(session, self._latest.pop(session))
            await asyncio.sleep(VIEWPORT_INTERVAL_S)
