"""How sure a proposal is: the share of such proposals that turned out right. Fitted by benchmarks/proposals.py, which
writes proposals_calibration.json; what proposals are is for `proposals` and `proposals_steps`.

Right is a proposal that shares half of the time (temporal IoU of 0.5) with a true span of its label.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

CALIBRATION_FILE = "proposals_calibration.json"

_BOUNDS = (0.01, 0.99)  # a few thousand trials prove no certainty


@dataclass(frozen=True)
class Curve:
    """A score and, rising with it, the share that was right; straight lines in between."""

    score: tuple[float, ...]
    precision: tuple[float, ...]

    def at(self, score: float) -> float:
        """The share at a score, within 0.01 and 0.99."""
        return float(np.clip(np.interp(score, self.score, self.precision), *_BOUNDS))


@dataclass(frozen=True)
class Calibration:
    """What confidence is computed by.

    Attributes:
        weights: by activity, of 1, evidence, margin and the duration's binary logarithm in seconds (`terms`).
        activity: over the logistic function of their weighted sum.
        step: over the posterior of an alignment.
    """

    weights: Mapping[str, tuple[float, ...]]
    activity: Curve
    step: Curve

    def confidence(self, label: str, evidence: float, margin: float, duration_ns: int) -> float:
        """Of a proposed activity."""
        score = logistic(terms([evidence], [margin], [duration_ns]) @ np.array(self.weights[label]))
        return self.activity.at(float(score[0]))


def terms(evidence: Sequence[float], margin: Sequence[float], duration_ns: Sequence[int]) -> NDArray[np.float64]:
    """What the weights are of: float64 [N, 4]."""
    seconds = np.asarray(duration_ns, dtype=np.float64) * 1e-9
    return np.column_stack([np.ones(len(seconds)), evidence, margin, np.log2(seconds)])


def logistic(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 / (1 + exp(-z)) without overflow."""
    return np.asarray(np.exp(-np.logaddexp(0.0, -z)))


@cache
def load_calibration() -> Calibration:
    """The calibration that ships with the package."""
    document = json.loads(files("harchive_dagster.labels").joinpath(CALIBRATION_FILE).read_text("utf-8"))
    return Calibration(
        weights=MappingProxyType({label: tuple(values) for label, values in document["weights"].items()}),
        activity=Curve(**{name: tuple(values) for name, values in document["activity"].items()}),
        step=Curve(**{name: tuple(values) for name, values in document["step"].items()}),
    )
