"""The machine's own bound: how many packets the worker's core encrypts and sends when it does nothing else.

With the worker's own cipher library, or with libsrtp, which is what everybody else has.
"""

import secrets
import socket
import struct
import time
from contextlib import ExitStack
from typing import Final

import msgspec

from sfu_fleet.dtls import Ciphers, SrtpKeys
from tests.bench.signaling.sampling import Cores

from .native import ffi, load
from .stream import AUDIO_PACKET, Frames

# As many packets as fit into one datagram's length before the kernel cuts it.
_LONGEST_TRAIN: Final = 48
_DRAIN_S: Final = 0.2
_AES_256_GCM: Final = 8
_RECEIVE_BUFFER: Final = 2 * 1024 * 1024

Train = tuple[int, int]
"""Packets and the size of each in bytes, encrypted not yet."""

LONG_TRAINS: Final[list[Train]] = [(9, 1_165)]


class Bound(msgspec.Struct, frozen=True):
    """What came of it."""

    packets_per_cpu_second: float
    lost_share: float
    """Of what was sent, what no sink has seen: more than nothing means that the sinks did not keep up."""


def same_traffic(frames: Frames) -> list[Train]:
    """A recorded stream: each frame as trains of equal packets, and audio packets alone."""
    trains: list[Train] = []
    for number, (packets, size) in enumerate(frames.trains()):
        trains += [(min(_LONGEST_TRAIN, packets - first), size) for first in range(0, packets, _LONGEST_TRAIN)]
        trains += [(1, AUDIO_PACKET)] * frames.audio_packets(number)
    return trains


def bound(cores: Cores, trains: list[Train], ciphers: Ciphers, *, viewers: int, gso: bool, seconds: float) -> Bound:
    """Send the trains in turn to all viewers, again and again; without `gso` packet by packet."""
    with ExitStack() as stack:
        sinks = load().sinks_open(cores.rest)
        addresses = b"".join(_sink(stack, sinks) for _ in range(viewers))
        stack.callback(load().sinks_close, sinks)
        contexts = [ciphers.rtp_out(SrtpKeys(_AES_256_GCM, "", b"", secrets.token_bytes(44))) for _ in range(viewers)]
        handles = ffi.new("void *[]", [ffi.cast("void *", context.address) for context in contexts])
        held = ffi.from_buffer(addresses)
        packets, sizes = (ffi.new("int[]", list(column)) for column in zip(*trains, strict=True))
        sender = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        sender.setblocking(False)
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * 1024 * 1024)
        job = ffi.new("struct bound *")
        job.fd, job.core, job.viewers, job.seconds = sender.fileno(), cores.server, viewers, seconds
        job.trains, job.packets, job.sizes, job.gso = len(trains), packets, sizes, int(gso)
        job.protect, job.contexts, job.addresses = (
            ffi.cast("void *", contexts[0].function),
            handles,
            ffi.cast("void *", held),
        )
        load().bound_run(job)
        time.sleep(_DRAIN_S)
        seen = int(load().sinks_packets(sinks))
    sent = int(job.sent)
    return Bound(sent / float(job.cpu_seconds), 1 - seen / sent if sent else 0.0)


def _sink(stack: ExitStack, sinks: object) -> bytes:
    """Open one more viewer's socket; its address as C has it."""
    sock = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
    sock.bind(("127.0.0.1", 0))
    load().sinks_add(sinks, sock.fileno())
    host, port = sock.getsockname()
    return struct.pack("=H", socket.AF_INET) + struct.pack("!H", port) + socket.inet_aton(host) + bytes(8)
