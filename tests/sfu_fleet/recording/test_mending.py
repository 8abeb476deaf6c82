"""A file that was cut off anywhere is finished: everything whole in it stays, and players learn how long it is."""

import io
from functools import cache
from pathlib import Path

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfu_fleet.recording.mending import mend
from sfu_fleet.recording.pipeline import Pipeline, Plan
from tests.sfu_fleet.recording.media import audio_media, opened, pictures, sound, video_media


@cache
def recorded(*, finished: bool, audio_only: bool = False) -> bytes:
    """Five seconds, as they are in the file before or after its end."""
    file = io.BytesIO()
    video = None if audio_only else "vp8"
    pipeline = Pipeline(Plan(video, "opus"), file, lambda _: None)
    items = [*([] if audio_only else video_media("vp8", pictures("vp8", 150))), *audio_media(sound(250))]
    for item in sorted(items, key=lambda item: item.at):
        pipeline.media(item)
    pipeline.idle()
    if finished:
        pipeline.finish()
    return file.getvalue()


@pytest.mark.parametrize("audio_only", [False, True])
def test_a_mended_file_is_the_one_that_its_worker_would_have_finished(audio_only: bool) -> None:
    file = io.BytesIO(recorded(finished=False, audio_only=audio_only))
    ending = mend(file)
    assert file.getvalue() == recorded(finished=True, audio_only=audio_only)
    assert ending.duration_ms > 4_900


def test_what_was_cut_off_within_a_cluster_keeps_all_clusters_before_it(tmp_path: Path) -> None:
    path = tmp_path / "file.webm"
    whole = recorded(finished=False)
    path.write_bytes(whole[: len(whole) * 2 // 3])
    before = opened(path)
    with path.open("r+b", buffering=0) as file:
        ending = mend(file)
    video, audio, decoded = opened(path)
    assert decoded == len(video) >= 60
    assert video == before[0][: len(video)]
    with av.open(str(path)) as container:
        assert container.duration == pytest.approx(ending.duration_ms * 1_000, abs=1_000)
        container.seek(1_000_000, any_frame=False)
        frame = next(container.decode(video=0))
        assert frame.time == pytest.approx(1.0, abs=0.01)
    assert ending.duration_ms == pytest.approx(1_000 * max(video[-1][0], audio[-1]), abs=1)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_cut_off_anywhere_it_is_finished_or_refused_and_finishing_twice_changes_nothing(data: st.DataObject) -> None:
    whole = recorded(finished=data.draw(st.booleans()))
    file = io.BytesIO(whole[: data.draw(st.integers(0, len(whole)))])
    try:
        ending = mend(file)
    except ValueError:
        return
    once = file.getvalue()
    assert 0 < ending.duration_ms <= 5_000
    assert mend(file).duration_ms == ending.duration_ms
    assert file.getvalue() == once


@given(st.binary(max_size=200))
def test_what_is_no_recording_of_ours_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"header|recorded"):
        mend(io.BytesIO(content))
