"""`NativeIntake`: what comes in on the worker's sockets, read in batches and decrypted by intake.c.

`sfu_fleet.ice.MediaSocket` reads through it where there is a native library, and through asyncio's datagram endpoint
elsewhere.
"""

import asyncio
import os
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from cffi import FFI  # type: ignore[import-untyped]
from structlog import get_logger

from sfu_fleet.congestion.estimator import Controller
from sfu_fleet.dtls import UNPROTECT, Inbound
from sfu_fleet.ice import Address, IceAgent, Receiver
from sfu_fleet.native.addresses import SIZE, address_of, sockaddr
from sfu_fleet.native.build import load
from sfu_fleet.native.congestion import NativeCongestion

# Datagrams of one system call, and the room for each: as in intake.c.
_BATCH: Final = 64
_SLOT: Final = 2_048
# Batches of a socket before the event loop's other callbacks have their turn.
_BATCHES_AT_ONCE: Final = 4
# A socket that wakes the event loop this often within a window is looked at every so often instead: a thousand viewers'
# feedback would wake it twenty thousand times a second. It may wake the loop again after so many looks in a row that
# found next to nothing.
_WINDOW_S: Final = 0.02
_WAKE_UPS: Final = 24
_LOOK_EVERY_S: Final = 0.001
_LOOKS: Final = 20
_RAW, _RTP, _RTCP, _REFUSED, _TOO_LONG, _FED, _ESTIMATED = range(7)
_DROPS: Final = {_REFUSED: "srtp_unprotect", _TOO_LONG: "too_long"}

log = get_logger(__name__)
ffi: Any = FFI()
ffi.cdef("""
struct intake *intake_open(void *unprotect);
void intake_close(struct intake *);
int intake_learn(struct intake *, const char *address, int size, int peer);
void intake_forget(struct intake *, const char *address, int size);
int intake_agree(struct intake *, int peer, void *context, void *rtcp_context, void *unprotect_rtcp);
int intake_follow(struct intake *, int peer, void *congestion, void *departures);
int intake_read(struct intake *, int fd);
struct reading { int32_t datagrams, fed, results, more; };
const struct reading *intake_reading(const struct intake *);
const int32_t *intake_results(const struct intake *);
const char *intake_addresses(const struct intake *);
const char *intake_arena(const struct intake *);
""")


class _Watch:
    """Has a socket read when something has arrived: at once, or where that is all the time, every millisecond."""

    def __init__(self, descriptor: int, read: Callable[[], int]) -> None:
        self._loop = asyncio.get_running_loop()
        self._descriptor = descriptor
        self._take = read
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._began = 0.0
        self._wake_ups = self._looks = self._found = 0
        self._loop.add_reader(descriptor, self._on_readable)

    def close(self) -> None:
        """Watch no more."""
        self._closed = True
        self._loop.remove_reader(self._descriptor)
        if self._timer is not None:
            self._timer.cancel()

    def _on_readable(self) -> None:
        self._take()
        self._wake_ups += 1
        if self._wake_ups < _WAKE_UPS or self._closed:
            return
        now = time.monotonic()
        busy = now - self._began < _WINDOW_S
        self._began, self._wake_ups = now, 0
        if busy:
            self._loop.remove_reader(self._descriptor)
            self._looks = self._found = 0
            self._timer = self._loop.call_later(_LOOK_EVERY_S, self._look)

    def _look(self) -> None:
        self._found += self._take()
        self._looks += 1
        if self._closed:
            return
        if self._looks == _LOOKS:
            if self._found < _LOOKS:
                self._timer = None
                self._loop.add_reader(self._descriptor, self._on_readable)
                return
            self._looks = self._found = 0
        self._timer = self._loop.call_later(_LOOK_EVERY_S, self._look)


def _quadruples(flat: list[int]) -> Iterator[tuple[int, ...]]:
    """Results as C has them, one by one."""
    numbers = iter(flat)
    return zip(numbers, numbers, numbers, numbers, strict=True)


