"""Steps that several tests take: publish, view, send."""

from sfu_fleet.rooms import Rooms
from tests.sfu_fleet.conftest import eventually
from tests.sfu_fleet.peer import VP8_DELTA, Peer, rtp_packet


async def publish(
    rooms: Rooms, peer: Peer, *, room: str = "room", setup: str = "actpass", audio_only: bool = False, token: int = 0
) -> str:
    """Connect a publisher; its session."""
    offer = peer.publish_offer(setup=setup, video=None if audio_only else "VP8")
    publisher = rooms.publish(room, "streamer", "Streamer", offer, token)
    await peer.connect(publisher.agreement.sdp, client=not publisher.agreement.dtls_client)
    await eventually(lambda: publisher.state == "connected", "publisher connected")
    return publisher.id


async def view(rooms: Rooms, peer: Peer, *, room: str = "room", setup: str = "active") -> str:
    """Connect a viewer by our offer; its session."""
    subscriber = rooms.subscribe(room, "viewer", "Viewer", None)
    rooms.answer(subscriber.id, peer.view_answer(subscriber.sdp, setup=setup))
    await peer.connect(subscriber.sdp, client=setup == "active")
    await eventually(lambda: subscriber.state == "connected", "viewer connected")
    return subscriber.id


def send_video(peer: Peer, first: int, count: int, payload: bytes = VP8_DELTA) -> None:
    """Send packets whose last byte is their sequence number."""
    for sequence in range(first, first + count):
        peer.send_rtp(rtp_packet(sequence, timestamp=sequence * 3_000, payload=payload + bytes((sequence & 0xFF,))))
