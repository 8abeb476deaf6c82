"""Test vectors of the wire protocol: `python -m shared.protocol.vectors` writes vectors.json.

Every codec, in whichever language, decodes `hex` to `message` and encodes `message` to `hex`; `json` is the same frame
of the JSON twin. A frame in `refused` must be answered with the given error code, and in `tolerated` be read as
`message` though it holds more. `candidates` are packed ICE candidates with the attribute that they are made of and the
one that comes back, `sdp` are compressed descriptions with their text; both with what a reader must refuse.
"""

import json
import re
from pathlib import Path
from typing import Any

import msgspec

from shared.protocol import messages as m
from shared.protocol.codec import JsonCodec
from shared.protocol.errors import ErrorCode
from shared.protocol.vectors_media import (
    ATTRIBUTES,
    HOST,
    RELAY,
    SDP,
    SDP_AUDIO_COMPRESSED,
    candidate_vectors,
    packed,
    sdp_vectors,
)

PATH = Path(__file__).with_name("vectors.json")

_SESSION = "w1-abcdefghijklmnopqrstuv"
_T0 = 1_795_352_400_000_000
_CLIENT: tuple[tuple[str, m.ClientMessage], ...] = (
    ("join-fresh", m.Join("header.payload.signature")),
    ("join-resume", m.Join("header.payload.signature", "9f8e7d6c5b4a3f2e", _T0)),
    ("ping", m.Ping(7)),
    ("chat", m.Chat(9_007_199_254_740_991, "hello")),
    ("chat-unicode", m.Chat(1, "né ✓ 👩‍👩‍👧 שלום")),
    ("publish", m.Publish(1, SDP)),
    ("publish-instead-of", m.Publish(1, SDP, _SESSION)),
    ("subscribe", m.Subscribe(2)),
    ("subscribe-instead-of", m.Subscribe(2, _SESSION)),
    ("accept", m.Accept(3, _SESSION, SDP)),
    ("hangup", m.Hangup(4, _SESSION)),
    ("publish-compressed", m.Publish(5, SDP_AUDIO_COMPRESSED)),
    ("accept-compressed", m.Accept(6, _SESSION, SDP_AUDIO_COMPRESSED)),
    ("candidate", m.Candidate(_SESSION, packed(HOST))),
    ("candidate-on-another-line", m.Candidate(_SESSION, packed(RELAY, 1))),
    ("candidate-end", m.Candidate(_SESSION, b"")),
    (
        "candidates",
        m.Candidates(_SESSION, [packed(attribute, line) for _, attribute, line in ATTRIBUTES[:3]] + [b""]),
    ),
    ("react", m.React("👍", 20)),
    ("typing", m.Typing()),
    ("gift", m.Gift(9_007_199_254_740_991, "golden_rose-2", 1000)),
    ("moderate-delete", m.Moderate(7, m.ModerationAction.DELETE, None, _T0)),
    ("moderate-time-out", m.Moderate(8, m.ModerationAction.TIME_OUT, "p2", None, 600)),
    ("moderate-ban", m.Moderate(9, m.ModerationAction.BAN, "p2")),
    ("moderate-lift", m.Moderate(10, m.ModerationAction.LIFT, "p2")),
    ("configure", m.Configure(11, "Late night synths", "music", 30, True, False, ["spam", "b: is no base64"])),
    ("configure-one", m.Configure(12, slow_mode_s=0)),
    ("configure-cleared", m.Configure(13, category="", blocked_terms=[])),
    ("admit-one", m.Admit(14, "p3", True)),
    ("admit-nobody", m.Admit(15, None, False)),
    ("people", m.People(16)),
    ("playback", m.Playback(2, 2480, 30, 1, 17)),
    ("quality-auto", m.Quality(17, _SESSION, m.QualityMode.AUTO)),
    ("quality-layer", m.Quality(18, _SESSION, m.QualityMode.LAYER, "h")),
    ("quality-audio-only", m.Quality(19, _SESSION, m.QualityMode.AUDIO_ONLY)),
    ("quality-paused", m.Quality(20, _SESSION, m.QualityMode.PAUSED)),
    ("viewport", m.Viewport(_SESSION, 1440)),
    ("viewport-unknown", m.Viewport(_SESSION, 0)),
    ("restart", m.Restart(21, _SESSION, "QE3u", "b3RoZXIgcGFzc3dvcmQrLw92")),
)
_SERVER: tuple[tuple[str, m.ServerMessage], ...] = (
    ("welcome", m.Welcome("c1", "p1", "Ana", "viewer", "9f8e7d6c5b4a3f2e", _T0, True, 3, 20_000, "function-1")),
    ("pong", m.Pong(7)),
    ("sent", m.Sent(9_007_199_254_740_991, _T0)),
    ("gap", m.Gap("trimmed", "9f8e7d6c5b4a3f2e", _T0)),
    ("error", m.Error(ErrorCode.RATE_LIMITED, "too fast", 17, 400)),
    ("error-bare", m.Error(ErrorCode.MALFORMED, "not a MessagePack array")),
    ("offer", m.Offer(2, _SESSION, SDP)),
    ("answer", m.Answer(1, _SESSION, SDP)),
    ("viewers", m.Viewers(1234)),
    ("done", m.Done(3)),
    ("move", m.Move(1500)),
    ("offer-compressed", m.Offer(2, _SESSION, SDP_AUDIO_COMPRESSED)),
    ("answer-compressed", m.Answer(1, _SESSION, SDP_AUDIO_COMPRESSED)),
    ("error-slow-mode", m.Error(ErrorCode.SLOW_MODE, "slow mode", 17, 29_000)),
    ("reactions", m.Reactions([m.ReactionCount("👍", 250), m.ReactionCount("🎉", 3)])),
    ("typing-notice", m.TypingNotice(["Ana", "Bo", "שלום"], 7)),
    ("stats", m.Stats(2480, 30, 1312, 5120, 48_211)),
    ("waiting", m.Waiting(3)),
    ("knocks", m.Knocks([m.Knock("p3", "Cy"), m.Knock("p4", "Di")], 12)),
    ("knocks-none", m.Knocks([], 0)),
    (
        "quality-notice",
        m.QualityNotice(
            _SESSION,
            "h",
            360,
            m.QualityReason.VIEWPORT,
            [m.LayerQuality("q", 180, 150), m.LayerQuality("h", 360, 600), m.LayerQuality("f", 0, 2500)],
        ),
    ),
    (
        "quality-notice-sound-alone",
        m.QualityNotice(_SESSION, None, 0, m.QualityReason.NETWORK, [m.LayerQuality("q", 180, 150)]),
    ),
    ("quality-notice-nothing-yet", m.QualityNotice(_SESSION, None, 0, m.QualityReason.BEST, [])),
    ("restarted", m.Restarted(21, "kX7c", "c29tZSBvdGhlciBwYXNzd29yZA")),
    ("relocate", m.Relocate(_SESSION)),
    ("people-list", m.PeopleList(16, 1204, [m.Person("p1", "Ana", "streamer"), m.Person("p2", "Bo", "viewer")])),
)
_EVENTS: tuple[tuple[str, list[tuple[int, m.Event]]], ...] = (
    ("events-chat", [(_T0, m.ChatEvent("p1", "Ana", 42, "hello"))]),
    (
        "events-batch",
        [
            (_T0, m.StreamStarted(_SESSION, "Ana")),
            (_T0 + 1, m.ChatEvent("p2", "Bo", 43, "hi")),
            (_T0 + 5_000_000, m.StreamEnded(_SESSION, "left")),
        ],
    ),
    (
        "events-of-every-type",
        [
            (_T0, m.ChatEvent("p2", "Bo", 43, "b:aGk")),
            (_T0 + 1, m.StreamStarted(_SESSION, "Ana", "w2-Zk3JrT8vQx1mNb5yHc7LpA")),
            (_T0 + 2, m.StreamEnded(_SESSION, "drained")),
            (_T0 + 3, m.GiftEvent("p2", "Bo", 9_007_199_254_740_991, "rose", 12)),
            (_T0 + 4, m.Deleted(_T0)),
            (_T0 + 5, m.Sanction("p2", m.ModerationAction.TIME_OUT, 1_795_352_460_000)),
            (_T0 + 6, m.Sanction("p2", m.ModerationAction.BAN, 0)),
            (_T0 + 7, m.Sanction("p2", m.ModerationAction.LIFT, 0)),
            (_T0 + 8, m.SettingsChanged("Late night synths", "music", 30, True)),
        ],
    ),
)
_REFUSED: tuple[tuple[str, bytes, ErrorCode], ...] = (
    ("empty", b"", ErrorCode.MALFORMED),
    ("not-an-array", msgspec.msgpack.encode({"kind": 3}), ErrorCode.MALFORMED),
    ("empty-array", msgspec.msgpack.encode([]), ErrorCode.MALFORMED),
    ("kind-not-a-number", msgspec.msgpack.encode(["chat", 1, "x"]), ErrorCode.MALFORMED),
    ("kind-unknown", msgspec.msgpack.encode([32, 1]), ErrorCode.KIND_UNKNOWN),
    ("kind-of-the-server", msgspec.msgpack.encode([34, 1]), ErrorCode.KIND_UNKNOWN),
    ("field-missing", msgspec.msgpack.encode([3, 1]), ErrorCode.MALFORMED),
    ("field-of-wrong-type", msgspec.msgpack.encode([3, 1, 2]), ErrorCode.MALFORMED),
    ("number-negative", msgspec.msgpack.encode([2, -1]), ErrorCode.MALFORMED),
    ("number-over-53-bits", msgspec.msgpack.encode([2, 2**53]), ErrorCode.MALFORMED),
    ("text-not-utf-8", b"\x93\x03\x01\xa2\xff\xfe", ErrorCode.MALFORMED),
    ("truncated", m.encode(m.Chat(1, "hello"))[:-2], ErrorCode.MALFORMED),
    ("trailing-bytes", m.encode(m.Ping(1)) + b"\x00", ErrorCode.MALFORMED),
    ("nested-too-deep", b"\x91" * 1100 + b"\x01", ErrorCode.MALFORMED),
    *(
        (name, msgspec.msgpack.encode(elements), ErrorCode.MALFORMED)
        for name, elements in (
            ("sdp-of-wrong-type", [4, 1, 7]),
            ("sdp-empty", [4, 1, b""]),
            ("sdp-too-long", [4, 1, "x" * 32_769]),
            ("candidate-no-bin", [8, "s1", HOST]),
            ("candidate-too-long", [8, "s1", b"x" * 814]),
            ("candidates-none", [9, "s1", []]),
            ("candidates-too-many", [9, "s1", [b""] * 33]),
            ("reaction-empty", [10, "", 1]),
            ("reaction-of-17-bytes", [10, "seventeen bytes!!", 1]),
            ("reaction-of-16-characters-but-more-bytes", [10, "é" * 16, 1]),
            ("reaction-count-zero", [10, "x", 0]),
            ("reaction-count-too-large", [10, "x", 21]),
            ("gift-of-other-characters", [12, 1, "Rose", 1]),
            ("gift-with-newline", [12, 1, "rose\n", 1]),
            ("gift-too-long", [12, 1, "r" * 33, 1]),
            ("gift-none", [12, 1, "rose", 0]),
            ("gift-too-many", [12, 1, "rose", 1001]),
            ("moderate-unknown-action", [13, 1, 5, "p2", None, None]),
            ("moderate-delete-without-offset", [13, 1, 1, "p2", None, None]),
            ("moderate-time-out-without-participant", [13, 1, 2, None, None, 60]),
            ("moderate-time-out-without-seconds", [13, 1, 2, "p2", None, None]),
            ("moderate-ban-without-participant", [13, 1, 3, None, None, None]),
            ("configure-title-empty", [14, 1, ""]),
            ("configure-title-too-long", [14, 1, "t" * 101]),
            ("configure-slow-mode-too-long", [14, 1, None, None, 601]),
            ("configure-blocked-terms-too-many", [14, 1, None, None, None, None, None, ["x"] * 101]),
            ("configure-blocked-term-empty", [14, 1, None, None, None, None, None, [""]]),
            ("admit-without-verdict", [15, 1, None]),
            ("playback-negative", [17, 0, -1, 0, 0, 0]),
            ("quality-unknown-mode", [18, 1, "s1", 4, None]),
            ("quality-layer-without-its-name", [18, 1, "s1", 1, None]),
            ("quality-layer-empty", [18, 1, "s1", 1, ""]),
            ("quality-layer-too-long", [18, 1, "s1", 1, "l" * 17]),
            ("quality-without-session", [18, 1, "", 0, None]),
            ("viewport-too-tall", [19, "s1", 65_536]),
            ("viewport-negative", [19, "s1", -1]),
            ("restart-ufrag-too-short", [20, 1, "s1", "abc", "p" * 22]),
            ("restart-ufrag-of-other-characters", [20, 1, "s1", "ab-d", "p" * 22]),
            ("restart-password-too-short", [20, 1, "s1", "abcd", "p" * 21]),
            ("restart-password-with-newline", [20, 1, "s1", "abcd", "p" * 22 + "\n"]),
            ("restart-password-too-long", [20, 1, "s1", "abcd", "p" * 257]),
        )
    ),
)


