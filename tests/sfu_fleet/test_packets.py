"""A packet of every kind, most of them from a real Chromium, is read as what it is."""

from pathlib import Path

import pytest
from aioice import stun

from sfu_fleet import keyframes, picture_ids, red, rtcp, rtp, rtx, temporal
from sfu_fleet.ice import Credentials, IceAgent, MediaSocket, local_ufrag
from sfu_fleet.metrics import Metrics
from sfu_fleet.rtcp import (
    Application,
    BitrateEstimate,
    Bye,
    KeyframeRequest,
    Nack,
    ReceiverReport,
    SenderReport,
    TransportFeedback,
)
from sfu_fleet.transport_feedback import by_number
from sfu_fleet.transport_feedback import parse as parse_feedback
from tests.sfu_fleet.packets.written import MEDIA, PACKETS, SENDER

FOLDER = Path(__file__).parent / "packets"
FILES = {path.stem: path.read_bytes() for path in sorted(FOLDER.glob("*.bin"))}
# What is a kind of its own on the wire, and what the worker makes of it; None: it is skipped.
RTCP: dict[str, type | None] = {
    "chromium-rtcp-sender-report": SenderReport,
    "chromium-rtcp-receiver-report": ReceiverReport,
    "chromium-rtcp-nack": Nack,
    "chromium-rtcp-transport-feedback": TransportFeedback,
    "chromium-rtcp-source-description": None,
    "chromium-rtcp-pli": KeyframeRequest,
    "written-rtcp-pli": KeyframeRequest,
    "written-rtcp-fir": KeyframeRequest,
    "written-rtcp-remb": BitrateEstimate,
    "written-rtcp-bye": Bye,
    "written-rtcp-application": Application,
    "written-rtcp-extended-report": None,
}


def named(part: str) -> list[str]:
    return [name for name in FILES if part in name]


@pytest.mark.parametrize("name", RTCP)
def test_rtcp_is_read_as_its_kind(name: str) -> None:
    found, _ = rtcp.parse(FILES[name])
    wanted = RTCP[name]
    assert [type(packet) for packet in found] == ([] if wanted is None else [wanted])


def test_every_rtcp_packet_has_its_expectation() -> None:
    assert set(named("-rtcp-")) == {*RTCP, "chromium-rtcp-compound"}
    assert {f"written-{name}" for name in PACKETS} == {name for name in FILES if name.startswith("written-")}


def test_a_compound_is_taken_apart() -> None:
    found, _ = rtcp.parse(FILES["chromium-rtcp-compound"])
    assert isinstance(found[0], SenderReport | ReceiverReport)


def test_what_rtcp_says_is_understood() -> None:
    assert rtcp.parse(FILES["written-rtcp-pli"])[0] == [KeyframeRequest(MEDIA)]
    assert rtcp.parse(FILES["written-rtcp-fir"])[0] == [KeyframeRequest(MEDIA)]
    (estimate,), _ = rtcp.parse(FILES["written-rtcp-remb"])
    assert isinstance(estimate, BitrateEstimate)
    assert estimate.bitrate == 1_000_000
    assert rtcp.parse(FILES["written-rtcp-bye"])[0] == [Bye((SENDER,))]
    (nack,), _ = rtcp.parse(FILES["chromium-rtcp-nack"])
    assert isinstance(nack, Nack)
    assert nack.sequences
    arrivals = by_number(parse_feedback(FILES["chromium-rtcp-transport-feedback"]))
    assert any(arrival is not None for arrival in arrivals.values())


@pytest.mark.parametrize("name", named("-rtp-"))
def test_rtp_is_read_and_put_together_again(name: str) -> None:
    packet = rtp.parse(FILES[name])
    assert (packet.payload_end > packet.payload_start) is not name.endswith("-padding-only")
    rebuilt = rtp.parse(rtp.rebuild(packet, 100, b""))
    assert rebuilt.sequence == packet.sequence
    assert (
        rebuilt.data[rebuilt.payload_start : rebuilt.payload_end]
        == packet.data[packet.payload_start : packet.payload_end]
    )


