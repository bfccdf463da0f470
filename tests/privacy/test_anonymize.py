"""One recording from upload to audited file: what is left on disk when it goes well, and when it does not."""

import numpy as np
import pytest

from harchive_dagster.errors import PrivacyError, RecordingError
from harchive_dagster.privacy import anonymize as module
from harchive_dagster.privacy.anonymize import anonymize
from harchive_dagster.privacy.audit import AuditEyes
from harchive_dagster.privacy.hiding import Hiding
from harchive_dagster.privacy.redaction import Redaction
from harchive_dagster.recording.decoding import iterate_frames

FRAME_COUNT = 12


class Blind:
    name, version = "blind", "1"

    def detect(self, _rgb):
        return []


class Broken(Blind):
    def detect(self, _rgb):
        raise RuntimeError("out of memory")


@pytest.fixture(scope="module")
def source(tmp_path_factory, write_clip, face_at):
    video = tmp_path_factory.mktemp("source") / "cap.mp4"
    write_clip(video, [face_at(x=20 + 5 * place) for place in range(FRAME_COUNT)])
    return video


def hidden(frames=range(FRAME_COUNT), **overrides):
    values = {
        "kind": "face",
        "x": 0.0,
        "y": 0.0,
        "w": 320.0,
        "h": 200.0,
        "source": "detected",
        "score": 0.9,
    } | overrides
    return [Redaction(frame_index=frame, track_id=1, **values) for frame in frames]


def run(source, folder, redactions, *, detector=None, eye=None, **options):
    pts_ns = np.array([one.pts_ns for one in iterate_frames(source)], np.int64)
    eyes = AuditEyes(*[eye or Blind()] * 3)
    return anonymize(
        source,
        folder,
        "s-1",
        redactions,
        pts_ns,
        motion_px=np.zeros(len(pts_ns)),
        detector=detector or Blind(),
        eyes=eyes,
        **options,
    )


def test_video_its_groups_keys_and_contact_sheet_lie_side_by_side_under_the_videos_digest(tmp_path, source):
    video = run(source, tmp_path, hidden())
    name = f"s-1-{video.render.sha256[:16]}"
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{name}.groups", f"{name}.mp4", f"{name}.png"]
    assert (video.path, video.sheet) == (tmp_path / f"{name}.mp4", tmp_path / f"{name}.png")
    assert video.sheet.read_bytes()[:4] == video.preview_png[:4] == b"\x89PNG"
    assert (video.audit.is_clean, video.seeded.large) == (True, 0.0)


def test_a_second_run_leaves_the_same_files(tmp_path, source):
    contents = []
    for _ in range(2):
        run(source, tmp_path, hidden())
        contents.append({path.name: path.read_bytes() for path in tmp_path.iterdir()})
    assert contents[0] == contents[1]


def test_a_filled_box_passes_the_audit_and_gives_another_file(tmp_path, source):
    mosaic, filled = (run(source, tmp_path, hidden(), how=how) for how in Hiding)
    assert filled.audit.is_clean
    assert mosaic.path != filled.path


@pytest.mark.parametrize(
    ("overrides", "error"),
    [
        ({"eye": Broken()}, RuntimeError),
        ({"detector": Broken()}, RuntimeError),
        ({"redactions": hidden([FRAME_COUNT])}, PrivacyError),
        ({"redactions": hidden(kind="private", source="private_time")}, PrivacyError),
    ],
)
def test_what_could_not_be_audited_leaves_no_file(tmp_path, source, overrides, error):
    with pytest.raises(error):
        run(source, tmp_path, **{"redactions": hidden()} | overrides)
    assert list(tmp_path.iterdir()) == []


def test_a_rendered_file_that_is_cut_off_leaves_no_file(tmp_path, source, monkeypatch):
    render = module.render_anonymized

    def cut(source, target, *arguments, **options):
        report = render(source, target, *arguments, **options)
        target.write_bytes(target.read_bytes()[: report.bytes * 2 // 3])
        return report

    monkeypatch.setattr(module, "render_anonymized", cut)
    with pytest.raises(RecordingError):
        run(source, tmp_path, hidden())
    assert list(tmp_path.iterdir()) == []
