"""Moves what workers report of recordings from Redis into MongoDB.

Any number of function processes may do it at once: writing a report twice is writing it once.
"""

import asyncio

from pymongo.errors import PyMongoError
from redis.exceptions import RedisError
from structlog import get_logger

from functions import metrics
from functions.webhooks.announcing import Announcer
from shared.state.recordings import RecordingCatalogue, RecordingReports

POLL_S = 1.0

log = get_logger(__name__)


class RecordingArchiver:
    """One per process. `run` until cancelled."""

    def __init__(self, reports: RecordingReports, catalogue: RecordingCatalogue, announcer: Announcer) -> None:
        self._announcer = announcer
        self._reports = reports
        self._catalogue = catalogue

    async def run(self) -> None:
        """Move reports for ever; what is away is waited for."""
        while True:
            try:
                for report in await self._reports.waiting():
                    await self._catalogue.note(report.recording)
                    await self._announcer.recording(report.recording)
                    await self._reports.settle(report)
            except (RedisError, PyMongoError, OSError, TimeoutError) as error:
                metrics.ARCHIVE_ERRORS.labels("mongodb" if isinstance(error, PyMongoError) else "redis").inc()
                log.warning("recordings_not_archived", error=type(error).__name__)
            await asyncio.sleep(POLL_S)
