"""The audit: clean files pass, and each thing that must not be there is found and named."""

from dataclasses import replace

import numpy as np
import pytest
from av.video.reformatter import Colorspace

from harchive_dagster.errors import PrivacyError, RecordingError
from harchive_dagster.privacy.audit import AuditEyes, audit_rendered
from harchive_dagster.privacy.audit_plan import Area
from harchive_dagster.privacy.centerface import CenterFaceDetector
from harchive_dagster.privacy.detection import Box
from harchive_dagster.privacy.detectors import DetectorChoice
from harchive_dagster.privacy.picture_parts import rgb_of
from harchive_dagster.privacy.redaction import Redaction
from harchive_dagster.privacy.rendering import RenderedGroup, render_anonymized
from harchive_dagster.privacy.tracking import build_redactions
from harchive_dagster.recording.decoding import iterate_frames
from harchive_dagster.recording.observations import Detection

FRAME_COUNT = 18


class Sees:
    """A detector that reports the same boxes in every picture and remembers the pictures."""

    name, version = "sees", "1"

    def __init__(self, *boxes):
        self.boxes = list(boxes)
        self.pictures = []

    def detect(self, rgb):
        self.pictures.append(rgb)
        return self.boxes


def look(video, detector, stride, *, stop=None):
    """Detections, frame times and detection flags, as the one look at a recording gives them."""
    detections, pts_ns, is_detected = [], [], []
    for decoded in iterate_frames(video):
        if decoded.frame_index == stop:
            break
        pts_ns.append(decoded.pts_ns)
        is_detected.append(decoded.frame_index % stride == 0)
        if is_detected[-1]:
            boxes = detector.detect(decoded.frame.to_ndarray(format="rgb24"))
            detections += [Detection(decoded.frame_index, b.kind, b.x, b.y, b.w, b.h, b.score) for b in boxes]
    return detections, np.array(pts_ns, np.int64), np.array(is_detected)


def redact(video, detector, stride=3, motion=2.0):
    detections, pts_ns, is_detected = look(video, detector, stride)
    frame = next(iterate_frames(video)).frame
    redactions = build_redactions(
        detections,
        pts_ns=pts_ns,
        is_detected=is_detected,
        width_px=frame.width,
        height_px=frame.height,
        motion_px=np.full(len(pts_ns), motion),
    )
    return redactions, pts_ns


def frames_in(video):
    return sum(1 for _ in iterate_frames(video))


def full_audit(video, pts_ns, redactions, *, source=None, eye=None, groups=None):
    """The audit of a file that its renderer encoded whole; what it is compared with is itself unless told."""
    eye = eye or Sees()
    groups = groups or (RenderedGroup(0, frames_in(video), is_copied=False),)
    motion_px = np.zeros(len(pts_ns))
    eyes = AuditEyes(eye, eye, eye)
    return audit_rendered(video, source or video, pts_ns, redactions, groups, motion_px=motion_px, eyes=eyes, seed=0)


def audit(video, pts_ns, redactions, **overrides):
    return full_audit(video, pts_ns, redactions, **overrides).report


@pytest.fixture(scope="module")
def moving_face(tmp_path_factory, write_clip, face_at, detector):
    """A clip with a moving face, its redactions, its times, and the rendered file."""
    folder = tmp_path_factory.mktemp("moving")
    source, rendered = folder / "in.mp4", folder / "out.mp4"
    write_clip(source, [face_at(x=20 + 5 * place, y=30 + 2 * place) for place in range(FRAME_COUNT)], b_frames=2)
    redactions, pts_ns = redact(source, detector)
    render_anonymized(source, rendered, redactions)
    return source, rendered, redactions, pts_ns


def test_no_face_is_found_again_in_any_rendered_frame(moving_face, detector, other_detector):
    source, rendered, redactions, pts_ns = moving_face
    for eye in (detector, other_detector):
        seen = look(source, eye, 1)[0]
        assert {found.frame_index for found in seen if found.score >= 0.5} == set(range(FRAME_COUNT))
        assert [found for found in look(rendered, eye, 1)[0] if found.score >= 0.5] == []
        report = audit(rendered, pts_ns, redactions, eye=eye)
        assert report.is_clean
        assert (report.frame_count, report.max_pts_error_ns) == (FRAME_COUNT, 0)
        assert report.audit_frames >= 6
        assert report.metadata_leaks == []


def test_a_face_that_shows_up_after_its_track_has_ended_is_found(tmp_path, moving_face, other_detector):
    source, _, redactions, pts_ns = moving_face
    forgotten = [one for one in redactions if one.frame_index < 9]
    render_anonymized(source, tmp_path / "out.mp4", forgotten)
    report = audit(tmp_path / "out.mp4", pts_ns, forgotten, eye=other_detector)
    assert {9, 10} <= {one.frame_index for one in report.residuals}
    assert {(one.kind, one.cause) for one in report.residuals} == {("face", "uncovered")}
    assert not report.is_clean


