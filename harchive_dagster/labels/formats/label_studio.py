"""Label Studio's task list (JSON); guide/export, tags/timelinelabels and tags/videorectangle of its documentation.

The labelling configuration that goes with a job is in `label_studio_config`, boxes are in `label_studio_boxes`.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from harchive_dagster.labels.formats.documents import AnnotationFile, FileProblemError
from harchive_dagster.labels.formats.label_studio_boxes import box_result, boxes_of, number_in, require_rate_of
from harchive_dagster.labels.formats.label_studio_clock import FrameClock
from harchive_dagster.labels.formats.label_studio_config import BOX_TAG, NOUN_TAG, SEE_TEXT, TEXT_TAG, VIDEO_TAG, config
from harchive_dagster.labels.formats.protocol import Drawn, Job, Reading, Source
from harchive_dagster.labels.formats.proxy import Proxy, video_named_in
from harchive_dagster.labels.layers import OBJECT_LAYER, SPAN_LAYERS, TEXTS
from harchive_dagster.landing.fields import Fields, Findings, parse_moment

_MAX_FRAME = 1e9
_WORDS = {"choices": "choices", "textarea": "text"}
"""Types of results that say more about a region, and the key of their value."""


@dataclass(frozen=True)
class LabelStudio:
    """Ranges are frames of the tag's `frameRate`, from 1, both ends inside; see `FrameClock` for when they are.

    Annotations that were cancelled, and predictions, are not labels. A region of a control that is not named after a
    layer is an action, a video rectangle an object; its label is the verb, or the object's noun. Regions' choices and
    texts under the names of our configuration are noun and text.
    """

    name = "label-studio"

    def is_mine(self, file: AnnotationFile) -> bool:
        """Whether it is a list of tasks."""
        tasks = file.json if file.is_json else None
        return isinstance(tasks, list) and any(isinstance(task, dict) and "data" in task for task in tasks)

    def read(self, file: AnnotationFile, source: Source) -> Reading:
        """The task of one session; those of other sessions are passed over."""
        mine = [(number, task) for number, task in enumerate(file.json) if _is_of(task, source.session_pseudonym)]
        if len(mine) != 1:
            raise FileProblemError(f"it holds {len(mine)} tasks that may be this session's, expected one")
        number, task = mine[0]
        proxy = source.frames_of(_video_texts(task))
        clock = FrameClock(proxy, _rate(task, proxy))
        labels, problems = [], []
        for place, annotation in _annotations(task, f"task {number}"):
            for region_id, results in _regions(annotation):
                where = f"{place} region {region_id!a}"
                try:
                    labels += _region(results, clock, _Frame(annotation, source.annotator, region_id, where))
                except FileProblemError as error:
                    problems.append(f"{where}: {error}")
        return Reading(tuple(labels), tuple(problems))

    def write(self, job: Job) -> dict[str, bytes]:
        """A task with what was proposed or drawn as predictions, and the project's configuration.

        What people drew is a prediction too, under the annotator's pseudonym: an import refuses annotations of users
        that it does not know.
        """
        clock = FrameClock(job.proxy, job.proxy.fps)
        task: dict[str, Any] = {
            "data": {
                VIDEO_TAG: job.video_uri,
                "fps": job.proxy.fps,
                "instruction": job.instruction,
                "harchive_video": job.name,
            },
            "predictions": [],
        }
        for annotator, labels in groupby(sorted(job.labels, key=lambda label: label.annotator), lambda x: x.annotator):
            result = [one for label in labels for one in _results(label, clock)]
            task["predictions"].append({"model_version": annotator or "harchive", "result": result})
        return {
            f"{job.name}.json": json.dumps([task], ensure_ascii=False, indent=1).encode("utf-8", "replace"),
            f"{job.name}.label-config.xml": config(job),
        }


@dataclass(frozen=True)
class _Frame:
    """What the labels of one region share."""

    annotation: Mapping[str, Any]
    default_annotator: str
    region_id: str
    place: str

    def drawn(self, number: int, layer: str, span_ns: tuple[int, int], proxy: Proxy) -> Drawn:
        created = self.annotation.get("created_at")
        mine = self.annotation.get("id")
        prefix = f"{mine}:" if isinstance(mine, int | str) else ""
        return Drawn(
            annotation_id=f"{prefix}{self.region_id}{f'.{number}' if number else ''}",
            annotator=_annotator(self.annotation.get("completed_by")) or self.default_annotator,
            layer=layer,
            start_ns=span_ns[0],
            end_ns=span_ns[1],
            tool="label-studio",
            created_at_utc=parse_moment(created) if isinstance(created, str) else None,
            proxy=proxy,
            place=self.place,
        )


def _video_texts(task: Mapping[str, Any]) -> str:
    """Everything in a task's data that may name its video; Label Studio puts its own prefix before uploaded names."""
    data = task.get("data")
    return " ".join(text for text in data.values() if isinstance(text, str)) if isinstance(data, dict) else ""


def _is_of(task: Any, session_pseudonym: str) -> bool:
    if not isinstance(task, dict):
        raise FileProblemError("it holds something else than tasks")
    named = video_named_in(_video_texts(task))
    return named is None or named[0] == session_pseudonym


