"""The rendered file: same frames, times, size and colours; nothing hidden is visible, nothing else comes along."""

import hashlib
import itertools
from fractions import Fraction

import av
import numpy as np
import pytest

from harchive_dagster.errors import PrivacyError, RecordingError, SettingsError
from harchive_dagster.privacy import group_encoding
from harchive_dagster.privacy.redaction import Redaction, detail_left, planes_of
from harchive_dagster.privacy.rendering import render_anonymized
from harchive_dagster.recording.decoding import iterate_frames

UNEVEN_TICKS = list(itertools.accumulate([700, 512, 1400, 1, 333, 5000, 512, 90, 2048, 512, 511, 513]))


def redaction(frame_index=0, x=60.0, y=40.0, w=90.0, h=110.0, **overrides):
    values = {"track_id": 1, "kind": "face", "source": "detected", "score": 0.9} | overrides
    return Redaction(frame_index=frame_index, x=x, y=y, w=w, h=h, **values)


def times_of(path):
    with av.open(str(path)) as container:
        frames = [(frame.pts, frame.time_base) for frame in container.decode(video=0)]
    first = frames[0][0]
    return [(pts - first) * time_base for pts, time_base in frames]


def first_frame(path):
    return next(iterate_frames(path)).frame


@pytest.mark.parametrize(
    ("name", "ticks", "options"),
    [
        ("constant.mp4", None, {}),
        ("variable.mp4", UNEVEN_TICKS, {}),
        ("b_frames.mp4", None, {"b_frames": 3}),
        ("variable_b_frames.mp4", UNEVEN_TICKS, {"b_frames": 3}),
        ("late_start.mkv", [4000 + 33 * place for place in range(12)], {"time_base": Fraction(1, 1000)}),
        ("ntsc.mov", [1001 * place for place in range(12)], {"time_base": Fraction(1, 30000), "b_frames": 2}),
    ],
)
def test_frame_times_are_exactly_those_of_the_source(tmp_path, write_clip, face_at, name, ticks, options):
    source, target = tmp_path / name, tmp_path / "out.mp4"
    write_clip(source, [face_at(x=40 + 4 * place) for place in range(12)], ticks=ticks, **options)
    report = render_anonymized(source, target, [])
    assert report.frame_count == 12
    assert times_of(target) == times_of(source)
    assert [one.pts_ns for one in iterate_frames(target)] == [one.pts_ns for one in iterate_frames(source)]


def test_the_first_frame_is_at_zero_and_the_last_keeps_its_duration(tmp_path, write_clip, face_at):
    source, target = tmp_path / "in.mp4", tmp_path / "out.mp4"
    write_clip(source, [face_at()] * 5, ticks=[1000, 1512, 2024, 2536, 3048])
    render_anonymized(source, target, [])
    with av.open(str(source)) as before, av.open(str(target)) as after:
        *_, last_before = before.decode(video=0)
        *_, last_after = after.decode(video=0)
        assert after.streams.video[0].start_time == 0
        assert last_after.duration * last_after.time_base == last_before.duration * last_before.time_base


def test_what_is_redacted_is_hidden_and_the_rest_looks_like_the_source(tmp_path, write_clip, face_at):
    source, target = tmp_path / "in.mp4", tmp_path / "out.mp4"
    write_clip(source, [face_at()] * 8, b_frames=2)
    wanted = [redaction(frame_index) for frame_index in (2, 3, 4)]
    report = render_anonymized(source, target, wanted)
    assert report.redacted_frame_count == 3
    for before, after in zip(iterate_frames(source), iterate_frames(target), strict=True):
        luma_before, luma_after = planes_of(before.frame)[0], planes_of(after.frame)[0]
        is_hidden = detail_left(luma_after, [redaction()])[0] < 3.0
        assert is_hidden == (after.frame_index in (2, 3, 4))
        far = np.abs(luma_before[:, 200:].astype(int) - luma_after[:, 200:])
        assert far.mean() < 6


def test_private_time_is_grey_and_frames_around_it_are_not(tmp_path, write_clip, face_at):
    source, target = tmp_path / "in.mp4", tmp_path / "out.mp4"
    write_clip(source, [face_at()] * 6)
    render_anonymized(source, target, [redaction(2, kind="private", source="private_time")])
    spread = [planes_of(decoded.frame)[0].std() for decoded in iterate_frames(target)]
    assert spread[2] < 0.5
    assert min(spread[1], spread[3]) > 20