def test_a_redaction_that_was_not_carried_out_is_found_without_any_detector(moving_face):
    source, _, redactions, pts_ns = moving_face
    report = audit(source, pts_ns, redactions)
    assert [one.cause for one in report.residuals] == ["not_hidden"] * len(redactions)


def test_a_visible_face_is_not_excused_by_a_redaction_in_the_table(moving_face, other_detector):
    source, _, redactions, pts_ns = moving_face
    report = audit(source, pts_ns, redactions, eye=other_detector)
    assert sum(one.cause == "uncovered" for one in report.residuals) == report.audit_frames


@pytest.mark.parametrize(("score", "is_residual"), [(0.5, True), (0.49, False), (0.2, False)])
def test_what_scores_half_is_a_face_wherever_it_lies_and_what_scores_less_is_listed(moving_face, score, is_residual):
    _, rendered, redactions, pts_ns = moving_face
    first = redactions[0]
    blob = Box("face", first.x + 0.1 * first.w, first.y + 0.1 * first.h, 0.8 * first.w, 0.8 * first.h, score)
    beside = replace(blob, x=blob.x + 0.9 * first.w)
    report = audit(rendered, pts_ns, redactions, eye=Sees(blob, beside))
    listed, others = (report.residuals, report.suspects)[:: 1 if is_residual else -1]
    at_start = [(one.x, one.score, one.cause) for one in listed if one.frame_index == 0]
    assert at_start == [(blob.x, score, "on_hidden"), (beside.x, score, "uncovered")]
    assert others == []
    assert report.is_clean is not is_residual


def test_private_time_that_is_visible_is_a_residual_and_grey_is_not(tmp_path, moving_face):
    source, _, _, pts_ns = moving_face
    private = [Redaction(frame, 1, "private", 0, 0, 320, 256, "private_time", 1.0) for frame in (4, 5, 6)]
    render_anonymized(source, tmp_path / "out.mp4", private)
    assert audit(tmp_path / "out.mp4", pts_ns, private).is_clean
    report = audit(source, pts_ns, private)
    assert [(one.frame_index, one.kind) for one in report.residuals] == [(4, "private"), (5, "private"), (6, "private")]


def test_private_time_is_neither_searched_nor_shown_nor_planted_into(tmp_path, moving_face):
    source, _, _, pts_ns = moving_face
    private = [Redaction(frame, 1, "private", 0, 0, 320, 256, "private_time", 1.0) for frame in range(FRAME_COUNT)]
    render_anonymized(source, tmp_path / "out.mp4", private)
    eye = Sees()
    found = full_audit(tmp_path / "out.mp4", pts_ns, private, eye=eye)
    assert found.report.audit_frames > 0
    assert (eye.pictures, found.pictures, found.moments.in_order()) == ([], [], [])


def test_planted_into_is_what_is_not_private_however_little_that_is(tmp_path, moving_face):
    source, _, _, pts_ns = moving_face
    private = [Redaction(frame, 1, "private", 0, 0, 320, 256, "private_time", 1.0) for frame in range(FRAME_COUNT - 1)]
    render_anonymized(source, tmp_path / "out.mp4", private)
    (picture,) = full_audit(tmp_path / "out.mp4", pts_ns, private).pictures
    assert picture.std() > 20


def test_what_one_look_suspects_and_another_is_sure_of_counts_once_by_the_surer(moving_face):
    _, rendered, redactions, pts_ns = moving_face
    unsure = Box("face", 200.0, 150.0, 50.0, 60.0, 0.3)
    eyes = AuditEyes(Sees(unsure), Sees(replace(unsure, x=202.0, score=0.8)), Sees())
    groups = (RenderedGroup(0, FRAME_COUNT, is_copied=False),)
    still = np.zeros(FRAME_COUNT)
    report = audit_rendered(rendered, rendered, pts_ns, redactions, groups, motion_px=still, eyes=eyes, seed=0).report
    assert report.residuals
    assert {one.x for one in report.residuals} == {202.0}
    assert not {one.frame_index for one in report.residuals} & {one.frame_index for one in report.suspects}


