"""Which of several clock lines holds when: the cheapest sequence of lines, and the exact cut between two."""

from itertools import groupby
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.sync.clock_line import ClockLine
from harchive_dagster.sync.interval_rates import SampledSignal
from harchive_dagster.sync.lag_search import VisualRates, gyro_means, is_covered
from harchive_dagster.sync.mount import fit_map
from harchive_dagster.sync.section_lags import LagLine

_BLOCK_S = 1.0
_CONTRADICTED_MIN_S = 5
_MOVING_RAD_S = 0.1
_UNEXPLAINED = 0.9
_SWITCH_COST = 100.0
"""Of log(1 + error² / noise²) summed over intervals: a second of ordinary head motion under a wrong line."""

_NO_LINE_COST = 0.05
"""Per interval: while nothing moves every line fits as well as none, and a line is kept."""

_CUT_REACH_S = 8.0


class Run(NamedTuple):
    """Intervals start ... stop - 1, and the line that holds there; None where the motion fits no line."""

    start: int
    stop: int
    line: LagLine | None


def is_contradicted(
    visual: VisualRates, gyro: SampledSignal, mapping: NDArray[np.float64], line: ClockLine | LagLine
) -> bool:
    """Whether for seconds on end both move, but not together."""
    lag_s = line.at(visual.middles_s)
    means = gyro_means(visual.edges_s, gyro, lag_s) @ mapping
    is_both = (visual.is_usable & is_covered(visual.edges_s, gyro, lag_s)).astype(np.float64)
    starts = _block_starts(visual)
    seen, felt, left = (
        np.add.reduceat(is_both * (rates**2).sum(axis=1), starts)
        for rates in (visual.high_passed, means, visual.high_passed - means)
    )
    floor = _MOVING_RAD_S**2 * np.maximum(np.add.reduceat(is_both, starts), 1.0)
    is_moving = (seen > floor) & (felt > floor)
    against = left[is_moving] > _UNEXPLAINED * seen[is_moving]
    return max((len(list(run)) for is_against, run in groupby(against) if is_against), default=0) >= _CONTRADICTED_MIN_S


def choose_lines(visual: VisualRates, gyro: SampledSignal, lines: list[LagLine], *, shortest_s: float) -> list[Run]:
    """The sequence of lines that explains the motion at the least cost (Viterbi over blocks of a second).

    Args:
        visual: the whole recording.
        gyro: high-passed.
        lines: the candidates, the best supported first: the map is fitted along it.
        shortest_s: shorter runs go to the run before them, the first to the one after it.

    Returns:
        Runs in the order of time. Nothing is left out but what no sample can belong to: the time that was lost when
        samples were. A run that fits no line is between different lines or at an end.
    """
    everything = len(visual.is_usable)
    if not lines:
        return [Run(0, everything, None)]
    mapping = _map_along(visual, gyro, lines[0])
    costs = _costs(visual, gyro, mapping, lines)
    starts = _block_starts(visual)
    states = _cheapest(np.column_stack([np.add.reduceat(cost, starts) for cost in costs]))
    bounds = np.append(starts, everything)
    runs: list[Run] = []
    position = 0
    for state, blocks in groupby(states):
        length = len(list(blocks))
        start, stop = int(bounds[position]), int(bounds[position + length])
        position += length
        line = lines[state] if state < len(lines) else None
        is_short = visual.edges_s[stop] - visual.edges_s[start] < shortest_s
        if runs and (is_short or line == runs[-1].line):
            runs[-1] = runs[-1]._replace(stop=stop)
        elif len(runs) > 1 and runs[-1].line is None and line == runs[-2].line:
            # The clock is the same afterwards: the picture was in the wrong in between.
            runs[-2:] = [runs[-2]._replace(stop=stop)]
        else:
            runs.append(Run(start, stop, line))
    if len(runs) > 1 and visual.edges_s[runs[0].stop] - visual.edges_s[0] < shortest_s:
        runs[:2] = [runs[1]._replace(start=0)]
    for index in range(len(runs) - 1):
        runs[index], runs[index + 1] = sharpen_cut(visual, gyro, mapping, runs[index], runs[index + 1])
    return runs


