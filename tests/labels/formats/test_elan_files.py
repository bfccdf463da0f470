import re
from collections.abc import Callable
from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest
from lxml import etree

from harchive_dagster.errors import LabelError
from harchive_dagster.labels.formats.protocol import Drawn, Job
from harchive_dagster.labels.formats.proxy import Proxy
from harchive_dagster.labels.formats.registry import format_named

ROOT_CHILDREN = "LICENSE HEADER TIME_ORDER TIER LINGUISTIC_TYPE LOCALE LANGUAGE CONSTRAINT CONTROLLED_VOCABULARY"
REFERENCES = "EXT_REF LANG_REF CVE_REF"
SCHEMA = {
    "ANNOTATION_DOCUMENT": ("DATE AUTHOR VERSION", "FORMAT", ROOT_CHILDREN),
    "HEADER": ("", "MEDIA_FILE TIME_UNITS", "MEDIA_DESCRIPTOR LINKED_FILE_DESCRIPTOR PROPERTY"),
    "MEDIA_DESCRIPTOR": ("MEDIA_URL MIME_TYPE", "RELATIVE_MEDIA_URL TIME_ORIGIN EXTRACTED_FROM", ""),
    "PROPERTY": ("", "NAME", ""),
    "TIME_ORDER": ("", "", "TIME_SLOT"),
    "TIME_SLOT": ("TIME_SLOT_ID", "TIME_VALUE", ""),
    "TIER": (
        "TIER_ID LINGUISTIC_TYPE_REF",
        "PARTICIPANT ANNOTATOR DEFAULT_LOCALE PARENT_REF EXT_REF LANG_REF",
        "ANNOTATION",
    ),
    "ANNOTATION": ("", "", "ALIGNABLE_ANNOTATION REF_ANNOTATION"),
    "ALIGNABLE_ANNOTATION": (
        "ANNOTATION_ID TIME_SLOT_REF1 TIME_SLOT_REF2",
        f"SVG_REF {REFERENCES}",
        "ANNOTATION_VALUE",
    ),
    "REF_ANNOTATION": ("ANNOTATION_ID ANNOTATION_REF", f"PREVIOUS_ANNOTATION {REFERENCES}", "ANNOTATION_VALUE"),
    "ANNOTATION_VALUE": ("", "", ""),
    "LINGUISTIC_TYPE": (
        "LINGUISTIC_TYPE_ID",
        "TIME_ALIGNABLE CONSTRAINTS GRAPHIC_REFERENCES CONTROLLED_VOCABULARY_REF EXT_REF LEXICON_REF",
        "",
    ),
    "LANGUAGE": ("LANG_ID", "LANG_DEF LANG_LABEL", ""),
    "CONSTRAINT": ("STEREOTYPE", "DESCRIPTION", ""),
    "CONTROLLED_VOCABULARY": ("CV_ID", "EXT_REF", "DESCRIPTION CV_ENTRY_ML"),
    "DESCRIPTION": ("LANG_REF", "", ""),
    "CV_ENTRY_ML": ("CVE_ID", "EXT_REF", "CVE_VALUE"),
    "CVE_VALUE": ("LANG_REF", "DESCRIPTION", ""),
}
"""Of the elements that we write, by the schema of EAF 3.0: attributes that must and may be there; children in order."""

SLOTS = '<TIME_SLOT TIME_SLOT_ID="ts1" TIME_VALUE="100"/><TIME_SLOT TIME_SLOT_ID="ts2" TIME_VALUE="2000"/>'
ONE = """<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts2">
<ANNOTATION_VALUE>fold the shirt</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>"""


def _document(
    tiers: str = f'<TIER TIER_ID="action" LINGUISTIC_TYPE_REF="default-lt">{ONE}</TIER>',
    *,
    slots: str = SLOTS,
    media: str = "",
    units: str = "milliseconds",
    author: str = "ravi",
) -> str:
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="{author}" DATE="2026-03-15T10:00:00+05:30" FORMAT="3.0" VERSION="3.0"
 xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
 xsi:noNamespaceSchemaLocation="http://www.mpi.nl/tools/elan/EAFv3.0.xsd">
