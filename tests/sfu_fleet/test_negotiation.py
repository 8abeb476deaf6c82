"""Offer and answer: which codec, which DTLS role, which ids; and what is refused."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu_fleet import sdp
from sfu_fleet.errors import SdpRefused
from sfu_fleet.header_extensions import MID, REPAIRED_STREAM_ID, STREAM_ID, TRANSPORT_SEQUENCE
from sfu_fleet.negotiation import (
    Agreement,
    LocalTransport,
    Outgoing,
    accept_answer,
    answer_publisher,
    answer_viewer,
    offer_viewer,
)
from sfu_fleet.sdp import Fingerprint
from tests.sfu_fleet.peer import Peer

CORPUS = Path(__file__).parent / "corpus"
LOCAL = LocalTransport(
    "ufragufr", "password" * 3, (Fingerprint("sha-256", ":".join(["AB"] * 32)),), (("127.0.0.1", 5000),)
)


def corpus(name: str) -> str:
    return (CORPUS / f"{name}.sdp").read_bytes().decode()


def publish(offer: str) -> Agreement:
    return answer_publisher(sdp.parse(offer), LOCAL)


def outgoing(agreement: Agreement) -> list[Outgoing]:
    return [Outgoing(track.kind, track.codec, 100 + index) for index, track in enumerate(agreement.tracks)]


def test_chromium_gets_one_video_codec_and_opus_in_its_own_order() -> None:
    agreement = publish(corpus("chromium-publish-offer"))
    assert [(track.kind, track.codec.encoding) for track in agreement.tracks] == [("audio", "opus"), ("video", "vp8")]
    assert not agreement.dtls_client
    answer = sdp.parse(agreement.sdp)
    audio, video, data = answer.media
    assert (audio.direction, video.direction) == ("recvonly", "recvonly")
    assert [codec.encoding for codec in video.codecs] == ["vp8", "rtx"]
    assert video.codecs[1].parameters == {"apt": "96"}
    assert video.codecs[0].feedback == ("nack", "nack pli", "ccm fir", "goog-remb", "transport-cc")
    assert video.transport.setup == "passive"
    assert data.rejected
    assert answer.bundle == ("0", "1")
    assert "a=ice-lite" in agreement.sdp
    assert "a=end-of-candidates" in agreement.sdp
    assert "127.0.0.1 5000 typ host" in agreement.sdp
    assert audio.codecs[0].feedback == ("transport-cc",)
    assert audio.extensions[TRANSPORT_SEQUENCE] == video.extensions[TRANSPORT_SEQUENCE]


def test_a_simulcast_is_answered_layer_by_layer_with_what_tells_them_apart() -> None:
    agreement = publish(corpus("chromium-simulcast-offer"))
    video = agreement.tracks[1]
    assert (video.rids, video.ssrcs) == (("q", "h", "f"), ())
    assert {STREAM_ID, REPAIRED_STREAM_ID, MID} <= set(video.extensions)
    section = agreement.sdp.split("m=video")[1]
    for line in ("a=rid:q recv", "a=rid:h recv", "a=rid:f recv", "a=simulcast:recv q;h;f"):
        assert f"\r\n{line}\r\n" in section
    assert "simulcast" not in agreement.sdp.split("m=video")[0]


def test_layers_that_packets_could_not_name_are_not_taken() -> None:
    offer = corpus("chromium-simulcast-offer").replace("sdes:rtp-stream-id", "sdes:something-else")
    assert publish(offer).tracks[1].rids == ()


def test_a_simulcast_by_sources_needs_nothing_in_the_answer() -> None:
    agreement = publish(Peer().publish_offer(group=(5, 6, 7)))
    assert agreement.tracks[1].ssrcs == (5, 6, 7)
    assert "simulcast" not in agreement.sdp


def test_ffmpeg_is_passive_so_the_worker_is_the_dtls_client() -> None:
    agreement = publish(corpus("ffmpeg-whip-offer"))
    assert agreement.dtls_client
    assert sdp.parse(agreement.sdp).media[0].transport.setup == "active"
    assert [track.codec.encoding for track in agreement.tracks] == ["opus", "h264"]
    active = publish(corpus("ffmpeg-whip-offer").replace("setup:passive", "setup:active"))
    assert not active.dtls_client


def test_only_what_the_offer_lists_is_answered() -> None:
    agreement = publish(corpus("ffmpeg-whip-offer"))
    assert agreement.tracks[1].codec.feedback == ("nack",)
    assert agreement.tracks[1].extensions == {}


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ("a=rtcp-mux\r\n", "", "no a=rtcp-mux"),
        ("a=group:BUNDLE 0 1\r\n", "", "not in the BUNDLE group"),
        ("a=sendonly", "a=recvonly", "sends neither"),
        ("a=setup:passive\r\n", "", "no a=setup"),
        ("a=ice-ufrag:470b7e68\r\n", "", "no a=ice-ufrag"),
        ("a=fingerprint:sha-256", "a=fingerprint:sha-1", "no a=fingerprint with SHA-256"),
    ],
)
def test_an_offer_that_we_cannot_serve_is_refused(before: str, after: str, reason: str) -> None:
    offer = corpus("ffmpeg-whip-offer")
    assert before in offer
    with pytest.raises(SdpRefused, match=reason):
        publish(offer.replace(before, after))


def test_all_viewers_are_offered_the_same_payload_types_and_ids() -> None:
    tracks = outgoing(publish(corpus("chromium-publish-offer")))
    first, second = (sdp.parse(offer_viewer(tracks, LOCAL, "stream")) for _ in range(2))
    assert first == second
    audio, video = first.media
    assert (audio.codecs[0].payload_type, video.codecs[0].payload_type) == (111, 96)
    assert video.extensions[MID] == 1
    assert video.ssrcs == (101,)
    assert video.transport.setup == "actpass"


def test_chromium_s_answer_to_our_offer_is_taken() -> None:
    tracks = outgoing(publish(corpus("chromium-publish-offer")))
    agreement = accept_answer(tracks, sdp.parse(corpus("chromium-answer-vp8")))
    assert not agreement.dtls_client
    assert [track.codec.payload_type for track in agreement.tracks] == [111, 96]


def test_an_answer_without_the_video_is_refused_but_one_without_sound_is_not() -> None:
    tracks = outgoing(publish(corpus("chromium-publish-offer")))
    answer = corpus("chromium-answer-vp8")
    with pytest.raises(SdpRefused, match="video codec VP8"):
        accept_answer(tracks, sdp.parse(answer.replace("m=video 9", "m=video 0").replace("BUNDLE 0 1", "BUNDLE 0")))
    silent = accept_answer(
        tracks, sdp.parse(answer.replace("m=audio 9", "m=audio 0").replace("BUNDLE 0 1", "BUNDLE 1"))
    )
    assert [track.kind for track in silent.tracks] == ["video"]


def test_an_answer_to_something_else_is_refused() -> None:
    tracks = outgoing(publish(corpus("chromium-publish-offer")))
    with pytest.raises(SdpRefused, match="3 media sections"):
        accept_answer(tracks, sdp.parse(corpus("chromium-publish-offer")))
    with pytest.raises(SdpRefused, match="actpass"):
        accept_answer(tracks, sdp.parse(corpus("chromium-answer-vp8").replace("setup:active", "setup:actpass")))


def test_a_whep_offer_is_answered_with_the_viewer_s_payload_types() -> None:
    tracks = outgoing(publish(corpus("chromium-publish-offer")))
    agreement = answer_viewer(tracks, sdp.parse(Peer().view_offer(video_payload_type="120")), LOCAL, "stream")
    assert [track.codec.payload_type for track in agreement.tracks] == [109, 120]
    video = sdp.parse(agreement.sdp).media[1]
    assert video.formats == ("120",)
    assert video.direction == "sendonly"
    assert agreement.tracks[1].extensions == {MID: 4}


def test_chromium_s_whep_offer_takes_ffmpeg_s_h264() -> None:
    tracks = outgoing(publish(corpus("ffmpeg-whip-offer")))
    agreement = answer_viewer(tracks, sdp.parse(corpus("chromium-whep-offer")), LOCAL, "stream")
    assert agreement.tracks[1].codec.encoding == "h264"
    assert agreement.tracks[1].codec.parameters["packetization-mode"] == "1"


def test_a_whep_offer_without_the_publisher_s_codec_is_refused_by_name() -> None:
    tracks = outgoing(publish(corpus("ffmpeg-whip-offer")))
    with pytest.raises(SdpRefused, match="video codec H264"):
        answer_viewer(tracks, sdp.parse(Peer().view_offer()), LOCAL, "stream")


def test_baseline_h264_is_offered_under_the_name_that_every_browser_knows() -> None:
    tracks = outgoing(publish(corpus("ffmpeg-whip-offer")))
    codec = sdp.parse(offer_viewer(tracks, LOCAL, "stream")).media[1].codecs[0]
    assert codec.parameters["profile-level-id"] == "42e01e"


@given(st.data())
def test_a_damaged_offer_is_answered_or_refused(data: st.DataObject) -> None:
    names = ["chromium-publish-offer", "ffmpeg-whip-offer", "chromium-whep-offer"]
    lines = corpus(data.draw(st.sampled_from(names))).split("\r\n")
    for _ in range(data.draw(st.integers(1, 5))):
        index = data.draw(st.integers(4, len(lines) - 1))
        other = data.draw(st.integers(4, len(lines) - 1))
        lines[index] = data.draw(st.sampled_from([lines[other], "a=mid:0", "a=group:BUNDLE 1", "a=bundle-only", "s=-"]))
    with contextlib.suppress(SdpRefused):
        description = sdp.parse("\r\n".join(lines))
        sdp.parse(publish("\r\n".join(lines)).sdp)
        tracks = outgoing(publish(corpus("chromium-publish-offer")))
        sdp.parse(answer_viewer(tracks, description, LOCAL, "stream").sdp)