def _rate(task: Mapping[str, Any], proxy: Proxy) -> float:
    """The rate that frames were counted at.

    Raises:
        FileProblemError: it is not the proxy's, or nothing tells it.
    """
    data = task.get("data")
    fps = number_in(data.get("fps")) if isinstance(data, dict) else None
    rectangles = [
        result.get("value")
        for _, annotation in _annotations(task, "")
        for _, results in _regions(annotation)
        for result in results
        if result.get("type") == "videorectangle"
    ]
    for value in rectangles:
        require_rate_of(value, proxy)
    if fps is not None:
        proxy.require_fps(fps, "data.fps")
        return fps
    if rectangles:
        return proxy.fps
    raise FileProblemError(
        "data.fps is missing, so that nothing tells the frameRate its frames were counted at (Label Studio takes 24 "
        "unless the configuration says otherwise)"
    )


def _annotations(task: Mapping[str, Any], place: str) -> Iterator[tuple[str, dict[str, Any]]]:
    annotations = task.get("annotations", [])
    if not isinstance(annotations, list):
        raise FileProblemError(f"{place}: annotations is no list")
    for number, annotation in enumerate(annotations):
        if not isinstance(annotation, dict):
            raise FileProblemError(f"{place} annotation {number} is no object")
        if annotation.get("was_cancelled") is not True:
            yield f"{place} annotation {number}", annotation


def _regions(annotation: Mapping[str, Any]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Results by the region that they speak of; those of one region stand together or apart."""
    results = annotation.get("result", [])
    if not isinstance(results, list):
        raise FileProblemError("a result is no list")
    regions: dict[str, list[dict[str, Any]]] = {}
    for number, result in enumerate(results):
        if not isinstance(result, dict):
            raise FileProblemError("a result holds something else than regions")
        regions.setdefault(str(result.get("id", f"result {number}")), []).append(result)
    yield from regions.items()


def _annotator(completed_by: Any) -> str:
    """Who it was: a number, or an object with an address or a number."""
    if isinstance(completed_by, dict):
        completed_by = completed_by.get("email") or completed_by.get("id")
    is_name = isinstance(completed_by, int | str) and not isinstance(completed_by, bool)
    return str(completed_by).strip() if is_name else ""


def _region(results: list[dict[str, Any]], clock: FrameClock, frame: _Frame) -> list[Drawn]:
    said = {name: words for result in results for name, words in _said(result)}
    drawn: list[Drawn] = []
    for result in results:
        kind, value = result.get("type"), result.get("value")
        if kind == "timelinelabels":
            drawn += _timeline(value, _layer(result), clock, frame)
        elif kind == "videorectangle":
            boxes, noun = boxes_of(value, clock)
            span_ns = clock.seen_ns(boxes)
            drawn.append(replace(frame.drawn(len(drawn), OBJECT_LAYER, span_ns, clock.proxy), boxes=boxes, noun=noun))
    others = [str(result.get("type")) for result in results if str(result.get("type")).endswith("labels")]
    if others and not drawn:
        raise FileProblemError(f"it is of type {others[0]!a}; labels are read from timelinelabels and videorectangle")
    return [
        replace(label, noun=said.get(NOUN_TAG, label.noun), text=label.text or said.get(TEXT_TAG, ""))
        for label in drawn
    ]


def _said(result: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    value, key = result.get("value"), _WORDS.get(str(result.get("type")))
    words = value.get(key) if key and isinstance(value, dict) else None
    if isinstance(words, str):
        words = [words]
    if isinstance(words, list):
        yield str(result.get("from_name")), " ".join(word for word in words if isinstance(word, str)).strip()


def _layer(result: Mapping[str, Any]) -> str:
    name = result.get("from_name")
    return name if isinstance(name, str) and name in SPAN_LAYERS else "action"


def _timeline(value: Any, layer: str, clock: FrameClock, frame: _Frame) -> Iterator[Drawn]:
    findings = Findings()
    fields = Fields({"value": value}, findings).mapping("value")
    numbers = [
        [round(one.number(end, low=0, high=_MAX_FRAME)) for end in ("start", "end")]
        for one in fields.mappings("ranges", min_count=1)
    ]
    words = fields.texts("timelinelabels")
    if findings.problems:
        raise FileProblemError("; ".join(findings.problems))
    for number, (start, end) in enumerate(numbers):
        for offset, word in enumerate(words):
            label = frame.drawn(number * len(words) + offset, layer, clock.span_ns(start, end), clock.proxy)
            if word == SEE_TEXT:
                yield label
            elif _is_text(layer, word):
                yield replace(label, text=word)
            else:
                yield replace(label, verb=word.strip())


def _is_text(layer: str, word: str) -> bool:
    """Whether a timeline's label is an activity or an outcome, and no verb."""
    return word in TEXTS.get(layer, ())


def _results(label: Drawn, clock: FrameClock) -> Iterator[dict[str, Any]]:
    if label.layer == OBJECT_LAYER:
        if label.boxes:
            yield {
                "id": label.annotation_id,
                "from_name": BOX_TAG,
                "to_name": VIDEO_TAG,
                "type": "videorectangle",
                "value": box_result(label, clock),
            }
        return
    start, end = clock.range(label.start_ns, label.end_ns)
    word = label.verb or (label.text if _is_text(label.layer, label.text) else SEE_TEXT)
    values = [(label.layer, "timelinelabels", "timelinelabels", word)]
    if label.noun:
        values.append((NOUN_TAG, "choices", "choices", label.noun))
    if label.text and label.text != word:
        values.append((TEXT_TAG, "textarea", "text", label.text))
    for from_name, kind, key, text in values:
        yield {
            "id": label.annotation_id,
            "from_name": from_name,
            "to_name": VIDEO_TAG,
            "type": kind,
            "value": {"ranges": [{"start": start, "end": end}], key: [text]},
        }
