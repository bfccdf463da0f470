"""A model that an operator brings: every layout answers alike, and what cannot work is refused before a recording."""

import json
import os

import numpy as np
import onnx  # noqa: TID253 -- every test here makes models
import pytest
from onnx import TensorProto, helper, numpy_helper  # noqa: TID253

from harchive_dagster.errors import SettingsError
from harchive_dagster.privacy import model_file
from harchive_dagster.privacy.model_card import read_model_card
from harchive_dagster.privacy.operator_model import OperatorModel

WIDTH_PX, HEIGHT_PX = 64, 32
FOUND = np.array([[10, 4, 20, 16], [40, 8, 8, 8]], np.float32)  # x, y, w, h
SCORES = np.array([0.9, 0.6], np.float32)
NOTHING = [[0.0] * 6] * 10  # other places, at which there is nothing


def centred(boxes):
    return np.hstack([boxes[:, :2] + boxes[:, 2:] / 2, boxes[:, 2:]])


def as_yolo(boxes, scores):
    rows = np.vstack([np.hstack([centred(boxes), scores[:, None], np.zeros((len(boxes), 1))]), NOTHING])
    return {"output0": rows.T[None]}


def as_yolov5(boxes, scores):
    ones = np.ones((len(boxes), 1))
    rows = np.hstack([centred(boxes), scores[:, None], ones, 0 * ones])
    return {"output0": np.vstack([rows, np.zeros((10, 7))])[None]}


def edges_of(boxes):
    return np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]])


def as_end2end(boxes, scores):
    return {"output0": np.hstack([edges_of(boxes), scores[:, None], np.zeros((len(boxes), 1))])[None]}


def as_boxes(boxes, scores):
    return {"boxes": edges_of(boxes), "scores": scores, "labels": np.zeros(len(boxes), np.int64)}


def as_batched_boxes(boxes, scores):
    return {name: values[None] for name, values in as_boxes(boxes, scores).items()}


LAYOUTS = [
    ("yolo", as_yolo),
    ("yolov5", as_yolov5),
    ("end2end", as_end2end),
    ("boxes", as_boxes),
    ("boxes", as_batched_boxes),
]


def write_model(path, answers, *, shape=(1, 3, HEIGHT_PX, WIDTH_PX), element=TensorProto.FLOAT, inputs=1):
    """A network that gives the same answers whatever the picture, plus nothing times the picture's mean."""
    nodes, outputs = [], []
    names = [f"picture{index}" if index else "picture" for index in range(inputs)]
    given = [helper.make_tensor_value_info(name, element, shape) for name in names]
    nodes += [
        helper.make_node("Cast", ["picture"], ["level"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["level"], ["mean"], keepdims=0),
        helper.make_node("Sub", ["mean", "mean"], ["nothing"]),
    ]
    weights = []
    for name, values in answers.items():
        wanted = np.asarray(values, np.int64 if np.asarray(values).dtype.kind == "i" else np.float32)
        weights.append(numpy_helper.from_array(wanted.astype(np.float32), f"{name}_given"))
        nodes.append(helper.make_node("Add", [f"{name}_given", "nothing"], [f"{name}_sum"]))
        to = TensorProto.INT64 if wanted.dtype.kind == "i" else TensorProto.FLOAT
        nodes.append(helper.make_node("Cast", [f"{name}_sum"], [name], to=to))
        outputs.append(helper.make_tensor_value_info(name, to, wanted.shape))
    graph = helper.make_graph(nodes, "made", given, outputs, initializer=weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)


def write_echo(path):
    """A network that finds one box, at a score that is what the first channel of its upper left pixel is fed with."""
    nodes = [
        helper.make_node("Slice", ["picture", "from", "to"], ["pixel"]),
        helper.make_node("Max", ["pixel", "nought"], ["fed"]),
        helper.make_node("Reshape", ["fed", "one"], ["scores"]),
    ]
    weights = {
        "from": np.array([0, 0, 0, 0]),
        "to": np.array([1, 1, 1, 1]),
        "one": np.array([1]),
        "nought": np.zeros((1, 1, 1, 1), np.float32),
        "boxes": np.array([[1, 1, 9, 9]], np.float32),
    }
    tensors = (TensorProto.FLOAT, (1, 3, HEIGHT_PX, WIDTH_PX)), (TensorProto.FLOAT, (1, 4)), (TensorProto.FLOAT, (1,))
    fed, *given = (
        helper.make_tensor_value_info(name, *kind)
        for name, kind in zip(("picture", "boxes", "scores"), tensors, strict=True)
    )
    inline = [numpy_helper.from_array(values, name) for name, values in weights.items()]
    graph = helper.make_graph(nodes, "echo", [fed], given, initializer=inline)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)


