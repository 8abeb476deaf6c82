"""What the fields of messages may hold, and the base of all messages: SPEC.md, section 2."""

from enum import IntEnum
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

MAX_FRAME_BYTES = 65_536
MAX_TEXT_CHARACTERS = 500
MAX_TITLE_CHARACTERS = 100
MAX_TERM_CHARACTERS = 64
MAX_SDP_CHARACTERS = 32_768
MAX_CANDIDATES = 32
MAX_REACTION_BYTES = 16
MAX_BLOCKED_TERMS = 100
MAX_TYPING_NAMES = 3
MAX_KNOCKS = 100
MAX_PEOPLE = 50
MAX_SLOW_MODE_S = 600
MAX_LAYERS = 8
MAX_HEIGHT = 65_535

# 53 bits: what a JavaScript number holds exactly.
Uint = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]
Id = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Token = Annotated[str, msgspec.Meta(min_length=1, max_length=4096)]
# Plain, or compressed as shared.protocol.sdp does it. msgspec allows no union of str and bytes: see `check_sdp`.
if TYPE_CHECKING:
    Sdp = str | bytes
else:
    Sdp = Any
# As shared.protocol.candidates packs it: head, component, line, priority, port, two addresses, foundation, ufrag.
# The empty one is no candidate: it says that no more of them will come.
PackedCandidate = Annotated[bytes, msgspec.Meta(max_length=9 + 256 + 259 + 33 + 256)]
Reaction = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_REACTION_BYTES)]
# `\Z`, since `$` would allow a newline at the end.
GiftName = Annotated[str, msgspec.Meta(min_length=1, max_length=32, pattern=r"^[a-z0-9_-]+\Z")]
Title = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_TITLE_CHARACTERS)]
Category = Annotated[str, msgspec.Meta(max_length=MAX_TITLE_CHARACTERS)]
SlowMode = Annotated[int, msgspec.Meta(ge=0, le=MAX_SLOW_MODE_S)]
LayerName = Annotated[str, msgspec.Meta(min_length=1, max_length=16)]
Height = Annotated[int, msgspec.Meta(ge=0, le=MAX_HEIGHT)]
# RFC 8839, section 5.4.
IceUfrag = Annotated[str, msgspec.Meta(min_length=4, max_length=256, pattern=r"^[A-Za-z0-9+/]+\Z")]
IcePassword = Annotated[str, msgspec.Meta(min_length=22, max_length=256, pattern=r"^[A-Za-z0-9+/]+\Z")]
BlockedTerm = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_TERM_CHARACTERS)]


class Message(msgspec.Struct, frozen=True, array_like=True):
    """One MessagePack array."""


def check_sdp(value: object) -> None:
    """Refuse what is neither plain nor compressed SDP; whether it is any good shows when it is used.

    Raises:
        ValueError: which msgspec reports as it does its own validation errors.
    """
    if not isinstance(value, str | bytes):
        raise ValueError(f"Expected `str` or `bin`, got `{type(value).__name__}` - at `sdp`")  # noqa: TRY004
    if not 0 < len(value) <= MAX_SDP_CHARACTERS:
        raise ValueError(f"Expected length from 1 to {MAX_SDP_CHARACTERS} - at `sdp`")


class QualityMode(IntEnum):
    """What a viewer wants to get."""

    AUTO = 0
    LAYER = 1
    AUDIO_ONLY = 2
    PAUSED = 3


class QualityReason(IntEnum):
    """Why a viewer gets the layer that they get, or none."""

    BEST = 0
    NETWORK = 1
    CHOICE = 2
    VIEWPORT = 3
    TIER = 4


class ModerationAction(IntEnum):
    """What a moderator does. The last three also come back as the action of a `Sanction`."""

    DELETE = 1
    TIME_OUT = 2
    BAN = 3
    LIFT = 4
