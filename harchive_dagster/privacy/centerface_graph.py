"""CenterFace's file rewritten to answer the same in less time, fed as a picture lies in memory. What is made of its
answers is for `centerface`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, TensorProto

PICTURE, HEIGHT, ROW = "picture", "height", "row"
"""The input, uint8 [1, 1, height, row]: a row holds three numbers a pixel, red first."""

STRIDE_PX = 4
"""One cell of CenterFace's output maps covers 4x4 input pixels."""

COLOURS = 3

_MAP_CHANNELS = (1, 2, 2)
"""Of heat, size and offset, the outputs that are wanted; the file's fourth is the landmarks."""

_Weights = Mapping[str, "TensorProto"]


def derived_model(path: Path) -> "ModelProto":
    """The file's network without its landmark head: half the time of the file's own in an input of fixed shape.

    Args:
        path: of the ONNX file.

    Returns:
        A model from `PICTURE` to heat, size and offset, float32 [1, 1 or 2, H / 4, W / 4], equal to the file's to
        float rounding. `HEIGHT` and `ROW` are open; whoever runs it fixes them.
    """
    import onnx

    model = onnx.load(str(path))
    graph = model.graph
    outputs = [output.name for output in graph.output[: len(_MAP_CHANNELS)]]
    nodes = _ancestors(graph.node, outputs)
    weights = {weight.name: weight for weight in graph.initializer}
    first, fed = _fed_with_picture(nodes[0], weights)
    last, merged = _in_one_head(nodes, outputs, weights)
    replaced = {name for node in last for name in node.output}
    nodes = [*first, *(node for node in nodes[1:] if replaced.isdisjoint(node.output)), *last]
    used = {name for node in nodes for name in node.input}
    new = [onnx.numpy_helper.from_array(weight, name) for name, weight in (fed | merged).items()]
    value = onnx.helper.make_tensor_value_info
    derived = onnx.helper.make_graph(
        nodes,
        "centerface",
        [value(PICTURE, onnx.TensorProto.UINT8, [1, 1, HEIGHT, ROW])],
        [
            value(name, onnx.TensorProto.FLOAT, [1, channels, None, None])
            for name, channels in zip(outputs, _MAP_CHANNELS, strict=True)
        ],
        initializer=[*(weight for name, weight in weights.items() if name in used), *new],
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


def _fed_with_picture(conv: "NodeProto", weights: _Weights) -> tuple[list["NodeProto"], dict[str, NDArray[Any]]]:
    """The first convolution, over a picture instead of three planes.

    A picture is one plane, three times as wide, with the colours side by side. A kernel three times as wide and steps
    three times as long do the same sums there, so that nobody takes the picture apart: 3 ms of 60.
    """
    import onnx

    _, kernel, bias = conv.input
    planes = onnx.numpy_helper.to_array(weights[kernel])
    filters, _, rows, columns = planes.shape
    wide = planes.transpose(0, 2, 3, 1).reshape(filters, 1, rows, columns * COLOURS)
    conv.input[:] = ["plane", "wide_kernel", bias]
    for attribute in conv.attribute:
        if attribute.name in ("kernel_shape", "strides"):
            attribute.ints[1] *= COLOURS
        elif attribute.name == "pads":  # top, left, bottom, right
            attribute.ints[1], attribute.ints[3] = attribute.ints[1] * COLOURS, attribute.ints[3] * COLOURS
    cast = onnx.helper.make_node("Cast", [PICTURE], ["plane"], to=onnx.TensorProto.FLOAT)
    return [cast, conv], {"wide_kernel": wide}


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
    array = onnx.numpy_helper.to_array
    kernel, bias = (np.concatenate([array(weights[head.input[place]]) for head in heads]) for place in (1, 2))
    node = onnx.helper.make_node
    merged = node("Conv", [heads[0].input[0], "heads_kernel", "heads_bias"], ["heads"])
    parts = [head.output[0] for head in heads]
    split = node("Split", ["heads"], parts, axis=1, split=_MAP_CHANNELS)
    return [merged, split, sigmoid], {"heads_kernel": kernel, "heads_bias": bias}
