"""The card of a model file that an operator brings: what it finds, what it is fed, what its numbers mean.

Nothing is run here; `operator_model` does.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harchive_dagster.errors import SettingsError
from harchive_dagster.landing.fields import Fields, Findings
from harchive_dagster.landing.yaml_documents import parse_yaml
from harchive_dagster.privacy.detection import KINDS

CARD_SUFFIXES = (".yaml", ".yml", ".json")

LAYOUTS = ("yolo", "yolov5", "end2end", "boxes")
"""How a model answers.

- yolo: one output [1, 4 + classes, N]: centre x, centre y, width, height, each class's score (Ultralytics 8 and on).
- yolov5: one output [1, N, 5 + classes]: the same, with the chance that there is anything before the classes' scores.
- end2end: one output [1, N, 6]: left, upper, right, lower edge, score, class (exports with suppression inside).
- boxes: outputs boxes [N, 4] (left, upper, right, lower edge), scores [N] and perhaps labels [N], each perhaps with a
  leading 1 (Detectron2 and torchvision exports, EgoBlur's among them).
"""

BOXES_OUTPUTS = ("boxes", "scores", "labels")

_MAX_CARD_BYTES = 64 * 2**10
_MAX_INPUT_PX = 8192


@dataclass(frozen=True)
class ModelCard:
    """What must be known of a model that this package has never seen.

    Attributes:
        path: the ONNX file.
        name: as it stands beside every detection.
        version: the operator's word for it, empty if none; the digest of the weights is recorded in any case.
        kind: of everything that it finds.
        licence: of the weights, in the operator's words; goes nowhere but into what `harchive doctor` prints.
        layout: one of `LAYOUTS`.
        input_width_px, input_height_px: what pictures are letterboxed into.
        channels: "rgb" or "bgr".
        mean, std: of each channel in that order; the network is fed (level - mean) / std for levels 0 to 255.
        threshold: boxes with a lower score are dropped.
        classes: which of the model's classes are meant; all where empty.
        is_in_fractions: coordinates are shares of the input's sides instead of pixels.
        outputs: what the file calls its `BOXES_OUTPUTS`; of use for the layout boxes only.
    """

    path: Path
    name: str
    version: str
    kind: str
    licence: str
    layout: str
    input_width_px: int
    input_height_px: int
    channels: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    threshold: float
    classes: tuple[int, ...]
    is_in_fractions: bool
    outputs: tuple[str, str, str]


def read_model_card(path: Path) -> ModelCard:
    """Read a card: of that name, or beside a model file of that name with another suffix.

    Raises:
        SettingsError: there is none, or naming everything that is wrong with it.
    """
    where = _card_of(path)
    document = _document(where)
    findings = Findings()
    fields = Fields(document, findings)
    card = _card(fields, where.parent)
    fields.refuse_unknown()
    if findings.problems:
        raise _error(where, "; ".join(findings.problems))
    return card


def unusable_model(card: ModelCard, problem: str) -> SettingsError:
    """The error for a model that does not do what its card says."""
    return SettingsError(
        f"The model {card.name} ({str(card.path)!a}) cannot be used: {problem}.",
        consequence="Nobody can tell who is in a picture, so no recording can be anonymized.",
        mend="Correct its card or export it again, or take it out of HARCHIVE_DETECTORS.",
    )


def _card_of(path: Path) -> Path:
    if path.suffix in CARD_SUFFIXES:
        return path
    beside = [path.with_suffix(suffix) for suffix in CARD_SUFFIXES]
    found = [card for card in beside if card.is_file()]
    if len(found) != 1:
        names = ", ".join(card.name for card in beside)
        raise _error(path, f"{len(found)} of {names} lie beside it and exactly one is wanted")
    return found[0]


def _document(path: Path) -> dict[Any, Any]:
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise _error(path, "it is no file")
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_CARD_BYTES + 1)
    except OSError as error:
        raise _error(path, f"it cannot be read: {error.strerror}") from None
    if len(raw) > _MAX_CARD_BYTES:
        raise _error(path, f"it has more than {_MAX_CARD_BYTES} bytes; is it the model itself?")
    try:
        document = parse_yaml(raw)
    except ValueError as error:
        raise _error(path, str(error)[:300]) from None
    if not isinstance(document, dict):
        raise _error(path, "it must be a mapping")
    return document


def _card(fields: Fields, folder: Path) -> ModelCard:
    size = _as_many(fields, "input", 2, low=1, high=_MAX_INPUT_PX)
    normalisation = fields.mapping("normalisation")
    mean = _as_many(normalisation, "mean", 3, low=0, high=255)
    std = _as_many(normalisation, "std", 3, low=1e-3, high=255)
    normalisation.refuse_unknown()
    classes = fields.optional("classes", lambda key: fields.numbers(key, low=0, high=10_000)) or ()
    card = ModelCard(
        path=folder / fields.text("model"),
        name=fields.identifier("name"),
        version=fields.optional("version", fields.identifier) or "",
        kind=fields.text("kind", choices=KINDS),
        licence=fields.text("licence", max_length=200),
        layout=fields.text("layout", choices=LAYOUTS),
        input_width_px=int(size[0]),
        input_height_px=int(size[1]),
        channels=fields.optional("channels", lambda key: fields.text(key, choices=("rgb", "bgr"))) or "rgb",
        mean=mean,
        std=std,
        threshold=fields.number("threshold", low=0.01, high=0.99),
        classes=tuple(int(number) for number in classes),
        is_in_fractions=fields.optional("coordinates", lambda key: fields.text(key, choices=("pixels", "fractions")))
        == "fractions",
        outputs=_output_names(fields),
    )
    if any(number != int(number) for number in (*size, *classes)):
        fields.note("input" if any(number != int(number) for number in size) else "classes", "must be whole numbers")
    return card


def _output_names(fields: Fields) -> tuple[str, str, str]:
    if not fields.is_given("outputs"):
        return BOXES_OUTPUTS
    given = fields.mapping("outputs")
    boxes, scores, labels = (given.optional(name, given.text) or name for name in BOXES_OUTPUTS)
    given.refuse_unknown()
    return boxes, scores, labels


def _as_many(fields: Fields, key: str, count: int, *, low: float, high: float) -> tuple[float, ...]:
    values = fields.numbers(key, low=low, high=high)
    if len(values) != count:
        fields.note(key, f"must be {count} numbers")
        return (1.0,) * count
    return values


def _error(path: Path, problem: str) -> SettingsError:
    return SettingsError(
        f"The model card {str(path)!a} cannot be used: {problem}.",
        consequence="Nothing would be looked for with that model.",
        mend="Correct it (docs/anonymization.md has one for every layout), or take it out of HARCHIVE_DETECTORS.",
    )
