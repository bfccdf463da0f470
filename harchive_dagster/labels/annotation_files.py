"""Labels that people drew, of one session, whichever tool they used. How a tool's files are laid out is in `formats`.

Merging annotators and pseudonyms belong elsewhere.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from harchive_dagster.errors import LabelError
from harchive_dagster.labels.class_mapping import (
    CLASSES_SUFFIX,
    NOUN,
    VERB,
    ClassMapping,
    class_mapping_beside,
    parse_class_mapping,
)
from harchive_dagster.labels.formats.documents import AnnotationFile, FileProblemError, read_annotation_file
from harchive_dagster.labels.formats.plain_csv import box_document
from harchive_dagster.labels.formats.protocol import UNNAMED, Drawn, Source
from harchive_dagster.labels.formats.proxy import PROXY_SUFFIX, Proxy, read_proxies, video_named_in
from harchive_dagster.labels.formats.registry import SUFFIXES, format_of
from harchive_dagster.labels.layers import KNOWN_LAYERS, OBJECT_LAYER
from harchive_dagster.labels.taxonomy import Taxonomy, load_taxonomy
from harchive_dagster.landing.fields import INT64_MAX, is_storable
from harchive_dagster.reasons import Reason

_UNNAMED = "1"
_SHOWN_PROBLEMS = 5
_KEPT_PROBLEMS = 200
_TEXTS = ("annotation_id", "annotator", "verb", "noun", "text", "tool_version")


@dataclass(frozen=True)
class Annotation:
    """One label as one annotator drew it. `annotator` is the name in the file: pseudonymise it before it is stored.

    Attributes:
        verb, noun: canonical where a class mapping or the taxonomy knows the word, else as written.
        attributes: a JSON object; `is_known_verb`, `is_known_noun`, and what was written where that differs;
            `proxy_sha256` and `proxy_fps` of the video that it was drawn on, where that is known; `boxes` of an object.
        created_at_utc: aware; None where the file does not say.
    """

    annotation_id: str
    annotator: str
    tool: str
    tool_version: str
    layer: str
    start_ns: int
    end_ns: int
    verb: str | None
    noun: str | None
    text: str | None
    attributes: str
    created_at_utc: datetime | None
    source_file_sha256: str


def read_annotations(
    folder: Path,
    *,
    session_pseudonym: str,
    duration_ns: int | None = None,
    instead: Mapping[Path, Path] | None = None,
) -> list[Annotation]:
    """Read every label file of one session: `<folder>/<session_pseudonym>/`, in any of the formats.

    Annotators see pseudonyms only, so their files are filed by pseudonym. No folder means no labels yet. Beside them
    lie the proxies that jobs were exported with, which frame numbers are converted by, and for files with classes of
    others the class mappings that they are read by.

    Args:
        folder: the folder of all sessions' annotations.
        session_pseudonym: whose labels to read.
        duration_ns: the recording's length; labels must end by then, but for their format's rounding, which is cut off.
            Not checked where None.
        instead: files of the session, there or not, and others whose content to read as if it lay in their place.

    Returns:
        The labels, sorted by layer, start and id.

    Raises:
        LabelError: ANNOTATION_INVALID with every problem, each with its file and place, in `evidence["problems"]`.
        SettingsError: a proxy is damaged.
    """
    mine = folder / session_pseudonym
    contents = {path: path for path in mine.glob("*")} | dict(instead or {})
    reading = _Reading(session_pseudonym, read_proxies(mine), duration_ns)
    for place in sorted(contents):
        if is_label_file(place.name):
            reading.read(contents[place], annotator_of(place.name), contents.get(class_mapping_beside(place)))
    reading.require_sound()
    return sorted(reading.annotations, key=lambda a: (a.layer, a.start_ns, a.end_ns, a.annotation_id))


def is_label_file(file_name: str) -> bool:
    """Whether a file of a session's folder is looked at for labels."""
    is_aside = file_name.endswith((PROXY_SUFFIX, CLASSES_SUFFIX)) or file_name.startswith(".")
    return Path(file_name).suffix.lower() in SUFFIXES and not is_aside


def annotator_of(file_name: str) -> str:
    """Whom a file's name says, for formats that keep no name: what stands before the first dot, unless a video's."""
    first = file_name.partition(".")[0]
    return UNNAMED if video_named_in(first) else first