def card(folder, **changes):
    """A card file; a change to None leaves the key out."""
    values = {
        "model": "model.onnx",
        "name": "plates",
        "kind": "plate",
        "licence": "CC-BY-4.0",
        "layout": "yolo",
        "input": [WIDTH_PX, HEIGHT_PX],
        "normalisation": {"mean": [0, 0, 0], "std": [255, 255, 255]},
        "threshold": 0.5,
    } | changes
    path = folder / "card.yaml"
    path.write_text(json.dumps({key: value for key, value in values.items() if value is not None}))
    return path


def load(path, **settings):
    return OperatorModel(read_model_card(path), **settings)


def picture(width_px=WIDTH_PX, height_px=HEIGHT_PX):
    return np.zeros((height_px, width_px, 3), np.uint8)


@pytest.mark.parametrize(("layout", "answers"), LAYOUTS)
def test_every_layout_gives_the_same_boxes_in_pixels_of_the_picture(tmp_path, layout, answers):
    write_model(tmp_path / "model.onnx", answers(FOUND, SCORES))
    model = load(card(tmp_path, layout=layout))
    found = model.detect(picture(2 * WIDTH_PX, 2 * HEIGHT_PX))
    assert [(box.kind, box.model, box.model_version) for box in found] == [("plate", "plates", model.version)] * 2
    np.testing.assert_allclose([(box.x, box.y, box.w, box.h) for box in found], 2 * FOUND, atol=1e-4)
    np.testing.assert_allclose([box.score for box in found], SCORES, atol=1e-6)


@pytest.mark.parametrize(("layout", "answers"), LAYOUTS[2:])
def test_a_model_that_finds_nothing_says_so(tmp_path, layout, answers):
    write_model(tmp_path / "model.onnx", answers(np.zeros((0, 4)), np.zeros(0)))
    assert load(card(tmp_path, layout=layout)).detect(picture()) == []


def test_the_threshold_is_the_cards_and_the_audit_asks_for_a_share_of_it(tmp_path):
    write_model(tmp_path / "model.onnx", as_yolo(FOUND, SCORES))
    path = card(tmp_path, threshold=0.8)
    assert len(load(path).detect(picture())) == 1
    assert len(load(path, threshold_share=0.5).detect(picture())) == 2


def test_only_the_classes_of_the_card_are_meant(tmp_path):
    write_model(tmp_path / "model.onnx", as_boxes(FOUND, SCORES) | {"labels": np.array([3, 7])})
    assert [box.score for box in load(card(tmp_path, layout="boxes", classes=[7])).detect(picture())] == [
        pytest.approx(0.6)
    ]


def test_outputs_may_have_other_names_and_coordinates_may_be_shares(tmp_path):
    shares = FOUND / np.array([WIDTH_PX, HEIGHT_PX] * 2)
    write_model(tmp_path / "model.onnx", {"11": edges_of(shares), "12": SCORES})
    path = card(tmp_path, layout="boxes", coordinates="fractions", outputs={"boxes": "11", "scores": "12"})
    np.testing.assert_allclose([(b.x, b.y, b.w, b.h) for b in load(path).detect(picture())], FOUND, atol=1e-4)


