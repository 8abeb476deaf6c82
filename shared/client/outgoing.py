"""What a participant says, kept until the room log has it: the queue that makes going offline harmless.

Each message keeps its number from the first attempt to the last, by which the server tells a repetition. One is under
way at a time, so they stay in order whatever is refused for now in between.
"""

import asyncio
from collections import deque
from typing import Final, TypeAlias

from shared.protocol import messages as m
from shared.protocol.errors import ErrorCode

MAX_QUEUED: Final = 1000
DEFAULT_RETRY_S: Final = 1.0

_FOR_NOW: Final = frozenset({ErrorCode.UNAVAILABLE, ErrorCode.RATE_LIMITED, ErrorCode.SLOW_MODE, ErrorCode.BACKED_OFF})

Said: TypeAlias = m.Chat | m.Gift


class QueueFullError(Exception):
    """`MAX_QUEUED` messages wait to be sent."""


class MessageRefusedError(Exception):
    """The server will not take this message, now or later."""

    def __init__(self, error: m.Error) -> None:
        super().__init__(f"{error.message} (code {error.code})")
        self.code = error.code


class _Item:
    def __init__(self, message: Said) -> None:
        self.message = message
        self.done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.answer: asyncio.Future[m.Sent | m.Error] | None = None


class Outgoing:
    """The queue of one participant."""

    def __init__(self) -> None:
        self._queue: deque[_Item] = deque()
        self._filled = asyncio.Event()

    def __len__(self) -> int:
        return len(self._queue)

    def put(self, message: Said) -> asyncio.Future[int]:
        """Queue a message; the result is its offset in the log, or `MessageRefusedError`.

        Raises:
            QueueFullError: it was not queued.
        """
        if len(self._queue) >= MAX_QUEUED:
            raise QueueFullError
        item = _Item(message)
        # Nobody need wait for it, so its refusal is not an error that went unseen.
        item.done.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._queue.append(item)
        self._filled.set()
        return item.done

    async def next(self) -> Said:
        """The message to send next; the same again until it is settled."""
        while not self._queue:
            self._filled.clear()
            await self._filled.wait()
        item = self._queue[0]
        item.answer = asyncio.get_running_loop().create_future()
        return item.message

    async def settled(self) -> float:
        """Wait for the answer to what `next` gave; in how many seconds to go on."""
        item = self._queue[0]
        assert item.answer is not None  # noqa: S101 - `next` came before
        answer = await item.answer
        if isinstance(answer, m.Error) and answer.code in _FOR_NOW:
            return answer.retry_after_ms / 1000 if answer.retry_after_ms else DEFAULT_RETRY_S
        self._queue.popleft()
        if not item.done.done():
            if isinstance(answer, m.Sent):
                item.done.set_result(answer.offset)
            else:
                item.done.set_exception(MessageRefusedError(answer))
        return 0.0

    def answered(self, answer: m.Sent | m.Error) -> bool:
        """Take an answer from the server; whether it was about what is under way."""
        number = answer.message_id if isinstance(answer, m.Sent) else answer.reference
        if not self._queue or number != number_of(self._queue[0].message):
            return False
        waiting = self._queue[0].answer
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)
        return True


def number_of(message: Said) -> int:
    """What the server knows the message by."""
    return message.message_id if isinstance(message, m.Chat) else message.key
