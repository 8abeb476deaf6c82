"""The demo's encoder: FFmpeg's own WHIP muxer (RFC 9725), which publishes a clip in a loop without touching a codec.

A process of its own because PyAV holds the interpreter's lock while the muxer connects.

Usage: `python -m shared.stack.encoder --api URL --room ID --identity FILE --clip FILE --certificate FILE --key FILE`.
The owner's identity token comes in a file, since arguments can be read by everyone on the machine.
"""

import argparse
import itertools
import signal
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Final, NoReturn

import av
import httpx
import msgspec
from av.container import OutputContainer
from av.error import FFmpegError

from .footage import FRAME_RATE

_BACKOFF_FIRST_S: Final = 0.5
_BACKOFF_MAX_S: Final = 10.0
_SETTLED_S: Final = 10.0
_LIVE_CHECK_S: Final = 3.0
_HTTP_TIMEOUT_S: Final = 5.0
# Behind by more than this (the machine slept), the clock is set anew: catching up would be a burst.
_LATE_S: Final = 0.5


class NotLive(Exception):  # noqa: N818 - a state of the room
    """The muxer sends, but the room no longer has a stream: the worker has gone or has dropped the session."""


class Sample(msgspec.Struct, frozen=True):
    """One encoded packet of the clip."""

    video: bool
    at: Fraction  # seconds since the clip's start
    keyframe: bool
    data: bytes


class Clip(msgspec.Struct, frozen=True):
    """A clip in memory, packets in the order of their time, and how long one round takes."""

    samples: list[Sample]
    duration: Fraction

    @classmethod
    def read(cls, path: Path) -> "Clip":
        """Read a file that `footage.prepare` made."""
        samples: list[Sample] = []
        with av.open(str(path)) as media:
            for packet in media.demux():
                if packet.pts is not None and packet.time_base is not None:
                    # Opus starts before 0 by its pre-skip; RTP has no such notion, and no packet may precede the round.
                    at = max(Fraction(0), packet.pts * packet.time_base)
                    samples.append(Sample(packet.stream.type == "video", at, packet.is_keyframe, bytes(packet)))
        samples.sort(key=lambda sample: sample.at)
        return cls(samples, Fraction(sum(sample.video for sample in samples), FRAME_RATE))

    def forever(self) -> Iterator[tuple[Fraction, Sample]]:
        """Every packet with its time since the start of the first round."""
        for number in itertools.count():
            for sample in self.samples:
                yield number * self.duration + sample.at, sample


class Encoder:
    """Publishes into one room, and again whenever that ends."""

    def __init__(self, *, api: str, room: str, identity: Path, clip: Path, certificate: Path, key: Path) -> None:
        self._room_url = f"{api}/v1/rooms/{room}"
        self._clip_path = clip
        self._clip = Clip.read(clip)
        self._tls = {"cert_file": str(certificate), "key_file": str(key)}
        self._http = httpx.Client(headers={"Authorization": f"Bearer {identity.read_text()}"}, timeout=_HTTP_TIMEOUT_S)

    def run(self) -> NoReturn:
        """Publish, and reconnect with back-off, until the process is told to stop."""
        delay_s = _BACKOFF_FIRST_S
        while True:
            begin = time.monotonic()
            try:
                self._publish()
            except (FFmpegError, httpx.HTTPError, NotLive) as error:
                if time.monotonic() - begin > _SETTLED_S:
                    delay_s = _BACKOFF_FIRST_S
                print(f"not publishing ({error}); trying again in {delay_s:.1f} s", flush=True)
            time.sleep(delay_s)
            delay_s = min(_BACKOFF_MAX_S, delay_s * 2)

    def _publish(self) -> None:
        # A new token each time: this one may have expired since the last.
        response = self._http.post(f"{self._room_url}/tokens", json={"kind": "encoder"}).raise_for_status()
        options = {"authorization": response.json()["token"], **self._tls}
        with (
            av.open(str(self._clip_path)) as template,
            av.open(f"{self._room_url}/whip", "w", format="whip", options=options) as output,
        ):
            video = output.add_stream_from_template(template.streams.video[0])
            audio = output.add_stream_from_template(template.streams.audio[0])
            output.start_encoding()
            print(f"publishing to {self._room_url}/whip", flush=True)
            self._send(output, video.index, audio.index)

    def _send(self, output: OutputContainer, video: int, audio: int) -> None:
        start = time.monotonic()
        checked = start
        for at, sample in self._clip.forever():
            ahead_s = start + float(at) - time.monotonic()
            if ahead_s > 0:
                time.sleep(ahead_s)
            elif ahead_s < -_LATE_S:
                start -= ahead_s
            index, rate = (video, 90_000) if sample.video else (audio, 48_000)
            packet = av.Packet(sample.data)
            packet.stream = output.streams[index]
            packet.time_base = Fraction(1, rate)
            packet.pts = packet.dts = int(at * rate)
            packet.is_keyframe = sample.keyframe
            output.mux_one(packet)
            # FFmpeg's muxer notices a closed port but not a session that the worker has dropped.
            if sample.keyframe and sample.video and time.monotonic() - checked > _LIVE_CHECK_S:
                checked = time.monotonic()
                if not self._http.get(self._room_url).raise_for_status().json()["live"]:
                    raise NotLive("the room is not live")


def _stop(_signum: int, _frame: object) -> NoReturn:
    # Unwinding closes the muxer, which then ends its session at the server (DELETE).
    sys.exit(0)


def _main() -> None:
    parser = argparse.ArgumentParser(prog="shared.stack.encoder")
    parser.add_argument("--api", required=True)
    parser.add_argument("--room", required=True)
    for name in ("--identity", "--clip", "--certificate", "--key"):
        parser.add_argument(name, type=Path, required=True)
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)
    Encoder(**vars(arguments)).run()


if __name__ == "__main__":
    _main()
