"""Clocks that were set, stopped or lost samples in the middle of a recording: where, and each piece aligned by itself.
One straight piece is `alignment`'s business.
"""

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from harchive_dagster.recording.imu import ImuStream
from harchive_dagster.sync.alignment import LineFit, Signals, align_stretch, refused
from harchive_dagster.sync.clock import ClockAlignment
from harchive_dagster.sync.line_choice import Run, choose_lines, is_contradicted, sharpen_cut
from harchive_dagster.sync.section_lags import LagLine, find_lines, jumps_s
from harchive_dagster.sync.step_test import find_step

_SEARCHED_MIN_S = 24.0
"""Two pieces of 12 s; with less a piece is too short to be told from chance."""

_PIECE_MIN_S = 8.0
_STEP_MIN_S = 0.005
_STEP_MIN_SD = 3.0


class _Piece(NamedTuple):
    """A run with what was measured on it."""

    run: Run
    alignment: ClockAlignment
    fit: LineFit | None


def align_pieces(
    pts_ns: NDArray[np.int64],
    rotation_rad: NDArray[np.float64],
    rotation_inliers: NDArray[np.int32],
    imu: ImuStream,
    *,
    search_s: float = 10.0,
    expected_offset_ns: int | None = None,
) -> tuple[ClockAlignment, ...]:
    """Measure a head-worn sensor's clock against the camera's, piece by piece where it was set in between.

    The whole recording is aligned as one line first. Where that fails, or seconds of motion contradict it, sections
    are searched each on their own; their lags make the candidate lines among which the cheapest sequence is chosen
    (Viterbi), with one map for all. Steps too small for that show as windows that form two lines. Every piece is then
    aligned as a recording of its own and judged by the same limits.

    Arguments are those of `align_gyro`. Where nothing is found around an expected offset, the search is made once more
    as if there were none: wall clocks are set by hand and time zones mistaken.

    Returns:
        Pieces in the order of time; their device times do not overlap. A stretch that moves but fits no line is a piece
        that is not accepted. One piece where nothing was set, also where nothing can be aligned.
    """
    if len(pts_ns) < 3:
        return (refused(imu.stream_id, f"the video has {len(pts_ns)} frames; 3 are needed"),)
    signals = Signals.of(pts_ns, rotation_rad, rotation_inliers, imu)
    pieces = _align_around(signals, signals.centre_s(expected_offset_ns), search_s)
    if expected_offset_ns is None or any(piece.is_accepted for piece in pieces):
        return pieces
    unexpected = _align_around(signals, signals.centre_s(None), search_s)
    return unexpected if any(piece.is_accepted for piece in unexpected) else pieces


def _align_around(signals: Signals, centre_s: float, search_s: float) -> tuple[ClockAlignment, ...]:
    visual = signals.visual
    whole, fit = align_stretch(signals, visual, centre_s, search_s)
    if fit is None:
        return (whole,)
    pieces = [_Piece(Run(0, len(visual.is_usable), LagLine.of(fit.line)), whole, fit)]
    is_searched = float(visual.edges_s[-1] - visual.edges_s[0]) >= _SEARCHED_MIN_S
    is_whole = whole.is_accepted and not len(jumps_s(signals, search_s))
    if is_searched and not (is_whole and not is_contradicted(visual, signals.gyro, fit.steady_map, fit.line)):
        lines = find_lines(signals, centre_s, search_s)
        runs = choose_lines(visual, signals.gyro, lines, shortest_s=_PIECE_MIN_S)
        if len(runs) > 1:
            pieces = _joined(signals, [_aligned(signals, run, search_s) for run in runs], search_s)
    pieces = [part for piece in pieces for part in _split(signals, piece, search_s)]
    if len(pieces) == 1 or not any(piece.alignment.is_accepted for piece in pieces):
        return (whole,)
    return _in_device_time(signals, pieces)