_REFUSED_JSON: tuple[tuple[str, str, ErrorCode], ...] = (
    ("not-json", "[2,7", ErrorCode.MALFORMED),
    ("an-object", '{"kind":2,"nonce":7}', ErrorCode.MALFORMED),
    ("kind-unknown", "[32,1]", ErrorCode.KIND_UNKNOWN),
    ("number-with-a-point", "[2,7.0]", ErrorCode.MALFORMED),
    ("number-over-53-bits", "[2,9007199254740992]", ErrorCode.MALFORMED),
    ("half-a-surrogate-pair", '[3,1,"\\ud83d"]', ErrorCode.MALFORMED),
    ("two-values", "[2,7][2,8]", ErrorCode.MALFORMED),
    ("candidate-no-attribute", '[8,"s1","b:AAAA"]', ErrorCode.MALFORMED),
    ("candidates-no-array", f'[9,"s1","{HOST}"]', ErrorCode.MALFORMED),
)

_json = JsonCodec()


def describe(message: m.Message) -> dict[str, Any]:
    """A message as JSON: `type` and its fields by name."""
    return {"type": kind_name(type(message)), **_fields(message)}


def _fields(message: m.Message) -> dict[str, Any]:
    fields = {name: _described(getattr(message, name)) for name in message.__struct_fields__}
    if isinstance(message, m.Events):
        fields["events"] = [[delta, describe(m.decode_event(event))] for delta, event in message.events]
    return fields


