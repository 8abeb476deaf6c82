"""gcm.c against libsrtp: the same packets give the same bytes, either way, and the same are refused."""

import random
from collections.abc import Iterator, MutableSequence
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pylibsrtp import Policy

from sfu_fleet.dtls import GCM_KEY_SIZES, Inbound, Libsrtp, LibsrtpContext, Memory, Outbound, SrtpError, SrtpKeys
from sfu_fleet.native import build, gcm
from tests.sfu_fleet.peer import rtp_packet
from tests.sfu_fleet.sanitizers import abuse, compiled

needs_gcm = pytest.mark.skipif(
    build.compiler() is None or not build.GCM.has_its_needs(),
    reason="it needs a C compiler, and Debian's libipsec-mb-dev, which is for x86-64",
)
PROFILES = sorted(GCM_KEY_SIZES)
SALT = 12


def keys_of(profile: int, seed: int = 1) -> SrtpKeys:
    master = random.Random(seed).randbytes(GCM_KEY_SIZES[profile] + SALT)
    return SrtpKeys(profile, "", master, master)


def encrypted(outbound: Outbound, packet: bytes) -> bytes | None:
    """None where it is refused."""
    memory = Memory(2_048)
    memory.view[: len(packet)] = packet
    try:
        return bytes(memory.view[: outbound.protect_in(memory, 0, len(packet))])
    except SrtpError:
        return None


def scripted(seed: int) -> Iterator[bytes]:
    """Packets of several streams that lose, repeat, reorder and wrap their numbers."""
    rng = random.Random(seed)
    numbers = {ssrc: rng.choice((0, 5, 30_000, 65_000, 65_530)) for ssrc in range(1, 8)}
    for _ in range(4_000):
        ssrc = rng.randrange(1, 8)
        numbers[ssrc] += rng.choice((1, 1, 1, 1, 2, 40, 500, 9_000) if rng.random() < 0.3 else (1,))
        back = rng.choice((0, 1, 3, 800, 1_022, 1_023, 1_024, 1_025, 5_000)) if rng.random() < 0.2 else 0
        number = max(0, numbers[ssrc] - back) & 0xFFFF
        # CSRCs, and an extension of so many words (RFC 3550, sections 5.1 and 5.3.1).
        sources, words = rng.choice((0, 0, 0, 2)), rng.choice((-1, -1, 0, 1, 5))
        first = 0x80 | sources | (0x10 if words >= 0 else 0)
        head = bytes((first, 96)) + number.to_bytes(2, "big") + rng.randbytes(4) + ssrc.to_bytes(4, "big")
        extension = b"\xbe\xde" + words.to_bytes(2, "big") + rng.randbytes(4 * words) if words >= 0 else b""
        yield head + rng.randbytes(4 * sources) + extension + rng.randbytes(rng.choice((0, 1, 15, 16, 17, 200, 1_200)))


@needs_gcm
@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("seed", range(3))
def test_what_it_encrypts_is_what_libsrtp_would(profile: int, seed: int) -> None:
    keys = keys_of(profile)
    ours, theirs = Outbound(keys, gcm.ciphers().rtp_out(keys)), Outbound(keys)
    assert isinstance(ours.rtp_context, gcm.GcmRtpOut)
    outcomes = [(encrypted(ours, packet), encrypted(theirs, packet)) for packet in scripted(seed)]
    assert all(one == other for one, other in outcomes)
    refused = sum(one is None for one, _ in outcomes)
    assert 50 < refused < len(outcomes) / 2


@needs_gcm
@pytest.mark.parametrize("profile", PROFILES)
def test_a_peer_s_libsrtp_takes_it(profile: int) -> None:
    keys = keys_of(profile)
    ours, peer = Outbound(keys, gcm.ciphers().rtp_out(keys)), Inbound(keys)
    for number in (65_534, 65_535, 0, 1):
        packet = rtp_packet(number, timestamp=9, payload=b"frame")
        sent = encrypted(ours, packet)
        assert sent is not None
        assert sent != packet
        assert peer.unprotect(sent) == packet


