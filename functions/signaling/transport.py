"""An accepted socket as a connection sees it, whichever server accepted it."""

from collections.abc import Callable
from typing import Final, Protocol

from functions.signaling.outbox import Outbox
from shared.protocol.codec import Codec, Frame
from shared.protocol.errors import CloseCode

# What is said to a peer that is closed, and the close itself, get so long each.
CLOSE_TIMEOUT_S: Final = 1.0


class PeerGone(Exception):  # noqa: N818 - not an error: peers leave
    """The peer closed the socket, with `code`, or None when its link broke."""

    def __init__(self, code: int | None) -> None:
        super().__init__(code)
        self.code = code


class Transport(Protocol):
    """One accepted socket."""

    def outbox(self, codec: Codec, on_stuck: Callable[[], None]) -> Outbox:
        """What sends on this socket; made once."""

    async def receive(self) -> Frame:
        """The next frame; one call at a time.

        Raises:
            PeerGone: there will be no more.
        """

    async def close(self, code: CloseCode) -> None:
        """Say goodbye, to a peer that may be stalled or gone: within a second. No receive may be under way."""