@pytest.mark.parametrize("size", [(320, 256), (641, 359), (322, 181), (130, 98)])
def test_the_size_never_changes(tmp_path, write_clip, face_at, size):
    width_px, height_px = size
    source, target = tmp_path / "in.mkv", tmp_path / "out.mp4"
    picture = face_at(10, 5, face_px=40, width_px=width_px, height_px=height_px)
    write_clip(source, [picture] * 3, codec="ffv1", pix_fmt="yuv420p", time_base=Fraction(1, 1000), ticks=[0, 33, 66])
    render_anonymized(source, target, [redaction(1, w=30.0, h=30.0)])
    frame = first_frame(target)
    assert (frame.width, frame.height) == size
    assert np.abs(frame.to_ndarray(format="rgb24").astype(int) - picture).mean() < 12


@pytest.mark.parametrize("rotation", [0, 90, 180, -90])
def test_display_rotation_is_carried_over_and_not_applied(tmp_path, write_clip, face_at, rotation):
    source, target = tmp_path / "in.mp4", tmp_path / "out.mp4"
    write_clip(source, [face_at()] * 3, rotation=rotation)
    render_anonymized(source, target, [])
    frame = first_frame(target)
    assert abs(frame.rotation) == abs(first_frame(source).rotation) == abs(rotation)
    assert frame.rotation == first_frame(source).rotation
    assert (frame.width, frame.height) == (320, 256)


@pytest.mark.parametrize(
    ("pix_fmt", "colors"),
    [
        ("yuv420p", {"color_range": 1, "color_primaries": 1, "color_trc": 1, "colorspace": 1}),
        ("yuv420p", {"color_range": 2, "color_primaries": 5, "color_trc": 6, "colorspace": 5}),
        ("yuv420p10le", {"color_range": 1, "color_primaries": 9, "color_trc": 14, "colorspace": 9}),
        ("yuv420p10le", {"color_range": 2, "color_primaries": 1, "color_trc": 1, "colorspace": 1}),
        ("yuv422p", {"color_range": 1, "color_primaries": 1, "color_trc": 1, "colorspace": 1}),
    ],
)
def test_colour_tags_and_brightness_are_kept_also_when_depth_is_reduced(tmp_path, write_clip, face_at, pix_fmt, colors):
    source, target = tmp_path / "in.mp4", tmp_path / "out.mp4"
    write_clip(source, [face_at()] * 3, pix_fmt=pix_fmt, context=colors)
    render_anonymized(source, target, [])
    before, after = first_frame(source), first_frame(target)
    assert {name: int(getattr(after, name)) for name in colors} == colors
    assert after.format.name in ("yuv420p", "yuvj420p")
    depth_scale = 4 if "10" in pix_fmt else 1
    luma_before = np.frombuffer(before.planes[0], np.uint16 if depth_scale == 4 else np.uint8) / depth_scale
    lines = luma_before.reshape(256, -1)[:, :320]
    assert planes_of(after)[0].mean() == pytest.approx(lines.mean(), abs=1.0)


def test_pixel_shape_is_kept(tmp_path, write_clip, face_at):
    source, target = tmp_path / "in.mp4", tmp_path / "out.mp4"
    write_clip(source, [face_at()] * 3, context={"sample_aspect_ratio": Fraction(4, 3)})
    render_anonymized(source, target, [])
    with av.open(str(target)) as container:
        assert container.streams.video[0].sample_aspect_ratio == Fraction(4, 3)


def test_sound_metadata_and_encoder_settings_stay_behind(tmp_path, write_clip, face_at):
    source, target = tmp_path / "in.mp4", tmp_path / "out.mp4"
    secrets = {"title": "at home", "location": "+33.1268-117.3273/", "com.device.serial": "C3441325"}
    write_clip(source, [face_at()] * 4, has_audio=True, metadata=secrets | {"creation_time": "2024-03-01T10:00:00Z"})
    assert b"x264" in source.read_bytes()  # the source does carry what must not come along
    render_anonymized(source, target, [])
    with av.open(str(target)) as container:
        assert [stream.type for stream in container.streams] == ["video"]
        assert set(container.metadata) == {"major_brand", "minor_version", "compatible_brands"}
        assert set(container.streams[0].metadata) == {"language", "handler_name"}
    content = target.read_bytes()
    for trace in (b"at home", b"+33.1268", b"C3441325", b"x264", b"Lavf", b"Lavc"):
        assert trace not in content


def test_the_same_input_gives_the_same_bytes_and_the_report_describes_them(tmp_path, write_clip, face_at):
    source = tmp_path / "in.mp4"
    write_clip(source, [face_at(x=40 + 5 * place) for place in range(10)], b_frames=2)
    wanted = [redaction(frame_index) for frame_index in range(10)]
    reports = [render_anonymized(source, tmp_path / name, wanted) for name in ("one.mp4", "two.mp4")]
    content = (tmp_path / "one.mp4").read_bytes()
    assert content == (tmp_path / "two.mp4").read_bytes()
    assert reports[0] == reports[1]
    assert reports[0].sha256 == hashlib.sha256(content).hexdigest()
    assert reports[0].bytes == len(content)
    assert (reports[0].codec, reports[0].copied_fraction, reports[0].renderer_version) == ("h264", 0.0, "5")


