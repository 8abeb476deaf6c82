"""Stable codes: what an `error` frame means, and why a socket was closed. Numbers are never used again."""

from enum import IntEnum


class ErrorCode(IntEnum):
    """Codes of the `error` frame."""

    MALFORMED = 1
    UNAUTHORIZED = 2
    TOKEN_EXPIRED = 3
    FORBIDDEN = 4
    ROOM_UNKNOWN = 5
    RATE_LIMITED = 6
    TEXT_INVALID = 7
    NOT_LIVE = 8
    NO_CAPACITY = 9
    SDP_REFUSED = 10
    SESSION_UNKNOWN = 11
    UNAVAILABLE = 12
    TOO_LARGE = 13
    JOIN_EXPECTED = 14
    JOINED_ALREADY = 15
    KIND_UNKNOWN = 16
    BANNED = 17
    SLOW_MODE = 18
    ROOM_FULL = 19
    TOO_MANY_CONNECTIONS = 20
    BACKED_OFF = 21


class CloseCode(IntEnum):
    """Codes of a WebSocket close (RFC 6455, section 7.4: 4000 to 4999 are ours)."""

    NORMAL = 1000
    GOING_AWAY = 1001
    SERVICE_RESTART = 1012
    TRY_AGAIN = 1013
    MALFORMED = 4400
    UNAUTHORIZED = 4401
    FORBIDDEN = 4403
    ROOM_UNKNOWN = 4404
    JOIN_TIMEOUT = 4408
    DISPLACED = 4409
    TOO_LARGE = 4413
    TOO_MANY = 4429
    TOO_SLOW = 4430


class ProtocolError(Exception):
    """A frame that cannot be accepted. Answered with an `error` frame; the connection goes on."""

    def __init__(
        self, code: ErrorCode, message: str, *, reference: int | None = None, retry_after_ms: int | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.reference = reference
        self.retry_after_ms = retry_after_ms
