"""The lanes of one session, from its rows: labels of every source, episodes, flags. Reads no table itself."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from harchive_dagster.labels.episodes import OBSTRUCTED
from harchive_dagster.labels.free_words import in_our_words
from harchive_dagster.labels.taxonomy import load_taxonomy
from harchive_dagster.privacy.redaction import PRIVATE_KIND
from harchive_dagster.review.lanes import Lane, Span, flagged

_DARK_LUMA = 60.0  # hands and labels are hard to tell by eye below
_BLURRED = 100.0  # variance of the Laplacian; the customary border between blurred and sharp
_QUALITY = ("visibility", "sharpness", "sync", "continuity", "activity")


def label_lanes(segments: pa.Table, annotations: pa.Table, *, is_as_written: bool) -> list[Lane]:
    """A lane for each layer and source of the segments, and below those of a layer, one for each of its annotators.

    Args:
        segments: one session's rows.
        annotations: one session's rows.
        is_as_written: show what people wrote freely, which may name somebody, instead of "other".
    """
    taxonomy = load_taxonomy()
    lanes: dict[tuple[str, str, str], list[Span]] = {}
    for row in segments.sort_by("start_ns").to_pylist():
        is_shown = is_as_written or row["source"] != "annotator"
        label = row["label"] if is_shown else in_our_words(row["verb"], row["noun"], row["label"], taxonomy)
        lanes.setdefault((row["layer"], "segment", _source(row)), []).append(_segment(row, label))
    for row in annotations.sort_by("start_ns").to_pylist():
        words = (row["verb"], row["noun"])
        text = None if any(words) else row["text"]  # of words and a text, a lane shows the words
        written = " ".join(filter(None, words)) or text or ""
        label = written if is_as_written else in_our_words(*words, text, taxonomy)
        tool = row["tool"] if is_as_written else ""  # a file may call it what it likes
        lanes.setdefault((row["layer"], "annotation", row["annotator"]), []).append(_annotation(row, label, tool))
    order = sorted(lanes, key=lambda key: (key[0], key[1] == "annotation", key[2]))
    return [Lane(kind, f"{layer}: {name}", tuple(lanes[layer, kind, name]), layer) for layer, kind, name in order]


def episode_lanes(episodes: Sequence[Mapping[str, Any]], rejected: Sequence[Mapping[str, Any]]) -> list[Lane]:
    """What became of the recording: its episodes, and the spans that made none."""
    found = tuple(_episode(row) for row in sorted(episodes, key=lambda row: row["start_ns"]))
    left_out = tuple(
        Span(row["start_ns"], row["end_ns"], row["reason"], row["detail"])
        for row in sorted(rejected, key=lambda row: row["start_ns"])
    )
    return [Lane("episode", "episodes", found), Lane("rejected", "no episode", left_out)]


def flag_lanes(
    frames: Mapping[str, NDArray[Any]], hidden: Mapping[str, NDArray[np.int64]], gaps: NDArray[np.int64], end_ns: int
) -> list[Lane]:
    """What a reviewer should know of the picture.

    Args:
        frames: columns of `frames`, [N] each, in order.
        hidden: by kind, indices of the frames in which something of it is hidden.
        gaps: indices of frames that a sensor has no sample for.
        end_ns: when the last frame ends.
    """
    count = len(frames["pts_ns"])
    is_hidden = {kind: np.isin(np.arange(count), frames_of_it) for kind, frames_of_it in hidden.items()}
    is_private = is_hidden.pop(PRIVATE_KIND, np.zeros(count, dtype=np.bool_))
    # Nobody looked at private pictures: their figures are zero.
    flags = {
        "private time": is_private,
        **{f"hidden: {kind}": is_hidden[kind] for kind in sorted(is_hidden)},
        "dark": (frames["luma_mean"] < _DARK_LUMA) & ~is_private,
        "blurred": (frames["sharpness"] < _BLURRED) & ~is_private,
        "obstructed": (frames["obstructed_fraction"] > OBSTRUCTED) & ~is_private,
        "no sensor": np.isin(np.arange(count), gaps),
    }
    return [Lane("flag", name, flagged(frames["pts_ns"], end_ns, is_so, name)) for name, is_so in flags.items()]


def hidden_frames(redactions: pa.Table) -> dict[str, NDArray[np.int64]]:
    """By kind, the frames in which something of it is hidden."""
    return {
        kind: redactions.filter(pc.equal(redactions.column("kind"), kind)).column("frame_index").to_numpy()
        for kind in sorted(redactions.column("kind").unique().to_pylist())
    }


def _source(row: Mapping[str, Any]) -> str:
    if row["source"] == "annotator":
        return "merged"
    return "worker's presses" if row["source"] == "worker_marker" else str(row["model"] or row["source"])


def _segment(row: Mapping[str, Any], label: str) -> Span:
    facts = [f"confidence {row['confidence']:.2f}"]
    if row["agreement"] is not None:
        facts.append(f"{row['agreement']:.0%} of the others of {row['annotator_count']} annotators agree")
    if row["is_known"] is False:
        facts.append("words that the taxonomy lacks")
    if row["model"]:
        facts.append(f"{row['model']} {row['model_version'] or ''}".rstrip())
    is_disputed = row["agreement"] is not None and row["agreement"] < 1
    is_doubtful = is_disputed or row["is_known"] is False
    return Span(row["start_ns"], row["end_ns"], label, ", ".join(facts), is_doubtful)


def _annotation(row: Mapping[str, Any], label: str, tool: str) -> Span:
    attributes = json.loads(row["attributes"])
    is_unknown = False in (attributes.get("is_known_verb"), attributes.get("is_known_noun"))
    facts = [tool, "words that the taxonomy lacks" if is_unknown else ""]
    return Span(row["start_ns"], row["end_ns"], label, ", ".join(filter(None, facts)), is_unknown)


def _episode(row: Mapping[str, Any]) -> Span:
    judge = f" ({row['outcome_source'].replace('_', ' ')})" if row["outcome_source"] else ""
    terms = [f"{name} {row[f'quality_{name}']:.2f}" for name in _QUALITY if row[f"quality_{name}"] is not None]
    note = f"quality {row['quality_score']:.2f}: {', '.join(terms)}"
    return Span(row["start_ns"], row["end_ns"], f"outcome {row['outcome']}{judge}", note)
