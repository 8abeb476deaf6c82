"""Examples of bodies, by the name of their schema: what the OpenAPI document shows. A test reads each into its type."""

from typing import Any, Final

from functions.api.schemas import ROOM_ID

_OWNER: Final = {"id": "p5f2a90c7d1e4b836", "name": "Ana"}
_ROOM: Final = {
    "id": ROOM_ID,
    "title": "Late night synths",
    "owner": _OWNER,
    "live": True,
    "viewers": 128,
    "created_at": "2026-11-20T18:00:00Z",
    "state": "live",
    "category": "Music",
    "description": "Old machines, new songs.",
    "listed": True,
    "live_since": "2026-11-25T20:00:04Z",
    "scheduled_at": None,
    "ended_at": None,
    "slow_mode_s": 0,
    "waiting_room": False,
}
_LISTED: Final = {
    name: _ROOM[name]
    for name in (
        "id", "title", "owner", "state", "category", "description", "viewers", "live_since", "scheduled_at",
        "created_at", "listed",
    )
}  # fmt: skip
_WEBHOOK: Final = {
    "id": "wh_4be1c0ff9a3d2e71",
    "url": "https://example.com/headrace",
    "events": ["stream.started", "stream.ended"],
    "room": None,
    "description": "announces streams",
    "active": True,
    "failing_since": None,
    "created_at": "2026-11-25T18:00:00Z",
}
_DELIVERY: Final = {
    "id": f"wh_4be1c0ff9a3d2e71:{ROOM_ID}:1764100804000000",
    "event": "stream.started",
    "state": "delivered",
    "body": '{"type":"stream.started","timestamp":"2026-11-25T20:00:04Z","data":{}}',
    "created_at": "2026-11-25T20:00:04.500Z",
    "due": None,
    "attempts": [{"at": "2026-11-25T20:00:05.100Z", "status": 200, "error": "", "took_ms": 84}],
}
_WORDS: Final = "correct horse battery"
_SANCTION: Final = {"participant": "p77d0c1", "action": "time_out", "until": "2026-11-25T21:00:00Z"}

EXAMPLES: Final[dict[str, Any]] = {
    "GuestRequest": {"name": "Ana"},
    "RegistrationRequest": {"username": "ana.lopez", "password": _WORDS, "name": "Ana"},
    "SignInRequest": {"username": "ana.lopez", "password": _WORDS},
    "RefreshRequest": {"refresh_token": "8c1f0a7e-0-w1f3…"},
    "SessionResponse": {
        "token": "eyJhbGciOiJFZERTQSIs…",
        "expires_in_s": 900,
        "participant": _OWNER,
        "account": True,
        "refresh_token": "8c1f0a7e-0-w1f3…",
    },
    "ProfileRequest": {"name": "Ana", "about": "Synths, live."},
    "PasswordRequest": {"current": _WORDS, "new": "quiet harbour at noon"},
    "DeletionRequest": {"password": _WORDS},
    "KeyRequest": {"name": "bot", "scopes": ["create_room", "chat"], "expires_in_s": 7_776_000},
    "DrainRequest": {"reason": "kernel update"},
    "MoveRequest": {"to": "worker3"},
    "RoomRequest": {
        "title": "Late night synths",
        "category": "Music",
        "description": "Old machines, new songs.",
        "scheduled_at": "2027-01-15T20:00:00Z",
        "listed": True,
    },
    "RoomChange": {"title": "Later night synths", "scheduled_at": None, "slow_mode_s": 10},
    "RoomResponse": _ROOM,
    "CreatedRoomResponse": {
        "room": {**_ROOM, "live": False, "state": "open", "live_since": None, "viewers": 0},
        "token": "eyJhbGciOiJFZERTQSIs…",
        "expires_in_s": 3600,
        "role": "streamer",
    },
    "RoomList": {"rooms": [_LISTED], "next": None},
    "TokenRequest": {"kind": "participant"},
    "TokenResponse": {"token": "eyJhbGciOiJFZERTQSIs…", "expires_in_s": 3600, "role": "viewer", "ice_servers": []},
    "ParticipantList": {
        "total": 2,
        "participants": [{**_OWNER, "role": "streamer"}, {"id": "p77d0c1", "name": "Bo", "role": "viewer"}],
        "next": None,
    },
    "SanctionRequest": {"action": "time_out", "seconds": 600},
    "SanctionResponse": _SANCTION,
    "SanctionList": {"sanctions": [_SANCTION], "next": None},
    "Decision": {"accept": True, "participant": "p77d0c1"},
    "WaitingList": {"total": 1, "waiting": [{"id": "p77d0c1", "name": "Bo"}]},
    "HistoryPage": {
        "messages": [
            {
                "offset": 1764100812000000,
                "at": "2026-11-25T20:00:12Z",
                "kind": "chat",
                "fields": {"sender": "p77d0c1", "name": "Bo", "message_id": 42, "text": "hello"},
            }
        ],
        "first": 1764100812000000,
        "last": 1764100812000000,
        "more": False,
    },
    "GiftList": {
        "gifts": [
            {
                "offset": 1764100900000000,
                "at": "2026-11-25T20:01:40Z",
                "sender": "p77d0c1",
                "name": "Bo",
                "gift": "rose",
                "quantity": 3,
            }
        ],
        "next": None,
    },
    "GiftTotals": {
        "quantity": 3,
        "presents": 1,
        "gifts": [{"gift": "rose", "quantity": 3, "presents": 1}],
        "givers": [{"sender": "p77d0c1", "name": "Bo", "quantity": 3, "presents": 1}],
    },
    "RoomStatistics": {
        "state": "live",
        "live_since": "2026-11-25T20:00:04Z",
        "viewers": 128,
        "waiting": 0,
        "peak": 141,
        "visitors": 310,
        "messages": 920,
        "watch_s": 402_100,
        "gifts": 3,
        "presents": 1,
    },
    "AudienceAnalytics": {
        "start": "2026-11-25T20:00:00Z",
        "end": "2026-11-25T20:01:00Z",
        "step_s": 60,
        "points": [
            {
                "at": "2026-11-25T20:00:00Z",
                "viewers": 120.5,
                "peak": 128,
                "messages": 31,
                "watch_s": 7230,
                "qualities": {"720": 96.0, "360": 20.0, "0": 4.5},
            }
        ],
        "peak": 128,
        "messages": 31,
        "watch_s": 7230,
        "qualities": {"720": 96.0, "360": 20.0, "0": 4.5},
    },
    "WebhookRequest": {"url": "https://example.com/headrace", "events": ["stream.started", "stream.ended"]},
    "WebhookChange": {"active": True},
    "WebhookResponse": _WEBHOOK,
    "CreatedWebhook": {"webhook": _WEBHOOK, "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYq="},
    "WebhookList": {"webhooks": [_WEBHOOK], "next": None},
    "DeliveryResponse": _DELIVERY,
    "DeliveryList": {"deliveries": [_DELIVERY], "next": None},
    "LayerChoice": {"layer": "h", "paused": False},
    "application/sdp": "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n…",
    "application/trickle-ice-sdpfrag": "a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n",
}