<HEADER MEDIA_FILE="" TIME_UNITS="{units}">{media}<PROPERTY NAME="lastUsedAnnotationId">1</PROPERTY></HEADER>
<TIME_ORDER>{slots}</TIME_ORDER>{tiers}
<LINGUISTIC_TYPE GRAPHIC_REFERENCES="false" LINGUISTIC_TYPE_ID="default-lt" TIME_ALIGNABLE="true"/>
</ANNOTATION_DOCUMENT>"""


@pytest.fixture
def read(annotations: Any) -> Callable[[str], Any]:
    def run(document: str) -> Any:
        annotations.drop(document, "asha.eaf")
        return annotations.read()

    return run


def test_a_tier_named_after_a_layer_is_read_without_any_job_of_ours(read: Any) -> None:
    (label,) = read(_document())
    assert (label.layer, label.annotator, label.start_ns, label.end_ns) == ("action", "ravi", 10**8, 2 * 10**9)
    assert (label.verb, label.noun, label.text) == ("fold", "shirt", "fold the shirt")
    assert (label.tool, label.tool_version) == ("elan", "3.0")


@pytest.mark.parametrize(
    ("tier", "author", "who"),
    [
        ('TIER_ID="action" ANNOTATOR="meera"', "ravi", "meera"),
        ('TIER_ID="action@meera"', "ravi", "meera"),
        ('TIER_ID="Action"', "ravi", "ravi"),
        ('TIER_ID="action"', "", "asha"),
        ('TIER_ID="left hand" LINGUISTIC_TYPE_REF="action"', "", "asha"),
    ],
)
def test_who_drew_it_is_said_by_the_tier_the_author_or_the_file_s_name(
    read: Any, tier: str, author: str, who: str
) -> None:
    (label,) = read(_document(f"<TIER {tier}>{ONE}</TIER>", author=author))
    assert (label.layer, label.annotator) == ("action", who)


def test_words_are_those_of_the_child_tiers_where_there_are_any(read: Any) -> None:
    child = """<TIER TIER_ID="v" LINGUISTIC_TYPE_REF="verb" PARENT_REF="action"><ANNOTATION>
<REF_ANNOTATION ANNOTATION_ID="a2" ANNOTATION_REF="a1"><ANNOTATION_VALUE>juggle</ANNOTATION_VALUE>
</REF_ANNOTATION></ANNOTATION></TIER>"""
    (label,) = read(_document(f'<TIER TIER_ID="action">{ONE}</TIER>{child}'))
    assert (label.verb, label.noun, label.text) == ("juggle", None, "fold the shirt")


def test_a_child_tier_with_times_of_its_own_is_read_as_any_other(read: Any) -> None:
    child = f'<TIER TIER_ID="step" PARENT_REF="action">{ONE.replace("a1", "a2")}</TIER>'
    assert {label.layer for label in read(_document(f'<TIER TIER_ID="action">{ONE}</TIER>{child}'))} == {
        "action",
        "step",
    }


def test_a_child_tier_of_anything_but_words_is_told_and_not_dropped(read: Any) -> None:
    child = """<TIER TIER_ID="mood" LINGUISTIC_TYPE_REF="default-lt" PARENT_REF="action"><ANNOTATION>