def compounds(seed: int) -> Iterator[bytes]:
    """RTCP of two sources as it may arrive: in disorder, twice, late, damaged, forged."""
    rng = random.Random(seed)
    master = rng.randbytes(64)
    sent: list[bytes] = []
    for profile in PROFILES:
        keys = SrtpKeys(profile, "", b"", master[: GCM_KEY_SIZES[profile] + SALT])
        sender = Outbound(keys)
        for number in range(700):
            body = (
                b"\x81\xc9\x00\x07" + (1 + number % 2).to_bytes(4, "big") + rng.randbytes(rng.choice((0, 4, 24, 400)))
            )
            sent.append(sender.protect_rtcp(body))
            late = sent[-rng.choice((1, 1, 1, 2, 3, 60, 126, 127, 128, 129, 130, 300)) :][0]
            yield late
            if rng.random() < 0.1:
                damaged = bytearray(late)
                damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
                yield bytes(damaged)
            if rng.random() < 0.03:
                yield late[: rng.randrange(len(late))]
        yield b"\x81\xc9" + rng.randbytes(2_000)


@needs_gcm
@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("seed", range(3))
def test_what_it_decrypts_is_what_libsrtp_would(profile: int, seed: int) -> None:
    master = random.Random(seed).randbytes(64)[: GCM_KEY_SIZES[profile] + SALT]
    keys = SrtpKeys(profile, "", master, b"")
    ours, theirs = Inbound(keys, gcm.ciphers().rtcp_in(keys)), Inbound(keys)
    assert ours.rtcp_address not in {ours.address, theirs.address}

    def opened(inbound: Inbound, data: bytes) -> bytes | str:
        try:
            return inbound.unprotect_rtcp(data)
        except SrtpError as error:
            return str(error)

    outcomes = [(opened(ours, data), opened(theirs, data)) for data in compounds(seed)]
    assert all(one == other for one, other in outcomes if isinstance(one, bytes) or isinstance(other, bytes))
    taken = sum(isinstance(one, bytes) for one, _ in outcomes)
    assert 300 < taken < len(outcomes) / 2
    # Reasons are libsrtp's where a packet is whole: of others it may have looked at something else first.
    reasons = {one for one, other in outcomes if one == other and isinstance(one, str)}
    assert {
        "authentication failure",
        "replay check failed (bad index)",
        "replay check failed (index too old)",
    } <= reasons


@needs_gcm
def test_rtcp_that_is_signed_and_not_encrypted_is_taken() -> None:
    # RFC 7714, section 9.3; libsrtp sends none, so that it is made by hand.
    keys = keys_of(PROFILES[0])
    body, number = b"\x80\xc9\x00\x01" + (7).to_bytes(4, "big"), 5
    key, salt = (
        gcm._derived(keys.inbound, label, size) for label, size in ((3, GCM_KEY_SIZES[PROFILES[0]]), (5, SALT))
    )
    plain = bytes(2) + (7).to_bytes(4, "big") + bytes(2) + number.to_bytes(4, "big")
    nonce = bytes(one ^ other for one, other in zip(plain, salt, strict=True))
    trailer = number.to_bytes(4, "big")
    tag = AESGCM(key).encrypt(nonce, b"", body + trailer)
    for inbound in (Inbound(keys), Inbound(keys, gcm.ciphers().rtcp_in(keys))):
        assert inbound.unprotect_rtcp(body + tag + trailer) == body
        with pytest.raises(SrtpError, match="replay"):
            inbound.unprotect_rtcp(body + tag + trailer)


@needs_gcm
def test_the_sources_of_a_peer_are_counted() -> None:
    keys = keys_of(PROFILES[0])
    sender, inbound = Outbound(keys), Inbound(keys, gcm.ciphers().rtcp_in(keys))
    compounds = [b"\x80\xc9\x00\x01" + ssrc.to_bytes(4, "big") for ssrc in range(300)]
    packets = [sender.protect_rtcp(compound) for compound in compounds]
    for compound, packet in zip(compounds[:256], packets, strict=False):
        assert inbound.unprotect_rtcp(packet) == compound
    with pytest.raises(SrtpError, match="memory"):
        inbound.unprotect_rtcp(packets[256])
    assert inbound.unprotect_rtcp(sender.protect_rtcp(compounds[0])) == compounds[0]


