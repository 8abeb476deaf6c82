"""Turns what happens in rooms into deliveries to the webhooks that want to know."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from shared.protocol.messages import GiftEvent, StreamEnded, StreamStarted, decode_event
from shared.state.archive import is_event
from shared.state.directory import RoomDirectory
from shared.state.notices import RoomFull
from shared.state.recordings import Recording
from shared.state.rooms import Entry
from shared.state.webhooks import Deliveries, EventName, NewDelivery, Webhooks

_TOLD = (StreamStarted, StreamEnded, GiftEvent)


class Happening(NamedTuple):
    """Something that happened in a room. `event_id` is the same each time that the same thing is seen."""

    event_id: str
    event: EventName
    at: datetime
    data: dict[str, Any]


class Announcer:
    """Announces. Every method raises `pymongo.errors.PyMongoError`: then nothing or a part was told, try again."""

    def __init__(self, directory: RoomDirectory, webhooks: Webhooks, deliveries: Deliveries) -> None:
        self._directory = directory
        self._webhooks = webhooks
        self._deliveries = deliveries

    async def entries(self, room: str, entries: Sequence[Entry]) -> None:
        """Events of a room's log; those that nobody is told of are passed over."""
        told = [entry for entry in entries if any(is_event(entry[1], kind) for kind in _TOLD)]
        happenings = [happening for entry in told if (happening := _of_entry(room, entry))]
        await self.tell(room, happenings)

    async def recording(self, recording: Recording) -> None:
        """A recording has become what it is now."""
        if recording.state not in {"ready", "failed"}:
            return
        data = {
            "recording": {
                "id": recording.id,
                "end": recording.end,
                "duration_s": recording.duration_s,
                "bytes": recording.bytes,
                "media_type": recording.media_type,
                "url": f"/v1/rooms/{recording.room}/recordings/{recording.id}",
            }
        }
        event: EventName = "recording.ready" if recording.state == "ready" else "recording.failed"
        at = recording.ended_at or recording.started_at
        await self.tell(recording.room, [Happening(f"{event}:{recording.id}", event, at, data)])

    async def room_full(self, notice: RoomFull) -> None:
        """Somebody was turned away."""
        at = datetime.fromtimestamp(notice.at_ms / 1000, UTC)
        happening = Happening(f"room.full:{notice.room}:{notice.at_ms}", "room.full", at, {"capacity": notice.capacity})
        await self.tell(notice.room, [happening])

    async def tell(self, room: str, happenings: Sequence[Happening]) -> None:
        """Tell those webhooks of the room's owner that want to know."""
        if not happenings:
            return
        found = await self._directory.find(room)
        if found is None:
            return
        about = {"id": found.id, "title": found.title}
        await self._deliveries.add(
            [
                NewDelivery(webhook.id, happening.event_id, happening.event, body_of(happening, about))
                for webhook in await self._webhooks.wanting(found.owner.id, room)
                for happening in happenings
                if happening.event in webhook.events
            ]
        )


def body_of(happening: Happening, room: dict[str, str] | None) -> str:
    """What is sent: the type, the time, and what the event is about."""
    body = {
        "type": happening.event,
        "timestamp": happening.at,
        "data": {**({"room": room} if room else {}), **happening.data},
    }
    return msgspec.json.encode(body).decode()


def _of_entry(room: str, entry: Entry) -> Happening | None:
    offset, raw = entry
    at = datetime.fromtimestamp(offset / 1e6, UTC)
    match decode_event(raw):
        case StreamStarted(session, name):
            data: dict[str, Any] = {"session": session, "publisher": name}
            return Happening(f"{room}:{offset}", "stream.started", at, data)
        case StreamEnded(session, reason):
            return Happening(f"{room}:{offset}", "stream.ended", at, {"session": session, "reason": reason})
        case GiftEvent() as gift:
            data = {
                "gift": gift.gift,
                "quantity": gift.quantity,
                "sender": {"id": gift.sender, "name": gift.name},
                "offset": offset,
            }
            # By the giver's key, as the ledger: a gift that Redis forgot and takes again is the same gift.
            return Happening(f"{room}:gift:{gift.key}", "gift.received", at, data)
        case _:
            return None
