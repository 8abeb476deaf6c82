"""What a worker's sessions send, each by itself, and so what they will send together once those that are new do.

Placement goes by it: a load that was measured a moment ago knows nothing of the viewers who have just come, and one
that adds a guess for each of them counts those twice who send already.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

# A viewer's share of the packet budget until their real traffic shows, and how long that takes.
ASSUMED_VIEWER_PPS = 300
ASSUMED_FOR_S = 3.0


class Carrier(Protocol):
    """The part of a session that is used here."""

    @property
    def id(self) -> str:
        """The session's."""

    @property
    def room(self) -> str:
        """The room's."""

    @property
    def kind(self) -> str:
        """`subscribe` and `feed` are sent to, `publish` and `pull` send to us."""

    @property
    def created_at(self) -> float:
        """Seconds of the clock that `look` is told."""

    def packets_carried(self) -> int:
        """Packets of media so far: sent to a viewer, received from a publisher."""


class RoomRates(NamedTuple):
    """Packets/s that a viewer of the room gets at most, and that a publisher sends in all layers; 0: not known."""

    viewer_pps: int = 0
    pull_pps: int = 0


class Expectation:
    """Looks at all sessions once a second."""

    def __init__(self) -> None:
        self._packets: Mapping[str, int] = {}
        self._rates: Mapping[str, float] = {}
        self._rooms: dict[str, RoomRates] = {}
        self._at = 0.0

    def look(self, sessions: Iterable[Carrier], now: float) -> None:
        """Count; `now` is in seconds of the clock that sessions were created by."""
        elapsed, self._at = now - self._at, now
        packets = {session.id: session.packets_carried() for session in sessions}
        self._rates = {
            session: (count - self._packets[session]) / elapsed
            for session, count in packets.items()
            if session in self._packets and elapsed > 0
        }
        self._packets = packets
        rooms: dict[str, RoomRates] = {}
        for session in sessions:
            if _young(session, now):
                continue  # who catches up gets more than the stream has
            rate = round(self._rates.get(session.id, 0))
            known = rooms.get(session.room, RoomRates())
            if session.kind == "publish":
                rooms[session.room] = known._replace(pull_pps=max(known.pull_pps, rate))
            elif session.kind == "subscribe":
                rooms[session.room] = known._replace(viewer_pps=max(known.viewer_pps, rate))
        self._rooms = rooms

    def of_room(self, room: str) -> RoomRates:
        """What was seen in a room."""
        return self._rooms.get(room, RoomRates())

    def pps(self, sessions: Iterable[Carrier], now: float) -> int:
        """Packets/s that these sessions will send to viewers."""
        total = 0.0
        for session in sessions:
            if session.kind in {"subscribe", "feed"}:
                rate = self._rates.get(session.id, 0.0)
                total += max(rate, self._assumed(session)) if _young(session, now) else rate
        return round(total)

    def _assumed(self, session: Carrier) -> int:
        return self.of_room(session.room).viewer_pps or ASSUMED_VIEWER_PPS


def _young(session: Carrier, now: float) -> bool:
    return now - session.created_at < ASSUMED_FOR_S
