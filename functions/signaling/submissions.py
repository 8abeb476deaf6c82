"""What one socket wants in the room log: chat and gifts, checked, appended in its order, answered one by one."""

import asyncio
from typing import Protocol

from functions import metrics
from functions.signaling.appender import Appender
from functions.signaling.text import TextPolicy
from shared.protocol import messages as m
from shared.protocol.errors import ErrorCode, ProtocolError
from shared.security.tokens import Claims, Grant, Tier
from shared.state.rooms import Appended, Outcome, Submission

MESSAGES_PER_SECOND = {Tier.ANONYMOUS: 2, Tier.VIEWER: 5, Tier.PREMIUM: 10, Tier.STREAMER: 50}
# Unanswered ones of one socket, after which it is read from no further: what floods us waits in its own buffers.
MAX_UNANSWERED = 128
RETRY_AFTER_MS = 1000

_REFUSALS = {
    Outcome.TOO_FAST: (ErrorCode.RATE_LIMITED, "too fast"),
    Outcome.SLOW_MODE: (ErrorCode.SLOW_MODE, "slow mode: wait before the next message"),
    Outcome.BANNED: (ErrorCode.BANNED, "you may not write in this room"),
    Outcome.BLOCKED: (ErrorCode.TEXT_INVALID, "the message has a term that is blocked here"),
}
_LIMITS = {Outcome.TOO_FAST: "messages", Outcome.SLOW_MODE: "slow_mode"}


class Peer(Protocol):
    """The connection that they came on."""

    def put(self, message: m.ServerMessage) -> None:
        """Send a message."""

    def refuse(self, error: ProtocolError) -> None:
        """Send an error frame."""


class Submissions:
    """The submissions of one connection."""

    def __init__(self, appender: Appender, policy: TextPolicy, room: str, claims: Claims, peer: Peer) -> None:
        self._appender = appender
        self._policy = policy
        self._room = room
        self._claims = claims
        self._peer = peer
        self._unanswered = 0
        self._answered = asyncio.Event()

    def chat(self, message: m.Chat) -> None:
        """Append a chat message.

        Raises:
            ProtocolError: FORBIDDEN without the grant, TEXT_INVALID.
        """
        self._require_chat(message.message_id)
        claims = self._claims
        moderates = Grant.MODERATE in claims.grants
        text = self._policy.chat(message.text, message.message_id, moderates=moderates)
        self._submit(m.ChatEvent(claims.sub, claims.name, message.message_id, text), message.message_id)

    def gift(self, message: m.Gift) -> None:
        """Append a gift.

        Raises:
            ProtocolError: FORBIDDEN without the grant.
        """
        self._require_chat(message.key)
        claims = self._claims
        event = m.GiftEvent(claims.sub, claims.name, message.key, message.gift, message.quantity)
        self._submit(event, message.key)

    async def keep_up(self) -> None:
        """Wait until fewer are unanswered than may be."""
        while self._unanswered >= MAX_UNANSWERED:
            self._answered.clear()
            await self._answered.wait()

    @property
    def crowded(self) -> bool:
        """Whether `keep_up` would wait."""
        return self._unanswered >= MAX_UNANSWERED

    def _submit(self, event: m.ChatEvent | m.GiftEvent, number: int) -> None:
        claims = self._claims
        rate = MESSAGES_PER_SECOND[claims.tier]
        self._unanswered += 1

        def answer(result: Appended | None) -> None:
            self._unanswered -= 1
            self._answered.set()
            self._say(number, result)
            if isinstance(event, m.GiftEvent) and result is not None and result.outcome is Outcome.APPENDED:
                metrics.GIFTS.inc(event.quantity)

        submission = Submission(event, rate, moderates=Grant.MODERATE in claims.grants)
        self._appender.submit(self._room, submission, answer)

    def _say(self, number: int, result: Appended | None) -> None:
        if result is None:
            problem = "not sent yet: the room cannot be reached at the moment"
            error = ProtocolError(ErrorCode.UNAVAILABLE, problem, reference=number, retry_after_ms=RETRY_AFTER_MS)
            self._peer.refuse(error)
        elif result.outcome in {Outcome.APPENDED, Outcome.DUPLICATE}:
            self._peer.put(m.Sent(number, result.value))
        else:
            if limit := _LIMITS.get(result.outcome):
                metrics.LIMITS_REFUSED.labels(limit).inc()
            code, problem = _REFUSALS[result.outcome]
            wait_ms = result.value or None
            self._peer.refuse(ProtocolError(code, problem, reference=number, retry_after_ms=wait_ms))

    def _require_chat(self, reference: int) -> None:
        if Grant.CHAT not in self._claims.grants:
            raise ProtocolError(ErrorCode.FORBIDDEN, "the token does not grant chat", reference=reference)
