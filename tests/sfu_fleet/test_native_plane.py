"""The native plane against the Python one: the same input gives the same bytes on the wire."""

import asyncio
import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pylibsrtp import Policy, Session

from sfu_fleet import rtp
from sfu_fleet.dtls import Ciphers, Libsrtp, Outbound, SrtpKeys
from sfu_fleet.forwarder import DownTrack, PacketPlane, PythonPlane, Splice, Track
from sfu_fleet.haste import Haste
from sfu_fleet.ice import MediaSocket
from sfu_fleet.metrics import Metrics
from sfu_fleet.native import build, gcm
from sfu_fleet.native.plane import NativePlane
from sfu_fleet.packet_format import PacketFormat
from sfu_fleet.picture_ids import Shift
from sfu_fleet.rtx import RetransmissionStream
from tests.sfu_fleet.conftest import eventually
from tests.sfu_fleet.peer import rtp_packet
from tests.sfu_fleet.sanitizers import abuse, compiled

needs_compiler = pytest.mark.skipif(build.compiler() is None, reason="the native plane needs a C compiler")
# With the sizes of key and salt together.
PROFILES = {
    Policy.SRTP_PROFILE_AES128_CM_SHA1_80: 30,
    Policy.SRTP_PROFILE_AEAD_AES_128_GCM: 28,
    Policy.SRTP_PROFILE_AEAD_AES_256_GCM: 44,
}


class Agent:
    """Where a viewer is."""

    def __init__(self, remote: tuple[str, int]) -> None:
        self.remote = remote