class NativeIntake:
    """See `sfu_fleet.ice.Intake`."""

    def __init__(self) -> None:
        """Load the library.

        Raises:
            NotBuiltError: there is none on this machine.
        """
        self._lib = load(ffi)
        self._handle = self._lib.intake_open(ffi.cast("void *", UNPROTECT))
        if self._handle == ffi.NULL:
            raise MemoryError
        self._results = self._lib.intake_results(self._handle)
        self._arena = memoryview(ffi.buffer(self._lib.intake_arena(self._handle), _BATCH * _SLOT))
        self._addresses = memoryview(ffi.buffer(self._lib.intake_addresses(self._handle), _BATCH * SIZE))
        self._numbers: dict[IceAgent, int] = {}
        self._agents: list[IceAgent | None] = []
        self._free: list[int] = []
        # What C decrypts with, for as long as it may; a peer over TCP alone has no number.
        self._agreed: dict[IceAgent, Inbound] = {}
        # What C feeds, likewise.
        self._followed: dict[IceAgent, NativeCongestion] = {}
        self._reading = self._lib.intake_reading(self._handle)
        self._watches: list[_Watch] = []

    def read(self, sock: socket.socket, receiver: Receiver) -> None:
        """Hand what arrives to the receiver, from now on."""
        descriptor = sock.fileno()
        self._watches.append(_Watch(descriptor, lambda: self._read(descriptor, receiver)))

    def learn(self, agent: IceAgent, address: Address) -> None:
        """Packets from this address are this agent's."""
        number = self._numbers.get(agent)
        if number is None:
            number = self._free.pop() if self._free else len(self._agents)
            self._numbers[agent] = number
            if number == len(self._agents):
                self._agents.append(agent)
            else:
                self._agents[number] = agent
            self.agree(agent, self._agreed.get(agent))
            self.follow(agent, self._followed.get(agent))
        packed = sockaddr(address)
        if self._lib.intake_learn(self._handle, packed, len(packed), number):
            raise MemoryError

    def forget(self, address: Address) -> None:
        """Packets from this address are nobody's."""
        packed = sockaddr(address)
        self._lib.intake_forget(self._handle, packed, len(packed))

    def agree(self, agent: IceAgent, inbound: Inbound | None) -> None:
        """Decrypt the agent's packets with these keys; with None, hand them on as they come."""
        if inbound is None:
            self._agreed.pop(agent, None)
        else:
            self._agreed[agent] = inbound
        number = self._numbers.get(agent)
        if number is None:
            return
        addresses = (0, 0, 0) if inbound is None else (inbound.address, inbound.rtcp_address, inbound.rtcp_function)
        if self._lib.intake_agree(self._handle, number, *(ffi.cast("void *", address) for address in addresses)):
            raise MemoryError

    def follow(self, agent: IceAgent, controller: Controller | None) -> None:
        """Feed the agent's transport-wide feedback to a controller of ours."""
        found = controller if isinstance(controller, NativeCongestion) else None
        if found is None:
            self._followed.pop(agent, None)
        else:
            self._followed[agent] = found
        number = self._numbers.get(agent)
        if number is None:
            return
        congestion, departures = (ffi.NULL, ffi.NULL) if found is None else (found.address, found.departures.address)
        if self._lib.intake_follow(
            self._handle, number, ffi.cast("void *", congestion), ffi.cast("void *", departures)
        ):
            raise MemoryError

    def remove(self, agent: IceAgent) -> None:
        """Forget an agent that has no addresses any more."""
        self.agree(agent, None)
        self.follow(agent, None)
        number = self._numbers.pop(agent, None)
        if number is not None:
            self._agents[number] = None
            self._free.append(number)

    def close(self) -> None:
        """Read no more. Call it before the sockets are closed."""
        if self._handle == ffi.NULL:
            return
        for watch in self._watches:
            watch.close()
        self._watches.clear()
        self._arena.release()
        self._addresses.release()
        self._lib.intake_close(self._handle)
        self._handle = ffi.NULL

    def _read(self, descriptor: int, receiver: Receiver) -> int:
        """Take what has arrived; how many datagrams."""
        reading, datagrams = self._reading, 0
        for _ in range(_BATCHES_AT_ONCE):
            error = self._lib.intake_read(self._handle, descriptor)
            if error < 0:
                log.debug("socket_error", error=os.strerror(-error))
                break
            datagrams += int(reading.datagrams)
            if reading.fed:
                receiver.count_feedback(reading.fed)
            more = reading.more
            for slot, size, peer, outcome in _quadruples(ffi.unpack(self._results, 4 * reading.results)):
                self._hand_on(receiver, slot, size, self._agents[peer] if peer >= 0 else None, outcome)
                if self._handle == ffi.NULL:
                    # Closed meanwhile: the memory is gone.
                    return datagrams
            if not more:
                break
        return datagrams

    def _hand_on(self, receiver: Receiver, slot: int, size: int, agent: IceAgent | None, outcome: int) -> None:
        if outcome in _DROPS:
            receiver.refuse(_DROPS[outcome])
        elif outcome == _ESTIMATED and agent is not None:
            receiver.count_feedback(1)
            receiver.receive_estimate(agent)
        elif outcome == _RAW or agent is None:
            address = address_of(self._addresses[slot * SIZE : (slot + 1) * SIZE])
            if address is not None:
                receiver.receive(bytes(self._arena[slot * _SLOT : slot * _SLOT + size]), address)
        else:
            data = bytes(self._arena[slot * _SLOT : slot * _SLOT + size])
            receiver.receive_opened(data, agent, rtcp=outcome == _RTCP)