def _described(value: object) -> object:
    match value:
        case bytes():
            return {"hex": value.hex()}
        case list():
            return [_described(item) for item in value]
        case m.Message():
            return _fields(value)
        case _:
            return value


def kind_name(cls: type) -> str:
    """`StreamStarted` is `stream_started`; `ChatEvent` is `chat`: what is an event shows by where it stands."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower().removesuffix("_event")


def build() -> dict[str, Any]:
    """All vectors."""
    messages: list[tuple[str, str, m.ClientMessage | m.ServerMessage]] = [
        *(("client", name, message) for name, message in _CLIENT),
        *(("server", name, message) for name, message in _SERVER),
    ]
    for name, entries in _EVENTS:
        frame = m.events_frame([(offset, m.encode(event)) for offset, event in entries])
        messages.append(("server", name, m.decode_server(frame)))
    longer = msgspec.msgpack.encode([2, 7, "a field of a later version"])
    shorter = msgspec.msgpack.encode([1, "header.payload.signature"])
    nested = msgspec.msgpack.encode([44, [["👍", 3, "later"]], "later"])
    return {
        "accepted": [_vector(name, direction, m.encode(message), message) for direction, name, message in messages],
        "tolerated": [
            _vector("ping-with-later-field", "client", longer, m.Ping(7)),
            _vector("join-without-position", "client", shorter, m.Join("header.payload.signature")),
            _vector("reactions-with-later-fields", "server", nested, m.Reactions([m.ReactionCount("👍", 3)])),
        ],
        "refused": [{"name": name, "hex": frame.hex(), "code": int(code)} for name, frame, code in _REFUSED],
        "refused_json": [{"name": name, "json": text, "code": int(code)} for name, text, code in _REFUSED_JSON],
        "candidates": candidate_vectors(),
        "sdp": sdp_vectors(),
    }


def _vector(name: str, direction: str, frame: bytes, message: m.ClientMessage | m.ServerMessage) -> dict[str, Any]:
    # The JSON twin encodes both directions in one way.
    text = _json.encode_server(message)  # type: ignore[arg-type]
    return {"name": name, "direction": direction, "hex": frame.hex(), "json": text, "message": describe(message)}


def render() -> str:
    """The contents of vectors.json."""
    return json.dumps(build(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    PATH.write_text(render(), encoding="utf-8")
