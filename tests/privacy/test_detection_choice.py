"""Which detectors a deployment runs: chosen by name or by card, checked before anything is looked at."""

import numpy as np
import pytest

from harchive_dagster.errors import SettingsError
from harchive_dagster.privacy import detectors
from harchive_dagster.privacy.detection import Box, UnionDetector
from harchive_dagster.privacy.detectors import DetectorChoice


class Member:
    version = "1"

    def __init__(self, name, *scores):
        self.name, self.scores = name, scores

    def detect(self, _rgb):
        return [Box("face", 0, 0, 9, 9, score, self.name, self.version) for score in self.scores]


@pytest.fixture
def brought(monkeypatch, tmp_path):
    """Writes a card; its model is one that answers nothing and remembers its operating point."""

    class Brought:
        def __init__(self, card, *, threshold_share):
            self.name, self.version, self.share = card.name, "w", threshold_share
            self.providers = ("CPUExecutionProvider",)

        def detect(self, _rgb):
            return []

    monkeypatch.setattr(detectors, "OperatorModel", Brought)
    monkeypatch.setattr(detectors, "read_graph", lambda _: None)
    detectors._operator_model.cache_clear()

    def write(name, kind):
        path = tmp_path / f"{name}.yaml"
        path.write_text(
            f"{{model: m.onnx, name: {name}, kind: {kind}, licence: MIT, layout: yolo, input: [640, 640], "
            "threshold: 0.4, normalisation: {mean: [0, 0, 0], std: [255, 255, 255]}}"
        )
        return str(path)

    yield write
    detectors._operator_model.cache_clear()


def names(detector):
    return detector.name.split("+") if detector else []


def test_by_default_centerface_alone_looks_and_audits():
    choice = DetectorChoice.of(("centerface",))
    assert (names(choice.face_detectors(1920, 1080)), choice.slow_detectors()) == (["centerface"], None)
    assert names(choice.audit_detector(1920, 1080)) == ["centerface"]


def test_glances_are_centerfaces_where_nothing_else_looks_at_moving_pictures(brought):
    phones, cars = brought("phones", "screen"), brought("cars", "plate")
    alone = DetectorChoice.of(("centerface",))
    assert names(alone.glance(1920, 1080)) == ["centerface"]
    assert [alone.glance(w, h).undiminished_px(w, h)[0] for w, h in ((1920, 1080), (2560, 1440))] == [480, 960]
    assert [alone.glance(w, h) for w, h in ((480, 270), (270, 480))] == [None, None]  # a look sees them no larger
    assert names(DetectorChoice.of(("centerface", phones)).glance(1920, 1080)) == ["centerface"]
    assert DetectorChoice.of(("centerface", cars)).glance(1920, 1080) is None
    assert DetectorChoice.of((brought("faces", "face"),)).glance(1920, 1080) is None


def test_text_and_screens_are_looked_for_slowly_and_all_else_at_the_pace_of_faces(brought):
    pytest.importorskip("rapidocr")
    choice = DetectorChoice.of(
        ("centerface", "text", brought("cars", "plate"), brought("phones", "screen"), brought("heads", "person"))
    )
    assert names(choice.face_detectors(1920, 1080)) == ["centerface", "cars", "heads"]
    assert names(choice.slow_detectors()) == ["pp-ocrv6-det-small", "phones"]
    assert "phones w (screen, MIT, on CPUExecutionProvider)" in choice.description()


def test_the_audit_asks_all_models_for_less_and_has_centerface_for_a_second_opinion(brought):
    choice = DetectorChoice.of((brought("faces", "face"), brought("phones", "screen")))
    assert names(choice.face_detectors(1920, 1080)) == ["faces"]
    audit = choice.audit_detector(1920, 1080)
    assert names(audit) == ["centerface", "faces", "phones"]
    assert [member.share for member in audit.members[1:]] == [0.5, 0.5]


def test_a_model_is_made_once_for_all_sessions(brought):
    choice = DetectorChoice.of(("centerface", brought("cars", "plate")))
    assert choice.face_detectors(1920, 1080).members[1] is choice.face_detectors(608, 1080).members[1]


def test_a_choice_that_looks_for_no_faces_is_refused(brought):
    with pytest.raises(SettingsError, match=r"looks for no faces.*People could be recognised"):
        DetectorChoice.of((brought("cars", "plate"),))


@pytest.mark.parametrize("name", ["centerface", "cars"])
def test_two_detectors_of_one_name_are_refused(brought, tmp_path, name):
    card = brought(name, "plate")
    other = tmp_path / "other.yaml"
    other.write_text((tmp_path / f"{name}.yaml").read_text())
    with pytest.raises(SettingsError, match=f"Two detectors of HARCHIVE_DETECTORS are called {name}"):
        DetectorChoice.of(("centerface", card, str(other)))


def test_a_card_without_its_model_is_refused_before_anything_is_looked_at(tmp_path, brought, monkeypatch):
    card = brought("cars", "plate")
    monkeypatch.undo()
    with pytest.raises(SettingsError, match="no file, or a link to nowhere"):
        DetectorChoice.of(("centerface", card))


def test_a_union_gives_the_boxes_of_all_with_their_models_best_first():
    union = UnionDetector((Member("a", 0.9, 0.3), Member("b", 0.5)))
    assert (union.name, union.version) == ("a+b", "1+1")
    found = union.detect(np.zeros((9, 9, 3), np.uint8))
    assert [(box.model, box.score) for box in found] == [("a", 0.9), ("b", 0.5), ("a", 0.3)]
