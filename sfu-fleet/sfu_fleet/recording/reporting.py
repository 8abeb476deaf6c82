"""Tells functions what becomes of recordings: the newest of each, again and again while Redis is away."""

import asyncio
from collections.abc import Awaitable, Callable

from redis.exceptions import RedisError
from structlog import get_logger

from shared.state.recordings import Recording, RecordingReports

RETRY_S = 0.5
_MAX_RETRY_S = 5.0

log = get_logger(__name__)


class Reporter:
    """`on_reported` is awaited with each recording that functions know of now. To be used on the event loop."""

    def __init__(self, reports: RecordingReports, on_reported: Callable[[Recording], Awaitable[None]]) -> None:
        self._reports = reports
        self._on_reported = on_reported
        # One report for each recording at most: a newer one takes its place.
        self._waiting: dict[str, Recording] = {}
        self._news = asyncio.Event()
        self._sending = asyncio.Lock()

    def note(self, recording: Recording) -> None:
        """Something about a recording is to be told."""
        known = self._waiting.get(recording.id)
        if known is None or known.revision <= recording.revision:
            self._waiting[recording.id] = recording
            self._news.set()

    async def run(self) -> None:
        """Report until cancelled."""
        wait = RETRY_S
        while True:
            await self._news.wait()
            if await self.flush():
                wait = RETRY_S
            else:
                await asyncio.sleep(wait)
                wait = min(_MAX_RETRY_S, wait * 2)

    async def flush(self) -> bool:
        """Report what waits, once; whether all of it could be."""
        async with self._sending:
            self._news.clear()
            try:
                for recording in list(self._waiting.values()):
                    await self._reports.report(recording)
                    if self._waiting.get(recording.id) is recording:
                        del self._waiting[recording.id]
                    await self._on_reported(recording)
            except (RedisError, OSError) as error:
                log.warning("recording_report_delayed", waiting=len(self._waiting), error=type(error).__name__)
            finally:
                # Also when whoever asked for this did not want to wait any longer.
                if self._waiting:
                    self._news.set()
        return not self._waiting
