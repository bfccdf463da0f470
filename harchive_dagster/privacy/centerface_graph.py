"""CenterFace's file rewritten so that it answers the same in less time: one fixed input shape, fed as a picture lies in
memory. What the answers mean is `centerface`'s.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

PICTURE = "picture"
"""The input: uint8 [H, W, 3], red first."""

STRIDE_PX = 4
"""One cell of CenterFace's output maps covers 4x4 input pixels."""

_COLOURS = 3

_MAP_CHANNELS = (1, 2, 2)
"""Of heat, size and offset, the outputs that are wanted; the file's fourth is the landmarks."""

_Weights = Mapping[str, NDArray[np.float32]]


def derived_model(path: Path, height_px: int, width_px: int) -> "ModelProto":
    """The file's network for one input shape and without its landmark head: half the time of the file's own.

    Args:
        path: of the ONNX file.
        height_px: of the input, a multiple of 32.
        width_px: its width, likewise.

    Returns:
        A model from `PICTURE` to heat, size and offset, float32 [1, 1 or 2, H / 4, W / 4], equal to the file's to
        float rounding.
    """
    import onnx

    model = onnx.load(str(path))
    graph = model.graph
    outputs = [output.name for output in graph.output[: len(_MAP_CHANNELS)]]
    nodes = _ancestors(graph.node, outputs)
    weights = {weight.name: onnx.numpy_helper.to_array(weight) for weight in graph.initializer}
    first, fed = _fed_with_picture(nodes[0], weights, height_px, width_px)
    last, merged = _in_one_head(nodes, outputs, weights)
    replaced = {name for node in last for name in node.output}
    nodes = [*first, *(node for node in nodes[1:] if replaced.isdisjoint(node.output)), *last]
    used = {name for node in nodes for name in node.input}
    weights = {name: weight for name, weight in (weights | fed | merged).items() if name in used}
    value = onnx.helper.make_tensor_value_info
    cells = [height_px // STRIDE_PX, width_px // STRIDE_PX]
    derived = onnx.helper.make_graph(
        nodes,
        "centerface",
        [value(PICTURE, onnx.TensorProto.UINT8, [height_px, width_px, _COLOURS])],
        [
            value(name, onnx.TensorProto.FLOAT, [1, channels, *cells])
            for name, channels in zip(outputs, _MAP_CHANNELS, strict=True)
        ],
        initializer=[onnx.numpy_helper.from_array(weight, name) for name, weight in weights.items()],
    )
    return onnx.helper.make_model(derived, opset_imports=model.opset_import, ir_version=model.ir_version)


def _ancestors(nodes: Any, outputs: list[str]) -> list["NodeProto"]:
    needed = set(outputs)
    kept = []
    for node in reversed(nodes):  # a graph's nodes are stored in topological order
        if needed.intersection(node.output):
            needed.update(node.input)
            kept.append(node)
    return kept[::-1]


def _fed_with_picture(
    conv: "NodeProto", weights: _Weights, height_px: int, width_px: int
) -> tuple[list["NodeProto"], dict[str, NDArray[Any]]]:
    """The first convolution, over a picture instead of three planes.

    A picture is one plane, three times as wide, with the colours side by side. A kernel three times as wide and steps
    three times as long do the same sums there, so that nobody takes the picture apart: 3 ms of 60.
    """
    import onnx

    _, kernel, bias = conv.input
    filters, _, rows, columns = weights[kernel].shape
    wide = weights[kernel].transpose(0, 2, 3, 1).reshape(filters, 1, rows, columns * _COLOURS)
    conv.input[:] = ["plane", "wide_kernel", bias]
    for attribute in conv.attribute:
        if attribute.name in ("kernel_shape", "strides"):
            attribute.ints[1] *= _COLOURS
        elif attribute.name == "pads":  # top, left, bottom, right
            attribute.ints[1], attribute.ints[3] = attribute.ints[1] * _COLOURS, attribute.ints[3] * _COLOURS
    node = onnx.helper.make_node
    reshaped = node("Reshape", [PICTURE, "plane_shape"], ["bytes"])
    cast = node("Cast", ["bytes"], ["plane"], to=onnx.TensorProto.FLOAT)
    shape = np.array([1, 1, height_px, width_px * _COLOURS], np.int64)
    return [reshaped, cast, conv], {"wide_kernel": wide, "plane_shape": shape}


def _in_one_head(
    nodes: list["NodeProto"], outputs: list[str], weights: _Weights
) -> tuple[list["NodeProto"], dict[str, NDArray[Any]]]:
    """The three heads as one convolution.

    ONNX Runtime computes eight or sixteen channels at a time, so that a head of one takes as long as one of five.
    """
    import onnx

    maker = {name: node for node in nodes for name in node.output}
    heat, size, offset = outputs
    sigmoid = maker[heat]
    heads = [maker[sigmoid.input[0]], maker[size], maker[offset]]
    kernel, bias = (np.concatenate([weights[head.input[place]] for head in heads]) for place in (1, 2))
    node = onnx.helper.make_node
    merged = node("Conv", [heads[0].input[0], "heads_kernel", "heads_bias"], ["heads"])
    parts = [head.output[0] for head in heads]
    split = node("Split", ["heads"], parts, axis=1, split=_MAP_CHANNELS)
    return [merged, split, sigmoid], {"heads_kernel": kernel, "heads_bias": bias}
