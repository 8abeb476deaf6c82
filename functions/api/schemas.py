"""What goes over HTTP, in and out."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from functions.api.ice_servers import IceServer
from functions.recording_shelf import ShownState
from shared.state.gifts import Gift
from shared.state.recordings import RecordingEnd
from shared.state.webhooks import DeliveryState, EventName

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=40, description="display name", examples=["Ana"])]
Title = Annotated[str, msgspec.Meta(min_length=1, max_length=100, description="title", examples=["Late night synths"])]
Role = Literal["streamer", "viewer"]


class Participant(msgspec.Struct, frozen=True):
    """A person in the platform."""

    id: str
    name: str


Category = Annotated[str, msgspec.Meta(max_length=40, description="one word or a few", examples=["Music"])]
Description = Annotated[
    str, msgspec.Meta(max_length=1000, description="what it is about", examples=["Old machines, new songs."])
]
ScheduledAt = Annotated[
    datetime, msgspec.Meta(tz=True, description="when it begins, with a time zone", examples=["2027-01-15T20:00:00Z"])
]
RoomStateName = Literal["open", "scheduled", "live", "ended"]
ROOM_ID = "k7m2p9qx4c"


class RoomRequest(msgspec.Struct, forbid_unknown_fields=True):
    """A room to create. Listed, it can be found by everybody; else only by its code or link."""

    title: Title
    category: Category = ""
    description: Description = ""
    scheduled_at: ScheduledAt | None = None
    listed: bool = True


class RoomChange(msgspec.Struct, forbid_unknown_fields=True):
    """What is to change in a room; what is not given stays."""

    title: Title | None = None
    category: Category | None = None
    description: Description | None = None
    scheduled_at: ScheduledAt | msgspec.UnsetType | None = msgspec.UNSET
    listed: bool | None = None
    slow_mode_s: (
        Annotated[int, msgspec.Meta(ge=0, le=600, description="seconds between two messages of one person")] | None
    ) = None
    waiting_room: bool | None = None
    auto_accept: bool | None = None
    blocked_terms: (
        Annotated[
            list[Annotated[str, msgspec.Meta(min_length=1, max_length=64)]],
            msgspec.Meta(max_length=100, description="words that nobody may write; they are not shown to anybody"),
        ]
        | None
    ) = None


class RoomResponse(msgspec.Struct, frozen=True):
    """A room as everybody may see it. `id` is the code that people join by. `live` is `state` being "live"."""

    id: Annotated[str, msgspec.Meta(examples=[ROOM_ID])]
    title: str
    owner: Participant
    live: bool
    viewers: int
    created_at: datetime
    state: RoomStateName = "open"
    category: str = ""
    description: str = ""
    listed: bool = False
    live_since: datetime | None = None
    scheduled_at: datetime | None = None
    ended_at: datetime | None = None
    slow_mode_s: int = 0
    waiting_room: bool = False


class ListedRoom(msgspec.Struct, frozen=True):
    """A room in a list: up to some seconds behind what reading the room says."""

    id: Annotated[str, msgspec.Meta(examples=[ROOM_ID])]
    title: str
    owner: Participant
    state: RoomStateName
    category: str
    description: str
    viewers: int
    live_since: datetime | None
    scheduled_at: datetime | None
    created_at: datetime
    listed: bool


NextCursor = Annotated[str | None, msgspec.Meta(description="`cursor` of the next page; null where this is the last")]


class RoomList(msgspec.Struct, frozen=True):
    """A page of rooms."""

    rooms: list[ListedRoom]
    next: NextCursor


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


class PersonInRoom(msgspec.Struct, frozen=True):
    """Somebody who is in a room."""

    id: str
    name: str
    role: str


class ParticipantList(msgspec.Struct, frozen=True):
    """A page of the people in a room; `total` is how many there are."""

    total: int
    participants: list[PersonInRoom]
    next: NextCursor


class SanctionRequest(msgspec.Struct, forbid_unknown_fields=True):
    """A decision about somebody; `seconds` are those of a time-out."""

    action: Literal["time_out", "ban"]
    seconds: Annotated[int, msgspec.Meta(ge=1, le=604_800, description="at most a week", examples=[600])] = 600


class SanctionResponse(msgspec.Struct, frozen=True):
    """A decision that holds; `until` is null for a ban, which is for good."""

    participant: str
    action: Literal["time_out", "ban"]
    until: datetime | None


class SanctionList(msgspec.Struct, frozen=True):
    """A page of the decisions that hold."""

    sanctions: list[SanctionResponse]
    next: NextCursor


class Waiting(msgspec.Struct, frozen=True):
    """Somebody who waits to be let in."""

    id: str
    name: str


class WaitingList(msgspec.Struct, frozen=True):
    """How many wait, and those who have waited longest."""

    total: int
    waiting: list[Waiting]


class Decision(msgspec.Struct, forbid_unknown_fields=True):
    """Whether somebody may come in; without a participant it is about all who wait."""

    accept: bool
    participant: Annotated[str, msgspec.Meta(min_length=1, max_length=128)] | None = None


class GiftList(msgspec.Struct, frozen=True):
    """A page of gifts, newest first."""

    gifts: list[Gift]
    next: NextCursor


class RoomStatistics(msgspec.Struct, frozen=True):
    """A room's figures over its whole life, and now. `watch_s` is the time that all viewers together spent in it.

    `visitors` is counted by a sketch and some per mille off.
    """

    state: RoomStateName
    live_since: datetime | None
    viewers: int
    waiting: int
    peak: int
    visitors: int
    messages: int
    watch_s: int
    gifts: int
    presents: int


class AudiencePoint(msgspec.Struct, frozen=True):
    """A room's audience in a step of time. `viewers` is the mean, `peak` the most at any sample.

    `qualities` are height of the picture in lines ("0": no video) to viewers that got it, as a mean.
    """

    at: datetime
    viewers: float
    peak: int
    messages: int
    watch_s: int
    qualities: dict[str, float]


class AudienceAnalytics(msgspec.Struct, frozen=True):
    """A room's audience over time: the steps in which somebody was there, and all of them together."""

    start: datetime
    end: datetime
    step_s: int
    points: list[AudiencePoint]
    peak: int
    messages: int
    watch_s: int
    qualities: dict[str, float]


