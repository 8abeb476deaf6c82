"""A socket of picows', and the hot path of fan-out over it.

A frame goes to the kernel in the call that sends it, without a thread, a task or an awaitable in between; only what the
kernel does not take at once is kept, by the transport up to its high-water mark and by the backlog after that.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, cast

from picows import WSCloseCode, WSFrame, WSListener, WSProtocolError, WSTransport

from functions.signaling.backlog import Priority
from functions.signaling.outbox import BINARY, HEADROOM, TEXT, Outbox, SharedFrame, Write, padded
from functions.signaling.transport import CLOSE_TIMEOUT_S, PeerGone
from shared.protocol.codec import Codec, Frame
from shared.protocol.errors import CloseCode
from shared.protocol.messages import MAX_FRAME_BYTES

# A frame somewhat over the protocol's limit gets an error frame; one over this ends the connection with code 1009.
MAX_MESSAGE_BYTES: Final = 4 * MAX_FRAME_BYTES
# Frames that have arrived and were not looked at: at the bound nothing more is read until they were.
MAX_UNREAD: Final = 64

_CONTINUATION: Final = 0
_CLOSE: Final = 8


class PicowsSocket(WSListener):
    """A `functions.signaling.transport.Transport`. `on_open` is called when the handshake is done."""

    def __init__(self, on_open: Callable[["PicowsSocket"], None]) -> None:
        self._on_open = on_open
        self._transport: WSTransport | None = None
        self._outbox: PicowsOutbox | None = None
        self._unread: deque[Frame] = deque()
        self._arrived: asyncio.Future[None] | None = None
        self._held = False
        self._ended = False
        self._close_code: int | None = None
        self._parts: list[bytes] = []
        self._parts_kind = BINARY

    @property
    def peer(self) -> str:
        """The address of the other end, '' when it has none."""
        address = self._open().underlying_transport.get_extra_info("peername")
        return str(address[0]) if address else ""

    def header(self, name: str) -> str:
        """A header of the handshake; '' when it has none of that name."""
        return ", ".join(self._open().request.headers.getall(name, []))

    def outbox(self, codec: Codec, on_stuck: Callable[[], None]) -> Outbox:
        """See `Transport`."""
        self._outbox = PicowsOutbox(self._open(), codec, on_stuck)
        return self._outbox

    async def receive(self) -> Frame:
        """See `Transport`."""
        while not self._unread:
            if self._ended:
                raise PeerGone(self._close_code)
            self._arrived = asyncio.get_running_loop().create_future()
            await self._arrived
        if self._held and len(self._unread) <= MAX_UNREAD // 2:
            self._held = False
            self._open().underlying_transport.resume_reading()
        return self._unread.popleft()

    async def close(self, code: CloseCode) -> None:
        """See `Transport`."""
        transport = self._open()
        if transport.is_disconnected:
            return
        transport.send_close(code, code.name.lower().encode())  # type: ignore[arg-type] # it takes any number
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await transport.wait_disconnected()
        # What a stalled peer has not taken by now is thrown away: waiting for it would take minutes.
        transport.disconnect(graceful=False)

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Called by picows: the handshake is done."""
        self._transport = transport
        self._on_open(self)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Called by picows: one frame, whole, of a message that may have several (RFC 6455, section 5.4)."""
        if frame.rsv1 or frame.rsv2 or frame.rsv3:
            raise WSProtocolError(WSCloseCode.PROTOCOL_ERROR, "no extension was negotiated")
        kind = int(cast("int", frame.msg_type))
        if kind == _CLOSE:
            self._closed_by_peer(transport, frame)
        elif transport.is_close_frame_sent:
            # After a violation picows goes on reading for a moment, and finds frames where there are none.
            self._end()
        elif kind in {BINARY, TEXT}:
            if self._parts:
                raise WSProtocolError(WSCloseCode.PROTOCOL_ERROR, "a message within a message")
            if frame.fin:
                self._take(kind, frame.get_payload_as_bytes())
            else:
                self._parts_kind = kind
                self._parts.append(frame.get_payload_as_bytes())
        elif kind == _CONTINUATION:
            self._continue(frame)

    def on_ws_disconnected(self, transport: WSTransport) -> None:  # noqa: ARG002 - picows gives it
        """Called by picows: the connection has gone, however it ended."""
        self._end()
        if self._outbox is not None:
            self._outbox.close()

    def pause_writing(self) -> None:
        """Called by picows: the peer does not keep up."""
        if self._outbox is not None:
            self._outbox.pause()

    def resume_writing(self) -> None:
        """Called by picows: the peer has caught up with what was written."""
        if self._outbox is not None:
            self._outbox.resume()

    def _open(self) -> WSTransport:
        assert self._transport is not None  # noqa: S101 - nobody has this socket before it is connected
        return self._transport

    def _continue(self, frame: WSFrame) -> None:
        if not self._parts:
            raise WSProtocolError(WSCloseCode.PROTOCOL_ERROR, "nothing to continue")
        self._parts.append(frame.get_payload_as_bytes())
        # Empty parts count as well, or they would be a way to use memory.
        if sum(map(len, self._parts)) > MAX_MESSAGE_BYTES or len(self._parts) > MAX_UNREAD:
            raise WSProtocolError(WSCloseCode.MESSAGE_TOO_BIG, "message too big")
        if frame.fin:
            whole = b"".join(self._parts)
            self._parts.clear()
            self._take(self._parts_kind, whole)

    def _take(self, kind: int, payload: bytes) -> None:
        if self._ended:
            return
        try:
            self._unread.append(payload if kind == BINARY else payload.decode())
        except UnicodeDecodeError:
            raise WSProtocolError(WSCloseCode.INVALID_TEXT, "not UTF-8") from None
        if len(self._unread) >= MAX_UNREAD and not self._held:
            self._held = True
            self._open().underlying_transport.pause_reading()
        self._wake()

    def _closed_by_peer(self, transport: WSTransport, frame: WSFrame) -> None:
        if not self._ended:
            code = frame.get_close_code()
            self._close_code = int(cast("int", code)) or None
            if not transport.is_close_frame_sent:
                # The answer repeats the peer's code (RFC 6455, section 5.5.1); 1000 for a close without one.
                transport.send_close(code if self._close_code else WSCloseCode.OK)
            self._end()
        transport.disconnect()

    def _end(self) -> None:
        self._ended = True
        self._wake()

    def _wake(self) -> None:
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(None)


class PicowsOutbox(Outbox):
    """Frames go out as they come, until the transport asks for a pause."""

    __slots__ = ("_flowing", "_transport", "_write")

    def __init__(self, transport: WSTransport, codec: Any, on_stuck: Callable[[], None]) -> None:  # noqa: ANN401 - any codec
        super().__init__(codec, on_stuck)
        self._transport = transport
        # It takes an opcode's number as well as the enumeration, whose conversion would cost more than the rest.
        self._write = cast("Write", transport.send_reuse_external_bytearray)
        self._flowing = True

    @property
    def write(self) -> Write | None:
        """See `Outbox`."""
        return self._write if self._flowing else None

    @property
    def settled(self) -> bool:
        """See `Outbox`."""
        if self.closed:
            return True
        unwritten = self._transport.underlying_transport.get_write_buffer_size()
        return self._backlog.frames == 0 and unwritten == 0

    def put_shared(self, frame: SharedFrame, priority: Priority) -> None:
        """See `Outbox`."""
        if not self.closed:
            self._put(frame.padded(self.codec), priority, frame.conflate)

    def put(self, message: object, priority: Priority = Priority.CONTROL) -> None:
        """See `Outbox`."""
        if not self.closed:
            self._put(padded(self.codec.encode_server(message)), priority, 0)

    def close(self) -> None:
        """See `Outbox`."""
        super().close()
        self.pause()

    def pause(self) -> None:
        """Keep what comes from now on."""
        if self._flowing:
            self._flowing = False
            self.on_pause()

    def resume(self) -> None:
        """Write what was kept, and then what comes."""
        if self.closed:
            return
        self._flowing = True
        # A write may pause again.
        while self._flowing and self._backlog.frames:
            kind, form = self._backlog.take()
            self._write(kind, form, HEADROOM)

    def _put(self, frame: tuple[int, bytearray], priority: Priority, conflate: int) -> None:
        if self._flowing:
            self._write(*frame, HEADROOM)
        else:
            self._wait(frame, len(frame[1]), priority, conflate)