def test_candidates_on_one_thing_are_one_box(tmp_path):
    heap = np.array([[10, 4, 20, 16], [11, 4, 20, 16], [10, 5, 20, 16]], np.float32)
    write_model(tmp_path / "model.onnx", as_yolo(heap, np.array([0.7, 0.9, 0.8])))
    assert [box.x for box in load(card(tmp_path)).detect(picture())] == [pytest.approx(11)]


@pytest.mark.parametrize(
    ("shape", "element", "normalisation"),
    [
        ((1, 3, HEIGHT_PX, WIDTH_PX), TensorProto.FLOAT16, {"mean": [0, 0, 0], "std": [255, 255, 255]}),
        ((3, HEIGHT_PX, WIDTH_PX), TensorProto.FLOAT, {"mean": [0, 0, 0], "std": [1, 1, 1]}),
        ((1, HEIGHT_PX, WIDTH_PX, 3), TensorProto.UINT8, {"mean": [0, 0, 0], "std": [1, 1, 1]}),
        (("batch", 3, "height", "width"), TensorProto.FLOAT, {"mean": [104, 117, 123], "std": [1, 1, 1]}),
        (("batch", "height", "width", 3), TensorProto.FLOAT, {"mean": [104, 117, 123], "std": [1, 1, 1]}),
    ],
    ids=["half floats", "no batch", "channels last", "any size", "any size, channels last"],
)
def test_pictures_are_laid_out_as_the_file_wants_them(tmp_path, shape, element, normalisation):
    write_model(tmp_path / "model.onnx", as_yolo(FOUND, SCORES), shape=shape, element=element)
    assert len(load(card(tmp_path, normalisation=normalisation)).detect(picture())) == 2


@pytest.mark.parametrize(
    ("channels", "mean", "std", "score"),
    [
        ("rgb", [0, 0, 0], [255, 255, 255], 0.2),
        ("bgr", [0, 0, 0], [255, 255, 255], 0.6),
        ("rgb", [0, 0, 0], [255, 1, 1], 0.2),
        ("bgr", [0, 0, 0], [255, 1, 1], 0.6),
    ],
)
def test_channels_and_normalisation_are_the_cards(tmp_path, channels, mean, std, score):
    write_echo(tmp_path / "model.onnx")
    path = card(tmp_path, layout="boxes", channels=channels, normalisation={"mean": mean, "std": std}, threshold=0.01)
    rgb = picture()
    rgb[...] = (51, 102, 153)
    (box,) = load(path).detect(rgb)
    assert box.score == pytest.approx(score, abs=1e-6)


def test_the_mean_is_taken_off_before_the_division(tmp_path):
    write_echo(tmp_path / "model.onnx")
    normalisation = {"mean": [55, 0, 0], "std": [100, 1, 1]}  # white becomes 2, which is no score
    with pytest.raises(SettingsError, match="scores reach 2 to 2, and must be 0 to 1"):
        load(card(tmp_path, layout="boxes", normalisation=normalisation))


def test_the_version_names_the_weights_wherever_they_lie(tmp_path):
    versions = []
    for index, values in enumerate((SCORES, SCORES, SCORES / 2)):
        folder = tmp_path / str(index)
        folder.mkdir()
        write_model(folder / "inline.onnx", as_boxes(FOUND, values))
        onnx.save(
            onnx.load(folder / "inline.onnx"),
            folder / "model.onnx",
            save_as_external_data=True,
            location="weights.bin",
            size_threshold=0,
        )
        versions.append(load(card(folder, layout="boxes", version="v2")).version)
    assert versions[0] == versions[1] != versions[2]
    assert versions[0].startswith("v2-")


def test_a_graphics_card_is_used_where_there_is_one_and_the_cpu_else(monkeypatch):
    import onnxruntime

    assert model_file.best_providers() == [model_file.CPU]
    offered = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: offered)
    assert model_file.best_providers() == ["CUDAExecutionProvider", "CPUExecutionProvider"]


