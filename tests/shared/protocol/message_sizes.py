"""Bytes of every kind of message beside compact JSON: `python -m tests.shared.protocol.message_sizes` writes the page.

The JSON is what a room server without our binding at join would send: an object without spaces, with the usual field
names, the same ids and numbers as ours, the room and the sender in every message, and for WebRTC the very objects that
a browser's `toJSON` gives. Descriptions and candidates are Chromium's and our SFU's own, from corpus/measured and
corpus/candidates.json, of which none was used for the SDP dictionary.
"""

import json
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from shared.protocol import candidates, sdp
from shared.protocol import messages as m
from shared.protocol.codec import JsonCodec
from shared.protocol.errors import ErrorCode
from shared.stack import paths

PAGE = paths.ROOT / "docs" / "message-sizes.md"
_CORPUS = Path(__file__).with_name("corpus")

_ROOM = "k7m2qx9btc"
_ME = "p3f9c01d2a47be865"
_OTHER = "p90ab12cd34ef5678"
_SESSION = "w1-Xk29sLq0PzTn4WmB7cYeRd"
_EPOCH = "9f8e7d6c5b4a3f2e"
_T0 = 1_795_352_400_000_000
_KEY = 5_218_820_417_356_293
_TOKEN = "eyJ" + "x" * 372  # As long as a room token of ours.
_TEXT = "that last drop was unreal, play it again!"

_json_codec = JsonCodec()


class Sample(msgspec.Struct, frozen=True):
    """One message in three encodings, in bytes."""

    ours: int
    twin: int
    json: int


class Row(msgspec.Struct, frozen=True):
    """A line of the table: means over the samples."""

    kind: int
    name: str
    samples: tuple[Sample, ...]

    def mean(self, encoding: str) -> float:
        """Mean bytes in `ours`, `twin` or `json`."""
        sizes: list[int] = [getattr(sample, encoding) for sample in self.samples]
        return sum(sizes) / len(sizes)

    @property
    def smaller(self) -> float:
        """By how much of the JSON's bytes ours is smaller."""
        return 1 - self.mean("ours") / self.mean("json")


def _sample(message: m.ClientMessage | m.ServerMessage, equivalent: dict[str, Any]) -> Sample:
    text = _json_codec.encode_server(message)  # type: ignore[arg-type] # one way for both directions
    compact = json.dumps(equivalent, separators=(",", ":"), ensure_ascii=False)
    return Sample(len(m.encode(message)), len(text.encode()), len(compact.encode()))


def _row(name: str, message: m.ClientMessage | m.ServerMessage, equivalent: dict[str, Any]) -> Row:
    return Row(type(message).__struct_config__.tag, name, (_sample(message, equivalent),))  # type: ignore[arg-type]


