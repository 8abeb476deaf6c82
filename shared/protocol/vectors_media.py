"""Test vectors of what frames carry packed: ICE candidates and compressed SDP. Part of vectors.json; see vectors.py."""

from typing import Any

from shared.protocol import candidates

HOST = "candidate:2329394488 1 udp 2122194687 192.0.2.17 52425 typ host generation 0 ufrag QE3u network-id 1"
RELAY = (
    "candidate:3098175849 1 udp 41885439 198.51.100.7 50416 typ relay "
    "raddr 203.0.113.9 rport 60209 generation 0 ufrag QE3u network-cost 999"
)
# Name, attribute, media line.
ATTRIBUTES: tuple[tuple[str, str, int], ...] = (
    ("host-ipv4", HOST, 0),
    (
        "host-ipv6",
        "candidate:2376454536 1 udp 2122265343 2001:db8:85a3::11 57991 typ host generation 0 ufrag QE3u network-id 2",
        1,
    ),
    (
        "host-mdns",
        "candidate:3857314657 1 udp 2113937151 8362a516-6f75-43ae-96a3-615c6a56dbb4.local 50269 typ host ufrag vOXt",
        0,
    ),
    (
        "host-tcp-active",
        "candidate:4095238048 1 tcp 1518214911 192.0.2.17 9 typ host tcptype active generation 0 ufrag QE3u",
        0,
    ),
    ("host-tcp-passive", "candidate:1 1 TCP 1518149375 192.0.2.1 443 typ host tcptype passive", 0),
    ("host-tcp-so", "candidate:1 1 tcp 1518083839 192.0.2.1 443 typ host tcptype so", 0),
    (
        "srflx-hidden-base",
        "candidate:842163049 1 udp 1677729535 203.0.113.9 46154 typ srflx raddr 0.0.0.0 rport 0 ufrag Wb+/",
        255,
    ),
    ("prflx", "candidate:7 2 udp 1845494271 203.0.113.9 46154 typ prflx raddr 192.0.2.17 rport 9", 3),
    ("relay", RELAY, 1),
    (
        "relay-of-another-family",
        "candidate:5 1 udp 25108223 198.51.100.7 1 typ relay raddr 2001:db8::1:0:0:1 rport 65535",
        0,
    ),
    ("host-name", "candidate:Ab+/9 15 udp 4294967295 turn-1.example.org 0 typ host", 0),
    ("host-name-related", "candidate:1 1 udp 1 a.example 1 typ srflx raddr b_2.example rport 1 ufrag ABCDEFGH", 0),
    ("ipv6-shortened-anew", "a=candidate:1 1 UDP 1 2001:DB8:0:0:1:0:0:0 1 typ host", 0),
    ("ipv6-mapped", "candidate:1 1 udp 1 ::ffff:192.0.2.1 1 typ host", 0),
    ("ipv6-unspecified", "candidate:1 1 udp 1 :: 1 typ host", 0),
    ("extensions-dropped", "candidate:1 1 udp 1 192.0.2.1 1 typ host network-id 3 future thing ufrag abcd", 0),
    ("our-own-line", "candidate:1 1 udp 1 192.0.2.1 1 typ host mline 9", 0),
)
_REFUSED_ATTRIBUTES: tuple[tuple[str, str], ...] = (
    ("empty", ""),
    ("no-candidate", "end-of-candidates"),
    ("no-type", "candidate:1 1 udp 1 192.0.2.1 1"),
    ("no-typ", "candidate:1 1 udp 1 192.0.2.1 1 type host"),
    ("type-unknown", "candidate:1 1 udp 1 192.0.2.1 1 typ local"),
    ("transport-unknown", "candidate:1 1 ssltcp 1 192.0.2.1 1 typ host"),
    ("foundation-empty", "candidate: 1 udp 1 192.0.2.1 1 typ host"),
    ("foundation-of-other-characters", "candidate:1_2 1 udp 1 192.0.2.1 1 typ host"),
    ("foundation-too-long", f"candidate:{'f' * 33} 1 udp 1 192.0.2.1 1 typ host"),
    ("component-zero", "candidate:1 0 udp 1 192.0.2.1 1 typ host"),
    ("component-too-large", "candidate:1 16 udp 1 192.0.2.1 1 typ host"),
    ("priority-no-number", "candidate:1 1 udp x 192.0.2.1 1 typ host"),
    ("priority-too-large", "candidate:1 1 udp 4294967296 192.0.2.1 1 typ host"),
    ("priority-negative", "candidate:1 1 udp -1 192.0.2.1 1 typ host"),
    ("port-too-large", "candidate:1 1 udp 1 192.0.2.1 65536 typ host"),
    ("ipv4-out-of-range", "candidate:1 1 udp 1 192.0.2.256 1 typ host"),
    ("ipv4-with-leading-zero", "candidate:1 1 udp 1 192.0.2.01 1 typ host"),
    ("ipv6-two-gaps", "candidate:1 1 udp 1 2001::1::1 1 typ host"),
    ("ipv6-too-long", "candidate:1 1 udp 1 1:2:3:4:5:6:7:8:9 1 typ host"),
    ("ipv6-group-too-long", "candidate:1 1 udp 1 2001:00db8::1 1 typ host"),
    ("ipv6-with-zone", "candidate:1 1 udp 1 fe80::1%eth0 1 typ host"),
    ("host-name-of-other-characters", "candidate:1 1 udp 1 exämple.org 1 typ host"),
    ("host-name-too-long", f"candidate:1 1 udp 1 {'n' * 256} 1 typ host"),
    ("related-without-port", "candidate:1 1 udp 1 192.0.2.1 1 typ srflx raddr 192.0.2.2"),
    ("related-no-address", "candidate:1 1 udp 1 192.0.2.1 1 typ srflx raddr 192.0.2 rport 1"),
    ("related-port-too-large", "candidate:1 1 udp 1 192.0.2.1 1 typ srflx raddr 192.0.2.2 rport 65536"),
    ("tcp-without-tcptype", "candidate:1 1 tcp 1 192.0.2.1 1 typ host"),
    ("tcptype-unknown", "candidate:1 1 tcp 1 192.0.2.1 1 typ host tcptype both"),
    ("udp-with-tcptype", "candidate:1 1 udp 1 192.0.2.1 1 typ host tcptype active"),
    ("ufrag-too-short", "candidate:1 1 udp 1 192.0.2.1 1 typ host ufrag abc"),
    ("ufrag-of-other-characters", "candidate:1 1 udp 1 192.0.2.1 1 typ host ufrag ab:d"),
    ("line-too-large", "candidate:1 1 udp 1 192.0.2.1 1 typ host mline 256"),
    ("extension-without-value", "candidate:1 1 udp 1 192.0.2.1 1 typ host ufrag"),
    ("two-spaces", "candidate:1 1 udp 1 192.0.2.1  1 typ host"),
    ("too-long", "candidate:1 1 udp 1 192.0.2.1 1 typ host x " + "y" * 2048),
)