WebhookUrl = Annotated[
    str,
    msgspec.Meta(
        min_length=9, max_length=2000, description="https, a public address", examples=["https://example.com/headrace"]
    ),
]
WebhookEvent = Literal[
    "stream.started", "stream.ended", "room.full", "recording.ready", "recording.failed", "gift.received"
]
WebhookEvents = Annotated[list[WebhookEvent], msgspec.Meta(min_length=1, max_length=6)]
Note = Annotated[str, msgspec.Meta(max_length=200, description="for yourself")]


class WebhookRequest(msgspec.Struct, forbid_unknown_fields=True):
    """A webhook to make; without a room it is about all of your rooms."""

    url: WebhookUrl
    events: WebhookEvents
    room: Annotated[str, msgspec.Meta(max_length=20, examples=[ROOM_ID])] | None = None
    description: Note = ""


class WebhookChange(msgspec.Struct, forbid_unknown_fields=True):
    """What is to change; what is not given stays."""

    url: WebhookUrl | None = None
    events: WebhookEvents | None = None
    active: bool | None = None
    description: Note | None = None


class WebhookResponse(msgspec.Struct, frozen=True):
    """A webhook. `failing_since` is when deliveries began to fail; after three days it is switched off."""

    id: str
    url: str
    events: list[EventName]
    room: str | None
    description: str
    active: bool
    failing_since: datetime | None
    created_at: datetime


class CreatedWebhook(msgspec.Struct, frozen=True):
    """A new webhook with the secret that signs what it is told: it is shown this once."""

    webhook: WebhookResponse
    secret: str


class WebhookList(msgspec.Struct, frozen=True):
    """A page of webhooks."""

    webhooks: list[WebhookResponse]
    next: NextCursor


class AttemptResponse(msgspec.Struct, frozen=True):
    """One try. `status` is what was answered, 0 for nothing; `error` is empty where it arrived."""

    at: datetime
    status: int
    error: str
    took_ms: int


class DeliveryResponse(msgspec.Struct, frozen=True):
    """An event on its way to a webhook. `body` is what is sent; `due` is when it is tried next, if it is."""

    id: str
    event: EventName
    state: DeliveryState
    body: str
    created_at: datetime
    due: datetime | None
    attempts: list[AttemptResponse]


class DeliveryList(msgspec.Struct, frozen=True):
    """A page of deliveries, newest first."""

    deliveries: list[DeliveryResponse]
    next: NextCursor
