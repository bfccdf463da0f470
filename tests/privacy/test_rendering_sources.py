"""What becomes of recordings of every kind: a table by file. Times are the source's, copied frames too, bit by bit."""

from fractions import Fraction

import av
import av.logging
import numpy as np
import pytest

from harchive_dagster.privacy import rendering
from harchive_dagster.privacy.audit import AuditEyes, audit_rendered
from harchive_dagster.privacy.redaction import Redaction, detail_left, planes_of
from harchive_dagster.privacy.rendering import render_anonymized
from harchive_dagster.recording.decoding import iterate_frames

FRAMES = 60
HIDDEN = range(33, 37)
UNEVEN = [512 * place + 37 * (place % 5) for place in range(FRAMES)]


def x264(**more):
    given = {"keyint": "20", "min-keyint": "20", "scenecut": "0"} | more
    return {
        "crf": "20",
        "preset": "ultrafast",
        "x264-params": ":".join(f"{key}={value}" for key, value in given.items()),
    }


SOURCES = {
    "constant.mp4": ({"options": x264()}, 53, None),
    "variable.mp4": ({"options": x264(), "ticks": UNEVEN}, 53, None),
    "b_frames.mp4": ({"options": x264(bframes=3, **{"b-adapt": 0}), "b_frames": 3}, 53, None),
    "variable_b_frames.mov": ({"options": x264(bframes=2), "b_frames": 2, "ticks": UNEVEN}, 53, None),
    "rotated.mp4": ({"options": x264(), "rotation": 90}, 53, None),
    "full_range.mp4": ({"options": x264(), "context": {"color_range": 2, "colorspace": 5}}, 53, None),
    "full_range_format.mp4": ({"options": x264(), "pix_fmt": "yuvj420p"}, 53, None),
    "delimiters_and_sets_in_band.mp4": ({"options": x264(aud=1, **{"repeat-headers": 1})}, 53, None),
    "slices.mp4": ({"options": x264(slices=4)}, 53, None),
    "all_intra.mp4": ({"options": x264(keyint=1, **{"min-keyint": 1})}, 48, None),
    "other_set_id.mp4": ({"options": x264(**{"sps-id": 1})}, 53, None),
    "one_group.mp4": ({"options": x264(keyint=600)}, 33, None),
    "open_gop.mp4": ({"options": x264(bframes=2, **{"open-gop": 1}), "b_frames": 2}, 33, None),
    "interlaced.mp4": ({"options": x264(tff=1)}, 0, "interlaced"),
    "ten_bits.mp4": ({"options": x264(), "pix_fmt": "yuv420p10le"}, 0, "10 bits"),
    "full_chroma.mp4": ({"options": x264(), "pix_fmt": "yuv444p"}, 0, "chroma other than 4:2:0"),
    "matroska.mkv": (
        {"options": x264(), "time_base": Fraction(1, 1000), "ticks": range(0, 33 * FRAMES, 33)},
        0,
        "container other than MP4 or MOV",
    ),
    "hevc.mp4": (
        {"codec": "libx265", "options": {"preset": "ultrafast", "x265-params": "keyint=20:log-level=none"}},
        0,
        "codec hevc",
    ),
    "av1.mp4": ({"codec": "libsvtav1", "options": {"preset": "12", "svtav1-params": "keyint=20"}}, 0, "codec av1"),
    "motion_jpeg.mov": ({"codec": "mjpeg", "pix_fmt": "yuvj420p"}, 0, "codec mjpeg"),
}


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch):
    """Every part starts with a jump into the file."""
    monkeypatch.setattr(rendering, "_PART_FRAMES", 20)


class SeesNobody:
    version = "none"

    def detect(self, _picture):
        return []


def redactions(frames=HIDDEN):
    box = {"x": 60.0, "y": 40.0, "w": 90.0, "h": 110.0}
    return [Redaction(frame, 1, "face", **box, source="detected", score=0.9) for frame in frames]


def shown(frame):
    names = ("color_range", "color_primaries", "color_trc", "colorspace")
    tags = {name: int(getattr(frame, name)) for name in names}
    # The older name of the format says full range by itself; H.264 that says nothing means limited range.
    tags["color_range"] = 2 if frame.format.name.startswith("yuvj") else tags["color_range"] or 1
    return frame.width, frame.height, frame.rotation, tags


