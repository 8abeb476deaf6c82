"""RTP packets of the Python plane on their way out: encrypted where they lie, many for one system call on Linux.

Packets of equal size to one peer, one after the other, are a train: one datagram for the kernel, which cuts it
(UDP_SEGMENT, udp(7)). Trains to different peers leave with one sendmmsg(2), called out of the C library, which needs no
compiler. Elsewhere, and to peers over TCP, each packet is sent by itself.
"""

import errno
import socket
import struct
import sys
from typing import Any, Final, Protocol

from cffi import FFI  # type: ignore[import-untyped]

from sfu_fleet.dtls import Memory, Outbound
from sfu_fleet.ice import Address, MediaSocket
from sfu_fleet.native.addresses import SIZE, sockaddr

# What waits at most: packets (and so trains), and the room that a packet may need.
_BATCH: Final = 64
_ROOM: Final = 2_048
# Of a train; the kernel's limit is 64 packets, and an IP packet's 65,535 bytes.
_MAX_SEGMENTS: Final = 32
_MAX_TRAIN: Final = 60_000
# Packed addresses that are remembered.
_ADDRESSES: Final = 8_192
_SOL_UDP: Final = 17
_UDP_SEGMENT: Final = 103
# struct cmsghdr with two bytes of data (cmsg(3)), on 64-bit Linux.
_CONTROL: Final = struct.Struct("=QiiH")
_CONTROL_SPACE: Final = 24
# The kernel or an interface takes no trains, or none so long.
_NO_TRAINS: Final = frozenset({errno.EINVAL, errno.EIO, errno.EMSGSIZE, errno.ENOPROTOOPT})

ffi: Any = FFI()
# As in <bits/types/struct_msghdr.h> of 64-bit Linux; where a field is narrower there (musl), what is around it is 0.
ffi.cdef("""
struct iovec { void *base; size_t length; };
struct msghdr { void *name; uint32_t name_length; struct iovec *vectors; size_t vector_count; void *control;
    size_t control_length; int flags; };
struct mmsghdr { struct msghdr header; unsigned int length; };
int sendmmsg(int fd, struct mmsghdr *messages, unsigned int count, int flags);
""")


class Datagrams(Protocol):
    """A packet is written to `view` from `place()` on, and then added."""

    view: memoryview

    def place(self) -> int:
        """Where in `view` the next packet has to lie."""

    def add(self, outbound: Outbound, size: int, address: Address) -> int:
        """Encrypt the packet and send it, by the next `flush` at the latest; its new size, 0 where it was dropped.

        Raises:
            SrtpError: libsrtp refused it.
        """

    def flush(self) -> int:
        """Send what waits; how many packets were dropped."""


def datagrams(media_socket: MediaSocket) -> Datagrams:
    """The fastest way that there is on this machine."""
    library = ffi.dlopen(None) if sys.platform == "linux" and sys.maxsize > 2**32 else None
    return Together(media_socket, library) if hasattr(library, "sendmmsg") else OneByOne(media_socket)


class OneByOne:
    """A system call for each packet."""

    def __init__(self, media_socket: MediaSocket) -> None:
        self._send = media_socket.send
        self._memory = Memory(_ROOM)
        self.view = self._memory.view

    def place(self) -> int:
        """All packets lie at the same place, one after the other."""
        return 0

    def add(self, outbound: Outbound, size: int, address: Address) -> int:
        """Encrypt the packet and send it."""
        length = outbound.protect_in(self._memory, 0, size)
        return length if self._send(self.view[:length], address) else 0

    def flush(self) -> int:
        """Nothing waits."""
        return 0


class _Train:
    """Packets to one peer that lie behind each other: all of `segment` bytes, but the last may have less."""

    __slots__ = ("address", "last", "length", "packets", "segment", "start")

    def __init__(self, address: Address, start: int, length: int) -> None:
        self.address = address
        self.start = start
        self.length = self.segment = self.last = length
        self.packets = 1

    def takes(self, length: int) -> bool:
        """Whether a packet of that size may be its next one."""
        return (
            self.last == self.segment >= length and self.packets < _MAX_SEGMENTS and self.length + length <= _MAX_TRAIN
        )


