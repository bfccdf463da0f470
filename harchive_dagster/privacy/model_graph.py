"""What an ONNX file says of itself, before anything is run: what it wants to be fed, what it answers, where its weights
lie. Whether that is what its card says is judged here, too.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.privacy.letterbox import Fitted
from harchive_dagster.privacy.model_card import ModelCard, unusable_model

if TYPE_CHECKING:
    from onnx import ModelProto

_CHANNELS = 3


@dataclass(frozen=True)
class ModelInput:
    """How pictures must be laid out for a model.

    Attributes:
        name: of the input.
        has_batch: a leading axis of length 1.
        is_planar: channels before rows and columns, else after.
        dtype: of the numbers.
    """

    name: str
    has_batch: bool
    is_planar: bool
    dtype: np.dtype[Any]

    def tensor(self, fitted: Fitted, card: ModelCard) -> NDArray[Any]:
        """A picture in that lay-out, letterboxed and normalised by the card."""
        planes = fitted.planes(card.input_width_px, card.input_height_px)
        if card.channels == "bgr":
            planes = planes[:, ::-1]
        mean, std = (np.array(figures, np.float32).reshape(1, _CHANNELS, 1, 1) for figures in (card.mean, card.std))
        planes = (planes - mean) / std
        laid_out = planes if self.is_planar else planes.transpose(0, 2, 3, 1)
        return np.ascontiguousarray(laid_out if self.has_batch else laid_out[0], self.dtype)


@dataclass(frozen=True)
class ModelGraph:
    """What was found in the file.

    Attributes:
        input: how it is fed.
        outputs: names, in the file's order.
        files: the file itself and those beside it that hold weights.
    """

    input: ModelInput
    outputs: tuple[str, ...]
    files: tuple[Path, ...]


def read_graph(card: ModelCard) -> ModelGraph:
    """Read a model's file, without the weights that lie in other files, and hold it against its card.

    Raises:
        SettingsError: it is missing or no model, or is not what the card says.
    """
    import onnx

    if not card.path.is_file():  # a pipe would be waited for
        raise unusable_model(card, "it is no file, or a link to nowhere")
    try:
        model = onnx.load(str(card.path), load_external_data=False)
    except Exception as error:  # protobuf's errors differ by its implementation
        raise unusable_model(card, f"it is no ONNX file ({type(error).__name__})") from None
    outputs = tuple(output.name for output in model.graph.output)
    wanted = card.outputs[:2] if card.layout == "boxes" else ()
    missing = [name for name in wanted if name not in outputs]
    if missing or not outputs:
        raise unusable_model(card, f"it has no output {' nor '.join(missing)}; it has {', '.join(outputs) or 'none'}")
    return ModelGraph(_input_of(model, card), outputs, (card.path, *_external_files(model, card.path.parent)))


def _input_of(model: "ModelProto", card: ModelCard) -> ModelInput:
    import onnx

    weights = {weight.name for weight in model.graph.initializer}  # old files list them among the inputs
    inputs = [one for one in model.graph.input if one.name not in weights]
    if len(inputs) != 1:
        raise unusable_model(card, f"it has {len(inputs)} inputs ({', '.join(one.name for one in inputs)}), not one")
    tensor = inputs[0].type.tensor_type
    lengths = [dimension.dim_value if dimension.HasField("dim_value") else None for dimension in tensor.shape.dim]
    has_batch = len(lengths) == _CHANNELS + 1
    sides = lengths[1:] if has_batch else lengths
    is_planar = not sides or sides[0] == _CHANNELS or sides[-1] != _CHANNELS
    planar = (_CHANNELS, card.input_height_px, card.input_width_px)
    fed = planar if is_planar else (*planar[1:], _CHANNELS)
    if len(sides) != _CHANNELS or any(length not in (given, None) for length, given in zip(sides, fed, strict=True)):
        shape = "x".join(str(length or "?") for length in lengths)
        raise unusable_model(card, f"its input is {shape}, and the card's is {'x'.join(map(str, fed))}")
    if has_batch and lengths[0] not in (1, None):
        raise unusable_model(card, f"it wants {lengths[0]} pictures at a time, not one")
    return ModelInput(inputs[0].name, has_batch, is_planar, _dtype(tensor.elem_type, card, onnx.TensorProto))


def _dtype(element: int, card: ModelCard, types: Any) -> np.dtype[Any]:
    known = {types.FLOAT: np.float32, types.FLOAT16: np.float16, types.UINT8: np.uint8}
    if element not in known:
        raise unusable_model(card, f"its input is of type {types.DataType.Name(element)}, not a float or uint8")
    if element == types.UINT8 and (any(card.mean) or set(card.std) != {1.0}):
        raise unusable_model(card, "its input is of type UINT8, which only normalisation with mean 0 and std 1 fits")
    return np.dtype(known[element])


def _external_files(model: "ModelProto", folder: Path) -> list[Path]:
    places = (entry.value for weight in model.graph.initializer for entry in weight.external_data if _is_place(entry))
    return [folder / place for place in dict.fromkeys(places)]


def _is_place(entry: Any) -> bool:
    return bool(entry.key == "location")