def test_the_processor_that_encodes_makes_no_difference_to_the_bytes(tmp_path, write_clip, face_at, monkeypatch):
    if not group_encoding.chosen_vectors():
        pytest.skip("this processor has one kind of vectors only")
    source = tmp_path / "in.mp4"
    write_clip(source, [face_at(x=40 + 9 * place) for place in range(8)])
    here = render_anonymized(source, tmp_path / "out.mp4", [redaction(3)], processes=1)
    monkeypatch.setattr(group_encoding, "chosen_vectors", list)
    assert render_anonymized(source, tmp_path / "other.mp4", [redaction(3)], processes=1).sha256 == here.sha256


def test_what_is_encoded_has_a_keyframe_every_thirty_frames_and_none_at_its_end(tmp_path, write_clip, face_at):
    source, target = tmp_path / "in.mp4", tmp_path / "out.mp4"
    write_clip(source, [face_at()] * 61, context={"gop_size": 600})
    render_anonymized(source, target, [redaction(0)])
    keys = [decoded.frame_index for decoded in iterate_frames(target) if decoded.is_keyframe]
    assert keys == [0, 21, 42]


def test_a_redaction_beyond_the_last_frame_is_refused_and_leaves_nothing(tmp_path, write_clip, face_at):
    source, folder = tmp_path / "in.mp4", tmp_path / "out"
    write_clip(source, [face_at()] * 4)
    with pytest.raises(PrivacyError, match="has 4 frames, but frame 4 is to be redacted"):
        render_anonymized(source, folder / "video.mp4", [redaction(4)])
    assert not folder.exists()


def test_a_source_that_breaks_off_is_refused_and_the_older_target_survives(tmp_path, write_clip, face_at):
    source, target = tmp_path / "in.mkv", tmp_path / "out.mp4"
    write_clip(source, [face_at(x=place) for place in range(30)], time_base=Fraction(1, 1000), ticks=range(0, 990, 33))
    content = bytearray(source.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 3000] = bytes(3000)
    source.write_bytes(content)
    target.write_bytes(b"the last good one")
    with pytest.raises(RecordingError):
        render_anonymized(source, target, [])
    assert target.read_bytes() == b"the last good one"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mkv", "out.mp4"]


def test_what_a_killed_run_left_behind_is_replaced(tmp_path, write_clip, face_at):
    source, target = tmp_path / "in.mp4", tmp_path / "out.mp4"
    write_clip(source, [face_at()] * 4)
    (tmp_path / ".out.mp4.partial").write_bytes(b"half a file")
    render_anonymized(source, target, [])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.groups", "out.mp4"]


def test_a_full_disk_is_not_blamed_on_the_session(tmp_path, write_clip, face_at, monkeypatch):
    source = tmp_path / "in.mp4"
    write_clip(source, [face_at()] * 4)

    def no_space(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", no_space)
    with pytest.raises(OSError, match="No space left"):
        render_anonymized(source, tmp_path / "out.mp4", [])
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


def test_a_picture_that_changes_its_size_midway_is_refused(tmp_path, write_clip, face_at):
    small, large, source = (tmp_path / name for name in ("small.mkv", "large.mkv", "in.mkv"))
    write_clip(small, [face_at()] * 4, codec="mjpeg", pix_fmt="yuvj420p")
    write_clip(large, [face_at(width_px=352, height_px=288)] * 4, codec="mjpeg", pix_fmt="yuvj420p")
    with av.open(str(source), "w") as container, av.open(str(small)) as one, av.open(str(large)) as other:
        stream = container.add_stream_from_template(one.streams.video[0])
        for number, packet in enumerate([*one.demux(video=0), *other.demux(video=0)]):
            if packet.size:
                packet.stream, packet.pts, packet.dts = stream, 40 * number, 40 * number
                container.mux(packet)
    with pytest.raises(PrivacyError, match="changes its picture size or format at frame 4"):
        render_anonymized(source, tmp_path / "out.mp4", [])
    assert not (tmp_path / "out.mp4").exists()


def test_the_recording_itself_is_never_overwritten(tmp_path, write_clip, face_at):
    source = tmp_path / "in.mp4"
    write_clip(source, [face_at()] * 2)
    before = source.read_bytes()
    with pytest.raises(SettingsError, match="both source and target"):
        render_anonymized(source, source, [])
    assert source.read_bytes() == before