class Together:
    """Up to 64 packets to any UDP addresses of one family for a system call."""

    def __init__(self, media_socket: MediaSocket, library: Any, *, trains: bool | None = None) -> None:  # noqa: ANN401 - a cffi library
        """With `trains` of None the kernel is asked whether it knows them."""
        self._socket = media_socket
        self._sendmmsg = library.sendmmsg
        self._joins = _knows_trains() if trains is None else trains
        self._memory = Memory(_BATCH * _ROOM)
        self.view = self._memory.view
        self._start = ffi.cast("char *", self._memory.address)
        self._names = ffi.new("char[]", _BATCH * SIZE)
        self._name_view = memoryview(ffi.buffer(self._names))
        self._controls = ffi.new("char[]", _BATCH * _CONTROL_SPACE)
        self._control_view = memoryview(ffi.buffer(self._controls))
        self._vectors = ffi.new("struct iovec[]", _BATCH)
        self._messages = ffi.new("struct mmsghdr[]", _BATCH)
        for index in range(_BATCH):
            header = self._messages[index].header
            header.name = self._names + index * SIZE
            header.vectors = self._vectors + index
            header.vector_count = 1
        self._headers = [self._messages[index].header for index in range(_BATCH)]
        self._trains: list[_Train] = []
        self._used = 0
        # Of the family of those that wait.
        self._descriptor = -1
        self._packed: dict[Address, bytes] = {}
        self._dropped = 0

    def place(self) -> int:
        """Behind those that wait."""
        if self._used + _ROOM > len(self.view):
            self._send_all()
        return self._used

    def add(self, outbound: Outbound, size: int, address: Address) -> int:
        """Encrypt the packet, and send it with the others."""
        start = self._used
        length = outbound.protect_in(self._memory, start, size)
        trains = self._trains
        if trains and self._joins:
            train = trains[-1]
            if train.address is address and train.takes(length):
                train.length += length
                train.last = length
                train.packets += 1
                self._used = start + length
                return length
        descriptor = self._socket.descriptor(address)
        if descriptor is None:
            return length if self._socket.send(self.view[start : start + length], address) else 0
        if trains and (descriptor != self._descriptor or len(trains) == _BATCH):
            packet = bytes(self.view[start : start + length])
            self._send_all()
            start = 0
            self.view[:length] = packet
        self._descriptor = descriptor
        self._trains.append(_Train(address, start, length))
        self._used = start + length
        return length

    def flush(self) -> int:
        """Send what waits; how many packets have been dropped since the last time."""
        if self._trains:
            self._send_all()
        dropped, self._dropped = self._dropped, 0
        return dropped

    def _send_all(self) -> None:
        """Send at once or not at all: media that would have to wait is worth nothing."""
        trains, self._trains, self._used = self._trains, [], 0
        for index, train in enumerate(trains):
            self._write(index, train)
        done = 0
        while done < len(trains):
            sent = self._sendmmsg(self._descriptor, self._messages + done, len(trains) - done, 0)
            if sent > 0:
                done += sent
                continue
            error = ffi.errno
            if error == errno.EINTR:
                continue
            if error in {errno.EAGAIN, errno.ENOBUFS}:
                self._dropped += sum(train.packets for train in trains[done:])
                return
            train = trains[done]
            if error in _NO_TRAINS and train.packets > 1:
                self._joins = self._joins and error == errno.EMSGSIZE
                self._send_apart(train)
            else:
                # Another one may have a route.
                self._dropped += train.packets
            done += 1

    def _write(self, index: int, train: _Train) -> None:
        """Say in the kernel's terms what is to be sent."""
        header, vector = self._headers[index], self._vectors[index]
        name = self._packed.get(train.address) or self._pack(train.address)
        self._name_view[index * SIZE : index * SIZE + len(name)] = name
        header.name_length = len(name)
        vector.base = self._start + train.start
        vector.length = train.length
        if train.packets == 1:
            header.control_length = 0
            return
        at = index * _CONTROL_SPACE
        _CONTROL.pack_into(self._control_view, at, _CONTROL.size, _SOL_UDP, _UDP_SEGMENT, train.segment)
        header.control = self._controls + at
        header.control_length = _CONTROL_SPACE

    def _send_apart(self, train: _Train) -> None:
        end = train.start + train.length
        for start in range(train.start, end, train.segment):
            # What is dropped here the socket counts.
            self._socket.send(self.view[start : min(end, start + train.segment)], train.address)

    def _pack(self, address: Address) -> bytes:
        if len(self._packed) >= _ADDRESSES:
            self._packed.clear()
        packed = self._packed[address] = sockaddr(address)
        return packed


def _knows_trains() -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.getsockopt(_SOL_UDP, _UDP_SEGMENT)
        except OSError:
            return False
    return True
