"""The text detector: finds lines, holds all of them, leaves plain things alone. Skipped where its model is missing."""

import importlib.util

import cv2
import numpy as np
import pytest

from harchive_dagster.errors import SettingsError
from harchive_dagster.privacy import text_detector
from harchive_dagster.privacy.text_detector import TextDetector

needs_model = pytest.mark.skipif(importlib.util.find_spec("rapidocr") is None, reason="make text installs the model")


@pytest.fixture(scope="module")
def text():
    return TextDetector(input_width_px=640, input_height_px=384)


def written(line, *, x=40, y=90, height_px=24, width_px=480, picture_px=256):
    """A grey picture with one line of dark text, and the pixels of the text."""
    picture = np.full((picture_px, width_px, 3), 200, np.uint8)
    mask = np.zeros((picture_px, width_px), np.uint8)
    for canvas, colour in ((picture, (20, 20, 30)), (mask, 255)):
        cv2.putText(canvas, line, (x, y), cv2.FONT_HERSHEY_DUPLEX, height_px / 22, colour, 1, cv2.LINE_AA)
    return picture, mask > 0


def covered(boxes, mask):
    hidden = np.zeros(mask.shape, np.bool_)
    for box in boxes:
        hidden[max(0, int(box.y)) : int(box.y + box.h) + 1, max(0, int(box.x)) : int(box.x + box.w) + 1] = True
    return hidden[mask].mean()


@needs_model
@pytest.mark.parametrize("line", ["KA 05 MK 4471", "pay Ramesh 12480 by Friday"])
@pytest.mark.parametrize("degrees", [0, 90])
def test_a_line_is_found_and_its_box_holds_it(text, line, degrees):
    picture, mask = written(line)
    turned = [np.ascontiguousarray(np.rot90(each, degrees // 90)) for each in (picture, mask)]
    boxes = text.detect(turned[0])
    assert covered(boxes, turned[1]) > 0.99
    assert sum(box.w * box.h for box in boxes) < 0.5 * picture.shape[0] * picture.shape[1]
    assert {(box.kind, box.model, box.model_version) for box in boxes} == {("text", text.name, text.version)}
    assert [box.score for box in boxes] == sorted((box.score for box in boxes), reverse=True)


@needs_model
def test_boxes_are_in_pixels_of_the_picture(text):
    picture, mask = written("KA 05 MK 4471", x=400, y=700, height_px=60, width_px=1600, picture_px=900)
    assert covered(text.detect(picture), mask) > 0.99


@needs_model
def test_gravel_has_no_text(text, face_at):
    assert text.detect(face_at(319, 255)) == []


@needs_model
def test_somebody_before_a_plain_wall_is_not_one_huge_character(realdata, text):
    from harchive_dagster.recording.decoding import iterate_frames

    first = next(iterate_frames(realdata / "street_one_person.mp4"))
    picture = first.frame.to_ndarray(format="rgb24")
    assert all(box.w * box.h < 0.1 * picture.shape[0] * picture.shape[1] for box in TextDetector().detect(picture))


@needs_model
def test_answers_are_those_of_the_model_as_it_comes():
    import onnxruntime

    path = text_detector._model_path()
    picture, _ = written("OTP 552 913", width_px=320, picture_px=192)
    fed = {"x": picture.transpose(2, 0, 1)[None].astype(np.float32) / 127.5 - 1}
    as_it_comes = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, fed)[0]
    assert as_it_comes.max() > 0.9
    np.testing.assert_allclose(text_detector._session(path, 320, 192).run(None, fed)[0], as_it_comes, atol=1e-5)


@needs_model
def test_numbers_that_are_none_do_not_pass_for_an_empty_page(text, monkeypatch):
    class Broken:
        def run(self, *_):
            return [np.full((1, 1, 256, 480), np.nan, np.float32)]

    monkeypatch.setattr(text_detector, "_session", lambda *_: Broken())
    with pytest.raises(SettingsError, match="numbers that are not finite"):
        text.detect(written("OTP 552 913")[0])


def test_specks_and_uncertain_lines_are_left_out():
    chance = np.zeros((96, 192), np.float32)
    chance[10:22, 10:90] = 0.9
    chance[40:52, 10:90] = 0.4  # uncertain
    chance[60:62, 100:102] = 0.9  # a speck
    chance[60:92, 110:180] = 0.9  # higher than a quarter of the picture
    boxes, scores = text_detector._lines(chance, 0.5)
    assert scores == pytest.approx([0.9])
    x, y, w, h = boxes[0]
    assert x < 10
    assert y < 10
    assert x + w > 90
    assert y + h > 22


def test_a_model_that_is_not_installed_is_named_with_its_mend(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(SettingsError, match=r"PP-OCRv6_det_small\.onnx.*Text cannot be looked for.*make text"):
        TextDetector()