class Scene:
    """Viewers on sockets of their own, and a script of what happens, to be played to any plane."""

    def __init__(self, seed: int, profile: int, *, ragged: bool = False) -> None:
        self.ragged = ragged
        self.rng = random.Random(seed)
        self.keys = [SrtpKeys(profile, "", b"", self.rng.randbytes(PROFILES[profile])) for _ in range(6)]
        # By what a viewer's packets are encrypted.
        self.ciphers: Ciphers = Libsrtp()
        self.formats = [PacketFormat(96, 0, "", ()), PacketFormat(101, 3, "0", ((4, 5),), 6)]
        # A probe is as long as asked for: of longer packets it has fewer.
        self.script = [step for step in self._steps() if not (ragged and step[0] == "probe")]

    def _steps(self) -> Iterator[tuple[Any, ...]]:
        sequences = [65_000, 400]
        for viewer in range(4):
            yield "attach", viewer
        for step in range(500):
            draw = self.rng.random()
            layer = self.rng.randrange(2)
            if draw < 0.02:
                yield "attach", self.rng.randrange(6)
            elif draw < 0.03:
                yield "detach", self.rng.randrange(6)
            elif draw < 0.06:
                yield "switch", self.rng.randrange(6)
            elif draw < 0.12:
                yield "resend", self.rng.randrange(6), [self.rng.randrange(40) for _ in range(5)]
            elif draw < 0.14:
                yield "past", self.rng.randrange(6), self.rng.randrange(2)
            elif draw < 0.18:
                yield "probe", self.rng.choice((0, 1, 1, 2, 3, 5)), self.rng.randrange(1, 9_000)
            else:
                sequences[layer] += 1 if self.rng.random() < 0.95 else self.rng.randrange(1, 4)
                place = sequences[layer] - (self.rng.randrange(1, 5) if self.rng.random() < 0.03 else 0)
                # Runs of equal sizes, as video has them, so that there are trains.
                size = self.rng.choice([1100, 1100, 1100, 1100, 300, 0, 1300])
                # X; I, L and T; a picture id of 7 or 15 bits, TL0PICIDX (RFC 7741, section 4.2).
                picture = bytes((step % 128,)) if layer else (0x8000 | step % 0x8000).to_bytes(2, "big")
                payload = b"\x90\xe0" + picture + bytes((step % 256, 0x20)) + self.rng.randbytes(size)
                payload = payload[: 1 + size * 9]
                if self.ragged:
                    # Nearly equal, as encoders cut a frame that does not divide.
                    payload += bytes(self.rng.randrange(8))
                yield "packet", layer, place, step % 60 < 2, self.rng.random() < 0.2, payload

    async def play(
        self, kind: str, monkeypatch: pytest.MonkeyPatch, **options: bool | int
    ) -> tuple[list[list[bytes]], Metrics]:
        """What arrived at each viewer, and what was counted."""
        # Where a viewer's numbers begin is random otherwise.
        monkeypatch.setattr("secrets.randbits", lambda _: 12_345)
        metrics = Metrics()
        media_socket = await MediaSocket.open("127.0.0.1", 0, metrics)
        # The one with libsrtp, the other with what is fastest here.
        self.ciphers = Libsrtp() if kind == "python" else gcm.ciphers()
        plane: PacketPlane = (
            PythonPlane(media_socket, metrics) if kind == "python" else NativePlane(media_socket, metrics, **options)  # type: ignore[arg-type] # each its own
        )
        with viewers(len(self.keys)) as sockets:
            self.tracks = [Track(starts_at_keyframe=True, encoding="vp8") for _ in range(2)]
            self.downs: dict[int, tuple[int, DownTrack]] = {}
            self.met: set[int] = set()
            try:
                for step in self.script:
                    if step[0] in {"resend", "probe"}:
                        # What is sent again does not wait for what is on its way for the first time.
                        await settled(plane)
                    self._step(plane, step, sockets)
                await settled(plane)
                await asyncio.sleep(0.05)
            finally:
                plane.close()
                media_socket.close()
            return [list(drain(sock)) for sock in sockets], metrics

    def _step(self, plane: PacketPlane, step: tuple[Any, ...], sockets: list[socket.socket]) -> None:
        match step:
            case ("attach", viewer) if viewer not in self.met:
                keys, agent = self.keys[viewer], Agent(sockets[viewer].getsockname())
                transport: Any = SimpleNamespace(outbound=Outbound(keys, self.ciphers.rtp_out(keys)), agent=agent)
                down = DownTrack(transport, 1000 + viewer, self.formats[viewer % 2])
                down.timestamp_offset = 77 * viewer
                if viewer % 3:
                    down.rtx = RetransmissionStream(97, 2000 + viewer)
                if down.format.transport_id:
                    down.departures = plane.congestion().departures
                self.downs[viewer] = 0, down
                self.met.add(viewer)
                plane.attach(self.tracks[0], down)
            case ("past", viewer, haste) if viewer in self.downs:
                self._begin_in_the_past(plane, viewer, haste)
            case ("detach", viewer) if viewer in self.downs:
                layer, down = self.downs.pop(viewer)
                plane.detach(self.tracks[layer], down)
            case ("switch", viewer) if viewer in self.downs:
                self._switch(plane, viewer)
            case ("resend", viewer, behind) if viewer in self.downs:
                layer, down = self.downs[viewer]
                track = self.tracks[layer]
                numbers = [(track.highest - back + down.sequence_offset) & 0xFFFF for back in behind]
                plane.resend(track, down, numbers, 1.0)
            case ("probe", viewer, size) if viewer in self.downs:
                layer, down = self.downs[viewer]
                plane.probe(self.tracks[layer], down, size)
            case ("packet", layer, place, keyframe, marker, payload):
                packet = rtp.parse(rtp_packet(place & 0xFFFF, timestamp=place * 3, payload=payload, marker=marker))
                plane.forward(self.tracks[layer], packet, place, place * 3, keyframe=keyframe)

    def _switch(self, plane: PacketPlane, viewer: int) -> None:
        layer, down = self.downs[viewer]
        position = plane.detach(self.tracks[layer], down)
        target = self.tracks[1 - layer]
        if position is None:
            plane.attach(target, down)
        else:
            first = target.highest + 1
            splice = Splice(first, position.sequence + 1 - first, position.timestamp + 9, Shift(0x7FF0 + viewer, 250))
            plane.attach(target, down, splice)
        self.downs[viewer] = 1 - layer, down

    def _begin_in_the_past(self, plane: PacketPlane, viewer: int, drawn: int) -> None:
        """Go over to what the other layer sent since its latest keyframe; so fast that it takes no time."""
        layer, down = self.downs[viewer]
        target = self.tracks[1 - layer]
        found = target.remembered(target.keyframe)
        if found is None:
            return
        first, timestamp, _ = found
        position = plane.detach(self.tracks[layer], down)
        after = position.sequence + 1 if position is not None else 12_345
        haste = Haste(timestamp, timestamp + 40 * 3, 10**6) if drawn else None
        plane.attach(target, down, Splice(first, after - first, 9 * viewer, Shift(5 + viewer, 7), haste))
        self.downs[viewer] = 1 - layer, down


