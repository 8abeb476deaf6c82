"""Messages from client to server, in the order of their kinds: SPEC.md, section 3."""

from typing import Annotated

import msgspec

from shared.protocol.fields import (
    MAX_BLOCKED_TERMS,
    MAX_CANDIDATES,
    MAX_REACTION_BYTES,
    BlockedTerm,
    Category,
    GiftName,
    Height,
    IcePassword,
    IceUfrag,
    Id,
    LayerName,
    Message,
    ModerationAction,
    PackedCandidate,
    QualityMode,
    Reaction,
    Sdp,
    SlowMode,
    Title,
    Token,
    Uint,
    check_sdp,
)


class Join(Message, frozen=True, tag=1):
    """First frame: who, and from which position of the room log. `epoch` and `offset` come together or not at all."""

    token: Token
    epoch: Id | None = None
    offset: Uint | None = None


class Ping(Message, frozen=True, tag=2):
    """Answered with `Pong`."""

    nonce: Uint


class Chat(Message, frozen=True, tag=3):
    """A chat message; `message_id` is the sender's, and makes sending it again harmless."""

    message_id: Uint
    text: str


class Publish(Message, frozen=True, tag=4):
    """The publisher's SDP offer. Answered with `Answer`. `instead_of` is a session that this one takes the place of."""

    request: Uint
    sdp: Sdp
    instead_of: Id | None = None

    def __post_init__(self) -> None:
        """Check what msgspec cannot."""
        check_sdp(self.sdp)


class Subscribe(Message, frozen=True, tag=5):
    """Wish to watch. Answered with `Offer`. `instead_of` is a session whose worker is to go, or seems to be gone."""

    request: Uint
    instead_of: Id | None = None


class Accept(Message, frozen=True, tag=6):
    """The viewer's SDP answer to `Offer`. Answered with `Done`."""

    request: Uint
    session: Id
    sdp: Sdp

    def __post_init__(self) -> None:
        """Check what msgspec cannot."""
        check_sdp(self.sdp)


class Hangup(Message, frozen=True, tag=7):
    """End of a media session. Answered with `Done`."""

    request: Uint
    session: Id


class Candidate(Message, frozen=True, tag=8):
    """One ICE candidate of a media session, packed. No answer."""

    session: Id
    candidate: PackedCandidate


class Candidates(Message, frozen=True, tag=9):
    """Several ICE candidates of a media session, packed. No answer."""

    session: Id
    candidates: Annotated[list[PackedCandidate], msgspec.Meta(min_length=1, max_length=MAX_CANDIDATES)]


class React(Message, frozen=True, tag=10):
    """A reaction, `count` times since the last frame. No answer."""

    reaction: Reaction
    count: Annotated[int, msgspec.Meta(ge=1, le=20)]

    def __post_init__(self) -> None:
        """Bound what msgspec counts in characters in bytes."""
        if len(self.reaction.encode()) > MAX_REACTION_BYTES:
            raise ValueError(f"a reaction has at most {MAX_REACTION_BYTES} bytes")


class Typing(Message, frozen=True, tag=11):
    """This participant is typing. No answer."""


class Gift(Message, frozen=True, tag=12):
    """A gift. `key` is the sender's, random, and makes sending it again harmless. Answered with `Sent`."""

    key: Uint
    gift: GiftName
    quantity: Annotated[int, msgspec.Meta(ge=1, le=1000)]


class Moderate(Message, frozen=True, tag=13):
    """A moderator's act upon a message (by `offset`) or a participant. Answered with `Done`."""

    request: Uint
    action: ModerationAction
    participant: Id | None = None
    offset: Uint | None = None
    seconds: Uint | None = None

    def __post_init__(self) -> None:
        """Require what the action needs."""
        if self.action is ModerationAction.DELETE:
            if self.offset is None:
                raise ValueError("to delete needs an offset")
        elif self.participant is None:
            raise ValueError("the action needs a participant")
        if self.action is ModerationAction.TIME_OUT and not self.seconds:
            raise ValueError("a time-out needs its seconds")


class Configure(Message, frozen=True, tag=14):
    """Settings of the room; None leaves one as it is. Answered with `Done`."""

    request: Uint
    title: Title | None = None
    category: Category | None = None
    slow_mode_s: SlowMode | None = None
    waiting_room: bool | None = None
    auto_accept: bool | None = None
    blocked_terms: Annotated[list[BlockedTerm], msgspec.Meta(max_length=MAX_BLOCKED_TERMS)] | None = None


class Admit(Message, frozen=True, tag=15):
    """Let in, or turn away, one who waits, or with None everybody. Answered with `Done`."""

    request: Uint
    participant: Id | None
    accept: bool


class People(Message, frozen=True, tag=16):
    """Who is here? Answered with `PeopleList`."""

    request: Uint


class Playback(Message, frozen=True, tag=17):
    """A viewer's own figures since the last such frame. No answer."""

    layer: Uint
    bitrate_kbps: Uint
    fps: Uint
    freezes: Uint
    lost: Uint


class Quality(Message, frozen=True, tag=18):
    """What this viewer wants to get of a session. Answered with `Done`, and with `QualityNotice` for the session."""

    request: Uint
    session: Id
    mode: QualityMode
    layer: LayerName | None = None

    def __post_init__(self) -> None:
        """Require what the mode needs."""
        if self.mode is QualityMode.LAYER and self.layer is None:
            raise ValueError("the mode needs a layer")


class Viewport(Message, frozen=True, tag=19):
    """How tall this viewer's player is, in pixels; 0 is not known. No answer."""

    session: Id
    height: Height


class Restart(Message, frozen=True, tag=20):
    """This side's new ICE credentials for a session (RFC 8445, section 9). Answered with `Restarted`."""

    request: Uint
    session: Id
    ufrag: IceUfrag
    password: IcePassword


ClientMessage = (
    Join
    | Ping
    | Chat
    | Publish
    | Subscribe
    | Accept
    | Hangup
    | Candidate
    | Candidates
    | React
    | Typing
    | Gift
    | Moderate
    | Configure
    | Admit
    | People
    | Playback
    | Quality
    | Viewport
    | Restart
)
