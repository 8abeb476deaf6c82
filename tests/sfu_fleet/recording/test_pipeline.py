"""Packets in, a file out that PyAV opens: order, loss, layers, restarts, sound beside picture."""

import random
from pathlib import Path

import pytest

from sfu_fleet.recording.clocks import MAX_DISAGREEMENT_S
from sfu_fleet.recording.pipeline import AUDIO, Media, Pipeline, Plan, Report
from sfu_fleet.switching import Clock
from tests.sfu_fleet.recording.media import (
    ascending,
    audio_media,
    opened,
    pictures,
    sound,
    video_media,
)

NTP = 3_900_000_000 << 32


def record(path: Path, plan: Plan, items: list[Media | Report]) -> list[str]:
    """Feed items in the order of their arrival; the layers that were asked for keyframes."""
    asked: list[str] = []
    with path.open("wb", buffering=0) as file:
        pipeline = Pipeline(plan, file, asked.append)
        for item in sorted(items, key=lambda item: item.at):
            if isinstance(item, Media):
                pipeline.media(item)
            else:
                pipeline.report(item)
        pipeline.finish()
    return asked


@pytest.mark.parametrize("encoding", ["vp8", "vp9", "h264", "av1"])
def test_every_frame_is_in_the_file_and_decodes(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "file"
    record(path, Plan(encoding, "opus"), [*video_media(encoding, pictures(encoding, 60)), *audio_media(sound(100))])
    video, audio, decoded = opened(path)
    assert (len(video), len(audio), decoded) == (60, 100, 60)
    assert video[0] == (0.0, True)
    assert [keyframe for _, keyframe in video].count(True) == 4
    assert ascending([at for at, _ in video])
    assert ascending(audio)


def test_sound_alone_is_recorded(tmp_path: Path) -> None:
    path = tmp_path / "file"
    record(path, Plan(None, "opus"), [*audio_media(sound(150))])
    _, audio, decoded = opened(path)
    assert (len(audio), decoded) == (150, 150)
    assert ascending(audio)


def test_packets_out_of_order_and_twice_change_nothing(tmp_path: Path) -> None:
    straight, shuffled = tmp_path / "straight", tmp_path / "shuffled"
    media = video_media("vp8", pictures("vp8", 60))
    record(straight, Plan("vp8", None), [*media])
    generator = random.Random(7)
    late = [
        Media(m.layer, m.packet, m.sequence, m.timestamp, m.at + generator.random() * 0.2, m.rate) for m in media[1:]
    ]
    asked = record(shuffled, Plan("vp8", None), [media[0], *late, *late[::5]])
    assert asked == []
    assert opened(shuffled)[0] == opened(straight)[0]


@pytest.mark.parametrize("encoding", ["vp8", "vp9", "h264", "av1"])
def test_a_lost_packet_costs_the_frames_up_to_the_next_keyframe_which_is_asked_for(
    tmp_path: Path, encoding: str
) -> None:
    path = tmp_path / "file"
    media = video_media(encoding, pictures(encoding, 60))
    timestamps = sorted({m.timestamp for m in media})
    lost = next(index for index, m in enumerate(media) if m.timestamp == timestamps[20])
    asked = record(path, Plan(encoding, None), [*media[:lost], *media[lost + 1 :]])
    video, _, decoded = opened(path)
    assert set(asked) == {"0"}
    assert len(video) == decoded == 60 - 10
    assert video[20][1]
    assert video[20][0] == pytest.approx(1.0, abs=0.002)


def test_the_file_begins_with_a_keyframe_and_sound_from_before_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "file"
    media = video_media("vp8", pictures("vp8", 60))
    joined = [m for m in media if m.at > 100.2]
    asked = record(path, Plan("vp8", "opus"), [*joined, *audio_media(sound(100))])
    video, audio, _ = opened(path)
    assert video[0] == (0.0, True)
    assert len(video) == 45
    assert audio[0] == pytest.approx(0.0, abs=0.021)
    assert set(asked) <= {"0"}


def test_another_layer_goes_on_in_time_with_its_own_size(tmp_path: Path) -> None:
    path = tmp_path / "file"
    small = video_media("vp8", pictures("vp8", 30), layer="q")
    large = video_media("vp8", pictures("vp8", 30, width=640, height=360), layer="f", ssrc=9, first=5_000, at=101.0)
    record(path, Plan("vp8", None), [*small, *large])
    video, _, decoded = opened(path)
    assert (len(video), decoded) == (60, 60)
    assert ascending([at for at, _ in video])
    assert video[30][0] == pytest.approx(1.0, abs=0.002)


def test_a_source_that_starts_over_goes_on_with_its_keyframe(tmp_path: Path) -> None:
    path = tmp_path / "file"
    before = video_media("vp8", pictures("vp8", 30))[:-1]  # ends within a frame
    after = video_media("vp8", pictures("vp8", 30), ssrc=3, first=before[-1].sequence + 1, at=101.5)
    asked = record(path, Plan("vp8", None), [*before, *after])
    video, _, decoded = opened(path)
    assert len(video) == decoded
    assert len(video) in {59, 60}
    assert video[-30][1]
    assert video[-30][0] == pytest.approx(1.5, abs=0.002)
    assert asked


def test_sender_reports_put_sound_and_picture_in_step(tmp_path: Path) -> None:
    """The sound takes 200 ms longer on its way: by arrival it would be late, by the reports it is not."""
    path = tmp_path / "file"
    video = video_media("vp8", pictures("vp8", 300))
    audio = audio_media(sound(500), at=100.2)
    reports: list[Media | Report] = []
    for second in range(10):
        ntp = NTP + (second << 32)
        reports.append(Report("0", Clock(ntp, 1_000 + second * 90_000), 100.001 + second))
        reports.append(Report(AUDIO, Clock(ntp, 77 + second * 48_000), 100.201 + second))
    record(path, Plan("vp8", "opus"), [*video, *audio, *reports])
    pictures_at, sounds_at, _ = opened(path)
    assert ascending(sounds_at)
    # The last picture was taken at 299/30 s, the last sound at 499/50 s.
    assert sounds_at[-1] - pictures_at[-1][0] == pytest.approx(499 / 50 - 299 / 30, abs=0.01)


def test_a_report_from_before_the_first_packet_holds_from_the_first_packet_on(tmp_path: Path) -> None:
    path = tmp_path / "file"
    early: list[Media | Report] = [
        Report("0", Clock(NTP, 1_000), 99.9),
        Report(AUDIO, Clock(NTP, 77 - 9_600), 99.9),
    ]
    record(path, Plan("vp8", "opus"), [*video_media("vp8", pictures("vp8", 60)), *audio_media(sound(100)), *early])
    _, sounds_at, _ = opened(path)
    # The first sound is of 200 ms after the first picture.
    assert sounds_at[0] == pytest.approx(0.2, abs=0.002)


def test_reports_that_make_no_sense_are_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    video = video_media("vp8", pictures("vp8", 60))
    wrong = [
        Report("0", Clock(NTP, 1_000), 100.001),
        Report(AUDIO, Clock(NTP, 77 + round(48_000 * 2 * MAX_DISAGREEMENT_S)), 100.002),
    ]
    record(path, Plan("vp8", "opus"), [*video, *audio_media(sound(100)), *wrong])
    pictures_at, sounds_at, _ = opened(path)
    assert sounds_at[-1] == pytest.approx(99 / 50, abs=0.01)
    assert pictures_at[-1][0] == pytest.approx(59 / 30, abs=0.01)


def test_a_file_that_was_never_finished_plays_up_to_its_last_second(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with path.open("wb", buffering=0) as file:
        pipeline = Pipeline(Plan("vp8", "opus"), file, lambda _: None)
        items = [*video_media("vp8", pictures("vp8", 150)), *audio_media(sound(250))]
        for item in sorted(items, key=lambda item: item.at):
            pipeline.media(item)
    video, audio, decoded = opened(path)
    assert decoded == len(video) >= 90
    assert len(audio) >= 150
