"""Messages from server to client, in the order of their kinds: SPEC.md, section 4."""

from typing import Annotated

import msgspec

from shared.protocol.fields import (
    MAX_KNOCKS,
    MAX_LAYERS,
    MAX_PEOPLE,
    MAX_TYPING_NAMES,
    Message,
    QualityReason,
    Sdp,
    check_sdp,
)


class Welcome(Message, frozen=True, tag=33):
    """Answer to `Join`: what is bound to this connection from now on, and where the room stands."""

    connection: str
    participant: str
    name: str
    role: str
    epoch: str
    offset: int
    live: bool
    viewers: int
    ping_ms: int
    instance: str


class Pong(Message, frozen=True, tag=34):
    """Answer to `Ping`."""

    nonce: int


class Events(Message, frozen=True, tag=35):
    """A batch of the room log. The offset of an event is `base` plus its delta."""

    base: int
    events: list[tuple[int, msgspec.Raw]]


class Sent(Message, frozen=True, tag=36):
    """A chat message or gift is in the log, at `offset`. `message_id` is a gift's key."""

    message_id: int
    offset: int


class Gap(Message, frozen=True, tag=37):
    """What the client has not seen before `offset` cannot be had any more."""

    reason: str
    epoch: str
    offset: int


class Error(Message, frozen=True, tag=38):
    """A frame was refused. `reference` is its request or message id."""

    code: int
    message: str
    reference: int | None = None
    retry_after_ms: int | None = None


class Offer(Message, frozen=True, tag=39):
    """The worker's SDP offer to a viewer."""

    request: int
    session: str
    sdp: Sdp

    def __post_init__(self) -> None:
        """Check what msgspec cannot."""
        check_sdp(self.sdp)


class Answer(Message, frozen=True, tag=40):
    """The worker's SDP answer to a publisher."""

    request: int
    session: str
    sdp: Sdp

    def __post_init__(self) -> None:
        """Check what msgspec cannot."""
        check_sdp(self.sdp)


class Viewers(Message, frozen=True, tag=41):
    """How many viewers the room has."""

    count: int


class Done(Message, frozen=True, tag=42):
    """A request that has no other answer was carried out."""

    request: int


class Move(Message, frozen=True, tag=43):
    """This instance is about to stop: connect again after `delay_ms`."""

    delay_ms: int


class ReactionCount(Message, frozen=True):
    """How often a reaction came."""

    reaction: str
    count: int


class Reactions(Message, frozen=True, tag=44):
    """Everybody's reactions since the last such frame."""

    reactions: list[ReactionCount]


class TypingNotice(Message, frozen=True, tag=45):
    """Who is typing: some of the names, and how many they are."""

    names: Annotated[list[str], msgspec.Meta(max_length=MAX_TYPING_NAMES)]
    count: int


class Stats(Message, frozen=True, tag=46):
    """Figures of the stream and of the room."""

    bitrate_kbps: int
    fps: int
    viewers_peak: int
    viewers_total: int
    messages: int


class Waiting(Message, frozen=True, tag=47):
    """This socket waits for approval; `Welcome` follows when it is let in."""

    position: int


class Knock(Message, frozen=True):
    """Somebody who waits."""

    participant: str
    name: str


class Knocks(Message, frozen=True, tag=48):
    """Who waits for approval: a sample, and how many they are. For moderators only."""

    waiting: Annotated[list[Knock], msgspec.Meta(max_length=MAX_KNOCKS)]
    count: int


class Person(Message, frozen=True):
    """Somebody who is in the room."""

    participant: str
    name: str
    role: str


class PeopleList(Message, frozen=True, tag=49):
    """Answer to `People`: a sample, and how many they are."""

    request: int
    total: int
    people: Annotated[list[Person], msgspec.Meta(max_length=MAX_PEOPLE)]


class LayerQuality(Message, frozen=True):
    """A layer that can be had: its height in pixels, 0 where it is not known, and what it costs."""

    name: str
    height: int
    bitrate_kbps: int


class QualityNotice(Message, frozen=True, tag=50):
    """What the viewer's session gets at present, why not more, and what there is. Without a layer it gets no video."""

    session: str
    layer: str | None
    height: int
    why: QualityReason
    layers: Annotated[list[LayerQuality], msgspec.Meta(max_length=MAX_LAYERS)]


class Restarted(Message, frozen=True, tag=51):
    """Answer to `Restart`: the worker's new ICE credentials."""

    request: int
    ufrag: str
    password: str


class Relocate(Message, frozen=True, tag=52):
    """A media session's worker is about to go: make another session beside it, then end this one."""

    session: str


ServerMessage = (
    Welcome
    | Pong
    | Events
    | Sent
    | Gap
    | Error
    | Offer
    | Answer
    | Viewers
    | Done
    | Move
    | Reactions
    | TypingNotice
    | Stats
    | Waiting
    | Knocks
    | PeopleList
    | QualityNotice
    | Restarted
    | Relocate
)