def _sent(kind: str, **fields: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    return {"type": kind, "room": _ROOM, "sender": _ME, **fields}


def _told(kind: str, **fields: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    return {"type": kind, "room": _ROOM, **fields}


def _event(offset: int, event: m.Event) -> dict[str, Any]:
    names = {"message_id": "messageId", "until_ms": "until", "slow_mode_s": "slowMode", "waiting_room": "waitingRoom"}
    fields = {names.get(name, name): getattr(event, name) for name in event.__struct_fields__}
    # The event's own offset is the position; the one it names has another name.
    if isinstance(event, m.Deleted):
        fields = {"messageOffset": event.offset}
    kinds = {m.ChatEvent: "chat", m.StreamStarted: "stream-started", m.StreamEnded: "stream-ended"}
    kind = kinds.get(type(event), type(event).__name__.lower())
    return {"type": kind, "offset": offset, **fields}


def _events(name: str, events: Sequence[m.Event], step_us: int = 4_000) -> Row:
    entries = [(_T0 + index * step_us, event) for index, event in enumerate(events)]
    frame = m.decode_server(m.events_frame([(offset, m.encode(event)) for offset, event in entries]))
    told = [_event(offset, event) for offset, event in entries]
    # Even the JSON names the room once for all of a batch.
    return _row(name, frame, {**told[0], "room": _ROOM} if len(told) == 1 else _told("events", events=told))


def _chats(count: int) -> list[m.Event]:
    texts = (_TEXT, "hi from Lisbon", "😂😂😂", "what synth is that?", "first time here, this is great")
    names = ("Ana", "night_owl", "Bo", "Mme Tremblay")
    return [
        m.ChatEvent(f"p{0x90AB12CD34EF0000 + 7919 * i:x}", names[i % 4], _KEY + 104_729 * i, texts[i % 5])
        for i in range(count)
    ]


def _descriptions(pattern: str) -> list[tuple[str, str]]:
    return [(path.stem, path.read_bytes().decode()) for path in sorted((_CORPUS / "measured").glob(f"*-{pattern}.sdp"))]


def _description_row(
    name: str, pattern: str, message: Callable[[bytes], m.ClientMessage | m.ServerMessage], equivalent: dict[str, Any]
) -> Row:
    kind = pattern.rpartition("-")[2]
    samples = []
    for _, text in _descriptions(pattern):
        described = equivalent | {"description": {"type": kind, "sdp": text}}
        samples.append(_sample(message(sdp.compress(text)), described))
    sample = message(b"--")
    return Row(type(sample).__struct_config__.tag, name, tuple(samples))  # type: ignore[arg-type]


def _captured() -> list[tuple[bytes, dict[str, Any]]]:
    """Chromium's candidates: packed, and as `RTCIceCandidate.toJSON` gives them."""
    rows = json.loads((_CORPUS / "candidates.json").read_text(encoding="utf-8"))
    found = []
    for row in rows:
        candidate = candidates.parse(row["candidate"], line=row["line"])
        described = {
            "candidate": row["candidate"],
            "sdpMid": str(row["line"]),
            "sdpMLineIndex": row["line"],
            "usernameFragment": candidate.ufrag,
        }
        found.append((candidates.pack(candidate), described))
    return found


def signaling() -> list[Row]:
    """Offers, answers and candidates."""
    captured = _captured()
    one = tuple(
        _sample(m.Candidate(_SESSION, packed), _sent("candidate", sessionId=_SESSION, candidate=described))
        for packed, described in captured
    )
    batch = _row(
        f"candidates: a batch of {len(captured)}",
        m.Candidates(_SESSION, [packed for packed, _ in captured]),
        _sent("candidates", sessionId=_SESSION, candidates=[described for _, described in captured]),
    )
    publish = _sent("offer", requestId=1)
    answer = _told("answer", requestId=1, sessionId=_SESSION)
    offer = _told("offer", requestId=2, sessionId=_SESSION)
    accept = _sent("answer", requestId=3, sessionId=_SESSION)
    return [
        _description_row("publish: a browser's offer", "publish-offer", lambda packed: m.Publish(1, packed), publish),
        _description_row(
            "answer: the SFU's to a publisher", "publish-answer", lambda packed: m.Answer(1, _SESSION, packed), answer
        ),
        _description_row(
            "offer: the SFU's to a viewer", "watch-offer", lambda packed: m.Offer(2, _SESSION, packed), offer
        ),
        _description_row(
            "accept: a browser's answer", "watch-answer", lambda packed: m.Accept(3, _SESSION, packed), accept
        ),
        Row(8, "candidate", one),
        batch,
    ]


def room() -> list[Row]:
    """All other kinds."""
    moderate = m.Moderate(7, m.ModerationAction.TIME_OUT, _OTHER, None, 600)
    settings = {"title": "Late night synths", "category": "music", "slowMode": 30, "waitingRoom": False}
    people = [m.Person(f"p{0x90AB12CD34EF0000 + 7919 * i:x}", f"viewer {i}", "viewer") for i in range(50)]
    welcome = m.Welcome("a1b2c3d4e5f6", _ME, "Ana", "viewer", _EPOCH, _T0, True, 1312, 20_000, "function-1")
    return [
        _row("join", m.Join(_TOKEN), _told("join", token=_TOKEN)),
        _row("ping", m.Ping(7), _sent("ping", nonce=7)),
        _row("chat", m.Chat(_KEY, _TEXT), _sent("chat", messageId=_KEY, text=_TEXT)),
        _row("subscribe", m.Subscribe(2), _sent("subscribe", requestId=2)),
        _row("hangup", m.Hangup(4, _SESSION), _sent("hangup", requestId=4, sessionId=_SESSION)),
        _row("react", m.React("👍", 3), _sent("reaction", reaction="👍", count=3)),
        _row("typing", m.Typing(), _sent("typing")),
        _row("gift", m.Gift(_KEY, "rose", 12), _sent("gift", key=_KEY, gift="rose", quantity=12)),
        _row(
            "moderate: a time-out",
            moderate,
            _sent("moderate", requestId=7, action="timeout", participant=_OTHER, seconds=600),
        ),
        _row(
            "configure",
            m.Configure(8, "Late night synths", "music", 30, False),
            _sent("configure", requestId=8, **settings),
        ),
        _row("admit", m.Admit(9, _OTHER, True), _sent("admit", requestId=9, participant=_OTHER, accept=True)),
        _row("people", m.People(10), _sent("people", requestId=10)),
        _row(
            "playback",
            m.Playback(2, 2480, 30, 1, 17),
            _sent("playback", layer=2, bitrateKbps=2480, fps=30, freezes=1, packetsLost=17),
        ),
        _row(
            "quality: a layer",
            m.Quality(17, _SESSION, m.QualityMode.LAYER, "h"),
            _sent("quality", requestId=17, sessionId=_SESSION, mode="layer", layer="h"),
        ),
        _row("viewport", m.Viewport(_SESSION, 720), _sent("viewport", sessionId=_SESSION, height=720)),
        _row(
            "restart",
            m.Restart(18, _SESSION, "QE3u", "b3RoZXIgcGFzc3dvcmQrLw92"),
            _sent(
                "restart",
                requestId=18,
                sessionId=_SESSION,
                usernameFragment="QE3u",
                password="b3RoZXIgcGFzc3dvcmQrLw92",
            ),
        ),
        _row(
            "welcome",
            welcome,
            _told(
                "welcome",
                connectionId=welcome.connection,
                participant=_ME,
                name="Ana",
                role="viewer",
                epoch=_EPOCH,
                offset=_T0,
                live=True,
                viewers=1312,
                pingInterval=20_000,
                instance="function-1",
            ),
        ),
        _row("pong", m.Pong(7), _told("pong", nonce=7)),
        _row("sent", m.Sent(_KEY, _T0), _told("sent", messageId=_KEY, offset=_T0)),
        _row("gap", m.Gap("trimmed", _EPOCH, _T0), _told("gap", reason="trimmed", epoch=_EPOCH, offset=_T0)),
        _row(
            "error",
            m.Error(ErrorCode.RATE_LIMITED, "too fast", _KEY, 400),
            _told("error", code="rate_limited", message="too fast", reference=_KEY, retryAfterMs=400),
        ),
        _row("viewers", m.Viewers(1312), _told("viewers", count=1312)),
        _row("done", m.Done(3), _told("done", requestId=3)),
        _row("move", m.Move(1500), _told("move", delayMs=1500)),
        _row(
            "reactions: three kinds",
            m.Reactions([m.ReactionCount("👍", 250), m.ReactionCount("🎉", 31), m.ReactionCount("😂", 7)]),
            _told(
                "reactions",
                reactions=[{"reaction": name, "count": count} for name, count in (("👍", 250), ("🎉", 31), ("😂", 7))],
            ),
        ),
        _row(
            "typing_notice",
            m.TypingNotice(["Ana", "Bo", "night_owl"], 7),
            _told("typing", names=["Ana", "Bo", "night_owl"], count=7),
        ),
        _row(
            "stats",
            m.Stats(2480, 30, 1312, 5120, 48_211),
            _told("stats", bitrateKbps=2480, fps=30, viewersPeak=1312, viewersTotal=5120, messages=48_211),
        ),
        _row("waiting", m.Waiting(3), _told("waiting", position=3)),
        _row(
            "knocks: one of one",
            m.Knocks([m.Knock(_OTHER, "Bo")], 1),
            _told("knocks", waiting=[{"participant": _OTHER, "name": "Bo"}], count=1),
        ),
        _row(
            "people_list: 50 of 1,204",
            m.PeopleList(10, 1204, people),
            _told(
                "people",
                requestId=10,
                total=1204,
                people=[{"participant": p.participant, "name": p.name, "role": p.role} for p in people],
            ),
        ),
        _row(
            "quality_notice: three layers",
            m.QualityNotice(
                _SESSION,
                "h",
                360,
                m.QualityReason.VIEWPORT,
                [m.LayerQuality("q", 180, 150), m.LayerQuality("h", 360, 600), m.LayerQuality("f", 720, 2500)],
            ),
            _told(
                "quality",
                sessionId=_SESSION,
                layer="h",
                height=360,
                why="viewport",
                layers=[
                    {"name": name, "height": height, "bitrateKbps": kbps}
                    for name, height, kbps in (("q", 180, 150), ("h", 360, 600), ("f", 720, 2500))
                ],
            ),
        ),
        _row(
            "restarted",
            m.Restarted(18, "kX7c", "c29tZSBvdGhlciBwYXNzd29yZA"),
            _told("restarted", requestId=18, usernameFragment="kX7c", password="c29tZSBvdGhlciBwYXNzd29yZA"),
        ),
        _row("relocate", m.Relocate(_SESSION), _told("relocate", sessionId=_SESSION)),
        _events("events: one chat", _chats(1)),
        _events("events: one stream_started", [m.StreamStarted(_SESSION, "Ana")]),
        _events("events: one stream_ended", [m.StreamEnded(_SESSION, "left")]),
        _events("events: one gift", [m.GiftEvent(_OTHER, "Bo", _KEY, "rose", 12)]),
        _events("events: one deleted", [m.Deleted(_T0 - 9_000_000)]),
        _events("events: one sanction", [m.Sanction(_OTHER, m.ModerationAction.TIME_OUT, 1_795_352_460_000)]),
        _events("events: one settings_changed", [m.SettingsChanged("Late night synths", "music", 30, False)]),
        _events("events: a batch of 10 chats", _chats(10)),
        _events("events: a batch of 100 chats", _chats(100)),
    ]


def _smaller(share: float) -> str:
    """Rounded down: 74.9 % is not 75 %."""
    return f"{int(share * 100)} %"


def _table(rows: Sequence[Row]) -> str:
    lines = [
        "| kind | message | JSON objects | JSON twin | `headrace.1` | smaller than JSON objects |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for row in rows:
        figures = " | ".join(f"{row.mean(encoding):,.0f}" for encoding in ("json", "twin", "ours"))
        lines.append(f"| {row.kind} | {row.name} | {figures} | {_smaller(row.smaller)} |")
    return "\n".join(lines)


def _description_table() -> str:
    lines = ["| description | text | deflated alone | with the dictionary | smaller |", "|---|---:|---:|---:|---:|"]
    for pattern in ("publish-offer", "publish-answer", "watch-offer", "watch-answer"):
        for name, text in _descriptions(pattern):
            ours = len(sdp.compress(text))
            share = _smaller(1 - ours / len(text))
            lines.append(
                f"| {name} | {len(text):,} | {len(zlib.compress(text.encode(), 9, -15)):,} | {ours:,} | {share} |"
            )
    return "\n".join(lines)


def rendered() -> str:
    """The page."""
    return f"""# Bytes per message

Generated by `task generate` from messages, descriptions and candidates as they really occur; a test compares this page
with the code. All figures are bytes of one WebSocket message's content, means where there are several samples.

*JSON objects* is what a server that binds nothing at join would send: compact JSON with the usual field names, room and
sender in each message (the room once in a batch), `RTCSessionDescription` and `RTCIceCandidate` as a browser's `toJSON`
gives them, the same ids and numbers. *JSON twin* is our own [`headrace.1+json`](../shared/protocol/SPEC.md), for eyes
and load scripts: the same arrays as text. No WebSocket compression (RFC 7692) is used on either side.

## Setting up media

{_table(signaling())}

Chromium's offers and answers and our SFU's, with VP8, H.264 and AV1, simulcast and not, with and without candidates in
them. None of them was used to make the dictionary:

{_description_table()}

What is left of a description is mostly what no dictionary can know: a fingerprint of 32 random bytes in hexadecimal,
user name fragment and password, session and stream ids. That is why short descriptions shrink less than long ones.

## Everything else

{_table(room())}

Where a message is mostly text that somebody wrote, or mostly random ids, there is less to save: names of fields are
gone, the text is not. `join` is nearly all token.
"""


if __name__ == "__main__":
    PAGE.write_text(rendered(), encoding="utf-8")
