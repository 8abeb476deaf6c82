"""What was sent over one transport: when, and how much, by transport-wide number."""

from typing import Protocol

# A power of two. At 1,000 packets/s it is two seconds, at 2.5 Mbit/s eight: longer than feedback takes.
SIZE = 2_048
# So that a place of the log that has never been written is no packet's.
FIRST = SIZE


class Departures(Protocol):
    """Numbers the packets of one transport, whichever of its streams they are of."""

    def add(self, now_us: int, size: int) -> int:
        """Note a packet of `size` bytes that goes out now; its number, which is 16 bits wide."""

    def probed(self) -> None:
        """Note that what was noted last belongs to a probe."""

    @property
    def next(self) -> int:
        """The number (extended) that the next packet gets."""

    @property
    def probe_end(self) -> int:
        """The number behind the latest packet of a probe."""


class SentLog:
    """The latest packets in a ring. Numbers are extended; what goes on the wire is their last 16 bits."""

    def __init__(self, first: int = FIRST) -> None:
        self.next = self.probe_end = first
        self._entries: list[tuple[int, int, int]] = [(-1, 0, 0)] * SIZE

    def add(self, now_us: int, size: int) -> int:
        """Note a packet; its number on the wire."""
        number = self.next
        self.next = number + 1
        self._entries[number % SIZE] = number, now_us, size
        return number & 0xFFFF

    def probed(self) -> None:
        """What was noted last belongs to a probe."""
        self.probe_end = self.next

    def extended(self, number: int) -> int:
        """The latest number given that reads like this on the wire; negative when there is none."""
        latest = self.next - 1
        return latest - ((latest - number) & 0xFFFF)

    def find(self, number: int) -> tuple[int, int] | None:
        """When a packet went out, in microseconds, and its bytes; None when that is forgotten."""
        found, at, size = self._entries[number % SIZE]
        return (at, size) if found == number else None
