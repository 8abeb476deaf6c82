"""Throws damaged and random input at every decoder: `python -m tests.bench.protocol_fuzz --seconds 180 --seed 1`.

An input is accepted or refused with a `ProtocolError` (a decoder for clients: `msgspec.DecodeError`); anything else is
a crash and is printed with the input in hexadecimal. What is accepted must encode and come back the same. The last
line is one JSON object; the exit code is 1 when anything crashed.
"""

import argparse
import base64
import json
import random
import sys
import time
from collections.abc import Callable

import msgspec

from shared.protocol import candidates, sdp, vectors
from shared.protocol import messages as m
from shared.protocol.codec import JsonCodec
from shared.protocol.errors import ProtocolError
from shared.stack import paths

_CORPUS = paths.ROOT / "tests" / "shared" / "protocol" / "corpus"
# Numbers where encodings change their form.
_EDGES = (0, 1, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC4, 0xC6, 0xCF, 0xD3, 0xDD, 0xDF, 0xE0, 0xFF)
_MAX_PRINTED = 20
_BATCH = 200

_json_codec = JsonCodec()


class Target(msgspec.Struct):
    """A decoder, the good inputs to start from, and what became of the inputs so far."""

    name: str
    decode: Callable[[bytes], None]
    seeds: list[bytes]
    for_clients: bool = False
    inputs: int = 0
    accepted: int = 0
    crashes: int = 0


def _client_frame(data: bytes) -> None:
    message = m.decode_client(data)
    if m.decode_client(m.encode(message)) != message:
        raise AssertionError("another message came back")


def _server_frame(data: bytes) -> None:
    message = m.decode_server(data)
    m.encode(message)
    if isinstance(message, m.Events):
        for _, event in message.events:
            m.decode_event(event)


def _event(data: bytes) -> None:
    event = m.decode_event(data)
    if m.decode_event(m.encode(event)) != event:
        raise AssertionError("another event came back")


def _json_server_frame(data: bytes) -> None:
    message = _json_codec.decode_server(data.decode("utf-8", "surrogateescape"))
    _json_codec.encode_server(message)


def _json_frame(data: bytes) -> None:
    message = _json_codec.decode_client(data.decode("utf-8", "surrogateescape"))
    if _json_codec.decode_client(_json_codec.encode_client(message)) != message:
        raise AssertionError("another message came back")


def _description(data: bytes) -> None:
    text = sdp.inflate(data)
    if not 0 < len(text) <= 32_768 or sdp.inflate(sdp.compress(text)) != text:
        raise AssertionError("not within bounds, or another text came back")


def _candidate(data: bytes) -> None:
    candidate = candidates.unpack(data)
    if candidates.pack(candidate) != data:
        raise AssertionError("other bytes came back")
    if candidates.parse(candidates.attribute(candidate, with_line=True)) != candidate:
        raise AssertionError("another candidate came back")


def _attribute(data: bytes) -> None:
    candidate = candidates.parse(data.decode("utf-8", "replace"))
    if candidates.unpack(candidates.pack(candidate)) != candidate:
        raise AssertionError("another candidate came back")


def targets() -> list[Target]:
    """Every decoder, from the vectors and the captured descriptions."""
    rows = json.loads(vectors.PATH.read_text(encoding="utf-8"))
    both = [*rows["accepted"], *rows["tolerated"]]
    refused = [bytes.fromhex(row["hex"]) for row in rows["refused"]]

    def of(direction: str) -> list[bytes]:
        return [bytes.fromhex(row["hex"]) for row in both if row["direction"] == direction]

    browser = json.loads((_CORPUS / "fflate.json").read_text(encoding="utf-8")).values()
    described = [*(bytes.fromhex(row["hex"]) for row in rows["sdp"]["accepted"]), *map(base64.b64decode, browser)]
    packed = rows["candidates"]["accepted"]
    return [
        Target("client frames", _client_frame, of("client") + refused),
        Target("server frames", _server_frame, of("server"), for_clients=True),
        Target("events", _event, _events(of("server")), for_clients=True),
        Target(
            "JSON frames",
            _json_frame,
            [row["json"].encode() for row in both if row["direction"] == "client"]
            + [row["json"].encode("utf-8", "surrogatepass") for row in rows["refused_json"]],
        ),
        Target(
            "JSON server frames",
            _json_server_frame,
            [row["json"].encode() for row in both if row["direction"] == "server"],
            for_clients=True,
        ),
        Target("compressed SDP", _description, described + [bytes.fromhex(r["hex"]) for r in rows["sdp"]["refused"]]),
        Target("packed candidates", _candidate, [bytes.fromhex(row["hex"]) for row in packed]),
        Target("candidate-attributes", _attribute, [row["attribute"].encode() for row in packed]),
    ]


