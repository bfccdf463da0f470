import numpy as np
import pytest

from harchive_dagster.errors import RecordingError
from harchive_dagster.reasons import Reason
from harchive_dagster.recording.container import probe_video


def _rejected(path):
    with pytest.raises(RecordingError) as caught:
        probe_video(path)
    return caught.value


def test_a_constant_rate_clip_is_measured_exactly(make_clip, panning):
    facts = probe_video(make_clip(panning(10)))
    assert (facts.width_px, facts.height_px, facts.codec) == (320, 180, "h264")
    assert facts.frame_count == 10
    assert facts.fps == pytest.approx(25.0)
    assert facts.duration_ns == pytest.approx(400_000_000, abs=1_000_000)
    assert (facts.min_step_ns, facts.max_step_ns) == (40_000_000, 40_000_000)
    assert not facts.is_variable_rate


def test_frames_are_counted_in_presentation_order_when_the_codec_reorders(make_clip, panning):
    facts = probe_video(make_clip(panning(13), b_frames=2))
    assert facts.frame_count == 13
    assert facts.min_step_ns == facts.max_step_ns == 40_000_000


def test_a_variable_rate_is_told_apart_and_its_mean_rate_is_measured(make_clip, panning):
    times = [0, 40, 80, 180, 220, 300]
    facts = probe_video(make_clip(panning(6), pts_ms=times))
    assert facts.is_variable_rate
    assert facts.fps == pytest.approx(5 / 0.3)
    assert facts.max_step_ns == 100_000_000


def test_time_base_rounding_is_no_variable_rate(make_clip, panning):
    times = [round(index * 1000 / 30) for index in range(12)]
    assert not probe_video(make_clip(panning(12), pts_ms=times)).is_variable_rate


def test_a_single_frame_has_no_rate(make_clip, panning):
    facts = probe_video(make_clip(panning(1)))
    assert (facts.frame_count, facts.fps, facts.max_step_ns) == (1, 0.0, 0)


@pytest.mark.parametrize("share", [0.4, 0.7, 0.95])
def test_a_file_cut_after_its_index_is_truncated_and_says_how_much_is_left(make_clip, panning, share):
    whole = make_clip(panning(40))
    content = whole.read_bytes()
    start = content.index(b"mdat")
    whole.write_bytes(content[: start + int((len(content) - start) * share)])
    error = _rejected(whole)
    assert error.reason is Reason.VIDEO_TRUNCATED
    assert error.evidence["declared_frames"] == 40
    assert 0 < error.evidence["readable_frames"] < 40
    assert error.evidence["last_good_s"] == pytest.approx(0.04 * (error.evidence["readable_frames"] - 1))
    assert "declares 40 frames" in error.detail


def test_a_file_cut_before_its_first_frame_is_truncated(make_clip, panning):
    whole = make_clip(panning(5))
    content = whole.read_bytes()
    whole.write_bytes(content[: content.index(b"mdat") + 8])
    error = _rejected(whole)
    assert error.reason is Reason.VIDEO_TRUNCATED
    assert error.evidence["readable_frames"] == 0


@pytest.mark.parametrize(
    ("content", "match"),
    [(b"", "cannot be opened"), (b"not a video " * 100, "cannot be opened"), (None, "cannot be opened")],
    ids=["empty", "text", "absent"],
)
def test_what_is_no_video_is_unreadable(tmp_path, content, match):
    path = tmp_path / "cap.mp4"
    if content is not None:
        path.write_bytes(content)
    error = _rejected(path)
    assert error.reason is Reason.VIDEO_UNREADABLE
    assert match in error.detail
    assert "cap.mp4" in error.detail


def test_a_file_without_its_index_is_unreadable(make_clip, panning):
    path = make_clip(panning(5))
    content = path.read_bytes()
    start = content.index(b"moov") - 4
    size = int.from_bytes(content[start : start + 4], "big")
    path.write_bytes(content[:start] + content[start + size :])
    assert _rejected(path).reason is Reason.VIDEO_UNREADABLE


def test_a_recording_without_a_video_track_is_unreadable(tmp_path):
    import av

    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    error = _rejected(path)
    assert error.reason is Reason.VIDEO_UNREADABLE
    assert "no video track" in error.detail


@pytest.mark.realdata
def test_real_recordings_are_whole(realdata):
    counts = {"egocentric_two_faces.mp4": 14, "gopro_max_walk.mp4": 315, "street_one_person.mp4": 600}
    for name, count in counts.items():
        assert probe_video(realdata / name).frame_count == count
    assert probe_video(realdata / "gopro_max_walk.mp4").data_track_count == 3
