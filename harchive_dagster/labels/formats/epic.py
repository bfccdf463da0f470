"""The CSV form of EPIC-KITCHENS-100: `epic-kitchens-100-annotations`, README.md, "Action Segments".

Columns as there. Its class lists may not be passed on: what verb_class and noun_class mean is said by a class mapping.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from harchive_dagster.labels.class_mapping import NOUN, VERB, ClassMapping
from harchive_dagster.labels.formats.csv_rows import csv_bytes, header_of, rows_of
from harchive_dagster.labels.formats.documents import AnnotationFile, FileProblemError
from harchive_dagster.labels.formats.protocol import Drawn, Job, Reading, Source
from harchive_dagster.labels.formats.proxy import Proxy, video_named_in
from harchive_dagster.labels.taxonomy import Taxonomy, load_taxonomy

COLUMNS = (
    "narration_id",
    "participant_id",
    "video_id",
    "narration_timestamp",
    "start_timestamp",
    "stop_timestamp",
    "start_frame",
    "stop_frame",
    "narration",
    "verb",
    "verb_class",
    "noun",
    "noun_class",
    "all_nouns",
    "all_noun_classes",
)
LAYER_COLUMN = "layer"
"""Ours, after the others: EPIC's segments are all actions, which is what a file without it is taken for."""

_READ = ("narration_id", "video_id", "start_timestamp", "stop_timestamp", "narration", "verb", "noun")
_MARKS = {"narration_id", "start_timestamp", "stop_timestamp"}
_RESOLUTION_NS = 10_000_000
_TIME = re.compile(r"([0-9]{2,3}):([0-5][0-9]):([0-5][0-9])(?:\.([0-9]{1,9}))?", re.ASCII)
_FRAME = re.compile(r"[0-9]{1,9}", re.ASCII)
_CLASS = re.compile(r"-?[0-9]{1,9}", re.ASCII)
_NO_CLASS = -1
_FRAME_LEEWAY = 2
"""EPIC numbers frames from 1 and takes floor(t·fps) for it; with the times' own rounding that is two."""


@dataclass(frozen=True)
class Epic:
    """Times are hundredths of a second, ends exclusive; frame numbers prove that they belong to the proxy's rate.

    The format knows no annotator: the file's name says who it was. Class numbers are read by a class mapping only, and
    without one written as places in the sorted list of our words; -1 is a word without a class.
    """

    name = "epic"

    def is_mine(self, file: AnnotationFile) -> bool:
        """Whether the header has EPIC's times."""
        return not file.is_json and not file.is_xml and set(header_of(file)) >= _MARKS

    def read(self, file: AnnotationFile, source: Source) -> Reading:
        """The rows of one video; those whose `video_id` names another session of ours are passed over."""
        rows = list(rows_of(file, _READ, (), is_closed=False))
        named = {row["video_id"]: video_named_in(row["video_id"]) for _, row in rows}
        mine = [video for video, found in named.items() if not found or found[0] == source.session_pseudonym]
        if len(mine) != 1:
            raise FileProblemError(f"it holds labels of {len(mine)} videos that may be this session's, expected one")
        proxy = source.proxy_named(mine[0])
        labels, problems = [], []
        for place, row in rows:
            if row["video_id"] == mine[0]:
                wrong = [*_problems(row, proxy), *(_class_problems(row) if source.classes else ())]
                problems += [f"{place}: {problem}" for problem in wrong]
                if not wrong:
                    labels.append(_drawn(row, place, source, proxy))
        return Reading(tuple(labels), tuple(problems))

    def write(self, job: Job) -> dict[str, bytes]:
        """One file."""
        taxonomy = load_taxonomy()
        ids = job.classes.ids if job.classes else _own_ids(taxonomy)
        rows = [_row(label, job, taxonomy, ids) for label in job.labels]
        return {f"{job.name}.csv": csv_bytes([*COLUMNS, LAYER_COLUMN], rows)}


def _time_ns(text: str) -> int | None:
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    hours, minutes, seconds, fraction = match.groups()
    return ((int(hours) * 60 + int(minutes)) * 60 + int(seconds)) * 10**9 + int((fraction or "0").ljust(9, "0"))