def _aligned(signals: Signals, run: Run, search_s: float) -> _Piece:
    visual = signals.visual.part(run.start, run.stop)
    if run.line is None:
        detail = f"from {visual.edges_s[0]:.0f} s to {visual.edges_s[-1]:.0f} s its motion is not the picture's"
        return _Piece(run, refused(signals.stream_id, detail), None)
    middle_s = float(visual.edges_s[0] + visual.edges_s[-1]) / 2
    alignment, fit = align_stretch(signals, visual, float(run.line.at(np.array([middle_s]))[0]), search_s)
    return _Piece(run if fit is None else run._replace(line=LagLine.of(fit.line)), alignment, fit)


def _joined(signals: Signals, pieces: list[_Piece], search_s: float) -> list[_Piece]:
    """The pieces without cuts at which the clock turned out to run on."""
    kept = pieces[:1]
    for piece in pieces[1:]:
        before = kept[-1]
        is_accepted = before.alignment.is_accepted and piece.alignment.is_accepted
        if is_accepted and not _are_apart(signals, before, piece):
            kept[-1] = _aligned(signals, before.run._replace(stop=piece.run.stop), search_s)
        else:
            kept.append(piece)
    return kept


def _split(signals: Signals, piece: _Piece, search_s: float) -> list[_Piece]:
    """The piece, or two or more where its windows form more than one line."""
    if piece.fit is None:
        return [piece]
    step = find_step(piece.fit.windows)
    if step is None:
        return [piece]
    visual = signals.visual
    cut = int(np.searchsorted(visual.edges_s, step.at_s))
    runs = (Run(piece.run.start, cut, step.before), Run(cut, piece.run.stop, step.after))
    first, second = sharpen_cut(visual, signals.gyro, piece.fit.steady_map, *runs)
    halves = [_aligned(signals, run, search_s) for run in (first, second) if run.stop - run.start > 1]
    if len(halves) < 2 or not _are_apart(signals, *halves):
        return [piece]
    return [part for half in halves for part in _split(signals, half, search_s)]


def _are_apart(signals: Signals, before: _Piece, after: _Piece) -> bool:
    """Whether both were aligned and their clocks differ by more than chance at the cut."""
    if before.fit is None or after.fit is None:
        return False
    if not (before.alignment.is_accepted and after.alignment.is_accepted):
        return False
    at_s = float(signals.visual.edges_s[after.run.start])
    lines = (before.fit.line, after.fit.line)
    lags_s = [float(line.at(np.array([at_s]))[0]) for line in lines]
    sd_s = math.hypot(*(line.sd_at(at_s) for line in lines))
    return abs(lags_s[1] - lags_s[0]) > max(_STEP_MIN_S, _STEP_MIN_SD * sd_s)


def _in_device_time(signals: Signals, pieces: list[_Piece]) -> tuple[ClockAlignment, ...]:
    """Number the pieces and say which device times each holds for; what lies between two belongs to none."""
    edges_ns = np.rint(signals.visual.edges_s * 1e9).astype(np.int64)
    spans: list[tuple[int, int] | None] = []
    for piece in pieces:
        ends_ns = edges_ns[[piece.run.start, piece.run.stop]]
        device = piece.alignment.to_device_ns(ends_ns) if piece.alignment.is_accepted else None
        spans.append(None if device is None else (int(device[0]), int(device[1])))
    numbered, position_ns = [], signals.origin_ns
    for index, (piece, span) in enumerate(zip(pieces, spans, strict=True)):
        start_ns = position_ns if index == 0 or span is None else max(span[0], position_ns)
        following = [later[0] for later in spans[index + 1 :] if later is not None]
        end_ns = span[1] if span is not None else min(following, default=signals.end_ns)
        position_ns = signals.end_ns if index == len(pieces) - 1 else max(end_ns, start_ns)
        numbered.append(
            replace(piece.alignment, piece_index=index, device_start_ns=start_ns, device_end_ns=position_ns)
        )
    return tuple(numbered)