def packed(attribute: str, line: int = 0) -> bytes:
    """A candidate-attribute as a frame carries it."""
    return candidates.pack(candidates.parse(attribute, line=line))


_GOOD = packed(HOST)
_REFUSED_CANDIDATES: tuple[tuple[str, bytes], ...] = (
    ("empty", b""),
    ("head-alone", _GOOD[:1]),
    ("later-version", bytes([_GOOD[0] | 64]) + _GOOD[1:]),
    ("component-zero", _GOOD[:1] + b"\x00" + _GOOD[2:]),
    ("tcptype-with-udp", _GOOD[:1] + b"\x11" + _GOOD[2:]),
    ("tcptype-unknown", bytes([_GOOD[0] | 32]) + b"\x14" + _GOOD[2:]),
    ("tcp-without-tcptype", bytes([_GOOD[0] | 32]) + _GOOD[1:]),
    ("incomplete", _GOOD[:-1]),
    ("bytes-after-its-end", _GOOD + b"\x00"),
    ("foundation-empty", _GOOD[:13] + b"\x00\x00"),
    ("foundation-too-long", _GOOD[:13] + b"\x21" + b"f" * 33 + b"\x00"),
    ("foundation-not-ascii", _GOOD[:13] + b"\x01\xff\x00"),
    ("ufrag-too-short", _GOOD[:13] + b"\x01f\x03abc"),
    ("name-empty", bytes([_GOOD[0] | 6]) + _GOOD[1:9] + b"\x00\x01f\x00"),
    ("name-that-is-an-address", bytes([_GOOD[0] | 6]) + _GOOD[1:9] + b"\x07192.0.2\x01f\x00"),
    ("name-that-is-ipv4", bytes([_GOOD[0] | 6]) + _GOOD[1:9] + b"\x071.2.3.4\x01f\x00"),
    ("name-with-spaces", bytes([_GOOD[0] | 6]) + _GOOD[1:9] + b"\x03a b\x01f\x00"),
    ("related-kind-unknown", bytes([_GOOD[0] | 1]) + _GOOD[1:13] + b"\x04\x01\x02\x03\x04\x00\x01\x01f\x00"),
)


