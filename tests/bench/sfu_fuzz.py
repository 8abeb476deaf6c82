"""Throws packets at a running worker from strangers and from its own peers.

`python -m tests.bench.sfu_fuzz --seconds 60`

Strangers send damaged STUN, DTLS, RTP and RTCP over UDP and TCP, and connectivity checks with wrong
passwords. Peers, a publisher and two viewers, send the same, and RTP and RTCP that is damaged inside but encrypted as
it should be. Meanwhile a witness watches another stream: it must get every packet of it, once. The worker must raise
nothing, and must never send a stranger more bytes than it has sent. The last line is one JSON object; the exit code is
1 when any of this did not hold.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
import structlog
import uvloop
from aiortc.rtp import RtpPacket
from pylibsrtp import Error as SrtpError

from sfu_fleet import rtcp
from sfu_fleet.worker import SfuWorker
from tests.bench.protocol_fuzz import mutated
from tests.sfu_fleet.conftest import Valkey, eventually, settings_for
from tests.sfu_fleet.peer import AUDIO_SSRC, OPUS, VIDEO_SSRC, VP8_DELTA, VP8_KEYFRAME, Peer, rtp_packet
from tests.sfu_fleet.scenes import publish, view

# So many datagrams fit into the worker's socket buffer at once, whatever the kernel's limit.
_BATCH = 10
_STRANGERS = 8
_WITNESSED_PER_ROUND = 4
_PATIENCE_S = 1.0
# The header of a handshake record of DTLS 1.2, a ClientHello's beginning behind it; then an alert, data, and a close.
_DTLS = [
    b"\x16\xfe\xfd" + bytes(8) + b"\x00\x40\x01\x00\x00\x34" + bytes(2) + bytes(6) + b"\xfe\xfd" + bytes(50),
    b"\x15\xfe\xfd" + bytes(8) + b"\x00\x02\x02\x28",
    b"\x17\xfe\xfd\x00\x01" + bytes(6) + b"\x00\x10" + bytes(16),
    b"\x15\xfe\xfd\x00\x00" + bytes(6) + b"\x00\x02\x01\x00",
]


class Counts(msgspec.Struct):
    """What happened."""

    sent_by_strangers: int = 0
    sent_by_peers: int = 0
    stranger_bytes_in: int = 0
    stranger_bytes_out: int = 0
    witness_expected: int = 0
    witness_received: int = 0
    witness_repeated: int = 0
    peers_lost: int = 0
    errors: int = 0

    @property
    def good(self) -> bool:
        """Whether everything held."""
        return (
            self.errors == 0
            and self.witness_repeated == 0
            and self.witness_received == self.witness_expected > 0
            and self.stranger_bytes_out <= self.stranger_bytes_in
        )


class Stranger(asyncio.DatagramProtocol):
    """A socket that the worker does not know; it counts what comes back."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self.transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:  # noqa: ARG002 - asyncio's signature
        self._counts.stranger_bytes_out += len(data)


