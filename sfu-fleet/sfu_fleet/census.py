"""Counts all sessions every few seconds: what viewers get, how far away they are, what was lost on either way.

Apart from the packet path, which must not pay for it, and from the sessions, which need not know of it.
"""

import asyncio

from sfu_fleet.metrics import Metrics
from sfu_fleet.publisher import Publisher
from sfu_fleet.recording.tap import RecordingTap
from sfu_fleet.rooms import Rooms
from sfu_fleet.session import Session, State
from sfu_fleet.subscriber import Subscriber
from shared.telemetry.catalogue.media import LAYERS

INTERVAL_S = 5.0
_NONE = LAYERS[-1]


class Census:
    """One per worker."""

    def __init__(self, rooms: Rooms, metrics: Metrics) -> None:
        self._rooms = rooms
        self._metrics = metrics
        # What each session had lost when it was last counted; who has gone is forgotten.
        self._lost: dict[str, int] = {}

    async def run(self) -> None:
        """Count until cancelled."""
        loop = asyncio.get_running_loop()
        at = loop.time()
        while True:
            await asyncio.sleep(INTERVAL_S)
            before, at = at, loop.time()
            self.count(at, at - before)

    def count(self, now: float, elapsed_s: float) -> None:
        """Count once; `elapsed_s` is the time since the last count."""
        metrics = self._metrics
        sessions = [session for session in self._rooms.sessions() if session.state is State.CONNECTED]
        publishers = [session for session in sessions if isinstance(session, Publisher)]
        viewers = [session for session in sessions if isinstance(session, Subscriber)]
        lost: dict[str, int] = {}
        for publisher in publishers:
            metrics.uplink_lost.inc(self._newly_lost(publisher, _lost_from(publisher), lost))
        for viewer in viewers:
            metrics.downlink_lost.inc(self._newly_lost(viewer, sum(leg.lost for leg in viewer.legs), lost))
            if viewer.rtt_ms is not None:
                metrics.round_trip.observe(viewer.rtt_ms / 1000)
            if viewer.adaptation.estimate is not None:
                metrics.estimate.observe(viewer.adaptation.estimate)
        self._lost = lost
        by_layer = dict.fromkeys(LAYERS, 0)
        for viewer in viewers:
            by_layer[_layer_of(viewer)] += 1
        for layer, number in by_layer.items():
            metrics.viewers.labels(layer).set(number)
        metrics.watch_seconds.inc(len(viewers) * elapsed_s)
        metrics.live_rooms.set(sum(publisher.live for publisher in publishers))
        metrics.layers.set(sum(_layers_of(publisher, now) for publisher in publishers))
        metrics.recordings.set(
            sum(any(isinstance(tap, RecordingTap) for tap in publisher.taps) for publisher in publishers)
        )

    def _newly_lost(self, session: Session, total: int, lost: dict[str, int]) -> int:
        # What was thought lost may come after all: then the number falls, and rises again before it is counted.
        highest = max(total, self._lost.get(session.id, 0))
        lost[session.id] = highest
        return highest - self._lost.get(session.id, 0)


def _lost_from(publisher: Publisher) -> int:
    return sum(layer.lost for track in publisher.tracks for layer in track.layers)


def _layers_of(publisher: Publisher, now: float) -> int:
    return sum(layer.active(now) for track in publisher.tracks if track.kind == "video" for layer in track.layers)


def _layer_of(viewer: Subscriber) -> str:
    video = next((leg for leg in viewer.legs if leg.uplink.kind == "video"), None)
    layer = video.switch.layer if video is not None else None
    return _NONE if layer is None or layer.index >= len(LAYERS) - 1 else LAYERS[layer.index]