def test_a_model_file_is_found_with_its_card_beside_it(tmp_path):
    write_model(tmp_path / "card.onnx", as_yolo(FOUND, SCORES))
    card(tmp_path, model="card.onnx")
    assert read_model_card(tmp_path / "card.onnx") == read_model_card(tmp_path / "card.yaml")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "gait"}, "kind is 'gait', expected one of face"),
        ({"layout": "ssd"}, "layout is 'ssd', expected one of boxes, end2end, yolo, yolov5"),
        ({"input": [64]}, "input must be 2 numbers"),
        ({"input": [64.5, 32]}, "input must be whole numbers"),
        ({"input": [0, 32]}, "input.*expected 1 to 8192"),
        ({"normalisation": None}, "normalisation is missing"),
        ({"normalisation": {"mean": [0], "std": [1, 1, 1]}}, "normalisation.mean must be 3 numbers"),
        ({"normalisation": {"mean": [0, 0, 0], "std": [0, 1, 1]}}, "expected 0.001 to 255"),
        ({"threshold": 0}, "threshold is 0, expected 0.01 to 0.99"),
        ({"licence": None}, "licence is missing"),
        ({"name": "a b"}, "name is 'a b'"),
        ({"coordinates": "metres"}, "coordinates is 'metres'"),
        ({"classes": ["face"]}, "classes.*expected a number"),
        ({"tresholt": 0.3}, "'tresholt' is not a known key"),
    ],
)
def test_a_card_that_cannot_be_used_is_refused_with_what_is_wrong(tmp_path, changes, message):
    with pytest.raises(SettingsError, match=message) as caught:
        read_model_card(card(tmp_path, **changes))
    assert "HARCHIVE_DETECTORS" in caught.value.mend


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must be a mapping"),
        ("- a\n- b", "must be a mapping"),
        ("a: [", "expected the node content"),
        ("\x00", "not allowed"),
        ("threshold: 0.3\nname: plates\nthreshold: 0.9\n", "key 'threshold' appears twice in .* line 3"),
        ('{"normalisation": {"mean": [0, 0, 0], "mean": [1, 1, 1]}}', "key 'mean' appears twice in .* line 1"),
        ("when: 2026-13-01", "month must be in 1..12"),
        ('{\n\t"name": "plates"\n}', "cannot start any token"),  # JSON, but not YAML
        ("[" * 5000, "nested too deeply"),
        ("x" * 70_000, "is it the model itself"),
    ],
)
def test_a_file_that_is_no_card_is_refused(tmp_path, text, message):
    (tmp_path / "card.yaml").write_text(text)
    with pytest.raises(SettingsError, match=message):
        read_model_card(tmp_path / "card.yaml")


def test_a_pipe_or_a_folder_in_place_of_a_card_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "folder.yaml").mkdir()
    for name in ("pipe.yaml", "folder.yaml"):
        with pytest.raises(SettingsError, match="it is no file"):
            read_model_card(tmp_path / name)


def test_a_model_without_a_card_or_with_two_is_refused(tmp_path):
    with pytest.raises(SettingsError, match=r"0 of model\.yaml, model\.yml, model\.json lie beside it"):
        read_model_card(tmp_path / "model.onnx")
    (tmp_path / "model.yaml").touch()
    (tmp_path / "model.json").touch()
    with pytest.raises(SettingsError, match="2 of"):
        read_model_card(tmp_path / "model.onnx")
    with pytest.raises(SettingsError, match="cannot be read: No such file"):
        read_model_card(tmp_path / "other.yaml")


