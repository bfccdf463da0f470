"""The labelling configuration of a Label Studio project: our layers as timelines, our words, the video's frame rate."""

from typing import TYPE_CHECKING

from harchive_dagster.labels.formats.documents import xml_bytes, xml_text
from harchive_dagster.labels.formats.protocol import Job
from harchive_dagster.labels.layers import OBJECT_LAYER, SPAN_LAYERS, TEXTS

if TYPE_CHECKING:
    from lxml.etree import _Element

VIDEO_TAG = "video"
NOUN_TAG = "noun"
TEXT_TAG = "text"
BOX_TAG = "box"

SEE_TEXT = "(see text)"
"""Label of a region that has no verb: an editor keeps no region without a label."""


def config(job: Job) -> bytes:
    """The XML that goes into the project's settings, under Labeling Interface, Code."""
    from lxml import etree

    view = etree.Element("View")
    etree.SubElement(view, "Header", value="$instruction")
    etree.SubElement(view, "Video", name=VIDEO_TAG, value=f"${VIDEO_TAG}", frameRate="$fps", timelineHeight="120")
    for layer in SPAN_LAYERS:
        etree.SubElement(view, "Header", value=layer, size="5")
        words = _offered(job, layer)
        _labels(etree.SubElement(view, "TimelineLabels", name=layer, toName=VIDEO_TAG), (*words, SEE_TEXT))
    nouns = etree.SubElement(
        view, "Choices", name=NOUN_TAG, toName=VIDEO_TAG, perRegion="true", choice="single", layout="select"
    )
    for noun in job.offered_nouns:
        etree.SubElement(nouns, "Choice", value=xml_text(noun))
    etree.SubElement(view, "TextArea", name=TEXT_TAG, toName=VIDEO_TAG, perRegion="true", maxSubmissions="1")
    etree.SubElement(view, "Header", value=OBJECT_LAYER, size="5")
    _labels(etree.SubElement(view, "Labels", name=OBJECT_LAYER, toName=VIDEO_TAG, allowEmpty="true"), job.offered_nouns)
    etree.SubElement(view, "VideoRectangle", name=BOX_TAG, toName=VIDEO_TAG)
    # Label Studio takes it as text, and its parser refuses text that declares an encoding.
    return xml_bytes(view, has_declaration=False)


def _offered(job: Job, layer: str) -> tuple[str, ...]:
    """What a layer chooses from, then the verbs that its labels have: an import refuses labels that are not offered."""
    if layer not in TEXTS:
        return job.offered_verbs
    drawn = sorted(label.verb for label in job.labels if label.layer == layer and label.verb)
    return tuple(dict.fromkeys([*TEXTS[layer], *drawn]))


def _labels(parent: "_Element", words: tuple[str, ...]) -> None:
    from lxml import etree

    for word in words:
        etree.SubElement(parent, "Label", value=xml_text(word))
