"""Lags of short sections, searched each on its own, and the clock lines they lie on. Which line holds when is
`line_choice`'s business.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.sync.alignment import Signals
from harchive_dagster.sync.clock_line import ClockLine
from harchive_dagster.sync.lag_search import search_lag
from harchive_dagster.sync.verdict import is_distinct

_SECTION_S = (12.0, 45.0)
_SECTIONS_WANTED = 3
"""Of a short recording; one with a step then has a section on either side of it that is whole."""

_SAME_LINE_S = 0.020
_SAME_LINE_PER_S = 400e-6
"""Sections this near are one line: smaller steps are found from the windows' lags, which are more exact."""

_JUMPS_MAX = 3
_LINES_MAX = 8
"""A clock that is set more often is no clock."""


@dataclass(frozen=True)
class LagLine:
    """A candidate: `lag = lag_s + slope * (t - centre_s)` over session time, in seconds."""

    centre_s: float
    lag_s: float
    slope: float

    @classmethod
    def of(cls, line: ClockLine) -> "LagLine":
        """Of a measured line."""
        return cls(line.centre_s, line.lag_s, line.slope)

    def at(self, t_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Lag at session times."""
        return self.lag_s + self.slope * (t_s - self.centre_s)


def jumps_s(signals: Signals, search_s: float) -> NDArray[np.float64]:
    """The largest jumps ahead that the search does not reach over, in the order of time."""
    steps_s = np.diff(signals.raw.t_s)
    far = np.flatnonzero(steps_s > search_s / 2)
    largest = np.sort(far[np.argsort(steps_s[far])[::-1][:_JUMPS_MAX]])
    return np.asarray(steps_s[largest], dtype=np.float64)


def find_lines(signals: Signals, centre_s: float, search_s: float) -> list[LagLine]:
    """The lines that sections of the recording lie on, best supported first; empty where no section tells.

    Where device time jumps ahead by more than the search reaches, the clock may have been set while sampling went on:
    lags from before and after such a jump are searched both.

    Args:
        signals: the recording.
        centre_s: middle of the search, as a lag against the device's first sample.
        search_s: half its width.
    """
    edges_s = signals.visual.edges_s
    span_s = float(edges_s[-1] - edges_s[0])
    length_s = float(np.clip(span_s / _SECTIONS_WANTED, *_SECTION_S))
    starts = np.searchsorted(edges_s, np.linspace(edges_s[0], edges_s[-1], max(1, round(span_s / length_s)) + 1))
    centres_s = centre_s - np.concatenate([[0.0], np.cumsum(jumps_s(signals, search_s))])
    chains: list[list[tuple[float, float]]] = []
    for start, stop in zip(starts[:-1], starts[1:] - 1, strict=True):
        part = signals.visual.part(int(start), int(stop))
        if not part.is_usable.any():
            continue
        found = [search_lag(part, signals.gyro, centre_s=float(c), search_s=search_s) for c in centres_s]
        best = max(found, key=lambda search: search.score)
        if is_distinct(best):
            _chain(chains, float(part.middles_s[part.is_usable].mean()), best.best_s)
    chains.sort(key=len, reverse=True)
    return [_line(chain) for chain in chains[:_LINES_MAX]]


def _chain(chains: list[list[tuple[float, float]]], t_s: float, lag_s: float) -> None:
    """Add a section to the chain that it continues, or begin a new one."""
    for chain in chains:
        last_t_s, last_lag_s = chain[-1]
        if abs(lag_s - last_lag_s) <= _SAME_LINE_S + _SAME_LINE_PER_S * (t_s - last_t_s):
            chain.append((t_s, lag_s))
            return
    chains.append([(t_s, lag_s)])


def _line(chain: list[tuple[float, float]]) -> LagLine:
    t_s, lag_s = np.array(chain).T
    # Two sections apart by chance would give any slope.
    slope = float(np.polyfit(t_s - t_s.mean(), lag_s, 1)[0]) if len(chain) > 2 else 0.0
    return LagLine(float(t_s.mean()), float(lag_s.mean()), float(np.clip(slope, -_SAME_LINE_PER_S, _SAME_LINE_PER_S)))