class Fuzz:
    """Everybody around one worker."""

    def __init__(self, worker: SfuWorker, chance: random.Random) -> None:
        self._worker = worker
        self._rooms = worker.rooms
        self._chance = chance
        self.counts = Counts()
        self._source, self._witness = Peer(), Peer()
        self._known: dict[str, Peer] = {}
        self._sessions: dict[str, str] = {}
        self._strangers: list[Stranger] = []
        self._number = 0
        self._lacking = 0
        self._seen: set[int] = set()
        self._errors_before = self._errors()

    async def start(self) -> None:
        """Connect everybody."""
        await publish(self._rooms, self._source, room="witnessed")
        await view(self._rooms, self._witness, room="witnessed")
        loop = asyncio.get_running_loop()
        for _ in range(_STRANGERS):
            _, stranger = await loop.create_datagram_endpoint(
                lambda: Stranger(self.counts), remote_addr=("127.0.0.1", self._worker.media_port)
            )
            self._strangers.append(stranger)
        await self._revive()

    async def round(self) -> None:
        """One burst of everything."""
        # Who says nothing for eight seconds is taken for dead.
        self._witness.send_raw(self._witness.binding_request())
        for _ in range(_BATCH):
            self._strange(self._chance.choice(self._strangers))
            for name, peer in self._known.items():
                self._misbehave(name, peer)
        await self._strange_connection()
        # The witness' packets were sent behind the others: when it has them, the worker has read everything. Without
        # waiting, an overrun socket buffer would look like an effect on the witness.
        self._stream()
        await self._caught_up()
        if self._chance.random() < 0.05:
            await self._revive()

    async def finish(self) -> Counts:
        """Wait for what is on its way, and count."""
        counts = self.counts
        await self._caught_up()
        counts.witness_expected = self._number
        counts.errors = self._errors() - self._errors_before
        for stranger in self._strangers:
            stranger.transport.close()
        for peer in (self._source, self._witness, *self._known.values()):
            await peer.close()
        return counts

    async def _caught_up(self) -> None:
        lacking = self._lacking
        try:
            await eventually(lambda: self._look() + lacking == self._number, "all packets", _PATIENCE_S)
        except AssertionError:
            self._lacking = self._number - self.counts.witness_received
            print(f"the witness lacks {self._lacking} packets", flush=True)

    def _errors(self) -> int:
        metrics = self._worker.metrics
        loop_errors = metrics.registry.get_sample_value("sfu_loop_errors_total") or 0
        return metrics.drops.get("internal_error", 0) + int(loop_errors)

    def _stream(self) -> None:
        for _ in range(_WITNESSED_PER_ROUND):
            head = VP8_KEYFRAME if self._number % 100 == 0 else VP8_DELTA
            payload = head + self._number.to_bytes(4, "big")
            self._source.send_rtp(rtp_packet(self._number, timestamp=self._number * 300, payload=payload))
            self._number += 1

    def _look(self) -> int:
        """How much the witness has got by now."""
        for data in self._witness.rtp:
            number = int.from_bytes(RtpPacket.parse(data).payload[-4:], "big")
            self.counts.witness_repeated += number in self._seen
            self._seen.add(number)
        self._witness.rtp.clear()
        self.counts.witness_received = len(self._seen)
        for peer in (self._source, self._witness, *self._known.values()):
            peer.rtcp.clear()
        for peer in self._known.values():
            peer.rtp.clear()
        return self.counts.witness_received

    async def _revive(self) -> None:
        """Put peers in the place of those who have talked themselves out of their sessions."""
        alive = {info.session for info in self._rooms.infos() if info.state == "connected"}
        for name in ("publisher", "watcher", "neighbour"):
            if self._sessions.get(name) in alive:
                continue
            if name in self._known:
                self.counts.peers_lost += 1
                await self._known.pop(name).close()
            peer = Peer()
            if name == "publisher":
                self._sessions[name] = await publish(self._rooms, peer, room="fuzzed")
            else:
                # The neighbour watches what the witness watches.
                room = "fuzzed" if name == "watcher" else "witnessed"
                self._sessions[name] = await view(self._rooms, peer, room=room)
            self._known[name] = peer

    def _strange(self, stranger: Stranger) -> None:
        data = self._shaped(self._chance.choice([self._witness, self._source, *self._known.values()]))
        stranger.transport.sendto(data)
        self.counts.sent_by_strangers += 1
        self.counts.stranger_bytes_in += len(data)

    async def _strange_connection(self) -> None:
        """A TCP connection that says something and reads what it is told, if anything."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._worker.media_port)
        data = self._shaped(self._witness)
        if self._chance.random() < 0.8:
            data = len(data).to_bytes(2, "big") + data
        writer.write(data)
        writer.write_eof()
        self.counts.sent_by_strangers += 1
        self.counts.stranger_bytes_in += len(data)
        try:
            async with asyncio.timeout(0.02):
                self.counts.stranger_bytes_out += len(await reader.read())
        except (TimeoutError, ConnectionError):
            pass
        writer.close()

    def _shaped(self, target: Peer) -> bytes:
        """A datagram of one of the kinds that come in, whole or damaged."""
        chance = self._chance
        checks = [
            target.binding_request(password="wrong-password-of-a-stranger"),
            target.binding_request(bare=True, password="wrong-password-of-a-stranger"),
        ]
        seeds = chance.choice([checks, _DTLS, self._rtp(), self._rtcp()])
        return chance.choice(seeds) if chance.random() < 0.2 else mutated(seeds, chance)

    def _misbehave(self, name: str, peer: Peer) -> None:
        chance = self._chance
        self.counts.sent_by_peers += 1
        kind = chance.randrange(5)
        try:
            if kind == 0:
                peer.send_raw(self._shaped(peer))
            elif kind == 1:
                peer.send_raw(mutated([peer.binding_request(), peer.binding_request(nominate=False)], chance))
            elif kind == 2 or (kind == 3 and name != "publisher"):
                peer.send_rtcp(mutated(self._rtcp(peer), chance))
            else:
                peer.send_rtp(mutated(self._rtp(), chance)[:1_300])
        except (SrtpError, ValueError):
            # Not even libsrtp of the sender's side takes it.
            self.counts.sent_by_peers -= 1

    def _rtp(self) -> list[bytes]:
        chance = self._chance
        number, timestamp = chance.randrange(0x10000), chance.randrange(1 << 32)
        extension = b"\xbe\xde\x00\x02\x40\x30\x10\x80" + bytes(4)
        return [
            rtp_packet(number, timestamp=timestamp, payload=VP8_KEYFRAME),
            rtp_packet(number, timestamp=timestamp, payload=VP8_DELTA, extension=extension),
            rtp_packet(number, timestamp=timestamp, payload=b"", padding=chance.randrange(1, 256)),
            rtp_packet(number, timestamp=timestamp, payload_type=111, ssrc=AUDIO_SSRC, payload=OPUS),
            rtp_packet(number, ssrc=chance.randrange(1 << 32), payload=chance.randbytes(chance.randrange(1_200))),
        ]

    def _rtcp(self, peer: Peer | None = None) -> list[bytes]:
        media = VIDEO_SSRC
        if peer is not None and peer.rtp:
            media = int.from_bytes(peer.rtp[-1][8:12], "big")
        report = rtcp.ReceptionReport(media, 5, 9, 70_000, 3, 1, 2)
        return [
            rtcp.pack_receiver_report(1, [report]),
            rtcp.pack_sender_report(rtcp.SenderReport(media, 1 << 62, 7, 8, 9)),
            rtcp.pack_receiver_report(1, ()) + rtcp.pack_nack(1, media, range(0, 4_000, 7)),
            rtcp.pack_receiver_report(1, ()) + rtcp.pack_pli(1, media),
            rtcp.pack_fir(1, media, 3) + rtcp.pack_bye([1, media]) + rtcp.pack_source_description(1, "fuzz"),
            rtcp.pack_remb(1, 1 << 40, [media]),
        ]


async def run(worker: SfuWorker, *, seed: int, seconds: float = 0.0, rounds: int = 1) -> Counts:
    """Fuzz a worker for that long, and for that many rounds at least."""
    fuzz = Fuzz(worker, random.Random(seed))
    await fuzz.start()
    until = time.monotonic() + seconds
    done = 0
    while done < rounds or time.monotonic() < until:
        await fuzz.round()
        done += 1
    return await fuzz.finish()


async def _main(seconds: float, seed: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        valkey = Valkey(Path(folder))
        valkey.start()
        try:
            async with SfuWorker(settings_for(valkey.url)) as worker:
                counts = await run(worker, seed=seed, seconds=seconds)
                drops = worker.metrics.drops
        finally:
            valkey.stop()
    return {**msgspec.structs.asdict(counts), "good": counts.good, "seconds": seconds, "seed": seed, "drops": drops}


def main() -> int:
    """Run as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    # The loop that workers run on.
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        result = runner.run(_main(arguments.seconds, arguments.seed))
    print(json.dumps(result))
    return int(not result["good"])


if __name__ == "__main__":
    sys.exit(main())
