"""Writes ELAN files: a tier a layer and annotator, child tiers for the words, controlled vocabularies for both."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from harchive_dagster.labels.formats.documents import xml_bytes, xml_text
from harchive_dagster.labels.formats.protocol import Drawn, Job
from harchive_dagster.labels.layers import KNOWN_LAYERS, SPAN_LAYERS, TEXTS

if TYPE_CHECKING:
    from lxml.etree import _Element

RESOLUTION_NS = 1_000_000
"""Whole milliseconds."""

_XSI = "http://www.w3.org/2001/XMLSchema-instance"
_SCHEMA = "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"
_CONSTRAINT = "Symbolic_Association"
WORDS = ("verb", "noun")
"""Linguistic types of the child tiers that hold a label's words."""

_LANGUAGE = "eng"


def job_files(job: Job) -> dict[str, bytes]:
    """`<video>.eaf`; boxes are not part of the format, so that of objects only the times are written."""
    return {f"{job.name}.eaf": xml_bytes(_Document(job).root)}


class _Document:
    """A file being built. The schema fixes the order of its parts, and that every id is used once."""

    def __init__(self, job: Job) -> None:
        from lxml import etree

        self.root = etree.Element(
            "ANNOTATION_DOCUMENT",
            {
                "AUTHOR": "",
                "DATE": job.made_at.isoformat(timespec="seconds"),
                "FORMAT": "3.0",
                "VERSION": "3.0",
                f"{{{_XSI}}}noNamespaceSchemaLocation": _SCHEMA,
            },
            nsmap={"xsi": _XSI},
        )
        self._annotation_count = 0
        header = self._add(self.root, "HEADER", MEDIA_FILE="", TIME_UNITS="milliseconds")
        uri = xml_text(job.video_uri)
        media = self._add(header, "MEDIA_DESCRIPTOR", MEDIA_URL=uri, MIME_TYPE="video/mp4")
        if "://" not in uri and not uri.startswith("/"):
            media.set("RELATIVE_MEDIA_URL", f"./{uri}")  # ELAN looks beside the file where MEDIA_URL leads nowhere
        for name, text in (("harchive_video", job.name), ("instruction", job.instruction)):
            self._add(header, "PROPERTY", NAME=name).text = xml_text(text)
        self._times = self._add(self.root, "TIME_ORDER")
        for layer, annotator, number, labels in _tiers(job.labels):
            self._tier(layer, annotator, number, labels)
        self._add(header, "PROPERTY", NAME="lastUsedAnnotationId").text = str(self._annotation_count)
        self._types(job)

    def _add(self, parent: "_Element", name: str, **attributes: str) -> "_Element":
        from lxml import etree

        return etree.SubElement(parent, name, attributes)

    def _tier(self, layer: str, annotator: str, number: int, labels: Sequence[Drawn]) -> None:
        who = xml_text(annotator)
        name = f"{layer}{f'-{number}' if number else ''}{f'@{who}' if who else ''}"
        parent = self._add(self.root, "TIER", TIER_ID=name, LINGUISTIC_TYPE_REF=layer)
        if who:
            parent.set("ANNOTATOR", who)
        children = {
            word: self._add(self.root, "TIER", TIER_ID=f"{word}-{name}", LINGUISTIC_TYPE_REF=word, PARENT_REF=name)
            for word in WORDS
        }
        for label in labels:
            start_ms, end_ms = _times_ms(label)
            own = self._annotation(
                parent,
                "ALIGNABLE_ANNOTATION",
                label.text,
                TIME_SLOT_REF1=self._slot(start_ms),
                TIME_SLOT_REF2=self._slot(end_ms),
            )
            for word, tier in children.items():
                if getattr(label, word):
                    self._annotation(tier, "REF_ANNOTATION", getattr(label, word), ANNOTATION_REF=own)

    def _slot(self, t_ms: int) -> str:
        slot = f"ts{len(self._times) + 1}"
        self._add(self._times, "TIME_SLOT", TIME_SLOT_ID=slot, TIME_VALUE=str(t_ms))
        return slot

    def _annotation(self, tier: "_Element", kind: str, value: str, **attributes: str) -> str:
        self._annotation_count += 1
        own = f"a{self._annotation_count}"
        one = self._add(self._add(tier, "ANNOTATION"), kind, ANNOTATION_ID=own, **attributes)
        self._add(one, "ANNOTATION_VALUE").text = xml_text(value)
        return own

    def _types(self, job: Job) -> None:
        root = self.root
        for layer in KNOWN_LAYERS:
            kind = self._add(root, "LINGUISTIC_TYPE", LINGUISTIC_TYPE_ID=layer, TIME_ALIGNABLE="true")
            kind.set("GRAPHIC_REFERENCES", "false")
            if layer in TEXTS:
                kind.set("CONTROLLED_VOCABULARY_REF", layer)
        for word in WORDS:
            kind = self._add(root, "LINGUISTIC_TYPE", LINGUISTIC_TYPE_ID=word, TIME_ALIGNABLE="false")
            kind.set("GRAPHIC_REFERENCES", "false")
            kind.set("CONSTRAINTS", _CONSTRAINT)
            kind.set("CONTROLLED_VOCABULARY_REF", word)
        self._add(root, "LANGUAGE", LANG_ID=_LANGUAGE, LANG_DEF="http://cdb.iso.org/lg/CDB-00138502-001")
        self._add(
            root,
            "CONSTRAINT",
            STEREOTYPE=_CONSTRAINT,
            DESCRIPTION="1-1 association with a parent annotation",
        )
        for name, words in (*TEXTS.items(), ("verb", job.offered_verbs), ("noun", job.offered_nouns)):
            self._vocabulary(name, words)

    def _vocabulary(self, name: str, words: Iterable[str]) -> None:
        vocabulary = self._add(self.root, "CONTROLLED_VOCABULARY", CV_ID=name)
        self._add(vocabulary, "DESCRIPTION", LANG_REF=_LANGUAGE)
        for number, word in enumerate(words):
            entry = self._add(vocabulary, "CV_ENTRY_ML", CVE_ID=f"{name}{number}")
            self._add(entry, "CVE_VALUE", LANG_REF=_LANGUAGE).text = xml_text(word)


def _tiers(labels: Iterable[Drawn]) -> list[tuple[str, str, int, list[Drawn]]]:
    """Layer, annotator, number and labels of each tier: annotations of one tier may not overlap in ELAN.

    Every layer of spans has a tier, as that is where annotators draw.
    """

    def key(label: Drawn) -> tuple[str, str]:
        return label.layer, label.annotator

    ordered = sorted(labels, key=lambda label: (*key(label), label.start_ns, label.end_ns))
    tiers: list[tuple[str, str, int, list[Drawn]]] = [
        (layer, "", 0, []) for layer in SPAN_LAYERS if not any(key(label) == (layer, "") for label in ordered)
    ]
    for (layer, annotator), group in groupby(ordered, key):
        rows: list[list[Drawn]] = []
        for label in group:
            free = next((row for row in rows if _times_ms(row[-1])[1] <= _times_ms(label)[0]), None)
            if free is None:
                rows.append([label])
            else:
                free.append(label)
        tiers += [(layer, annotator, number, row) for number, row in enumerate(rows)]
    return tiers


def _times_ms(label: Drawn) -> tuple[int, int]:
    """Start and end as written: at least a millisecond apart."""
    start_ms = round(label.start_ns / RESOLUTION_NS)
    return start_ms, max(round(label.end_ns / RESOLUTION_NS), start_ms + 1)
