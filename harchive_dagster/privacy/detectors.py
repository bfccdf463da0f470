"""Which detectors a deployment runs, at which operating point each stage asks them, and whether they can be had at all.

The one place that knows every detector; a new one gets its line in `_made`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from harchive_dagster.errors import SettingsError
from harchive_dagster.privacy.centerface import CenterFaceDetector
from harchive_dagster.privacy.detection import Detector, UnionDetector
from harchive_dagster.privacy.model_card import ModelCard, read_model_card
from harchive_dagster.privacy.model_graph import read_graph
from harchive_dagster.privacy.operator_model import OperatorModel
from harchive_dagster.privacy.second_look import SecondLook
from harchive_dagster.privacy.text_detector import TextDetector

CENTERFACE = "centerface"
TEXT = "text"

BUILT_IN_DETECTORS = (CENTERFACE, TEXT)

_SLOW_KINDS = ("text", "screen")
"""What stands still or is held for seconds; everything else can cross the picture between two slow looks."""

_AUDIT_SHARE = 0.5
"""Of a card's threshold: the audit is to list what detection would not."""


@dataclass(frozen=True)
class DetectorChoice:
    """What a deployment chose.

    Attributes:
        has_centerface, has_text: which of the detectors that come with the package.
        cards: of the models that the operator brings.
    """

    has_centerface: bool
    has_text: bool
    cards: tuple[ModelCard, ...]

    @classmethod
    def of(cls, names: Sequence[str]) -> "DetectorChoice":
        """Take a choice by its names, see that everything is there and fits its card. Nothing is run.

        Args:
            names: of `BUILT_IN_DETECTORS`, and paths of cards, or of model files with a card beside them.

        Raises:
            SettingsError: a model is missing or not what its card says, or nobody would look for faces.
        """
        cards = tuple(read_model_card(Path(name)) for name in names if name not in BUILT_IN_DETECTORS)
        choice = cls(has_centerface=CENTERFACE in names, has_text=TEXT in names, cards=cards)
        if not choice.has_centerface and not any(card.kind == "face" for card in cards):
            raise SettingsError(
                f"HARCHIVE_DETECTORS={','.join(names)} looks for no faces.",
                consequence="People could be recognised in what is published.",
                mend="Put centerface in, or the card of a model whose kind is face.",
            )
        recorded = [card.name for card in cards] + [CENTERFACE, TextDetector.name]
        for name in {name for name in recorded if recorded.count(name) > 1}:
            raise SettingsError(
                f"Two detectors of HARCHIVE_DETECTORS are called {name}.",
                consequence="Nobody could tell which of them found what.",
                mend="Give each card a name of its own.",
            )
        for card in cards:
            read_graph(card)
        if choice.has_centerface:
            CenterFaceDetector()
        if choice.has_text:
            TextDetector()
        return choice

    def face_detectors(self, width_px: int, height_px: int, *, has_hints: bool = False) -> Detector:
        """What looks at moving pictures of this size, some times a second: faces, people, plates.

        `look` takes hints too, and has what is large looked at twice; whoever looks at a single picture has nothing to
        confirm hints with.
        """
        own: list[Detector] = []
        if self.has_centerface:
            made = SecondLook if has_hints else CenterFaceDetector
            own.append(made.for_picture(width_px, height_px))
        return _together([*own, *(_operator_model(card, 1.0) for card in self.cards if card.kind not in _SLOW_KINDS)])

    def glance(self, width_px: int, height_px: int) -> CenterFaceDetector | None:
        """What tells for less whether `face_detectors` would find anything.

        None where a model of the operator's looks at moving pictures, as CenterFace cannot speak for what that finds,
        and where pictures are so small that nothing would be saved.
        """
        has_own = any(card.kind not in _SLOW_KINDS for card in self.cards)
        if has_own or not self.has_centerface:
            return None
        glance = CenterFaceDetector.for_glances(width_px, height_px)
        return None if glance.undiminished_px(width_px, height_px) == (width_px, height_px) else glance

    def slow_detectors(self) -> Detector | None:
        """What looks about once a second, for what stands still: text and screens. None where nobody chose any."""
        own: list[Detector] = [TextDetector()] if self.has_text else []
        members = [*own, *(_operator_model(card, 1.0) for card in self.cards if card.kind in _SLOW_KINDS)]
        return _together(members) if members else None

    def description(self) -> str:
        """Every detector with its version, and for an operator's model its kind, its licence and what runs it."""
        own: list[Detector] = [CenterFaceDetector()] if self.has_centerface else []
        own += [TextDetector()] if self.has_text else []
        told = [f"{detector.name} {detector.version}" for detector in own]
        for card in self.cards:
            model = _operator_model(card, 1.0)
            told.append(f"{model.name} {model.version} ({card.kind}, {card.licence}, on {model.providers[0]})")
        return ", ".join(told)

    def audit_detector(self, width_px: int, height_px: int) -> Detector:
        """What looks at rendered pictures of this size: CenterFace, and whatever else the operator brings.

        CenterFace is always among them, as a second opinion on a model that replaces it. The text detector is not: it
        takes more time than all other steps together.
        """
        faces = CenterFaceDetector.for_picture(width_px, height_px)
        return _together([faces, *(_operator_model(card, _AUDIT_SHARE) for card in self.cards)])


def _together(members: Sequence[Detector]) -> Detector:
    return members[0] if len(members) == 1 else UnionDetector(tuple(members))


@lru_cache(maxsize=16)
def _operator_model(card: ModelCard, threshold_share: float) -> OperatorModel:
    return OperatorModel(card, threshold_share=threshold_share)