def _events(frames: list[bytes]) -> list[bytes]:
    """The events that those frames carry."""
    batches = [message for message in map(m.decode_server, frames) if isinstance(message, m.Events)]
    return [bytes(event) for batch in batches for _, event in batch.events]


def mutated(seeds: list[bytes], chance: random.Random) -> bytes:
    """One input: random bytes, or a seed that was damaged one to eight times."""
    if chance.random() < 0.05:
        return chance.randbytes(chance.randrange(200))
    data = bytearray(chance.choice(seeds))
    for _ in range(chance.choice((1, 1, 1, 2, 2, 3, 5, 8))):
        _damage(data, seeds, chance)
    return bytes(data)


def _damage(data: bytearray, seeds: list[bytes], chance: random.Random) -> None:
    at = chance.randrange(len(data) + 1)
    match chance.randrange(8):
        case 0 if at < len(data):
            data[at] ^= 1 << chance.randrange(8)
        case 1 if at < len(data):
            data[at] = chance.choice(_EDGES)
        case 2:
            data[at:at] = chance.randbytes(chance.randrange(1, 9))
        case 3:
            del data[at : at + chance.randrange(1, 9)]
        case 4:
            del data[at:]
        case 5:
            # A part of another seed, so that fields meet that never did.
            other = chance.choice(seeds)
            begin = chance.randrange(len(other) + 1)
            data[at : at + chance.randrange(16)] = other[begin : begin + chance.randrange(64)]
        case 6:
            data[at:at] = data[at : at + chance.randrange(1, 33)] * chance.choice((1, 2, 64))
        case _:
            data[at : at + 1] = bytes([chance.randrange(256)])


def feed(target: Target, data: bytes) -> None:
    """Decode one input and count what came of it."""
    target.inputs += 1
    try:
        target.decode(data)
    except ProtocolError as error:
        # Every refusal must itself be a frame.
        m.encode(m.Error(error.code, error.message, error.reference))
    except msgspec.DecodeError as error:
        if not target.for_clients:
            _crashed(target, data, error)
    except Exception as error:  # noqa: BLE001 - finding these is what this program is for
        _crashed(target, data, error)
    else:
        target.accepted += 1


def _crashed(target: Target, data: bytes, error: Exception) -> None:
    target.crashes += 1
    if target.crashes <= _MAX_PRINTED:
        print(f"{target.name}: {type(error).__name__}: {error}: {data.hex()}", flush=True)


def run(seconds: float, seed: int) -> list[Target]:
    """Feed all decoders in turn for that long."""
    chance = random.Random(seed)
    fed = targets()
    for target in fed:
        for data in target.seeds:
            feed(target, data)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for target in fed:
            for _ in range(_BATCH):
                feed(target, mutated(target.seeds, chance))
    return fed


def main() -> int:
    """Run as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    started = time.monotonic()
    fed = run(arguments.seconds, arguments.seed)
    for target in fed:
        print(
            f"{target.name:<22} {target.inputs:>12,} inputs, {target.accepted:>10,} accepted, {target.crashes} crashes"
        )
    result = {
        "inputs": sum(target.inputs for target in fed),
        "accepted": sum(target.accepted for target in fed),
        "crashes": sum(target.crashes for target in fed),
        "seconds": round(time.monotonic() - started, 1),
        "seed": arguments.seed,
        "per_decoder": {target.name: target.inputs for target in fed},
    }
    print(json.dumps(result))
    return int(result["crashes"] != 0)


if __name__ == "__main__":
    sys.exit(main())