@pytest.mark.parametrize(
    ("pix_fmt", "size"), [("yuv420p", (320, 256)), ("yuvj420p", (320, 256)), ("yuv444p", (161, 91))]
)
@pytest.mark.parametrize("area", [Area(11, 7, 60, 41), Area(0, 0, 64, 64), Area(5, 5, 6, 6)])
def test_a_part_of_a_picture_has_the_colours_of_the_whole(tmp_path, write_clip, face_at, pix_fmt, size, area):
    picture = face_at(x=0, y=0, width_px=size[0], height_px=size[1])
    write_clip(tmp_path / "in.mp4", [picture], pix_fmt=pix_fmt)
    frame = next(iterate_frames(tmp_path / "in.mp4")).frame
    for one in (area, Area(0, 0, *size), Area(size[0] - 33, size[1] - 29, *size)):
        whole = frame.to_ndarray(format="rgb24")[one.y0 : one.y1, one.x0 : one.x1]
        assert np.abs(rgb_of(frame, one).astype(int) - whole).max() <= 1


@pytest.mark.parametrize("most_px", [64, 100])
@pytest.mark.parametrize(
    ("pix_fmt", "size"),
    [("yuv420p", (320, 256)), ("yuvj420p", (320, 256)), ("yuv422p", (320, 256)), ("yuv444p", (161, 91))],
)
@pytest.mark.parametrize("colours", [Colorspace.ITU601, Colorspace.ITU709])
def test_a_part_that_is_made_small_first_has_the_colours_of_one_made_small_afterwards(
    tmp_path, write_clip, face_at, pix_fmt, size, most_px, colours
):
    import cv2

    picture = face_at(x=0, y=0, width_px=size[0], height_px=size[1])
    write_clip(tmp_path / "in.mp4", [picture], pix_fmt=pix_fmt)
    frame = next(iterate_frames(tmp_path / "in.mp4")).frame
    frame.colorspace = colours
    for area in (Area(0, 0, *size), Area(10, 0, 100, 90), Area(70, size[1] // 2 * 2 - 90, 160, size[1] // 2 * 2)):
        small = rgb_of(frame, area, most_px=most_px)
        whole = rgb_of(frame, area)
        assert max(small.shape) == min(max(whole.shape), most_px)
        expected = cv2.resize(whole, small.shape[1::-1], interpolation=cv2.INTER_AREA).astype(int)
        assert np.abs(small - expected).mean() < 2
        assert np.abs((small - expected).mean(axis=(0, 1))).max() < 2


def test_what_is_found_in_surroundings_made_small_lies_where_it_is_in_the_picture(tmp_path, write_clip, face_at):
    write_clip(tmp_path / "in.mp4", [face_at(width_px=640, height_px=512)] * FRAME_COUNT)
    # Hidden where nobody is, 160 px tall: its surroundings of 400 px are looked at in 256.
    hidden = [Redaction(frame, 1, "face", 420.0, 300.0, 120.0, 160.0, "detected", 0.9) for frame in range(FRAME_COUNT)]
    render_anonymized(tmp_path / "in.mp4", tmp_path / "out.mp4", hidden)
    pts_ns = np.array([one.pts_ns for one in iterate_frames(tmp_path / "out.mp4")], np.int64)
    near = Sees(Box("face", 64.0, 128.0, 32.0, 48.0, 0.9))
    groups = (RenderedGroup(0, FRAME_COUNT, is_copied=False),)
    eyes = AuditEyes(Sees(), Sees(), near)
    still = np.zeros(FRAME_COUNT)
    report = audit_rendered(
        tmp_path / "out.mp4", tmp_path / "in.mp4", pts_ns, hidden, groups, motion_px=still, eyes=eyes, seed=0
    ).report
    area, scale = Area.around(hidden[0], 640, 512), 400 / 256
    assert {picture.shape for picture in near.pictures} == {(256, 256, 3)}
    assert {(one.x, one.y, one.w, one.h) for one in report.residuals} == {
        (area.x0 + 64 * scale, area.y0 + 128 * scale, 32 * scale, 48 * scale)
    }


def test_the_riskiest_moments_say_why_they_are_shown(tmp_path, moving_face, other_detector):
    source, rendered, redactions, pts_ns = moving_face
    middle = [one for one in redactions if 3 <= one.frame_index < 15]
    reasons = [one.why for one in full_audit(rendered, pts_ns, middle).moments.in_order()]
    assert {"start of track 1", "end of track 1", "weakest of track 1"} <= set(reasons)
    worst = full_audit(source, pts_ns, redactions, eye=other_detector).moments.in_order()
    assert [one.why.split()[0] for one in worst[:2]] == ["face", "face"]
    assert "not hidden, track 1" in [one.why for one in worst]


def test_a_detector_that_fails_leaves_no_report(moving_face):
    class Broken(Sees):
        def detect(self, _rgb):
            raise RuntimeError("out of memory")

    _, rendered, redactions, pts_ns = moving_face
    with pytest.raises(RuntimeError, match="out of memory"):
        audit(rendered, pts_ns, redactions, eye=Broken())


@pytest.mark.parametrize(
    ("groups", "frame"),
    [
        ((RenderedGroup(0, 9, is_copied=False), RenderedGroup(10, 8, is_copied=False)), 9),
        ((RenderedGroup(1, 17, is_copied=False),), 0),
        ((RenderedGroup(0, 0, is_copied=False),), 0),
        ((RenderedGroup(0, 9, is_copied=False),), 9),
    ],
)
def test_a_renderer_that_does_not_say_what_became_of_a_frame_is_not_believed(moving_face, groups, frame):
    _, rendered, redactions, pts_ns = moving_face
    with pytest.raises(PrivacyError, match=f"what became of frame {frame}"):
        audit(rendered, pts_ns, redactions, groups=groups)


def test_more_frames_claimed_than_there_are_is_an_error(moving_face):
    _, rendered, redactions, pts_ns = moving_face
    with pytest.raises(RecordingError, match="no frame 18"):
        audit(rendered, pts_ns, redactions, groups=(RenderedGroup(0, FRAME_COUNT + 1, is_copied=False),))


def test_lost_frames_and_shifted_times_are_reported(moving_face):
    _, rendered, _, pts_ns = moving_face
    lost = audit(rendered, np.append(pts_ns, pts_ns[-1] + 1), [])
    assert (lost.is_pts_equal, lost.max_pts_error_ns, lost.frame_count) == (False, 0, FRAME_COUNT)
    shifted = audit(rendered, pts_ns + np.arange(FRAME_COUNT), [])
    assert (shifted.is_pts_equal, shifted.max_pts_error_ns) == (False, FRAME_COUNT - 1)


def test_sound_and_metadata_are_named(tmp_path, write_clip, face_at):
    video = tmp_path / "out.mp4"
    metadata = {"title": "at home", "location": "+33.1268-117.3273/", "creation_time": "2024-03-01T10:00:00Z"}
    ticks = write_clip(video, [face_at()] * 4, has_audio=True, metadata=metadata)
    report = audit(video, np.array(ticks, np.int64), [])
    assert report.has_audio
    named = " | ".join(report.metadata_leaks)
    for culprit in ("file tag title", "file tag location", "tag creation_time", "stream 1 of type audio"):
        assert culprit in named
    assert "box moov/mvhd has a date" in named
    assert "frame side data SEI_UNREGISTERED" in named


@pytest.mark.parametrize(
    ("box", "leak"),
    [
        (b"\x00\x00\x00\x1cuuid" + bytes(16) + b"C344", "box uuid"),
        (b"\x00\x00\x00\x0cudtaC344", "box udta"),
        (b"\x00\x00\x00\x0cfreeC344", "box free is not empty"),
        (b"\x00\x00\x00\x05free", "box broken"),
    ],
)
def test_boxes_that_players_skip_are_named_too(tmp_path, moving_face, box, leak):
    _, rendered, redactions, pts_ns = moving_face
    tampered = tmp_path / "out.mp4"
    tampered.write_bytes(rendered.read_bytes() + box)
    assert audit(tampered, pts_ns, redactions).metadata_leaks == [leak]


def test_a_rendered_file_that_cannot_be_decoded_is_never_clean(tmp_path, moving_face):
    _, rendered, redactions, pts_ns = moving_face
    broken = tmp_path / "out.mp4"
    content = rendered.read_bytes()
    broken.write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(RecordingError):
        audit(broken, pts_ns, redactions)


@pytest.mark.slow
@pytest.mark.realdata
@pytest.mark.parametrize(("name", "stride"), [("street_one_person.mp4", 6), ("egocentric_two_faces.mp4", 3)])
def test_nobody_is_found_in_a_rendered_real_recording(tmp_path, realdata, name, stride):
    source = realdata / name
    if not source.exists():
        pytest.skip(f"{name} is not beside the checkout")
    detector = CenterFaceDetector()
    redactions, pts_ns = redact(source, detector, stride)
    assert {one.frame_index for one in redactions} == set(range(len(pts_ns)))
    rendered = tmp_path / "out.mp4"
    render_anonymized(source, rendered, redactions)
    frame = next(iterate_frames(source)).frame
    groups = (RenderedGroup(0, len(pts_ns), is_copied=False),)
    eyes = AuditEyes.for_picture(frame.width, frame.height, DetectorChoice.of(("centerface",)))
    for video, is_anonymized in ((rendered, True), (source, False)):
        found = audit_rendered(
            video, source, pts_ns, redactions, groups, motion_px=np.zeros(len(pts_ns)), eyes=eyes, seed=0
        )
        assert (found.report.residuals == []) is is_anonymized
    assert (
        look(rendered, eyes.whole, len(pts_ns) // 4)[0] == []
        or max(one.score for one in look(rendered, eyes.whole, len(pts_ns) // 4)[0]) < 0.5
    )