@pytest.mark.parametrize("encoding", ["vp8", "vp9", "h264", "av1"])
def test_the_first_packet_of_a_stream_begins_a_keyframe(encoding: str) -> None:
    assert keyframes.detector(encoding)(rtp.parse(FILES[f"chromium-rtp-{encoding}"]))


@pytest.mark.parametrize("encoding", ["vp8", "vp9"])
def test_temporal_layers_and_picture_numbers_are_found(encoding: str) -> None:
    packet = rtp.parse(FILES[f"chromium-rtp-{encoding}"])
    frame = temporal.read(encoding, packet)
    assert frame is not None
    assert picture_ids.read(encoding, packet).picture_at >= 0


def test_redundant_audio_gives_its_primary() -> None:
    packet = rtp.parse(FILES["chromium-rtp-red"])
    primary = red.primary(packet)
    assert primary.payload_end - primary.payload_start < packet.payload_end - packet.payload_start


def test_a_retransmission_gives_what_was_lost() -> None:
    packet = rtp.parse(FILES["chromium-rtp-rtx"])
    lost = rtx.unwrap(packet, 96, 7)
    assert lost is not None
    assert (lost.payload_type, lost.ssrc) == (96, 7)
    assert lost.sequence == int.from_bytes(packet.data[packet.payload_start : packet.payload_start + 2], "big")


def test_padding_and_contributing_sources_are_not_payload() -> None:
    padded = rtp.parse(FILES["written-rtp-padded"])
    assert padded.data[padded.payload_start : padded.payload_end] == b"sound"
    assert rtp.extensions(padded) == {1: b"0"}
    assert rtp.extensions(rtp.parse(FILES["written-rtp-two-byte-extensions"])) == {1: b"0", 5: b"\x00\x09"}


def test_a_connectivity_check_names_its_session_and_others_do_not() -> None:
    request = stun.parse_message(FILES["chromium-stun-binding-request"])
    assert "PRIORITY" in request.attributes
    assert local_ufrag(FILES["chromium-stun-binding-request"]) == request.attributes["USERNAME"].split(":")[0]
    assert "XOR-MAPPED-ADDRESS" in stun.parse_message(FILES["chromium-stun-binding-response"]).attributes
    for name in ("written-stun-binding-error", "written-stun-binding-indication"):
        assert local_ufrag(FILES[name]) == ""


class Handler:
    """Counts what is handed on."""

    heard_at = 0.0

    def __init__(self) -> None:
        self.dtls = self.srtp = 0

    def on_dtls(self, data: bytes) -> None:  # noqa: ARG002 - a handler's signature
        self.dtls += 1

    def on_srtp(self, data: bytes) -> None:  # noqa: ARG002 - a handler's signature
        self.srtp += 1

    def on_opened(self, data: bytes, *, rtcp: bool) -> None:
        """Nobody has keys here."""

    def on_fed(self) -> None:
        """Nor feedback."""

    def on_check(self) -> None:
        """Nobody is checked here."""


@pytest.mark.parametrize("name", FILES)
async def test_every_packet_goes_where_its_first_byte_says(name: str) -> None:
    metrics, handler = Metrics(), Handler()
    media_socket = await MediaSocket.open("127.0.0.1", 0, metrics)
    try:
        agent = IceAgent(Credentials.generate(), handler)
        media_socket.add(agent)
        media_socket._learn(agent, ("127.0.0.1", 9), nominated=True)
        media_socket.receive(FILES[name], ("127.0.0.1", 9))
    finally:
        media_socket.close()
    kind = name.split("-")[1]
    assert (handler.dtls, handler.srtp) == (kind == "dtls", kind in {"rtp", "rtcp"})
    assert "internal_error" not in metrics.drops
    assert bool(metrics.drops) is (kind == "stun")
