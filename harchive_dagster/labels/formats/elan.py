"""ELAN's annotation files (.eaf), format 3.0: mpi.nl/tools/elan/EAF_Annotation_Format_3.0_and_ELAN.pdf. Reading only.

Writing is in `elan_job`.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from harchive_dagster.labels.formats.documents import AnnotationFile, FileProblemError
from harchive_dagster.labels.formats.elan_job import RESOLUTION_NS, WORDS, job_files
from harchive_dagster.labels.formats.protocol import Drawn, Job, Reading, Source
from harchive_dagster.labels.layers import KNOWN_LAYERS
from harchive_dagster.labels.taxonomy import load_taxonomy

if TYPE_CHECKING:
    from lxml.etree import _Element

_MILLISECONDS = re.compile(r"-?[0-9]{1,12}", re.ASCII)


@dataclass(frozen=True)
class Elan:
    """Times are whole milliseconds, ends exclusive. There are no frame numbers, so that no proxy is needed.

    A tier's linguistic type, else its name up to '@' or '-', says the layer. Its annotations' values are the text,
    those of its child tiers of the types "verb" and "noun" the words; where a file has no such tiers, the words are
    taken from the text as far as the taxonomy knows them. Who drew is the tier's ANNOTATOR, else what follows '@' in
    its name, else the file's AUTHOR, else whom the file's name says.
    """

    name = "elan"

    def is_mine(self, file: AnnotationFile) -> bool:
        """Whether the root is ELAN's."""
        return file.is_xml and file.xml.tag == "ANNOTATION_DOCUMENT"

    def read(self, file: AnnotationFile, source: Source) -> Reading:
        """All tiers that name a layer; one that has annotations and names none is a problem."""
        root = file.xml
        media = " ".join(one.get("MEDIA_URL") or "" for one in root.iterfind("HEADER/MEDIA_DESCRIPTOR"))
        proxy = source.proxy_named(media, file.name)
        slots_ns = _slots_ns(root)
        words = _words(root)
        author = (root.get("AUTHOR") or "").strip() or source.annotator
        version = root.get("FORMAT") or ""
        labels, problems = [], []
        for tier in root.iterfind("TIER"):
            if tier.get("PARENT_REF") and tier.get("LINGUISTIC_TYPE_REF") in WORDS:
                continue
            name = tier.get("TIER_ID") or ""
            layer = _layer(tier)
            if tier.find("ANNOTATION/REF_ANNOTATION") is not None:
                problems.append(
                    f"tier {name!a} has no times of its own, and its linguistic type is neither {' nor '.join(WORDS)}"
                )
            for drawn in _annotations(tier, slots_ns, words):
                if layer is None:
                    problems.append(
                        f"tier {name!a} is no layer: name it, or its linguistic type, one of {', '.join(KNOWN_LAYERS)}"
                    )
                    break
                who = (tier.get("ANNOTATOR") or "").strip() or name.partition("@")[2].strip() or author
                place = f"tier {name!a} {drawn.annotation_id!a}"
                labels.append(
                    replace(drawn, layer=layer, annotator=who, tool_version=version, proxy=proxy, place=place)
                )
        return Reading(tuple(labels), tuple(problems))

    def write(self, job: Job) -> dict[str, bytes]:
        """One file."""
        return job_files(job)


def _layer(tier: "_Element") -> str | None:
    name = re.split("[@-]", tier.get("TIER_ID") or "", maxsplit=1)[0].strip().casefold()
    candidates = (tier.get("LINGUISTIC_TYPE_REF") or "", name)
    return next((layer for layer in candidates if layer in KNOWN_LAYERS), None)


def _slots_ns(root: "_Element") -> dict[str, int]:
    """Session time of every time slot; one without a value lies between its neighbours in order, as ELAN shows it."""
    header = root.find("HEADER")
    unit = header.get("TIME_UNITS", "milliseconds") if header is not None else "milliseconds"
    if unit != "milliseconds":
        raise FileProblemError(f"its TIME_UNITS are {unit!a}; save it with a current ELAN, which writes milliseconds")
    origin_ms = _origin_ms(root)
    slots = list(root.iterfind("TIME_ORDER/TIME_SLOT"))
    known = {
        number: _milliseconds(slot.get("TIME_VALUE")) for number, slot in enumerate(slots) if slot.get("TIME_VALUE")
    }
    if not known:
        return {}
    times_ms = np.interp(np.arange(len(slots)), list(known), list(known.values()))
    times_ns = np.rint((times_ms + origin_ms) * 1e6).astype(np.int64).tolist()
    return {slot.get("TIME_SLOT_ID") or "": max(t_ns, 0) for slot, t_ns in zip(slots, times_ns, strict=True)}


def _origin_ms(root: "_Element") -> int:
    """Where in the video ELAN's time 0 is: moved when an annotator synchronised several media."""
    descriptor = root.find("HEADER/MEDIA_DESCRIPTOR")
    return _milliseconds(descriptor.get("TIME_ORIGIN", "0")) if descriptor is not None else 0


def _milliseconds(text: str | None) -> int:
    if text is None or not _MILLISECONDS.fullmatch(text.strip()):
        raise FileProblemError(f"a time is {text!a}, expected whole milliseconds")
    return int(text)


def _words(root: "_Element") -> Mapping[str, dict[str, str]] | None:
    """Verb and noun by the annotation they belong to; None where the file has no tiers for them."""
    children = [tier for tier in root.iterfind("TIER") if tier.get("LINGUISTIC_TYPE_REF") in WORDS]
    if not children:
        return None
    words: dict[str, dict[str, str]] = {}
    for tier in children:
        for one in tier.iterfind("ANNOTATION/REF_ANNOTATION"):
            of = words.setdefault(one.get("ANNOTATION_REF") or "", {})
            of[tier.get("LINGUISTIC_TYPE_REF") or ""] = (one.findtext("ANNOTATION_VALUE") or "").strip()
    return words


def _annotations(
    tier: "_Element", slots_ns: Mapping[str, int], words: Mapping[str, dict[str, str]] | None
) -> Iterator[Drawn]:
    for one in tier.iterfind("ANNOTATION/ALIGNABLE_ANNOTATION"):
        own = one.get("ANNOTATION_ID") or ""
        ends = [one.get("TIME_SLOT_REF1") or "", one.get("TIME_SLOT_REF2") or ""]
        if not all(end in slots_ns for end in ends):
            raise FileProblemError(f"annotation {own!a} refers to time slots that are not there")
        text = (one.findtext("ANNOTATION_VALUE") or "").strip()
        verb, noun = load_taxonomy().words_of(text) if words is None else (None, None)
        given = {} if words is None else words.get(own, {})
        yield Drawn(
            annotation_id=own,
            annotator="",
            layer="",
            start_ns=slots_ns[ends[0]],
            end_ns=slots_ns[ends[1]],
            verb=given.get("verb") or verb or "",
            noun=given.get("noun") or noun or "",
            text=text,
            tool="elan",
            resolution_ns=RESOLUTION_NS,
        )
