"""The audit: clean files pass, and each thing that must not be there is found and named."""

from dataclasses import replace

import numpy as np
import pytest

from harchive_dagster.errors import PrivacyError, RecordingError, SettingsError
from harchive_dagster.privacy.audit import audit_rendered, seeded_recall
from harchive_dagster.privacy.centerface import CenterFaceDetector
from harchive_dagster.privacy.detection import Box
from harchive_dagster.privacy.redaction import Redaction
from harchive_dagster.privacy.rendering import render_anonymized
from harchive_dagster.privacy.tracking import build_redactions
from harchive_dagster.recording.decoding import iterate_frames
from harchive_dagster.recording.observations import Detection

FRAME_COUNT = 18


class Sees:
    """A detector that reports the same boxes in every picture and remembers how often it was asked."""

    name, version = "sees", "1"

    def __init__(self, *boxes):
        self.boxes = list(boxes)
        self.calls = 0

    def detect(self, _rgb):
        self.calls += 1
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


def audit(video, pts_ns, redactions, **overrides):
    arguments = {"detector": Sees(), "sample_every": 4, "score_threshold": 0.5} | overrides
    return audit_rendered(video, pts_ns, redactions, **arguments)


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
        report = audit(rendered, pts_ns, redactions, detector=eye, sample_every=1)
        assert report.is_clean
        assert (report.frame_count, report.audit_frames, report.max_pts_error_ns) == (FRAME_COUNT, FRAME_COUNT, 0)
        assert report.metadata_leaks == []


def test_a_face_in_a_frame_that_was_forgotten_is_found_by_the_detector(tmp_path, moving_face, other_detector):
    source, _, redactions, pts_ns = moving_face
    forgotten = [one for one in redactions if one.frame_index not in (9, 10)]
    render_anonymized(source, tmp_path / "out.mp4", forgotten)
    report = audit(tmp_path / "out.mp4", pts_ns, forgotten, detector=other_detector, sample_every=1)
    assert {(one.frame_index, one.kind, one.cause) for one in report.residuals} == {
        (9, "face", "uncovered"),
        (10, "face", "uncovered"),
    }
    assert report.audit_residual_faces == 2
    assert not report.is_clean


def test_a_redaction_that_was_not_carried_out_is_found_without_any_detector(moving_face):
    source, _, redactions, pts_ns = moving_face
    report = audit(source, pts_ns, redactions, sample_every=1)
    assert [one.cause for one in report.residuals] == ["not_hidden"] * len(redactions)


def test_a_visible_face_is_not_excused_by_a_redaction_in_the_table(moving_face, other_detector):
    source, _, redactions, pts_ns = moving_face
    report = audit(source, pts_ns, redactions, detector=other_detector, sample_every=1)
    assert sum(one.cause == "uncovered" for one in report.residuals) == FRAME_COUNT


def test_a_detection_on_the_hidden_blob_is_no_residual_but_one_beside_it_is(moving_face):
    _, rendered, redactions, pts_ns = moving_face
    first = redactions[0]
    blob = Box("face", first.x + 0.1 * first.w, first.y + 0.1 * first.h, 0.8 * first.w, 0.8 * first.h, 0.9)
    beside = replace(blob, x=blob.x + 0.6 * first.w)
    weak = replace(beside, score=0.3)
    last = max(one.frame_index for one in redactions)
    report = audit(rendered, pts_ns, redactions, detector=Sees(blob, beside, weak), sample_every=last + 1)
    at_start = [one for one in report.residuals if one.frame_index == 0]
    assert [(one.x, one.score, one.cause) for one in at_start] == [(beside.x, 0.9, "uncovered")]


def test_private_time_that_is_visible_is_a_residual_and_grey_is_not(tmp_path, moving_face):
    source, _, _, pts_ns = moving_face
    private = [Redaction(frame, 1, "private", 0, 0, 320, 256, "private_time", 1.0) for frame in (4, 5, 6)]
    render_anonymized(source, tmp_path / "out.mp4", private)
    assert audit(tmp_path / "out.mp4", pts_ns, private, sample_every=1).is_clean
    report = audit(source, pts_ns, private, sample_every=1)
    assert [(one.frame_index, one.kind) for one in report.residuals] == [(4, "private"), (5, "private"), (6, "private")]


def test_frames_around_track_ends_are_searched_besides_every_kth(tmp_path, write_clip, face_at):
    video = tmp_path / "out.mp4"
    ticks = write_clip(video, [face_at(319, 255)] * 60)
    pts_ns = np.array(ticks, np.int64) * 1_000_000_000 // 15360
    track = [Redaction(frame, 1, "face", 400, 400, 10, 10, "detected", 0.9) for frame in range(25, 36)]
    eye = Sees()
    report = audit(video, pts_ns, track, detector=eye, sample_every=20)
    assert report.audit_frames == eye.calls == len({0, 10, 30, 50, 59} | set(range(23, 28)) | set(range(33, 38)))


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


def test_an_audit_of_no_frames_is_refused(moving_face):
    _, rendered, redactions, pts_ns = moving_face
    with pytest.raises(SettingsError, match="sample_every is 0"):
        audit(rendered, pts_ns, redactions, sample_every=0)


def test_planted_faces_are_found_by_the_detector_and_not_by_a_blind_one(detector, face_at):
    frames = [face_at(319, 255), face_at(319, 255, width_px=640, height_px=480)]
    assert seeded_recall(frames, detector, seed=3, plants=8) == 1.0
    assert seeded_recall(frames, Sees(), seed=3, plants=8) == 0.0
    assert seeded_recall(frames, Sees(Box("face", 0, 0, 5, 5, 1.0)), seed=3, plants=8) == 0.0


def test_planting_leaves_the_frames_alone_and_repeats_with_its_seed(face_at):
    class Records:
        name, version = "records", "1"

        def __init__(self):
            self.pictures = []

        def detect(self, rgb):
            self.pictures.append(rgb)
            return []

    frames = [face_at(319, 255), face_at(60, 60, width_px=120, height_px=90)]
    originals = [frame.copy() for frame in frames]
    one, same, other = Records(), Records(), Records()
    for eye, seed in ((one, 1), (same, 1), (other, 2)):
        seeded_recall(frames, eye, seed=seed, plants=6)
    assert all((a == b).all() for a, b in zip(frames, originals, strict=True))
    assert all((a == b).all() for a, b in zip(one.pictures, same.pictures, strict=True))
    assert not all(a.shape == b.shape and (a == b).all() for a, b in zip(one.pictures, other.pictures, strict=True))


@pytest.mark.parametrize(("frames", "plants"), [([], 4), ([np.zeros((64, 64, 3), np.uint8)], 0)])
def test_recall_without_evidence_is_refused(frames, plants):
    with pytest.raises(PrivacyError, match="cannot be tried"):
        seeded_recall(frames, Sees(), seed=0, plants=plants)


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
    auditor = CenterFaceDetector(input_width_px=1920, input_height_px=1088)
    report = audit(rendered, pts_ns, redactions, detector=auditor, sample_every=30)
    assert report.is_clean, report
    assert audit(source, pts_ns, redactions, detector=auditor, sample_every=60).audit_residual_faces > 0
    frames = [decoded.frame.to_ndarray(format="rgb24") for decoded in iterate_frames(rendered)][:: len(pts_ns) // 5]
    assert seeded_recall(frames, auditor, seed=0, plants=12) > 0.9
