"""What has been ended before its tokens expired: sessions that were signed out of, API keys that were revoked.

A process keeps the list in memory, so that verifying a token asks nobody; `shared.state.revocations` fills it. An entry
is needed for as long as the longest token lives.
"""

import time


class Revocations:
    """Ids of sessions and API keys whose tokens are refused, each for a while."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._until)

    def add(self, identifier: str, *, lasts_s: float) -> bool:
        """Refuse the tokens of a session or key for `lasts_s` seconds. False: that is known already."""
        known = identifier in self._until
        self._until[identifier] = time.monotonic() + lasts_s
        return not known

    def holds(self, identifier: str) -> bool:
        """Whether that session or key has been ended; '' never has."""
        return identifier in self._until

    def forget_old(self) -> None:
        """Drop entries whose last token has expired."""
        now = time.monotonic()
        for identifier in [known for known, until in self._until.items() if until <= now]:
            del self._until[identifier]
