"""EgoVerse's `annotation_v1`: a list of texts with the frames that each is about. Not its Zarr episodes."""

import json
from dataclasses import dataclass
from pathlib import PurePath

from harchive_dagster.labels.formats.documents import AnnotationFile, FileProblemError
from harchive_dagster.labels.formats.protocol import Drawn, Job, Reading, Source
from harchive_dagster.labels.formats.proxy import Proxy
from harchive_dagster.labels.layers import KNOWN_LAYERS
from harchive_dagster.labels.taxonomy import load_taxonomy
from harchive_dagster.landing.fields import Fields, Findings


@dataclass(frozen=True)
class EgoVerse:
    """`start_idx` and `end_idx` count the proxy's frames from 0, the latter exclusive; labels may overlap.

    An entry has one text and nothing else. So the file's name says the rest, `<annotator>.<video>.<layer>.json`, one
    file a layer; without a layer they are actions. Verb and noun are taken from the text where the taxonomy knows them,
    and the text stays.
    """

    name = "egoverse"

    def is_mine(self, file: AnnotationFile) -> bool:
        """Whether it is a list of objects with frames; a list of nothing is one as well."""
        entries = file.json if file.is_json else None
        return isinstance(entries, list) and (
            not entries or any(isinstance(one, dict) and "start_idx" in one for one in entries)
        )

    def read(self, file: AnnotationFile, source: Source) -> Reading:
        """All entries."""
        proxy = source.frames_of(file.name)
        layer = next((part for part in PurePath(file.name).name.split(".") if part in KNOWN_LAYERS), "action")
        findings = Findings()
        labels, problems = [], []
        for number, fields in enumerate(Fields({"annotations": file.json}, findings).mappings("annotations")):
            try:
                labels.append(_drawn(fields, number, layer, source.annotator, proxy))
            except FileProblemError as error:
                problems.append(f"entry {number}: {error}")
        return Reading(tuple(labels), (*findings.problems, *problems))

    def write(self, job: Job) -> dict[str, bytes]:
        """One file a layer; the one of actions is there even if it is empty."""
        layers = {"action", *(label.layer for label in job.labels)}
        return {
            f"{job.name}.{layer}.json": json.dumps(
                [_entry(label, job.proxy) for label in job.labels if label.layer == layer], ensure_ascii=False, indent=1
            ).encode("utf-8", "replace")
            for layer in sorted(layers)
        }


def _entry(label: Drawn, proxy: Proxy) -> dict[str, str | int]:
    first, after = proxy.frames(label.start_ns, label.end_ns)
    words = " ".join(word for word in (label.verb, label.noun) if word)
    return {"text": label.text or words, "start_idx": first, "end_idx": after}


def _drawn(fields: Fields, number: int, layer: str, annotator: str, proxy: Proxy) -> Drawn:
    text = fields.text("text")
    start_ns, end_ns = proxy.span_ns(fields.integer("start_idx"), fields.integer("end_idx"))
    verb, noun = load_taxonomy().words_of(text)
    return Drawn(
        annotation_id=f"{layer}-{number}",
        annotator=annotator,
        layer=layer,
        start_ns=start_ns,
        end_ns=end_ns,
        verb=verb or "",
        noun=noun or "",
        text=text,
        tool="egoverse",
        tool_version="annotation_v1",
        proxy=proxy,
        place=f"entry {number}",
    )