async def settled(plane: PacketPlane) -> None:
    """All that was forwarded has been sent."""
    if not isinstance(plane, NativePlane):
        # With the next turn of the loop.
        await asyncio.sleep(0)
        return

    def done() -> bool:
        totals = plane.totals
        return totals["processed"] >= plane.queued and not totals["pending"]

    await eventually(done, "all is sent")
    plane.refresh()


@contextmanager
def viewers(count: int) -> Iterator[list[socket.socket]]:
    sockets = []
    for _ in range(count):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 1024 * 1024)
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
        sockets.append(sock)
    try:
        yield sockets
    finally:
        for sock in sockets:
            sock.close()


def drain(sock: socket.socket) -> Iterator[bytes]:
    while True:
        try:
            yield sock.recv(4096)
        except BlockingIOError:
            return


async def caught_up(kind: str, monkeypatch: pytest.MonkeyPatch) -> tuple[list[list[bytes]], int]:
    """What arrives at viewers who begin in the past while the stream goes on, and how much was sent again."""
    monkeypatch.setattr("secrets.randbits", lambda _: 12_345)
    rng, metrics = random.Random(7), Metrics()
    media_socket = await MediaSocket.open("127.0.0.1", 0, metrics)
    plane: PacketPlane = PythonPlane(media_socket, metrics) if kind == "python" else NativePlane(media_socket, metrics)
    track = Track(starts_at_keyframe=True, encoding="vp8")

    def send(place: int, *, keyframe: bool = False) -> None:
        payload = b"\x90\xe0" + bytes((place % 128, 0, 0x20)) + rng.randbytes(500)
        packet = rtp.parse(rtp_packet(place & 0xFFFF, timestamp=place * 900, payload=payload))
        plane.forward(track, packet, place, place * 900, keyframe=keyframe)

    downs = []
    with viewers(3) as sockets:
        try:
            send(65_000, keyframe=True)
            for place in range(65_001, 66_500):
                send(place)
            for viewer, sock in enumerate(sockets):
                keys = SrtpKeys(Policy.SRTP_PROFILE_AEAD_AES_256_GCM, "", b"", rng.randbytes(44))
                transport: Any = SimpleNamespace(outbound=Outbound(keys), agent=Agent(sock.getsockname()))
                down = DownTrack(transport, 1000 + viewer, PacketFormat(96, 0, "", ()))
                downs.append(down)
                haste = Haste(65_000 * 900, 66_700 * 900, 90) if viewer < 2 else None
                plane.attach(track, down, Splice(65_000, 100 - 65_000, 5, Shift(0, 0), haste))
            # Nobody has had the last ones of these yet but who had all at once.
            for down in downs:
                plane.resend(track, down, [100 + 1_499], 1.0)
            for place in range(66_500, 67_200):
                send(place)
                await asyncio.sleep(0.0002)
            plane.detach(track, downs[1])
            await eventually(lambda: sum(down.counters.packets for down in downs[::2]) == 2 * 2_200, "caught up")
            await asyncio.sleep(0.05)
        finally:
            plane.close()
            media_socket.close()
        return [list(drain(sock)) for sock in sockets], sum(down.counters.resent for down in downs)