def _timestamp(hundredths: int) -> str:
    minutes, rest = divmod(hundredths, 6000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 100:02d}.{rest % 100:02d}"


def _problems(row: Mapping[str, str], proxy: Proxy | None) -> Iterator[str]:
    for end in ("start", "stop"):
        written, frame = row[f"{end}_timestamp"], row.get(f"{end}_frame", "")
        t_ns = _time_ns(written)
        if t_ns is None:
            yield f"{end}_timestamp is {written!a}, expected HH:mm:ss.SS"
        elif frame and not _FRAME.fullmatch(frame):
            yield f"{end}_frame is {frame!a}, expected a whole number"
        elif frame and proxy is not None:
            yield from _frame_problem(end, int(frame), t_ns, proxy)


def _frame_problem(end: str, frame: int, t_ns: int, proxy: Proxy) -> Iterator[str]:
    expected = proxy.nearest_boundary(t_ns)
    if abs(frame - expected) > _FRAME_LEEWAY:
        yield (
            f"{end}_frame {frame} is not at {end}_timestamp {t_ns / 1e9:.2f} s, where the proxy of {proxy.fps:.6g} "
            f"frames a second has frame {expected}: drawn at another frame rate"
        )


def _class_problems(row: Mapping[str, str]) -> Iterator[str]:
    for name in ("verb_class", "noun_class"):
        if row.get(name) and not _CLASS.fullmatch(row[name]):
            yield f"{name} is {row[name]!a}, expected a whole number"


def _meant(row: Mapping[str, str], kind: str, classes: ClassMapping | None) -> str:
    number = row.get(f"{kind}_class")
    return classes.words_by_id.get((kind, int(number)), "") if classes and number else ""


def _drawn(row: Mapping[str, str], place: str, source: Source, proxy: Proxy | None) -> Drawn:
    verb_meant, noun_meant = (_meant(row, kind, source.classes) for kind in (VERB, NOUN))
    return Drawn(
        annotation_id=row["narration_id"],
        annotator=source.annotator,
        layer=row.get(LAYER_COLUMN) or "action",
        start_ns=_time_ns(row["start_timestamp"]) or 0,
        end_ns=_time_ns(row["stop_timestamp"]) or 0,
        verb=row["verb"] or verb_meant,
        noun=row["noun"] or noun_meant,
        text=row["narration"],
        verb_meant=verb_meant,
        noun_meant=noun_meant,
        tool="epic",
        tool_version="100",
        resolution_ns=_RESOLUTION_NS,
        proxy=proxy,
        place=place,
    )


def _own_ids(taxonomy: Taxonomy) -> dict[tuple[str, str], int]:
    return {
        (kind, word): number
        for kind, words in ((VERB, taxonomy.verbs), (NOUN, taxonomy.nouns))
        for number, word in enumerate(sorted(set(words.values())))
    }


def _row(label: Drawn, job: Job, taxonomy: Taxonomy, ids: Mapping[tuple[str, str], int]) -> dict[str, object]:
    start = round(label.start_ns / _RESOLUTION_NS)
    stop = max(round(label.end_ns / _RESOLUTION_NS), start + 1)
    first, after = job.proxy.frames(label.start_ns, label.end_ns)
    verb_class, noun_class = (
        ids.get((kind, word or ""), _NO_CLASS)
        for kind, word in (
            (VERB, label.verb_meant or taxonomy.canonical_verb(label.verb)),
            (NOUN, label.noun_meant or taxonomy.canonical_noun(label.noun)),
        )
    )
    return {
        "narration_id": label.annotation_id,
        "participant_id": job.proxy.session_pseudonym,
        "video_id": job.name,
        "narration_timestamp": f"{_timestamp(start)}0",
        "start_timestamp": _timestamp(start),
        "stop_timestamp": _timestamp(stop),
        "start_frame": max(1, first),
        "stop_frame": after,
        "narration": label.text,
        "verb": label.verb,
        "verb_class": verb_class,
        "noun": label.noun,
        "noun_class": noun_class,
        "all_nouns": [label.noun] if label.noun else [],
        "all_noun_classes": [noun_class] if label.noun else [],
        LAYER_COLUMN: label.layer,
    }
