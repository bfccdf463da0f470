import json
from importlib.resources import files

import numpy as np
import pytest

from harchive_dagster.labels.layers import ACTIVITIES
from harchive_dagster.labels.proposals_confidence import CALIBRATION_FILE, Curve, load_calibration, logistic

SECOND = 1_000_000_000


def test_every_activity_can_be_judged() -> None:
    assert set(load_calibration().weights) == set(ACTIVITIES)


@pytest.mark.parametrize("name", ["activity", "step"])
def test_a_higher_score_is_never_less_sure(name: str) -> None:
    curve = getattr(load_calibration(), name)
    assert len(curve.score) == len(curve.precision) >= 5
    assert list(curve.score) == sorted(curve.score)
    assert list(curve.precision) == sorted(curve.precision)


@pytest.mark.parametrize(("score", "expected"), [(0.0, 0.2), (0.2, 0.2), (0.4, 0.6), (0.6, 0.99), (2.0, 0.99)])
def test_a_curve_is_straight_between_its_points_and_never_certain(score: float, expected: float) -> None:
    assert Curve((0.2, 0.6), (0.2, 1.0)).at(score) == pytest.approx(expected)


@pytest.mark.parametrize("label", ACTIVITIES)
def test_confidence_stays_a_probability_for_whatever_is_proposed(label: str) -> None:
    calibration = load_calibration()
    for duration_ns in (SECOND // 2, 60 * SECOND, 7200 * SECOND):
        for evidence, margin in ((-12.0, 0.0), (-0.01, 8.0), (1.0, 0.5)):
            assert 0.0 < calibration.confidence(label, evidence, margin, duration_ns) < 1.0


@pytest.mark.parametrize("label", ACTIVITIES)
def test_nothing_that_speaks_for_a_proposal_makes_it_less_sure(label: str) -> None:
    _, evidence, margin, duration = load_calibration().weights[label]
    assert min(evidence, margin, duration) >= 0.0


@pytest.mark.parametrize("label", ["idle", "head_turn", "locomotion"])
def test_clear_evidence_is_surer_than_doubtful_evidence(label: str) -> None:
    confidence = load_calibration().confidence
    assert confidence(label, -0.05, 3.5, 8 * SECOND) > confidence(label, -1.0, 0.1, 8 * SECOND)


def test_the_logistic_function_does_not_overflow() -> None:
    assert logistic(np.array([-1e4, 0.0, 1e4])).tolist() == [0.0, 0.5, 1.0]


def test_the_calibration_says_what_it_was_made_of() -> None:
    document = json.loads(files("harchive_dagster.labels").joinpath(CALIBRATION_FILE).read_text())
    assert document["made_by"] == "benchmarks/proposals.py fit"
    assert document["recordings"] >= 40