SDP = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"
SDP_AUDIO = (
    "v=0\r\no=- 4611686018427387904 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n"
    "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=rtpmap:111 opus/48000/2\r\n"
    "a=fmtp:111 minptime=10;useinbandfec=1\r\na=ice-ufrag:En7D\r\na=ice-pwd:8IfbitX0JabYtda2NZZajcL1\r\n"
    "a=setup:actpass\r\na=mid:0\r\na=sendonly\r\na=rtcp-mux\r\n"
)
# The bytes stand here, because two builds of zlib may choose different ones for the same text.
SDP_AUDIO_COMPRESSED = bytes.fromhex(
    "01830ffe9898010b100b3303430b132373630b734b608d4fea781099cbc7a83905e69a67ee82dccfb4f04c4bca2c8930f04a4c8a2c494934"
    "f28b8a4acc4af631c43fc4837d290400"
)
_SDP_TEXTS: tuple[tuple[str, str, str], ...] = (
    ("minimal", SDP, "01830ffe18e29eb4838efe0000"),
    ("audio", SDP_AUDIO, SDP_AUDIO_COMPRESSED.hex()),
    ("stored", SDP, "01012b00d4ff" + SDP.encode().hex()),
    ("nothing-of-the-dictionary", "§ ✓ 👩‍👩‍👧 !" * 3, "013bb45ce1d19cc90a1fe64f5cf9a8a117412d5750244f0a00"),
    (
        "as-long-as-allowed",
        "0123456789abcdef" * 2048,
        f"01edc7c901c0100000b0955cd51a8762ff110c22f925c494cb53dfaff5f1cfb5{'d' * 126}6ffc01",
    ),
)
_REFUSED_SDP: tuple[tuple[str, str], ...] = (
    ("empty", ""),
    ("version-alone", "01"),
    ("version-zero", "00030f00"),
    ("version-unknown", "02830ffe18e29eb4838efe0000"),
    ("not-deflate", "01" + "ff" * 20),
    ("truncated", SDP_AUDIO_COMPRESSED[:-4].hex()),
    ("no-text", "010300"),
    ("not-utf-8", "01030ffe14dbfee7e50200"),
    # 32,769 times x, and 200,000 times.
    ("one-character-too-many", f"01edc101010000008090dbcdef0802{'0' * 62}6a"),
    ("bomb", f"01edc13101000000c2a0dac65f067f6{'0' * 387}c02d"),
)


def candidate_vectors() -> dict[str, list[dict[str, Any]]]:
    """ICE candidates, good and bad, packed and as attributes."""
    return {
        "accepted": [_candidate(name, attribute, line) for name, attribute, line in ATTRIBUTES],
        "refused": [{"name": name, "hex": data.hex()} for name, data in _REFUSED_CANDIDATES],
        "refused_attributes": [{"name": name, "attribute": text} for name, text in _REFUSED_ATTRIBUTES],
    }


def sdp_vectors() -> dict[str, list[dict[str, Any]]]:
    """Compressed SDP, good and bad."""
    return {
        "accepted": [{"name": name, "hex": data, "text": text} for name, text, data in _SDP_TEXTS],
        "refused": [{"name": name, "hex": data} for name, data in _REFUSED_SDP],
    }


def _candidate(name: str, attribute: str, line: int) -> dict[str, Any]:
    candidate = candidates.parse(attribute, line=line)
    return {
        "name": name,
        "attribute": attribute,
        "line": candidate.line,
        "hex": candidates.pack(candidate).hex(),
        "rebuilt": candidates.attribute(candidate),
    }
