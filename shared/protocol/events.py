"""Events of the room log, in the order of their types: SPEC.md, section 5."""

from shared.protocol.fields import Message


class ChatEvent(Message, frozen=True, tag=1):
    """Somebody said something."""

    sender: str
    name: str
    message_id: int
    text: str


class StreamStarted(Message, frozen=True, tag=2):
    """Media of the publisher flows. `continues` is the session in whose place it goes on, if it is the same stream."""

    session: str
    name: str
    continues: str = ""


class StreamEnded(Message, frozen=True, tag=3):
    """The stream is over. `reason`: left, lost, replaced, drained or ended."""

    session: str
    reason: str


class GiftEvent(Message, frozen=True, tag=4):
    """Somebody gave something."""

    sender: str
    name: str
    key: int
    gift: str
    quantity: int


class Deleted(Message, frozen=True, tag=5):
    """The event at `offset` is to be shown no more."""

    offset: int


class Sanction(Message, frozen=True, tag=6):
    """A participant was silenced, banned, or may speak again.

    `action` is one of `ModerationAction` but not DELETE; here a number, since the log may be read by an older version.
    `until_ms` is milliseconds since 1970, 0 for good or when lifted.
    """

    participant: str
    action: int
    until_ms: int


class SettingsChanged(Message, frozen=True, tag=7):
    """The room's settings from here on."""

    title: str
    category: str
    slow_mode_s: int
    waiting_room: bool


Event = ChatEvent | StreamStarted | StreamEnded | GiftEvent | Deleted | Sanction | SettingsChanged