@needs_compiler
async def test_both_planes_let_viewers_catch_up_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    expected, resent = await caught_up("python", monkeypatch)
    sent, resent_too = await caught_up("native", monkeypatch)
    assert sent[0] == expected[0]
    # One left in the middle; the other two got each number once, and one of them one packet twice.
    shorter = min(len(sent[1]), len(expected[1]))
    assert sent[1][:shorter] == expected[1][:shorter]
    assert sent[2] == expected[2]
    assert (resent, resent_too) == (1, 1)
    assert [len(packets) for packets in sent[::2]] == [2_200, 2_201]
    numbers = [int.from_bytes(data[2:4], "big") for data in sent[0]]
    assert numbers == list(range(100, 2_300))
    stamps = [int.from_bytes(data[4:8], "big") for data in sent[0]]
    assert stamps == sorted(stamps)


@needs_compiler
async def test_who_catches_up_amid_bursts_and_padding_gets_each_packet_once_and_the_same_again() -> None:
    rng, metrics = random.Random(3), Metrics()
    media_socket = await MediaSocket.open("127.0.0.1", 0, metrics)
    plane = NativePlane(media_socket, metrics)
    track = Track(starts_at_keyframe=True, encoding="vp8")
    keys = [SrtpKeys(Policy.SRTP_PROFILE_AEAD_AES_256_GCM, "", b"", rng.randbytes(44)) for _ in range(3)]
    payloads: dict[int, bytes] = {}

    def send(first: int, end: int) -> None:
        for place in range(first, end):
            payloads[place] = b"\x90\xe0" + bytes((place % 128, 0, 0x20)) + rng.randbytes(500 + rng.randrange(8))
            packet = rtp.parse(rtp_packet(place & 0xFFFF, timestamp=place * 900, payload=payloads[place]))
            plane.forward(track, packet, place, place * 900, keyframe=place == 65_000)

    with viewers(3) as sockets:
        downs = []
        try:
            for viewer, sock in enumerate(sockets):
                transport: Any = SimpleNamespace(outbound=Outbound(keys[viewer]), agent=Agent(sock.getsockname()))
                down = DownTrack(transport, 1000 + viewer, PacketFormat(96, 0, "", (), 5))
                down.departures = plane.congestion().departures
                if viewer:
                    down.rtx = RetransmissionStream(97, 2000 + viewer)
                downs.append(down)
            # The last one is live all the time.
            plane.attach(track, downs[2], Splice(65_000, 100 - 65_000, 5, Shift(0, 0)))
            send(65_000, 66_500)
            haste = Haste(65_000 * 900, 66_700 * 900, 90)
            for down in downs[:2]:
                plane.attach(track, down, Splice(65_000, 100 - 65_000, 5, Shift(0, 0), haste))
            for place in range(66_500, 67_200, 50):
                send(place, place + 50)
                await asyncio.sleep(0.02)
            await eventually(lambda: [down.counters.packets for down in downs] == [2_200] * 3, "all have all")
            await settled(plane)
            for down in downs[:2]:
                plane.resend(track, down, range(1_400, 2_300, 100), 1.0)
            await settled(plane)
            await asyncio.sleep(0.05)
            assert plane.totals["padding_bytes"] > 0
            assert metrics.drops == {}
        finally:
            plane.close()
            media_socket.close()
        sent = [list(drain(sock)) for sock in sockets]
    again = sent[0][2_200:]
    assert again == [sent[0][number - 100] for number in range(1_400, 2_300, 100)], "to the last bit"
    assert len(sent[1]) == 2_200 + len(again)
    for packets, key in zip(sent, keys, strict=True):
        opened = [rtp.parse(without_padding(packet)) for packet in decrypted(packets[:2_200], key)]
        assert [packet.sequence for packet in opened] == list(range(100, 2_300))
        assert [packet.data[packet.payload_start :] for packet in opened] == list(payloads.values())
        numbers = [int.from_bytes(rtp.extensions(packet)[5], "big") for packet in opened]
        assert numbers == [(2_048 + index) & 0xFFFF for index in range(2_200)]
        stamps = [packet.timestamp for packet in opened]
        assert stamps == sorted(stamps)


