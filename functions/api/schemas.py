"""What goes over HTTP, in and out."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from functions.api.ice_servers import IceServer
from functions.recording_shelf import ShownState
from shared.state.recordings import RecordingEnd

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=40, description="display name", examples=["Ana"])]
Title = Annotated[str, msgspec.Meta(min_length=1, max_length=100, description="title", examples=["Late night synths"])]
Role = Literal["streamer", "viewer"]


class GuestRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Somebody without an account."""

    name: Name


class Participant(msgspec.Struct, frozen=True):
    """A person in the platform."""

    id: str
    name: str


class GuestResponse(msgspec.Struct, frozen=True):
    """An identity token, to be kept by the client."""

    token: str
    expires_in_s: int
    participant: Participant


class RoomRequest(msgspec.Struct, forbid_unknown_fields=True):
    """A room to create."""

    title: Title


class RoomResponse(msgspec.Struct, frozen=True):
    """A room as everybody may see it. `id` is the code that people join by."""

    id: str
    title: str
    owner: Participant
    live: bool
    viewers: int
    created_at: datetime
    category: str = ""
    slow_mode_s: int = 0
    waiting_room: bool = False


class TokenRequest(msgspec.Struct, forbid_unknown_fields=True):
    """`participant` is for a browser or app; `encoder` (owner only) for OBS, FFmpeg and the like."""

    kind: Literal["participant", "encoder"] = "participant"


class TokenResponse(msgspec.Struct, frozen=True):
    """A room token and what its holder is in the room; `ice_servers` are what `RTCPeerConnection` takes."""

    token: str
    expires_in_s: int
    role: Role
    ice_servers: tuple[IceServer, ...] = ()


class CreatedRoomResponse(msgspec.Struct, frozen=True):
    """A new room with its owner's room token."""

    room: RoomResponse
    token: str
    expires_in_s: int
    role: Role


class RecordingResponse(msgspec.Struct, frozen=True):
    """A recording. `url` leads to the file; `end` is why it ended, empty while it goes on.

    `lost` is one whose only copy is on a host that is away; it may come back with it.
    """

    id: str
    url: str
    state: ShownState
    started_at: datetime
    ended_at: datetime | None
    end: RecordingEnd
    duration_s: float
    bytes: int
    media_type: str
    codecs: list[str]
    dropped_frames: int


class RecordingLink(msgspec.Struct, frozen=True):
    """A URL that reads a recording without a token of its own."""

    url: str
    expires_in_s: int
