"""The SDP parser: real browsers' and FFmpeg's descriptions are read, malformed ones refused with the line."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu_fleet import sdp
from sfu_fleet.errors import SdpRefused

CORPUS = Path(__file__).parent / "corpus"
CHROMIUM = (CORPUS / "chromium-publish-offer.sdp").read_bytes().decode()
FFMPEG = (CORPUS / "ffmpeg-whip-offer.sdp").read_bytes().decode()


@pytest.mark.parametrize("name", sorted(path.name for path in CORPUS.glob("*.sdp")))
def test_every_description_of_the_corpus_is_read(name: str) -> None:
    description = sdp.parse((CORPUS / name).read_bytes().decode())
    assert {media.kind for media in description.media} >= {"audio", "video"}
    for media in description.media:
        assert media.transport.ufrag
        assert media.transport.fingerprints[0].algorithm == "sha-256"
        assert media.mid in description.bundle


def test_chromium_s_offer_is_understood() -> None:
    audio, video, data = sdp.parse(CHROMIUM).media
    assert (audio.kind, audio.direction, audio.codecs[0].encoding) == ("audio", "sendonly", "opus")
    assert audio.codecs[0].channels == 2
    assert video.codecs[0].encoding == "vp8"
    assert "nack pli" in video.codecs[0].feedback
    assert {"h264", "vp9", "av1", "rtx"} <= {codec.encoding for codec in video.codecs}
    assert video.transport.setup == "actpass"
    assert data.kind == "application"


def test_ffmpeg_s_offer_is_understood() -> None:
    _, video = sdp.parse(FFMPEG).media
    assert video.codecs[0].parameters["packetization-mode"] == "1"
    assert video.transport.setup == "passive"
    assert video.ssrcs


def test_chromium_s_simulcast_is_understood() -> None:
    audio, video = sdp.parse((CORPUS / "chromium-simulcast-offer.sdp").read_bytes().decode()).media
    assert audio.rids == ()
    assert video.rids == ("q", "h", "f")


@pytest.mark.parametrize(
    ("simulcast", "rids"),
    [
        ("send q;h;f", ("q", "h", "f")),
        ("recv q;h;f", ()),
        ("recv f send q;f", ("q", "f")),
        ("send q,h;~f", ("q", "f")),  # the first of alternatives; one that begins paused
        ("send q;q;x", ("q",)),  # named twice; never described
    ],
)
def test_the_layers_are_those_that_the_peer_sends(simulcast: str, rids: tuple[str, ...]) -> None:
    described = "\r\n".join(f"a=rid:{rid} send" for rid in "qhf")
    text = FFMPEG.replace("a=sendonly", f"a=sendonly\r\n{described}\r\na=simulcast:{simulcast}")
    assert sdp.parse(text).media[1].rids == rids


def test_the_older_group_of_sources_is_understood() -> None:
    text = FFMPEG.replace("a=sendonly", "a=sendonly\r\na=ssrc-group:FID 1 2\r\na=ssrc-group:SIM 5 6 7")
    assert sdp.parse(text).media[1].simulcast_ssrcs == (5, 6, 7)


def test_bare_line_feeds_are_accepted() -> None:
    assert sdp.parse(FFMPEG.replace("\r\n", "\n")) == sdp.parse(FFMPEG)


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ("v=0", "v=1", "line 1: expected v=0"),
        ("t=0 0", "nonsense", "line 4: expected <type>=<value>"),
        ("s=FFmpegPublishSession\r\n", "", "no s= line"),
        ("m=audio 9", "m=audio nine", "line 8: port"),
        ("m=audio 9", "m=audio 99999", "line 8: port"),
        ("UDP/TLS/RTP/SAVPF 111", "RTP/AVP 111", "line 8: transport RTP/AVP"),
        ("a=rtpmap:111 opus/48000/2", "a=rtpmap:111 opus", "line 18: expected a=rtpmap"),
        ("a=rtpmap:111 opus/48000/2", "a=rtpmap:311 opus/48000/2", "line 18: payload type"),
        ("a=rtpmap:111 opus/48000/2", "a=rtpmap:111 opus/0/2", "line 18: clock rate is zero"),
        ("a=ice-pwd:d6", "a=ice-pwd:!", "line 11: a=ice-pwd"),
        ("a=fingerprint:sha-256 ", "a=fingerprint:sha-256 ZZ", "line 12: expected a=fingerprint"),
        ("a=setup:passive", "a=setup:sideways", "line 13: a=setup"),
        ("a=mid:0", "a=mid:" + "x" * 17, "line 14: a=mid"),
        ("a=mid:1", "a=mid:0", "same a=mid"),
        ("BUNDLE 0 1", "BUNDLE 0 7", "line 5: a=group"),
        ("a=ssrc:4263758045 cname", "a=ssrc:x cname", "line 19: SSRC"),
        ("a=sendonly", "a=send\x00only", "control character"),
        ("a=sendonly", "a=extmap:0 urn:x", "extension id is zero"),
        ("a=sendonly", "a=:x", "bad attribute name"),
        ("a=sendonly", "a=rid:q", "expected a=rid"),
        ("a=sendonly", "a=rid:q sideways", "expected a=rid"),
        ("a=sendonly", "a=rid:q;h send", "expected a=rid"),
        ("a=sendonly", "a=simulcast:send", "expected a=simulcast"),
        ("a=sendonly", "a=simulcast:q;h;f send", "expected a=simulcast"),
        ("a=sendonly", "a=ssrc-group:SIM one two", "SSRC"),
    ],
)
def test_a_malformed_description_is_refused_with_the_line(before: str, after: str, reason: str) -> None:
    assert before in FFMPEG
    with pytest.raises(SdpRefused, match=reason):
        sdp.parse(FFMPEG.replace(before, after))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "line 1: expected v=0"),
        ("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n", "no media section"),
        ("a" * 70_000, "longer than"),
        ("v=0\n" * 3_001, "more than"),
        (FFMPEG + "m=audio 0 UDP/TLS/RTP/SAVPF 0\r\n" * 20, "more than 16 media sections"),
        ("\U0001f600", "line 1"),
    ],
)
def test_a_description_that_is_none_is_refused(text: str, reason: str) -> None:
    with pytest.raises(SdpRefused, match=reason):
        sdp.parse(text)


@given(st.text(max_size=300))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(SdpRefused):
        sdp.parse(text)


@given(st.data())
def test_a_damaged_description_is_read_or_refused(data: st.DataObject) -> None:
    lines = data.draw(st.sampled_from([CHROMIUM, FFMPEG])).split("\r\n")
    for _ in range(data.draw(st.integers(1, 4))):
        index = data.draw(st.integers(0, len(lines) - 1))
        line = lines[index]
        at = data.draw(st.integers(0, len(line)))
        lines[index] = line[:at] + data.draw(st.text(max_size=6)) + line[at + data.draw(st.integers(0, 3)) :]
    with contextlib.suppress(SdpRefused):
        sdp.parse("\r\n".join(lines))


def test_candidates_are_told_from_other_text() -> None:
    assert sdp.is_candidate("867220496 1 udp 2122194687 192.0.2.2 39929 typ host generation 0 network-id 1")
    assert not sdp.is_candidate("867220496 1 udp high 192.0.2.2 39929 typ host")