@needs_compiler
@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("seed", range(6))
async def test_both_planes_send_the_same_bytes_in_the_same_order(
    seed: int, profile: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(seed, profile)
    expected, counted = await scene.play("python", monkeypatch)
    assert sum(map(len, expected)) > 300
    for options in ({}, {"trains": False}, {"window_ns": 0}):
        options["padding"] = False
        sent, metrics = await scene.play("native", monkeypatch, **options)
        assert [len(packets) for packets in sent] == [len(packets) for packets in expected]
        assert sent == expected
        for name in ("packets_out", "bytes_out", "packets_resent", "packets_probed", "send_failures"):
            assert getattr(metrics.traffic, name) == getattr(counted.traffic, name), name
        assert metrics.drops == counted.drops
    opened = [decrypted(packets, keys) for packets, keys in zip(expected, scene.keys, strict=True)]
    for viewer, packets in enumerate(opened):
        numbers = [found[6] for packet in packets if 6 in (found := rtp.extensions(rtp.parse(packet)))]
        assert len(numbers) == (len(packets) if viewer % 2 else 0)
        firsts = list(dict.fromkeys(numbers))
        assert firsts == [(2_048 + index).to_bytes(2, "big") for index in range(len(firsts))]
        if viewer % 3:
            assert firsts == numbers
        else:
            # Sent again as it was, a packet keeps its number.
            assert len(set(zip((packet[2:4] for packet in packets), numbers, strict=False))) == len(firsts)


@needs_compiler
@pytest.mark.parametrize("seed", range(3))
async def test_padding_that_makes_trains_longer_changes_nothing_but_the_padding(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile = Policy.SRTP_PROFILE_AEAD_AES_256_GCM
    scene = Scene(seed, profile, ragged=True)
    expected, _ = await scene.play("python", monkeypatch)
    plain, _ = await scene.play("native", monkeypatch, padding=False)
    padded, _ = await scene.play("native", monkeypatch)
    assert plain == expected
    assert sum(map(bool, expected)) > 2
    for viewer, (sent, wanted) in enumerate(zip(padded, expected, strict=True)):
        if viewer % 3 == 0:
            # Sent again as they were, its packets must be the same whatever sends them: they are never padded.
            assert sent == wanted
        else:
            assert sent != wanted or not wanted
            opened = [decrypted(packet, scene.keys[viewer]) for packet in (sent, wanted)]
            assert [without_padding(packet) for packet in opened[0]] == opened[1]


def decrypted(packets: list[bytes], keys: SrtpKeys) -> list[bytes]:
    policy = Policy(keys.outbound, Policy.SSRC_ANY_INBOUND, srtp_profile=keys.profile)
    # The script repeats numbers, which one session would refuse as replays.
    return [Session(policy).unprotect(packet) for packet in packets]


def without_padding(packet: bytes) -> bytes:
    """RFC 3550, section 5.1: P, and the last octet counts what is to be ignored, itself included."""
    if not packet[0] & 0x20:
        return packet
    assert 1 <= packet[-1] <= 24
    return bytes((packet[0] & ~0x20,)) + packet[1 : -packet[-1]]


@needs_compiler
@pytest.mark.parametrize("kind", ["python", "native"])
async def test_a_probe_is_the_latest_packets_again_and_as_long_as_asked_for(kind: str) -> None:
    metrics = Metrics()
    media_socket = await MediaSocket.open("127.0.0.1", 0, metrics)
    plane: PacketPlane = (NativePlane if kind == "native" else PythonPlane)(media_socket, metrics)
    keys = SrtpKeys(Policy.SRTP_PROFILE_AEAD_AES_256_GCM, "", b"", bytes(44))
    departures = plane.congestion().departures
    with viewers(1) as (sock,):
        try:
            track = Track(starts_at_keyframe=False)
            transport: Any = SimpleNamespace(outbound=Outbound(keys), agent=Agent(sock.getsockname()))
            # One with an element that needs the two-byte form of header extensions.
            down = DownTrack(transport, 1000, PacketFormat(96, 1, "0", ((4, 5),), 6))
            down.rtx, down.departures = RetransmissionStream(97, 2000), departures
            plane.attach(track, down)
            plane.probe(track, down, 5_000)
            for sequence in range(3):
                extension = rtp.pack_extensions({4: bytes(20)} if sequence == 2 else {})
                data = rtp_packet(sequence, payload=bytes(1000), extension=extension)
                plane.forward(track, rtp.parse(data), sequence, 9, keyframe=False)
            await settled(plane)
            for _ in range(4):
                plane.probe(track, down, 1_500)
            await settled(plane)
            assert departures.next == departures.probe_end
            packets = [rtp.parse(packet) for packet in decrypted(list(drain(sock)), keys)]
            assert [packet.payload_type for packet in packets] == [96] * 3 + [97] * 6
            numbers = [int.from_bytes(rtp.extensions(packet)[6], "big") for packet in packets]
            assert numbers == list(range(departures.next - 9, departures.next))
            assert all(rtp.extensions(packet)[1] == b"0" for packet in packets)
            assert metrics.traffic.packets_probed == 6
            assert metrics.traffic.packets_out == 3
        finally:
            plane.close()
            media_socket.close()


@needs_compiler
async def test_a_burst_goes_out_in_turns_and_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("secrets.randbits", lambda _: 12_345)
    metrics = Metrics()
    media_socket = await MediaSocket.open("127.0.0.1", 0, metrics)
    plane = NativePlane(media_socket, metrics)
    with viewers(3) as sockets:
        try:
            track = Track(starts_at_keyframe=False)
            for viewer, sock in enumerate(sockets):
                keys = SrtpKeys(Policy.SRTP_PROFILE_AEAD_AES_256_GCM, "", b"", bytes(44))
                transport: Any = SimpleNamespace(outbound=Outbound(keys), agent=Agent(sock.getsockname()))
                plane.attach(track, DownTrack(transport, 1000 + viewer, PacketFormat(96, 0, "", ())))
            for sequence in range(1300):
                packet = rtp.parse(rtp_packet(sequence, timestamp=9, payload=bytes(1000), marker=False))
                plane.forward(track, packet, sequence, 9, keyframe=False)
            await settled(plane)
            numbers = [[int.from_bytes(packet[2:4], "big") - 12_345 for packet in drain(sock)] for sock in sockets]
            assert numbers == [list(range(1300))] * 3
            assert plane.totals["turns"] > 5
        finally:
            plane.close()
            media_socket.close()


@needs_compiler
@pytest.mark.parametrize("seed", range(4))
def test_the_native_code_holds_under_the_sanitizers(seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    program = compiled("abuse", tmp_path_factory.getbasetemp())
    assert "60000 calls" in abuse(program, seed, 60_000)


@needs_compiler
async def test_what_the_thread_still_has_is_not_encrypted_for_by_another() -> None:
    metrics = Metrics()
    media_socket = await MediaSocket.open("127.0.0.1", 0, metrics)
    plane = NativePlane(media_socket, metrics)
    try:
        agent: Any = Agent(("127.0.0.1", 9))
        keys = SrtpKeys(Policy.SRTP_PROFILE_AEAD_AES_256_GCM, "", b"", bytes(44))
        transport: Any = SimpleNamespace(outbound=Outbound(keys), agent=agent)
        down = DownTrack(transport, 1000, PacketFormat(96, 0, "", ()))
        one, other = Track(starts_at_keyframe=True), Track(starts_at_keyframe=True)
        plane.attach(one, down)
        # It is taken off its layer, moves to TCP, and joins another layer before the thread has heard of any of it.
        plane.detach(one, down)
        agent.remote = ("tcp", "127.0.0.1", 9)
        plane.attach(other, down)
        assert not other.viewers
        await eventually(lambda: bool(other.viewers), "handed over once the thread has let go")
    finally:
        plane.close()
        media_socket.close()


def test_a_machine_without_a_compiler_has_no_native_plane(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HEADRACE_NATIVE_CACHE", str(tmp_path))
    for command, why in (("false", "the compiler failed"), ("no-such-compiler", "could not be run")):
        monkeypatch.setenv("CC", command)
        with pytest.raises(build.NotBuiltError, match=why):
            build.library()
