"""Writes a CVAT task's annotations and the labels it needs. How they are read, and what they mean, is in `cvat`."""

import json
from typing import TYPE_CHECKING, Any

from harchive_dagster.labels.formats.documents import xml_bytes, xml_text
from harchive_dagster.labels.formats.protocol import Box, Drawn, Job
from harchive_dagster.labels.formats.proxy import Proxy
from harchive_dagster.labels.layers import OBJECT_LAYER, SPAN_LAYERS

if TYPE_CHECKING:
    from lxml.etree import _Element


def job_files(job: Job) -> dict[str, bytes]:
    """`<video>.xml` for "Upload annotations", `<video>.labels.json` for the constructor's "Raw"."""
    labels = _labels(job)
    return {
        f"{job.name}.xml": xml_bytes(_document(job, labels)),
        f"{job.name}.labels.json": json.dumps(labels, ensure_ascii=False, indent=1).encode("utf-8", "replace"),
    }


def _labels(job: Job) -> list[dict[str, Any]]:
    """What the task's labels are: our layers with their words, and the things that may be boxed."""
    choices = {"verb": job.offered_verbs, "noun": job.offered_nouns}
    attributes = [
        {
            "name": name,
            "mutable": False,
            # A word that is not on the list can be typed as text; a select must have its default among its values.
            "input_type": "select" if name in choices else "text",
            "default_value": "",
            "values": ["", *choices[name]] if name in choices else [""],
        }
        for name in ("verb", "noun", "text")
    ]
    layers = [{"name": layer, "type": "rectangle", "attributes": attributes} for layer in SPAN_LAYERS]
    things = [{"name": noun, "type": "rectangle", "attributes": attributes[2:]} for noun in job.offered_nouns]
    return [*layers, *(thing for thing in things if thing["name"] not in SPAN_LAYERS)]


def _document(job: Job, labels: list[dict[str, Any]]) -> "_Element":
    from lxml import etree

    root = etree.Element("annotations")
    _add(root, "version", "1.1")
    meta = etree.SubElement(root, "meta")
    task = etree.SubElement(meta, "task")
    made = job.made_at.isoformat()
    last = str(job.proxy.frame_count - 1)
    for name, text in (
        ("id", "0"),
        ("name", job.name),
        ("size", str(job.proxy.frame_count)),
        ("mode", "interpolation"),
        ("overlap", "0"),
        ("bugtracker", ""),
        ("created", made),
        ("updated", made),
        ("start_frame", "0"),
        ("stop_frame", last),
        ("frame_filter", ""),
    ):
        _add(task, name, text)
    _add_labels(etree.SubElement(task, "labels"), labels)
    segment = etree.SubElement(etree.SubElement(task, "segments"), "segment")
    for name, text in (("id", "0"), ("start", "0"), ("stop", last), ("url", "")):
        _add(segment, name, text)
    size = etree.SubElement(task, "original_size")
    _add(size, "width", str(job.proxy.width_px))
    _add(size, "height", str(job.proxy.height_px))
    _add(task, "source", f"{job.name}.mp4")
    _add(meta, "dumped", made)
    drawn = [label for label in job.labels if label.layer != OBJECT_LAYER or label.boxes]
    for number, label in enumerate(drawn):
        _add_track(root, number, label, job.proxy)
    return root


def _add(parent: "_Element", name: str, text: str) -> None:
    from lxml import etree

    etree.SubElement(parent, name).text = xml_text(text)


def _add_labels(parent: "_Element", labels: list[dict[str, Any]]) -> None:
    from lxml import etree

    for one in labels:
        label = etree.SubElement(parent, "label")
        _add(label, "name", one["name"])
        _add(label, "type", one["type"])
        attributes = etree.SubElement(label, "attributes")
        for each in one["attributes"]:
            attribute = etree.SubElement(attributes, "attribute")
            for name in ("name", "mutable", "input_type", "default_value"):
                _add(attribute, name, str(each[name]))
            _add(attribute, "values", "\n".join(each["values"]))


def _add_track(root: "_Element", number: int, label: Drawn, proxy: Proxy) -> None:
    from lxml import etree

    is_object = label.layer == OBJECT_LAYER
    name = (label.noun or OBJECT_LAYER) if is_object else label.layer
    source = "manual" if label.annotator else "auto"
    track = etree.SubElement(root, "track", id=str(number), label=xml_text(name), source=source)
    words = ("text",) if is_object else ("verb", "noun", "text")
    for box in label.boxes if is_object else _whole_picture(label, proxy):
        shape = etree.SubElement(track, "box", **_attributes(box))
        for word in words:
            etree.SubElement(shape, "attribute", name=word).text = xml_text(getattr(label, word))


def _whole_picture(label: Drawn, proxy: Proxy) -> list[Box]:
    """A box about the picture as long as a span lasts."""
    first, after = proxy.frames(label.start_ns, label.end_ns)
    ends = [(first, True), *([(after, False)] if after < proxy.frame_count else [])]
    return [Box(frame, 0.0, 0.0, proxy.width_px, proxy.height_px, is_visible=seen) for frame, seen in ends]


def _attributes(box: Box) -> dict[str, str]:
    attributes = {
        "frame": str(box.frame_index),
        "keyframe": "1",
        "outside": "0" if box.is_visible else "1",
        "occluded": "0",
        "xtl": f"{box.x_px:.2f}",
        "ytl": f"{box.y_px:.2f}",
        "xbr": f"{box.x_px + box.w_px:.2f}",
        "ybr": f"{box.y_px + box.h_px:.2f}",
        "z_order": "0",
    }
    return attributes | {"rotation": f"{box.rotation_deg:.2f}"} if box.rotation_deg else attributes
