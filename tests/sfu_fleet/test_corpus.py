"""Every peer of the corpus is answered, and what is answered keeps what matters to it."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu_fleet import sdp
from sfu_fleet.errors import SdpRefused
from sfu_fleet.header_extensions import (
    ABSOLUTE_CAPTURE_TIME,
    AUDIO_LEVEL,
    DEPENDENCY_DESCRIPTOR,
    MID,
    TRANSPORT_SEQUENCE,
    VIDEO_ORIENTATION,
)
from sfu_fleet.negotiation import (
    Agreement,
    LocalTransport,
    Outgoing,
    answer_publisher,
    answer_viewer,
    offer_viewer,
)
from sfu_fleet.sdp import Fingerprint, Media

CORPUS = {path.stem: path.read_bytes().decode() for path in (Path(__file__).parent / "corpus").glob("*.sdp")}
PUBLISHERS = sorted(name for name in CORPUS if name.endswith(("publish-offer", "whip-offer")))
VIEWERS = sorted(name for name in CORPUS if name.endswith("whep-offer"))
HOSTS = (("192.0.2.1", 5000), ("2001:db8::1", 5000))
LOCAL = LocalTransport("ufragufr", "password" * 3, (Fingerprint("sha-256", ":".join(["AB"] * 32)),), HOSTS, HOSTS)


def publish(name: str) -> Agreement:
    return answer_publisher(sdp.parse(CORPUS[name]), LOCAL)


def outgoing(agreement: Agreement) -> list[Outgoing]:
    return [
        Outgoing(track.kind, track.codec, 100 + index, 200 + index if track.kind == "video" else 0)
        for index, track in enumerate(agreement.tracks)
    ]


def section(text: str, kind: str) -> Media:
    return next(media for media in sdp.parse(text).media if media.kind == kind)


def test_the_corpus_has_every_program_that_we_promise() -> None:
    assert {name.split("-")[0] for name in PUBLISHERS} >= {
        "chromium", "ffmpeg", "firefox", "gstreamer", "obs", "safari",
    }  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHERS)
def test_a_publisher_s_audio_and_video_are_both_taken(name: str) -> None:
    agreement = publish(name)
    assert {track.kind for track in agreement.tracks} == {"audio", "video"}
    offered, answered = sdp.parse(CORPUS[name]), sdp.parse(agreement.sdp)
    assert [media.kind for media in answered.media] == [media.kind for media in offered.media]
    for track in agreement.tracks:
        before, after = section(CORPUS[name], track.kind), section(agreement.sdp, track.kind)
        # An answer says nothing that was not offered (RFC 3264, section 6).
        assert set(after.formats) <= set(before.formats)
        assert set(after.extensions.items()) <= set(before.extensions.items())
        assert set(after.codecs[0].feedback) <= set(
            next(codec for codec in before.codecs if codec.payload_type == track.codec.payload_type).feedback
        )
        assert (after.direction, after.mid) == ("recvonly", before.mid)
    assert agreement.sdp.count("typ host\r\n") == agreement.sdp.count("tcptype passive\r\n") == 4


@pytest.mark.parametrize("name", PUBLISHERS)
def test_the_publisher_s_first_choice_is_taken_unless_few_could_watch_it(name: str) -> None:
    chosen = {track.kind: track.codec for track in publish(name).tracks}
    assert chosen["audio"].payload_type == int(section(CORPUS[name], "audio").formats[0])
    if name.startswith("safari"):
        # Its first is High profile, which Firefox and builds of Chromium do not list.
        assert chosen["video"].parameters["profile-level-id"] == "42e01f"
    else:
        assert chosen["video"].payload_type == int(section(CORPUS[name], "video").formats[0])


def test_the_layers_of_a_simulcast_by_sources_have_each_its_retransmissions() -> None:
    video = next(track for track in publish("libwebrtc-sources-publish-offer").tracks if track.kind == "video")
    assert video.ssrcs == (1849212144, 1849212145, 1849212146)
    assert video.rtx_ssrcs == (2703763098, 2703763099, 2703763100)
    assert video.rids == ()


def test_a_publisher_with_nothing_but_high_profile_is_taken_and_a_viewer_without_it_refused_in_words() -> None:
    offer = CORPUS["obs-whip-offer"].replace("42e01f", "640c1f")
    agreement = answer_publisher(sdp.parse(offer), LOCAL)
    assert agreement.tracks[1].codec.parameters["profile-level-id"] == "640c1f"
    with pytest.raises(SdpRefused, match="profile-level-id=640c1f"):
        answer_viewer(outgoing(agreement), sdp.parse(CORPUS["firefox-whep-offer"]), LOCAL, "s")


@pytest.mark.parametrize("name", PUBLISHERS)
def test_retransmissions_are_agreed_exactly_where_they_are_offered(name: str) -> None:
    video = next(track for track in publish(name).tracks if track.kind == "video")
    offered = f"apt={video.codec.payload_type}\r\n" in CORPUS[name]
    assert (video.rtx is not None) is offered
    assert offered is (not name.startswith("obs"))


@pytest.mark.parametrize("name", PUBLISHERS)
def test_opus_keeps_its_parameters_on_the_way_to_viewers(name: str) -> None:
    agreement = publish(name)
    audio = next(track for track in agreement.tracks if track.kind == "audio")
    offered = section(CORPUS[name], "audio").codecs[0].parameters
    assert section(agreement.sdp, "audio").codecs[0].parameters == offered == audio.codec.parameters
    assert section(offer_viewer(outgoing(agreement), LOCAL, "s"), "audio").codecs[0].parameters == offered


def test_discontinuous_transmission_survives_as_well() -> None:
    offer = CORPUS["chromium-publish-offer"].replace("useinbandfec=1", "useinbandfec=1;usedtx=1")
    agreement = answer_publisher(sdp.parse(offer), LOCAL)
    assert "a=fmtp:111 minptime=10;useinbandfec=1;usedtx=1" in agreement.sdp


@pytest.mark.parametrize("publisher", PUBLISHERS)
@pytest.mark.parametrize("viewer", VIEWERS)
def test_every_viewer_is_answered_for_every_publisher(publisher: str, viewer: str) -> None:
    tracks = outgoing(publish(publisher))
    agreement = answer_viewer(tracks, sdp.parse(CORPUS[viewer]), LOCAL, "s")
    assert {track.kind for track in agreement.tracks} == {"audio", "video"}
    video = next(track for track in agreement.tracks if track.kind == "video")
    assert video.rtx is not None
    answered = section(agreement.sdp, "video")
    assert answered.formats == (str(video.codec.payload_type), str(video.rtx.payload_type))
    assert answered.direction == "sendonly"
    assert f"a=ssrc-group:FID {answered.ssrcs[0]} {answered.ssrcs[1]}" in agreement.sdp


def test_forwarded_extensions_are_offered_to_viewers_under_ids_of_their_own() -> None:
    offer = offer_viewer(outgoing(publish("safari-publish-offer")), LOCAL, "s")
    everywhere = {MID, TRANSPORT_SEQUENCE, ABSOLUTE_CAPTURE_TIME}
    assert set(section(offer, "audio").extensions) == everywhere | {AUDIO_LEVEL}
    assert set(section(offer, "video").extensions) == everywhere | {VIDEO_ORIENTATION}
    assert "a=extmap-allow-mixed" in offer


def test_the_dependency_descriptor_goes_with_av1_and_with_nothing_else() -> None:
    """Where it is agreed, Chromium leaves the pictures' numbers and temporal layers out of VP8's own descriptor."""
    offer = CORPUS["chromium-simulcast-offer"]
    assert DEPENDENCY_DESCRIPTOR in section(offer, "video").extensions
    agreement = publish("chromium-simulcast-offer")
    assert DEPENDENCY_DESCRIPTOR not in section(agreement.sdp, "video").extensions
    line = next(line for line in offer.split("\r\n") if line.startswith("m=video"))
    payload_type = next(str(c.payload_type) for c in section(offer, "video").codecs if c.encoding == "av1")
    words = line.split()
    preferred = " ".join([*words[:3], payload_type, *(word for word in words[3:] if word != payload_type)])
    agreement = answer_publisher(sdp.parse(offer.replace(line, preferred)), LOCAL)
    assert DEPENDENCY_DESCRIPTOR in section(agreement.sdp, "video").extensions
    assert DEPENDENCY_DESCRIPTOR in section(offer_viewer(outgoing(agreement), LOCAL, "s"), "video").extensions


@given(st.data())
def test_an_offer_with_lines_left_out_or_moved_is_answered_or_refused_with_a_reason(data: st.DataObject) -> None:
    lines = CORPUS[data.draw(st.sampled_from(sorted(CORPUS)))].split("\r\n")[:-1]
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(lines) - 1))
        match data.draw(st.integers(0, 2)):
            case 0:
                del lines[at]
            case 1:
                lines.insert(data.draw(st.integers(0, len(lines))), lines[at])
            case _:
                lines[at] = lines[at][: data.draw(st.integers(0, len(lines[at])))]
        if not lines:
            return
    text = "\r\n".join([*lines, ""])
    for as_publisher in (True, False):
        try:
            agreement = answered_as(text, as_publisher=as_publisher)
        except SdpRefused as error:
            reason = str(error)
        else:
            reason = "none needed"
            # What we say ourselves is always well-formed.
            sdp.parse(agreement.sdp)
        assert reason


def answered_as(offer: str, *, as_publisher: bool) -> Agreement:
    if as_publisher:
        return answer_publisher(sdp.parse(offer), LOCAL)
    return answer_viewer(outgoing(publish("obs-whip-offer")), sdp.parse(offer), LOCAL, "s")