def copied_frames(report):
    return {
        frame
        for group in report.groups
        if group.is_copied
        for frame in range(group.first_frame, group.first_frame + group.frame_count)
    }


def assert_same_but_hidden(source, target, report, hidden):
    copied = copied_frames(report)
    for before, after in zip(iterate_frames(source), iterate_frames(target), strict=True):
        assert after.pts_ns == before.pts_ns
        assert shown(after.frame) == shown(before.frame)
        pairs = list(zip(planes_of(before.frame), planes_of(after.frame), strict=False))
        if after.frame_index in copied:
            assert all(np.array_equal(one, other) for one, other in pairs)
            assert after.frame_index not in hidden
        elif after.frame.format.name == before.frame.format.name:
            assert np.abs(pairs[0][0][:, 200:].astype(int) - pairs[0][1][:, 200:]).mean() < 6
        is_hidden = detail_left(planes_of(after.frame)[0], redactions()[:1])[0] < 4.0
        assert is_hidden == (after.frame_index in hidden)


@pytest.mark.parametrize("name", SOURCES)
def test_every_kind_of_recording_keeps_its_frames_times_and_looks(tmp_path, write_clip, face_at, name):
    options, copied_count, reason = SOURCES[name]
    source, target = tmp_path / name, tmp_path / "out.mp4"
    write_clip(source, [face_at(x=58 + place % 5) for place in range(FRAMES)], **options)
    report = render_anonymized(source, target, redactions(), processes=1)
    assert (report.frame_count, report.whole_reencode_reason) == (FRAMES, reason)
    assert report.copied_fraction * FRAMES == pytest.approx(copied_count)
    with av.logging.Capture() as complaints:
        assert_same_but_hidden(source, target, report, HIDDEN)
    assert [text for level, _, text in complaints if level <= av.logging.WARNING and "deprecated" not in text] == []
    times = np.array([one.pts_ns for one in iterate_frames(source)])
    eyes = AuditEyes(*[SeesNobody()] * 3)
    still = np.zeros(len(times))
    audit = audit_rendered(target, source, times, redactions(), report.groups, motion_px=still, eyes=eyes, seed=0)
    assert audit.report.is_clean


def test_rgb_becomes_yuv_that_says_by_which_matrix(tmp_path, write_clip, face_at):
    source, target = tmp_path / "in.mkv", tmp_path / "out.mp4"
    picture = face_at()
    picture[150:250, 200:300] = (200, 30, 60)
    write_clip(source, [picture] * 3, codec="libx264rgb", pix_fmt="bgr24", options={"crf": "0"})
    before = next(iterate_frames(source)).frame
    assert (before.format.is_rgb, int(before.colorspace)) == (True, 0)
    render_anonymized(source, target, [])
    after = next(iterate_frames(target)).frame
    assert (after.format.name, int(after.colorspace), int(after.color_range)) == ("yuv420p", 1, 1)
    assert after.to_ndarray(format="rgb24")[200, 250] == pytest.approx([200, 30, 60], abs=4)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"options": x264(keyint=600)}, "a single group of pictures"),
        ({"options": x264(bframes=2, **{"open-gop": 1}), "b_frames": 2}, "open GOP"),
    ],
)
def test_what_cannot_be_cut_and_begins_with_something_to_hide_is_encoded_whole(
    tmp_path, write_clip, face_at, options, reason
):
    source = tmp_path / "in.mp4"
    write_clip(source, [face_at()] * FRAMES, **options)
    report = render_anonymized(source, tmp_path / "out.mp4", redactions([1]))
    assert (report.copied_fraction, report.whole_reencode_reason) == (0.0, reason)