<REF_ANNOTATION ANNOTATION_ID="a2" ANNOTATION_REF="a1"><ANNOTATION_VALUE>calm</ANNOTATION_VALUE>
</REF_ANNOTATION></ANNOTATION></TIER>"""
    with pytest.raises(
        LabelError, match="tier 'mood' has no times of its own, and its linguistic type is neither verb nor noun"
    ):
        read(_document(f'<TIER TIER_ID="action">{ONE}</TIER>{child}'))


def test_a_slot_without_a_value_lies_between_its_neighbours(read: Any) -> None:
    slots = SLOTS.replace(
        '<TIME_SLOT TIME_SLOT_ID="ts2"', '<TIME_SLOT TIME_SLOT_ID="tsx"/><TIME_SLOT TIME_SLOT_ID="ts2"'
    )
    (label,) = read(_document(f'<TIER TIER_ID="step">{ONE.replace("ts2", "tsx")}</TIER>', slots=slots))
    assert (label.start_ns, label.end_ns) == (10**8, 1_050_000_000)


def test_a_moved_media_origin_moves_the_labels(read: Any) -> None:
    media = '<MEDIA_DESCRIPTOR MEDIA_URL="file:///x.mp4" MIME_TYPE="video/mp4" TIME_ORIGIN="500"/>'
    (label,) = read(_document(media=media))
    assert (label.start_ns, label.end_ns) == (600_000_000, 2_500_000_000)


def test_an_end_that_is_rounded_beyond_the_recording_is_cut_off_and_no_other(annotations: Any) -> None:
    annotations.drop(_document(), "asha.eaf")
    (label,) = annotations.read(1_999_400_000)
    assert label.end_ns == 1_999_400_000
    with pytest.raises(LabelError, match="after the recording's end"):
        annotations.read(1_998_000_000)


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        (_document(f'<TIER TIER_ID="speech">{ONE}</TIER>'), "tier 'speech' is no layer"),
        (_document(units="PAL-frames"), "TIME_UNITS are 'PAL-frames'"),
        (_document(slots=SLOTS.replace("100", "0.1")), "a time is '0.1', expected whole milliseconds"),
        (_document(slots=""), "annotation 'a1' refers to time slots that are not there"),
        (_document(slots=SLOTS.replace("2000", "100")), "start_ns 100000000 is not before end_ns 100000000"),
        (_document(f'<TIER TIER_ID="action">{ONE}{ONE}</TIER>'), "annotation_id 'a1'"),
        (_document(media='<MEDIA_DESCRIPTOR TIME_ORIGIN="x"/>'), "a time is 'x'"),
    ],
)
def test_what_cannot_be_read_is_told(read: Any, document: str, problem: str) -> None:
    with pytest.raises(LabelError) as caught:
        read(document)
    assert problem in " ".join(caught.value.evidence["problems"])


def test_an_export_keeps_to_the_schema(make_job: Callable[..., Job], make_proxy: Callable[..., Proxy]) -> None:
    labels = [
        Drawn("n1", "asha", "action", 0, 10**9, verb="fold", noun="shirt", text="bell \x07 & tail"),
        Drawn("n2", "asha", "action", 5 * 10**8, 2 * 10**9, verb="fold"),
        Drawn("n3", "", "step", 0, 10**9, text="step 1"),
    ]
    job = make_job(*labels)
    root = etree.fromstring(format_named("elan").write(job)[f"{job.name}.eaf"])
    for element in root.iter():
        required, optional, children = (names.split() for names in SCHEMA[element.tag])
        attributes = {etree.QName(name).localname for name in element.attrib} - {"noNamespaceSchemaLocation"}
        assert set(required) <= attributes <= {*required, *optional}
        places = [children.index(child.tag) for child in element]
        assert places == sorted(places)
    ids = root.xpath("//@TIME_SLOT_ID | //@ANNOTATION_ID | //@LANG_ID | //@STEREOTYPE")
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(r"[A-Za-z_][\w.-]*", one, re.ASCII) for one in ids)
    entries = root.xpath("//@CVE_ID")
    assert len(entries) == len(set(entries))
    assert {int(value) for value in root.xpath("//@TIME_VALUE")} >= {0, 500, 1000, 2000}
    assert datetime.fromisoformat(root.get("DATE")).tzinfo is not None
    types = set(root.xpath("LINGUISTIC_TYPE/@LINGUISTIC_TYPE_ID"))
    assert set(root.xpath("TIER/@LINGUISTIC_TYPE_REF")) <= types
    tiers = root.xpath("TIER/@TIER_ID")
    assert len(tiers) == len(set(tiers))
    assert set(root.xpath("TIER/@PARENT_REF")) <= set(tiers)
    assert set(root.xpath("//@TIME_SLOT_REF1 | //@TIME_SLOT_REF2")) <= set(root.xpath("//@TIME_SLOT_ID"))
    assert set(root.xpath("//@ANNOTATION_REF")) <= set(root.xpath("//@ANNOTATION_ID"))
    assert set(root.xpath("//@CONTROLLED_VOCABULARY_REF")) <= set(root.xpath("CONTROLLED_VOCABULARY/@CV_ID"))
    assert set(root.xpath("LINGUISTIC_TYPE/@CONSTRAINTS")) == set(root.xpath("CONSTRAINT/@STEREOTYPE"))
    assert root.xpath("HEADER/MEDIA_DESCRIPTOR/@RELATIVE_MEDIA_URL") == [f"./media/{job.name}.mp4"]


def test_annotations_of_one_tier_never_overlap(make_job: Callable[..., Job]) -> None:
    starts = (0, 400_000_000, 800_000_000, 1_000_000_000, 1_000_400_000)
    job = make_job(*(Drawn(f"n{at}", "asha", "action", at, at + 10**9, verb="fold") for at in starts))
    root = etree.fromstring(format_named("elan").write(job)[f"{job.name}.eaf"])
    times = {slot.get("TIME_SLOT_ID"): int(slot.get("TIME_VALUE")) for slot in root.iter("TIME_SLOT")}
    for tier in root.iterfind("TIER"):
        spans = [
            (times[one.get("TIME_SLOT_REF1")], times[one.get("TIME_SLOT_REF2")])
            for one in tier.iter("ALIGNABLE_ANNOTATION")
        ]
        assert all(before[1] <= after[0] for before, after in pairwise(spans))
