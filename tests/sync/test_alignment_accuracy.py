"""Looser than what benchmarks/sync.py measures: these say when something broke, not how good it is."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from harchive_dagster.demo.clock_trials import MANNERS, make_trial


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    path = Path(__file__).resolve().parents[2] / "benchmarks" / "sync.py"
    spec = importlib.util.spec_from_file_location("benchmark_of_sync", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def accuracy(benchmark, trials_per_row, durations_s):
    return benchmark.measure(
        make_trial(seed, manner, duration_s)
        for manner in MANNERS
        for duration_s in durations_s
        for seed in range(trials_per_row)
    )


def check(found, *, least_accepted):
    errors_ms = np.abs(found.errors_ms)
    assert len(errors_ms) >= least_accepted * found.tried, found.reasons
    assert np.percentile(errors_ms, 95) < 4.0
    assert errors_ms.max() < 8.0
    assert found.covered >= 0.85
    assert found.drift_covered >= 0.85
    # Covering all is no merit when intervals are wide: they must be of the errors' own size.
    assert np.median(found.sds_ms) < 2.5 * np.sqrt(np.mean(errors_ms**2))


def test_offsets_are_exact_and_as_uncertain_as_they_say(benchmark):
    check(accuracy(benchmark, 5, (9.0, 20.0)), least_accepted=0.85)


def test_no_wrong_pair_is_accepted(benchmark):
    assert all("s: 0 of 4" in line for line in benchmark.wrong_pairs(4, (6.0,)).values())


@pytest.mark.slow
def test_offsets_and_drifts_are_exact_over_many_trials(benchmark):
    check(accuracy(benchmark, 20, (9.0, 20.0, 60.0)), least_accepted=0.95)


@pytest.mark.slow
def test_over_three_minutes_the_drift_is_known_to_ten_ppm(benchmark):
    found = accuracy(benchmark, 3, (180.0,))
    assert len(found.errors_ms) == found.tried
    assert np.abs(found.drift_errors_ppm).max() < 10.0


@pytest.mark.slow
def test_no_wrong_pair_is_accepted_of_hundreds(benchmark):
    for line in benchmark.wrong_pairs(20, (5.0, 8.0, 30.0)).values():
        assert line.count(" 0 of 20") == 3, line


@pytest.mark.slow
@pytest.mark.parametrize("manner", MANNERS)
def test_rendered_pictures_with_a_rolling_shutter_are_aligned(benchmark, manner):
    found = benchmark.measure([benchmark.rendered(1, manner, 14.0)])
    assert not found.reasons
    assert abs(found.errors_ms[0]) < 4.0


@pytest.mark.realdata
def test_a_real_recording_is_found_wherever_its_clock_is_moved_to_and_refused_while_it_is_stabilised(
    benchmark, realdata, monkeypatch
):
    monkeypatch.setenv("HARCHIVE_REALDATA", str(realdata))
    _, steady, shaken, moved = benchmark.real()
    assert "accepted False" in steady
    assert "accepted True" in shaken
    assert "accepted 40/40" in moved
    assert float(moved.split("at most ")[1].split()[0]) < 1.0
