"""Tokens for one use, remembered from their use until they expire, so that a copy of one is worth nothing."""

import time
from collections import deque
from typing import Final

MAX_REMEMBERED: Final = 200_000


class SpentTokens:
    """Ids (`jti`, RFC 7519) of the tokens that this process has accepted."""

    def __init__(self) -> None:
        self._ids: set[str] = set()
        # In the order of their use: signers give all of them about the same lifetime.
        self._order: deque[tuple[float, str]] = deque()

    def __len__(self) -> int:
        return len(self._ids)

    def spend(self, identifier: str, until: float) -> bool:
        """Whether a token that expires at `until` (s since 1970) is used for the first time."""
        now = time.time()
        while self._order and self._order[0][0] <= now:
            self._ids.discard(self._order.popleft()[1])
        # Where so many came within a lifetime that they cannot be remembered, none can be told from a copy.
        if identifier in self._ids or len(self._ids) >= MAX_REMEMBERED:
            return False
        self._ids.add(identifier)
        self._order.append((until, identifier))
        return True
