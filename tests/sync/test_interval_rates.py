import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harchive_dagster.sync.interval_rates import SampledSignal, high_pass_steps

TIMES = st.lists(st.floats(0.001, 0.5), min_size=1, max_size=30).map(lambda steps: np.cumsum([0.0, *steps]))


def _signal(t_s, function):
    return SampledSignal(t_s, function(t_s)[:, None])


@given(TIMES, st.floats(-2, 20), st.floats(0.001, 5), st.floats(-3, 3), st.floats(-3, 3))
def test_the_mean_of_a_line_is_its_middle_whatever_the_samples(t_s, start, width, level, slope):
    # Only where the samples reach: beyond them the signal is held.
    start = min(max(start, 0.0), t_s[-1] * 0.9)
    end = min(start + width, t_s[-1])
    mean = _signal(t_s, lambda t: level + slope * t).mean_between(np.array([start]), np.array([end]))
    assert mean[0, 0] == pytest.approx(level + slope * (start + end) / 2, abs=1e-6)


@given(TIMES, st.floats(-3, 20), st.floats(0.01, 5), st.floats(0.01, 5))
def test_integrals_over_neighbouring_intervals_add_up(t_s, start, first, second):
    signal = _signal(t_s, np.sin)
    a, b, c = (signal.integral_at(np.array([t]))[0, 0] for t in (start, start + first, start + first + second))
    means = signal.mean_between(np.array([start, start + first]), np.array([start + first, start + first + second]))
    assert means[0, 0] * first + means[1, 0] * second == pytest.approx(c - a, abs=1e-9)
    assert means[0, 0] * first == pytest.approx(b - a, abs=1e-9)


def test_beyond_its_ends_a_signal_is_held():
    signal = _signal(np.array([1.0, 2.0]), lambda t: t)
    assert signal.mean_between(np.array([-5.0, 3.0]), np.array([0.0, 9.0])).ravel().tolist() == [1.0, 2.0]
    assert signal.value_at(np.array([0.0, 1.25, 7.0])).ravel().tolist() == [1.0, 1.25, 2.0]


def test_a_mean_over_an_interval_between_two_samples_is_exact():
    signal = _signal(np.array([0.0, 10.0]), lambda t: 2 * t)
    assert signal.mean_between(np.array([3.0]), np.array([4.0]))[0, 0] == pytest.approx(7.0)


def test_the_high_pass_removes_a_bias_and_keeps_quick_motion():
    t_s = np.arange(0, 10, 0.005)
    passed = _signal(t_s, lambda t: 0.7 + np.sin(2 * np.pi * 3 * t)).high_passed()
    inside = (t_s > 1) & (t_s < 9)
    assert np.allclose(passed.values[inside, 0], np.sin(2 * np.pi * 3 * t_s[inside]), atol=0.02)


@pytest.mark.parametrize("is_variable_rate", [False, True])
def test_steps_and_samples_are_high_passed_alike(is_variable_rate):
    rng = np.random.default_rng(0)
    steps = rng.uniform(0.02, 0.06, 250) if is_variable_rate else np.full(250, 0.04)
    edges = np.cumsum([0.0, *steps])
    t_s = np.arange(-1, edges[-1] + 1, 0.002)
    signal = _signal(t_s, lambda t: 0.3 + np.sin(2 * np.pi * 0.9 * t) + 0.4 * np.cos(2 * np.pi * 2.2 * t))
    rates = signal.mean_between(edges[:-1], edges[1:])
    passed, is_usable = high_pass_steps(edges, rates, np.ones(250, bool))
    expected = signal.high_passed().mean_between(edges[:-1], edges[1:])
    assert is_usable.sum() > 0.85 * 250
    assert np.abs(passed - expected)[is_usable].max() < 0.02


def test_rates_near_the_ends_and_near_holes_are_not_used():
    edges = np.arange(0, 10.01, 0.05)
    is_valid = np.ones(200, bool)
    is_valid[80:100] = False  # 4.0 to 5.0 s
    _, is_usable = high_pass_steps(edges, np.ones((200, 3)), is_valid)
    middles = (edges[1:] + edges[:-1]) / 2
    assert not is_usable[(middles < 0.5) | (middles > 9.5)].any()
    assert not is_usable[80:100].any()
    assert not is_usable[(middles > 3.75) & (middles < 4.0)].any()
    assert is_usable[(middles > 1) & (middles < 3.5)].all()


def test_a_single_lost_frame_is_bridged():
    edges = np.arange(0, 10.01, 0.05)
    is_valid = np.ones(200, bool)
    is_valid[50] = False
    rates = np.ones((200, 3))
    rates[50] = 0.0
    passed, is_usable = high_pass_steps(edges, rates, is_valid)
    assert is_usable[[49, 51]].all()
    assert not is_usable[50]
    assert np.allclose(passed[is_usable], 0.0, atol=1e-9)


def test_without_any_valid_rate_nothing_is_usable():
    _, is_usable = high_pass_steps(np.arange(11.0), np.ones((10, 3)), np.zeros(10, bool))
    assert not is_usable.any()