@pytest.mark.parametrize("first", [21, 22, 24, 29, 38, 39])
@pytest.mark.parametrize("b_frames", [0, 2])
def test_the_pictures_of_a_group_before_the_first_to_hide_are_copied_if_none_is_shown_among_the_others(
    tmp_path, write_clip, face_at, first, b_frames
):
    source, target = tmp_path / "in.mp4", tmp_path / "out.mp4"
    write_clip(
        source,
        [face_at(x=58 + place % 5) for place in range(FRAMES)],
        options=x264(bframes=b_frames, **{"b-adapt": 0}),
        b_frames=b_frames,
    )
    report = render_anonymized(source, target, redactions([first]), processes=1)
    # Each third frame after the first is a P frame; only behind it no B frame is missing.
    heads = [count for count in range(2, 19) if count <= first - 20 and (not b_frames or count % 3 == 1)]
    assert copied_frames(report) == {*range(20 + max(heads, default=0)), *range(40, 60)}
    with av.logging.Capture() as complaints:
        assert_same_but_hidden(source, target, report, [first])
    assert [text for level, _, text in complaints if level <= av.logging.WARNING and "deprecated" not in text] == []


def test_frames_that_an_edit_list_hides_do_not_come_along(tmp_path, write_clip, face_at):
    whole, source, target = tmp_path / "whole.mp4", tmp_path / "in.mp4", tmp_path / "out.mp4"
    write_clip(whole, [face_at(x=58 + place % 5) for place in range(FRAMES)], options=x264(bframes=2), b_frames=2)
    with av.open(str(whole)) as before, av.open(str(source), "w") as after:
        stream = after.add_stream_from_template(before.streams.video[0])
        for packet in before.demux(video=0):
            if packet.size:
                packet.pts, packet.dts, packet.stream = packet.pts - 7 * 512, packet.dts - 7 * 512, stream
                after.mux(packet)
    frame_count = sum(1 for _ in iterate_frames(source))
    assert frame_count == FRAMES - 7
    report = render_anonymized(source, target, redactions(range(40, 43)))
    assert copied_frames(report) == set(range(13, 40))
    assert_same_but_hidden(source, target, report, range(40, 43))
    with av.open(str(target)) as container:
        assert container.streams.video[0].frames == frame_count


def test_a_recording_with_nothing_to_hide_is_copied_whole_without_its_messages(tmp_path, write_clip, face_at):
    source, target = tmp_path / "in.mp4", tmp_path / "out.mp4"
    write_clip(
        source, [face_at()] * FRAMES, options=x264(), has_audio=True, metadata={"location": "+33.1268-117.3273/"}
    )
    assert b"x264" in source.read_bytes()
    report = render_anonymized(source, target, [])
    assert (report.copied_fraction, report.whole_reencode_reason, report.redacted_frame_count) == (1.0, None, 0)
    content = target.read_bytes()
    assert not [trace for trace in (b"x264", b"+33.1268", b"Lavf", b"Lavc") if trace in content]
    assert_same_but_hidden(source, target, report, ())


def test_parameter_sets_that_change_midway_are_not_copied(tmp_path, write_clip, face_at):
    one, other, source = (tmp_path / name for name in ("one.mp4", "other.mp4", "in.mp4"))
    write_clip(one, [face_at()] * 30, options=x264())
    write_clip(other, [face_at()] * 30, options=x264(ref=4, **{"repeat-headers": 1}))
    with av.open(str(one)) as first, av.open(str(other)) as second, av.open(str(source), "w") as joined:
        stream = joined.add_stream_from_template(first.streams.video[0])
        for number, packet in enumerate(p for f in (first, second) for p in f.demux(video=0) if p.size):
            packet.pts, packet.dts, packet.stream = 512 * number, 512 * number, stream
            joined.mux(packet)
    report = render_anonymized(source, tmp_path / "out.mp4", redactions())
    assert (report.copied_fraction, report.whole_reencode_reason) == (0.0, "changing parameter sets")
    assert_same_but_hidden(source, tmp_path / "out.mp4", report, HIDDEN)


def test_private_time_is_grey_in_copied_surroundings(tmp_path, write_clip, face_at):
    source, target = tmp_path / "in.mp4", tmp_path / "out.mp4"
    write_clip(source, [face_at()] * FRAMES, options=x264())
    private = [Redaction(f, -1, "private", 0.0, 0.0, 320.0, 256.0, "private_time", 1.0) for f in range(20, 40)]
    report = render_anonymized(source, target, private)
    assert copied_frames(report) == {*range(20), *range(40, 60)}
    spread = [planes_of(one.frame)[0].std() for one in iterate_frames(target)]
    assert max(spread[20:40]) < 0.5 < 20 < min(spread[:20] + spread[40:])