@needs_gcm
def test_the_packet_of_the_standard() -> None:
    # RFC 7714, sections 16.1.1 and 16.2.1: session key and salt are given there, so nothing is derived.
    packet = bytes.fromhex(
        "8040f17b8041f8d35501a0b247616c6c696120657374206f6d6e69732064697669736120696e207061727465732074726573"
    )
    salt = bytes.fromhex("517569642070726f2071756f")
    expected = {
        16: "f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b"
        "36de3adf8833899d7f27beb16a9152cf765ee4390cce",
        32: "32b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a0276ffae0f"
        "1ba63799b87b7aa3db36dfffd6b0f9bb7878d7a76c13",
    }
    library = build.load(gcm.ffi, build.GCM)
    for size, ciphertext in expected.items():
        context = gcm.ffi.gc(library.gcm_open(bytes(range(size)), size, salt), library.gcm_close)
        data, length = gcm.ffi.new("unsigned char[]", packet + bytes(16)), gcm.ffi.new("int *", len(packet))
        assert library.gcm_protect(context, data, length) == 0
        assert bytes(gcm.ffi.buffer(data, length[0])).hex() == packet[:12].hex() + ciphertext


@needs_gcm
@pytest.mark.parametrize(
    "packet",
    [
        b"",
        bytes(11),
        b"\x80" + bytes(10),
        b"\x00" + bytes(30),
        b"\x8f" + bytes(30),
        b"\x90" + bytes(11),
        b"\x90" + bytes(11) + b"\xbe\xde\x00\x05" + bytes(19),
    ],
)
def test_what_is_no_packet_is_refused(packet: bytes) -> None:
    keys = keys_of(PROFILES[0])
    assert encrypted(Outbound(keys, gcm.ciphers().rtp_out(keys)), packet) is None


@needs_gcm
def test_other_ciphers_and_keys_of_other_sizes_are_libsrtp_s() -> None:
    keys = SrtpKeys(Policy.SRTP_PROFILE_AES128_CM_SHA1_80, "", b"", bytes(30))
    assert isinstance(gcm.ciphers().rtp_out(keys), LibsrtpContext)
    assert gcm.ciphers().rtcp_in(keys) is None
    short = SrtpKeys(PROFILES[0], "", bytes(5), bytes(5))
    assert gcm.ciphers().rtcp_in(short) is None


def test_without_the_library_libsrtp_encrypts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HEADRACE_NATIVE_CACHE", str(tmp_path))
    monkeypatch.setattr(build, "_INCLUDES", (tmp_path,))
    with pytest.raises(build.NotBuiltError, match="libipsec-mb-dev"):
        build.library(build.GCM)
    assert isinstance(gcm.ciphers(), Libsrtp)


def test_what_does_not_load_is_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HEADRACE_NATIVE_CACHE", str(tmp_path))
    broken = tmp_path / "headrace" / build.GCM.file_name()
    broken.parent.mkdir()
    broken.write_bytes(b"no library")
    assert isinstance(gcm.ciphers(), Libsrtp)


class Wrong:
    """gcm.c on a processor for which the library has the wrong code."""

    def __init__(self, library: Any) -> None:  # noqa: ANN401 - a cffi library
        self.gcm_open, self.gcm_close = library.gcm_open, library.gcm_close

    def gcm_protect(self, _context: object, packet: MutableSequence[int], length: MutableSequence[int]) -> int:
        packet[12] ^= 1
        length[0] += 16
        return 0


@needs_gcm
def test_what_encrypts_wrongly_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    library = build.load(gcm.ffi, build.GCM)
    monkeypatch.setattr(gcm, "load", lambda *_: Wrong(library))
    assert isinstance(gcm.ciphers(), Libsrtp)
    wrong = Wrong(library)
    wrong.gcm_open = lambda *_: gcm.ffi.NULL
    monkeypatch.setattr(gcm, "load", lambda *_: wrong)
    assert isinstance(gcm.ciphers(), Libsrtp)


@needs_gcm
def test_it_holds_under_the_sanitizers(tmp_path: Path) -> None:
    program = compiled("abuse_gcm", tmp_path, *build.GCM.libraries)
    assert "40000 packets" in abuse(program, 1, 40_000)