def sharpen_cut(
    visual: VisualRates, gyro: SampledSignal, mapping: NDArray[np.float64], before: Run, after: Run
) -> tuple[Run, Run]:
    """The cut between two lines to the frame; where samples were lost, the time they took belongs to neither."""
    if before.line is None or after.line is None:
        return before, after
    at_s = float(visual.edges_s[after.start])
    lost_s = max(0.0, float(after.line.at(np.array([at_s]))[0] - before.line.at(np.array([at_s]))[0]))
    reach_s = _CUT_REACH_S + lost_s
    low = max(before.start + 1, int(np.searchsorted(visual.edges_s, at_s - reach_s)))
    high = min(after.stop - 1, int(np.searchsorted(visual.edges_s, at_s + reach_s)))
    near = visual.part(low, high)
    costs = _costs(near, gyro, mapping, [before.line, after.line])
    spent = [np.concatenate([[0.0], np.cumsum(cost)]) for cost in costs[:2]]
    resumed = np.searchsorted(near.edges_s, near.edges_s + lost_s - 1e-6)
    is_inside = resumed < len(near.edges_s)
    total = spent[0][is_inside] + spent[1][-1] - spent[1][resumed[is_inside]]
    # What is left out costs nothing, so the lost time comes to lie where neither line holds.
    best = int(np.argmin(total))
    return before._replace(stop=low + best), after._replace(start=low + int(resumed[best]))


def _map_along(visual: VisualRates, gyro: SampledSignal, line: LagLine) -> NDArray[np.float64]:
    """The map where this line holds: fitted once to everything, then to the half of it that agrees best."""
    lag_s = line.at(visual.middles_s)
    mapping = fit_map(visual, gyro, lag_s)
    starts = _block_starts(visual)
    for _ in range(2):
        means = gyro_means(visual.edges_s, gyro, lag_s) @ mapping
        seen, left = (
            np.add.reduceat((rates**2).sum(axis=1), starts)
            for rates in (visual.high_passed, visual.high_passed - means)
        )
        share = left / np.maximum(seen, 1e-12)
        is_good = np.repeat(share <= np.median(share), np.diff(np.append(starts, len(means))))
        mapping = fit_map(visual.where(is_good), gyro, lag_s)
    return mapping


def _costs(
    visual: VisualRates, gyro: SampledSignal, mapping: NDArray[np.float64], lines: list[LagLine]
) -> list[NDArray[np.float64]]:
    """Of every interval under every line, and under none; robust, so that an outlier weighs little more than noise."""
    nothing = (visual.high_passed**2).sum(axis=1)
    squares = []
    for line in lines:
        lag_s = line.at(visual.middles_s)
        error = visual.high_passed - gyro_means(visual.edges_s, gyro, lag_s) @ mapping
        squares.append(np.where(is_covered(visual.edges_s, gyro, lag_s), (error**2).sum(axis=1), nothing))
    least = np.min(squares, axis=0)[visual.is_usable]
    noise = float(np.median(least)) + 1e-9 if len(least) else 1.0
    costs = [np.log1p(square / noise) for square in squares] + [np.log1p(nothing / noise) + _NO_LINE_COST]
    return [np.where(visual.is_usable, cost, 0.0) for cost in costs]


def _cheapest(costs: NDArray[np.float64]) -> list[int]:
    """States [B] of least cost [B, K], where every change of state costs."""
    total = costs[0]
    came_from = np.zeros(costs.shape, dtype=np.intp)
    for block in range(1, len(costs)):
        cheapest = int(np.argmin(total))
        is_switch = total > total[cheapest] + _SWITCH_COST
        came_from[block] = np.where(is_switch, cheapest, np.arange(len(total)))
        total = np.where(is_switch, total[cheapest] + _SWITCH_COST, total) + costs[block]
    states = [int(np.argmin(total))]
    for block in range(len(costs) - 1, 0, -1):
        states.append(int(came_from[block, states[-1]]))
    return states[::-1]


def _block_starts(visual: VisualRates) -> NDArray[np.intp]:
    """First interval of every second that has one."""
    seconds = np.floor((visual.edges_s[:-1] - visual.edges_s[0]) / _BLOCK_S)
    return np.flatnonzero(np.diff(seconds, prepend=-1.0) > 0)
