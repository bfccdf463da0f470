import numpy as np
import pytest

from harchive_dagster.sync.clock_line import WindowLags
from harchive_dagster.sync.step_test import find_step


def windows(*, step_s=0.0, at=12, count=30, slope=60e-6, noise_s=0.001, seed=0):
    centre_s = 8.0 * np.arange(count)
    lag_s = 5.0 + slope * centre_s + step_s * (np.arange(count) >= at)
    lag_s += noise_s * np.random.default_rng(seed).normal(size=count)
    return WindowLags(centre_s, lag_s, np.full(count, noise_s))


@pytest.mark.parametrize("step_s", [-0.5, -0.02, 0.02, 0.3])
@pytest.mark.parametrize("at", [3, 12, 27])
def test_a_step_is_found_where_it_is_with_its_size(step_s, at):
    step = find_step(windows(step_s=step_s, at=at))
    assert abs(step.at_s - 8.0 * at) <= 8.0
    sizes_s = step.after.at(np.array([step.at_s])) - step.before.at(np.array([step.at_s]))
    assert sizes_s[0] == pytest.approx(step_s, abs=0.002)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("slope", [0.0, -200e-6])
def test_drift_and_noise_are_no_step(seed, slope):
    assert find_step(windows(slope=slope, seed=seed)) is None


def test_a_difference_of_three_milliseconds_is_no_step_however_certain():
    assert find_step(windows(step_s=0.003, noise_s=1e-4)) is None


@pytest.mark.parametrize("count", [0, 1, 4])
def test_too_few_windows_show_no_step(count):
    assert find_step(windows(step_s=1.0, count=count, at=2)) is None
