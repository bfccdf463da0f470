"""`harchive evaluate`: options in, a table out. The figures are in `labels.evaluation`."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harchive_dagster.commands.terminal import printable
from harchive_dagster.settings import Settings

if TYPE_CHECKING:
    from harchive_dagster.labels.evaluation import Evaluation, Scores
    from harchive_dagster.labels.spans import Spans

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_SOURCES = click.Choice(["annotator", "worker_marker", "model"])
_LABEL_WIDTH = 40
_NAMED = 20


@click.command()
@click.argument("predictions", type=_FILE)
@click.option("--truth", type=_FILE, help="CSV of the same form; without it, the published segments of HARCHIVE_LAKE.")
@click.option("--version", type=click.IntRange(0), help="Version of the published segments; the newest by default.")
@click.option(
    "--source", "sources", multiple=True, default=("annotator",), show_default=True, type=_SOURCES, help="Of segments."
)
@click.option("--sessions", type=_FILE, help="Only the sessions in this file, one a line; even those without truth.")
@click.option("--layer", default="action", show_default=True, type=click.Choice(["activity", "action", "step"]))
@click.option("--by", default="label", show_default=True, type=click.Choice(["label", "verb", "noun"]), help="Classes.")
@click.option("--json", "is_json", is_flag=True, help="Everything as JSON.")
def evaluate(
    predictions: Path,
    truth: Path | None,
    version: int | None,
    sources: tuple[str, ...],
    sessions: Path | None,
    layer: str,
    by: str,
    is_json: bool,
) -> None:
    """Compare predicted spans with the truth: mAP at temporal IoU 0.1-0.5, F1@{10,25,50}, edit score, accuracy."""
    from harchive_dagster.labels import evaluation
    from harchive_dagster.labels.span_files import read_spans

    if truth is not None and version is not None:
        raise click.UsageError("--version is of the published segments; it says nothing about --truth.")
    true = _published(version, sources, layer, by) if truth is None else read_spans(truth, layer=layer, by=by)
    chosen = None if sessions is None else _names(sessions)
    found = evaluation.evaluate(true, read_spans(predictions, layer=layer, by=by), chosen)
    click.echo(json.dumps(_plain(found), indent=2) if is_json else "\n".join(_lines(found)))


def _names(sessions: Path) -> list[str]:
    lines = sessions.read_text("utf-8-sig", errors="replace").splitlines()  # editors put a byte order mark in front
    return [line.strip() for line in lines if line.strip()]


def _published(version: int | None, sources: tuple[str, ...], layer: str, by: str) -> "Spans":
    from harchive_dagster.labels.span_files import spans_of_segments
    from harchive_dagster.lake.schemas import PUBLISHED_SEGMENTS
    from harchive_dagster.lake.tables import Lake

    segments = Lake(Settings.from_environment().lake).read(PUBLISHED_SEGMENTS, version=version)
    return spans_of_segments(segments, "session_pseudonym", layer=layer, by=by, sources=sources)


def _plain(found: "Evaluation") -> dict[str, object]:
    from harchive_dagster.labels.evaluation import DETECTION_IOUS, SEGMENT_IOUS

    return {"detection_ious": DETECTION_IOUS, "segment_ious": SEGMENT_IOUS, **asdict(found)}


def _lines(found: "Evaluation") -> list[str]:
    from harchive_dagster.labels.evaluation import DETECTION_IOUS, SEGMENT_IOUS

    rows = [*((_cut(label), scores) for label, scores in found.classes.items()), ("all classes", found.all_classes)]
    width = max(len(label) for label, _ in rows)
    head = [*(f"AP@{iou}" for iou in DETECTION_IOUS), *(f"F1@{iou * 100:.0f}" for iou in SEGMENT_IOUS), "accuracy"]
    lines = [f"{'':{width}}  {'  '.join(f'{name:>8}' for name in head)}"]
    lines += [f"{label:{width}}  {'  '.join(f'{cell:>8}' for cell in _cells(scores))}" for label, scores in rows]
    average = sum(found.all_classes.average_precision) / len(DETECTION_IOUS)
    lines += ["", f"{100 * average:7.2f}  mAP, mean over the IoUs"]
    if found.edit_score is not None and found.frame_accuracy is not None:
        lines.append(f"{100 * found.edit_score:7.2f}  edit score")
        lines.append(f"{100 * found.frame_accuracy:7.2f}  frame accuracy, background too")
    else:
        lines.append("predictions overlap: they are detections; F1, edit score and accuracy need one label at a time")
    lines.append(
        f"{found.prediction_count} predictions, {found.truth_count} true spans, {found.recording_count} sessions"
    )
    if found.left_out_count:
        lines.append(f"{found.left_out_count} predictions are of other sessions, and left out")
    if found.empty_recordings:
        lines.append(
            f"in neither truth nor predictions: {_some(found.empty_recordings)}; nothing happens in these sessions, "
            "or their ids are mistyped, and each has an edit score of 100"
        )
    if found.unknown_labels:
        lines.append(f"never in the truth: {_some(found.unknown_labels)}")
    return lines


def _some(names: Sequence[str]) -> str:
    return ", ".join(map(_cut, names[:_NAMED])) + (", …" if len(names) > _NAMED else "")


def _cut(label: str) -> str:
    """A label as a line of a table has room for."""
    return printable(label) if len(label) <= _LABEL_WIDTH else f"{printable(label[: _LABEL_WIDTH - 1])}…"


def _cells(scores: "Scores") -> list[str]:
    from harchive_dagster.labels.evaluation import SEGMENT_IOUS

    shares = [*scores.average_precision, *(scores.f1 or [None] * len(SEGMENT_IOUS)), scores.accuracy]
    return ["-" if share is None else f"{100 * share:.2f}" for share in shares]