class _Reading:
    """The labels and problems gathered over one session's files."""

    def __init__(self, session_pseudonym: str, proxies: Sequence[Proxy], duration_ns: int | None) -> None:
        self.annotations: list[Annotation] = []
        self.problems: list[str] = []
        self._taxonomy = load_taxonomy()
        self._duration_ns = INT64_MAX if duration_ns is None else duration_ns
        self._session_pseudonym = session_pseudonym
        self._proxies = proxies
        self._seen: dict[tuple[str, str], str] = {}
        self._files: dict[str, str] = {}

    def require_sound(self) -> None:
        if not self.problems:
            return
        count = len(self.problems)
        shown = "; ".join(self.problems[:_SHOWN_PROBLEMS])
        more = f"; and {count - _SHOWN_PROBLEMS} more" if count > _SHOWN_PROBLEMS else ""
        raise LabelError(
            Reason.ANNOTATION_INVALID,
            f"annotations of session {self._session_pseudonym!r} have {count} problem(s): {shown}{more}.",
            mend="Correct them in the annotation tool, and export the file again.",
            evidence={"problems": self.problems[:_KEPT_PROBLEMS], "count": count},
        )

    def read(self, path: Path, annotator: str, class_mapping: Path | None) -> None:
        try:
            classes = _classes(class_mapping)
            source = Source(self._session_pseudonym, self._proxies, annotator, classes)
            file = read_annotation_file(path)
            reading = format_of(file).read(file, source)
            if reading.labels:  # of two annotators who found nothing to label, the files may be alike
                self._require_new(file)
        except FileProblemError as error:
            self.problems.append(f"{path.name!a}: {error}")
            return
        self.problems += [f"{path.name!a} {problem}" for problem in reading.problems]
        own_ids: set[str] = set()
        for label in reading.labels:
            meant = label if classes is None else _meant_by_name(label, classes)
            self._take(meant, f"{path.name!a} {label.place}", own_ids, file.sha256)

    def _take(self, label: Drawn, place: str, own_ids: set[str], sha256: str) -> None:
        end_ns = self._within(label)
        problems = [*_label_problems(label, end_ns, self._duration_ns), *self._repeat_problem(label, place, own_ids)]
        if problems:
            self.problems += [f"{place}: {problem}" for problem in problems]
        else:
            self.annotations.append(_annotation(label, end_ns, self._taxonomy, sha256))

    def _require_new(self, file: AnnotationFile) -> None:
        before = self._files.setdefault(file.sha256, file.name)
        if before != file.name:
            raise FileProblemError(f"it is the same file as {before!a}")

    def _within(self, label: Drawn) -> int:
        """The label's end, or the recording's where it is only the format's rounding that goes beyond."""
        is_rounding = self._duration_ns < label.end_ns <= self._duration_ns + label.resolution_ns
        return self._duration_ns if is_rounding else label.end_ns

    def _repeat_problem(self, label: Drawn, place: str, own_ids: set[str]) -> Iterator[str]:
        """Tools number labels anew for every annotator; one annotator's label comes once, even in two exports."""
        if not label.annotation_id:
            return
        before = self._seen.setdefault((label.annotator, label.annotation_id), place)
        if before != place:
            yield f"annotation_id {label.annotation_id!a} was used in {before}"
        elif label.annotation_id in own_ids:
            yield f"annotation_id {label.annotation_id!a} is another annotator's in the same file"
        own_ids.add(label.annotation_id)


def _classes(class_mapping: Path | None) -> ClassMapping | None:
    if class_mapping is None:
        return None
    try:
        return parse_class_mapping(read_annotation_file(class_mapping))
    except FileProblemError as error:
        raise FileProblemError(f"its class mapping {class_mapping.name!a} cannot be used: {error}") from None


def _meant_by_name(label: Drawn, classes: ClassMapping) -> Drawn:
    return replace(
        label,
        verb_meant=label.verb_meant or classes.word_named(VERB, label.verb),
        noun_meant=label.noun_meant or classes.word_named(NOUN, label.noun),
    )


def _label_problems(label: Drawn, end_ns: int, duration_ns: int) -> Iterator[str]:
    if not label.annotation_id:
        yield "annotation_id is empty"
    if not label.annotator:
        yield "annotator is empty"
    for name in _TEXTS:
        if not is_storable(written := getattr(label, name)):
            yield f"{name} is {written!a}, which cannot be stored as text"
    if label.layer not in KNOWN_LAYERS:
        yield f"layer is {label.layer!a}, expected one of {', '.join(KNOWN_LAYERS)}"
    if label.layer == OBJECT_LAYER and not label.noun:
        yield "noun does not say which object is seen"
    if label.layer != OBJECT_LAYER and not label.verb and not label.text:
        yield "neither verb nor text says what is seen"
    if not 0 <= label.start_ns < end_ns:
        yield f"start_ns {label.start_ns} is not before end_ns {end_ns}"
    if end_ns > duration_ns:
        yield f"end_ns {end_ns} is after the recording's end at {duration_ns}"


def _annotation(label: Drawn, end_ns: int, taxonomy: Taxonomy, sha256: str) -> Annotation:
    attributes: dict[str, Any] = {}
    words: dict[str, str | None] = {}
    for name, written, meant, canonical in (
        (VERB, label.verb, label.verb_meant, taxonomy.canonical_verb),
        (NOUN, label.noun, label.noun_meant, taxonomy.canonical_noun),
    ):
        known = meant or (canonical(written) if written else None)
        words[name] = known or written or None
        if written:
            attributes[f"is_known_{name}"] = known is not None
        if known is not None and known != written:
            attributes[f"{name}_as_written"] = written
    if label.proxy is not None:
        attributes |= {"proxy_sha256": label.proxy.sha256, "proxy_fps": label.proxy.fps}
    if label.boxes:
        attributes["boxes"] = [box_document(box) for box in label.boxes]
    return Annotation(
        annotation_id=label.annotation_id,
        annotator=label.annotator,
        tool=label.tool,
        tool_version=label.tool_version or _UNNAMED,
        layer=label.layer,
        start_ns=label.start_ns,
        end_ns=end_ns,
        verb=words["verb"],
        noun=words["noun"],
        text=label.text or None,
        attributes=json.dumps(attributes, ensure_ascii=False, sort_keys=True),
        created_at_utc=label.created_at_utc,
        source_file_sha256=sha256,
    )
