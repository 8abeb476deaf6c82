"""What the load generator is told: sockets to open, what to send on them, and how to read what arrives.

The generator knows WebSocket framing only; whatever a protocol says inside the frames is prepared here, as bytes.
"""

import base64
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

import msgspec

TEXT, BINARY = 1, 2
MESSAGE_CHARACTERS: Final = 100
# What the generator writes behind the marker: run, intended time, number.
_STAMP_DIGITS: Final = 2 + 12 + 8

Action = Literal["count", "ready", "keep", "answer"]


class Kind(msgspec.Struct, frozen=True):
    """A kind of frame from the server, told by `needle` at `offset` of its payload.

    `ready`: the socket has joined. `keep`: the first one is reported in full. `answer`: `reply` is sent back.
    """

    name: str
    action: Action
    offset: int
    needle: bytes
    reply: bytes = b""


class Opening(msgspec.Struct, frozen=True):
    """One socket: the path of its handshake and the first frame that it sends."""

    path: str
    first: bytes


class Ping(msgspec.Struct, frozen=True):
    """A frame that every socket sends again and again."""

    interval_ms: int
    frame: bytes


class Message(msgspec.Struct, frozen=True):
    """The frame that publishes: `id_offset` is where 8 bytes of a new message id go, -1 when it has none."""

    frame: bytes
    id_offset: int = -1


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """All that the generator needs to drive one server.

    The first `publishers` sockets publish in turn; the last `small_buffers` have little room in the kernel.
    """

    port: int
    openings: Sequence[Opening]
    publishers: int
    message: Message
    marker: bytes
    kinds: Sequence[Kind]
    opcode: int
    ping: Ping | None = None
    subprotocol: str = ""
    small_buffers: int = 0

    def write(self, path: Path) -> None:
        """As lines of words, bytes in hexadecimal digits."""
        stamp = self.message.frame.index(self.marker) + len(self.marker)
        lines = [
            f"address 127.0.0.1 {self.port}",
            f"marker {self.marker.hex()}",
            f"publishers {self.publishers}",
            f"small-buffers {self.small_buffers}",
            # 53 bits in all: 21 of this plan, 8 of the run, 24 of the message.
            f"id-base {secrets.randbits(21) << 32}",
            f"message {self.opcode} {self.message.id_offset} {stamp} {self.message.frame.hex()}",
        ]
        for kind in self.kinds:
            reply = f"{self.opcode} {kind.reply.hex() or '-'}"
            lines.append(f"kind {kind.name} {kind.action} {kind.offset} {kind.needle.hex()} {reply}")
        if self.ping:
            lines.append(f"ping {self.ping.interval_ms} {self.opcode} {self.ping.frame.hex()}")
        lines.extend(
            f"socket {self._request(opening.path).hex()} {self.opcode} {opening.first.hex() or '-'}"
            for opening in self.openings
        )
        path.write_text("\n".join(lines) + "\n", encoding="ascii")

    def _request(self, path: str) -> bytes:
        """The client's side of the opening handshake (RFC 6455, section 4.1)."""
        headers = {
            "Host": f"127.0.0.1:{self.port}",
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
            "Sec-WebSocket-Version": "13",
        }
        if self.subprotocol:
            headers["Sec-WebSocket-Protocol"] = self.subprotocol
        lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        return "\r\n".join([*lines, "", ""]).encode()


def new_marker() -> bytes:
    """What no other text has, and no message of another plan."""
    return f"~~{secrets.token_hex(2)}".encode()


def text_with(marker: bytes) -> str:
    """A message of the benchmark's size with room for the stamp."""
    stamped = marker.decode() + "0" * _STAMP_DIGITS
    return stamped.ljust(MESSAGE_CHARACTERS, ".")