@pytest.mark.parametrize(
    ("answers", "changes", "message"),
    [
        (as_yolo(FOUND, np.array([np.nan, 0.5])), {}, "numbers that are not finite"),
        (as_yolo(FOUND, SCORES) | {"more": np.array([np.inf])}, {}, "numbers that are not finite"),
        (as_yolo(FOUND, SCORES * 5), {}, "scores reach 0 to 4.5, and must be 0 to 1"),
        (as_yolo(FOUND, SCORES), {"layout": "yolov5"}, "output output0 is 1x6x12, and the layout yolov5 is 1xN"),
        (as_yolov5(FOUND, SCORES), {"layout": "yolo"}, "output output0 is 1x12x7, and the layout yolo is 1x5"),
        (as_yolo(FOUND, SCORES), {"layout": "end2end"}, "output output0 is 1x6x12, and the layout end2end is 1xNx6"),
        (as_yolo(FOUND, SCORES), {"layout": "boxes"}, "no output boxes nor scores; it has output0"),
        ({"boxes": FOUND, "scores": SCORES[:1]}, {"layout": "boxes"}, "outputs are boxes 2x4, scores 1"),
        ({"boxes": FOUND[0], "scores": SCORES}, {"layout": "boxes"}, "outputs are boxes 4, scores 2"),
        (as_boxes(FOUND, SCORES) | {"labels": np.zeros((2, 2))}, {"layout": "boxes"}, "labels 2x2"),
        (as_yolo(FOUND, SCORES), {"input": [32, 64]}, "its input is 1x3x32x64, and the card's is 3x64x32"),
    ],
)
def test_a_model_that_answers_otherwise_than_its_card_says_is_refused(tmp_path, answers, changes, message):
    write_model(tmp_path / "model.onnx", answers)
    with pytest.raises(SettingsError, match=message):
        load(card(tmp_path, **changes))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"inputs": 2}, r"has 2 inputs \(picture, picture1\), not one"),
        ({"inputs": 0}, "has 0 inputs"),
        ({"shape": (2, 3, HEIGHT_PX, WIDTH_PX)}, "wants 2 pictures at a time"),
        ({"shape": (HEIGHT_PX, WIDTH_PX)}, "its input is 32x64"),
        ({"shape": ()}, "its input is"),
        ({"element": TensorProto.INT64}, "of type INT64, not a float or uint8"),
        ({"element": TensorProto.UINT8}, "only normalisation with mean 0 and std 1"),
    ],
)
def test_a_model_that_wants_other_input_is_refused(tmp_path, settings, message):
    write_model(tmp_path / "model.onnx", as_yolo(FOUND, SCORES), **settings)
    with pytest.raises(SettingsError, match=message):
        load(card(tmp_path))


def broken_link(path):
    path.symlink_to(path.parent / "nowhere")


BROKEN = {
    "missing": lambda _: None,
    "link to nowhere": broken_link,
    "folder": lambda path: path.mkdir(),
    "pipe": os.mkfifo,
    "empty": lambda path: path.touch(),
    "no model": lambda path: path.write_bytes(b"<html>not found</html>" * 10),
    "cut off": lambda path: (write_model(path, as_yolo(FOUND, SCORES)), path.write_bytes(path.read_bytes()[:200])),
}


@pytest.mark.parametrize("how", BROKEN)
def test_what_is_no_model_file_is_refused(tmp_path, how):
    BROKEN[how](tmp_path / "model.onnx")
    with pytest.raises(SettingsError, match=r"model plates .*cannot be used.*no recording can be anonymized"):
        load(card(tmp_path))


def test_weights_that_are_lost_are_refused(tmp_path):
    write_model(tmp_path / "inline.onnx", as_yolo(FOUND, SCORES))
    model = onnx.load(tmp_path / "inline.onnx")
    onnx.save(model, tmp_path / "model.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(SettingsError, match=r"cannot be loaded: .*weights\.bin"):
        load(card(tmp_path))


def test_a_model_that_fails_on_a_picture_does_not_pass_for_one_that_saw_nobody(tmp_path, monkeypatch):
    write_model(tmp_path / "model.onnx", as_yolo(FOUND, SCORES))
    model = load(card(tmp_path))

    class Gone:
        def run(self, *_):
            raise RuntimeError("the card was lost")

    monkeypatch.setattr(model, "_session", Gone())
    with pytest.raises(SettingsError, match="it fails: the card was lost"):
        model.detect(picture())
