import json
from collections.abc import Callable
from typing import Any

import pytest

from harchive_dagster.errors import LabelError
from harchive_dagster.labels.formats.protocol import Box, Drawn, Job
from harchive_dagster.labels.formats.proxy import Proxy
from harchive_dagster.labels.formats.registry import format_named

META = """<meta><task><id>5</id><name>kitchen</name><size>900</size><mode>interpolation</mode><overlap>0</overlap>
<start_frame>0</start_frame><stop_frame>899</stop_frame><frame_filter></frame_filter>
<labels><label><name>car</name><attributes></attributes></label></labels>
<owner><username>manager</username><email></email></owner>
<assignee><username>asha</username><email></email></assignee>
<original_size><width>1280</width><height>720</height></original_size></task>
<dumped>2026-03-15 16:05:07.134046+00:00</dumped></meta>"""

ACTION = """<track id="0" label="action" source="manual">
<box frame="30" outside="0" occluded="0" keyframe="1" xtl="0.0" ytl="0.0" xbr="1280.0" ybr="720.0" z_order="0">
<attribute name="verb">fold</attribute><attribute name="noun">shirt</attribute></box>
<box frame="31" outside="0" occluded="0" keyframe="0" xtl="0.0" ytl="0.0" xbr="1280.0" ybr="720.0" z_order="0">
<attribute name="verb">fold</attribute><attribute name="noun">shirt</attribute></box>
<box frame="60" outside="1" occluded="0" keyframe="1" xtl="0.0" ytl="0.0" xbr="1280.0" ybr="720.0" z_order="0"/>
</track>"""

POLYGON = """<track id="3" label="car">
<polygon frame="0" points="324.79,213.16;323.74,227.90;347.42,237.37" outside="0" occluded="0" keyframe="1"></polygon>
<polygon frame="1" points="324.79,213.16;323.74,227.90;347.42,237.37" outside="1" occluded="0" keyframe="1"></polygon>
<polygon frame="6" points="305.32,237.90;312.16,207.90;352.69,206.32" outside="0" occluded="0" keyframe="1"></polygon>
<polygon frame="7" points="305.32,237.90;312.16,207.90;352.69,206.32" outside="1" occluded="0" keyframe="1"></polygon>
</track>"""
"""The form of the track in CVAT's own documentation."""


def _document(*tracks: str, meta: str = META) -> str:
    joined = "".join(tracks)
    return f'<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version>{meta}{joined}</annotations>'


@pytest.fixture
def read(annotations: Any, make_proxy: Callable[..., Proxy]) -> Callable[[str], Any]:
    annotations.know(make_proxy())

    def run(document: str) -> Any:
        annotations.drop(document, "annotations.xml")
        return annotations.read()

    return run


def test_a_track_of_a_layer_ends_where_it_is_first_outside(read: Any) -> None:
    (label,) = read(_document(ACTION))
    assert (label.layer, label.verb, label.noun, label.annotator) == ("action", "fold", "shirt", "asha")
    assert (label.start_ns, label.end_ns) == (10**9, 2 * 10**9)
    assert (label.tool, label.tool_version, label.annotation_id) == ("cvat", "1.1", "0")


def test_a_track_that_is_never_outside_lasts_to_the_end(read: Any) -> None:
    (label,) = read(_document(ACTION.replace('outside="1"', 'outside="0"')))
    assert label.end_ns == 30 * 10**9


def test_a_track_that_comes_and_goes_is_several_labels(read: Any) -> None:
    again = ACTION.replace("</track>", '<box frame="90" outside="0" xtl="0" ytl="0" xbr="9" ybr="9"/></track>')
    assert [(label.annotation_id, label.start_ns) for label in read(_document(again))] == [
        ("0", 10**9),
        ("0.1", 3 * 10**9),
    ]


def test_a_documented_track_of_polygons_is_an_object_with_boxes_about_them(read: Any) -> None:
    (label,) = read(_document(POLYGON))
    assert (label.layer, label.noun, label.start_ns, label.end_ns) == ("object", "car", 0, round(7e9 / 30))
    boxes = json.loads(label.attributes)["boxes"]
    assert [box["visible"] for box in boxes] == ["yes", "no", "yes", "no"]
    assert [boxes[0][side] for side in ("x_px", "y_px", "w_px", "h_px")] == pytest.approx(
        [323.74, 213.16, 23.68, 24.21]
    )


def test_frames_that_cvat_filled_in_are_not_kept_as_boxes(read: Any) -> None:
    (label,) = read(_document(ACTION.replace('label="action"', 'label="plate"')))
    assert [box["frame_index"] for box in json.loads(label.attributes)["boxes"]] == [30, 60]


def test_a_task_without_assignee_was_drawn_by_whom_the_file_s_name_says(annotations: Any, read: Any) -> None:
    document = _document(ACTION, meta=META.replace("<username>asha</username>", ""))
    (label,) = read(document)
    assert label.annotator == "annotations"


def test_an_older_export_names_its_video_beside_the_task(read: Any, make_proxy: Callable[..., Proxy]) -> None:
    other = make_proxy(digest="cd")
    with pytest.raises(LabelError, match="digest cdcdcdcdcdcdcdcd"):
        read(_document(ACTION, meta=META.replace("</meta>", f"<source>{other.name}.mp4</source></meta>")))


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        (_document(ACTION, meta=META.replace(">900<", ">750<")), "its task has 750 frames, the proxy 900"),
        (_document(ACTION, meta=META.replace(">900<", ">many<")), "size is 'many'"),
        (_document(ACTION, meta=META.replace("<frame_filter>", "<frame_filter>step=2")), "frame filter 'step=2'"),
        (_document(ACTION, meta="<meta><project/></meta>"), "export the task, not its project"),
        (_document('<image id="0" name="a.png"/>'), '"CVAT for images"'),
        (_document(ACTION.replace('frame="30"', 'frame="-1"')), "frame is '-1'"),
        (_document(ACTION.replace('frame="30"', 'frame="900"').replace("60", "901")), "frames 31 to 901"),
        (_document(ACTION.replace('outside="0"', 'outside="1"')), "never visible"),
        (_document(POLYGON.replace("324.79,213.16;", "324.79;")), "polygon cannot be read as an object"),
        (_document(POLYGON.replace("324.79", "nan")), "a coordinate is 'nan'"),
        (_document(ACTION.replace('xtl="0.0"', 'xtl="1e400"').replace('"action"', '"cup"')), "a coordinate is '1e400'"),
        ('<!DOCTYPE a [<!ENTITY b "c">]>' + _document(ACTION).split("\n", 1)[1], "declares a document type"),
        ("<annotations><track>", "not valid XML"),
        ("<labels/>", "of no format that is known"),
    ],
)
def test_what_contradicts_the_proxy_or_the_format_is_told(read: Any, document: str, problem: str) -> None:
    with pytest.raises(LabelError) as caught:
        read(document)
    assert problem in " ".join(caught.value.evidence["problems"])


def test_no_entity_is_resolved_and_no_file_is_read(tmp_path: Any, read: Any) -> None:
    (tmp_path / "secret").write_text("hunter2")
    evil = f'<!DOCTYPE annotations [<!ENTITY x SYSTEM "file://{tmp_path}/secret">]><annotations>&x;</annotations>'
    with pytest.raises(LabelError, match="document type") as caught:
        read(evil)
    assert "hunter2" not in str(caught.value)


def test_a_billion_laughs_stay_a_few_bytes(read: Any) -> None:
    entities = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
    with pytest.raises(LabelError, match=r"document type|not valid XML"):
        read(f'<!DOCTYPE annotations [<!ENTITY l0 "ha">{entities}]><annotations>&l11;</annotations>')


def test_boxes_come_back_to_the_hundredth_of_a_pixel(annotations: Any, make_job: Callable[..., Job]) -> None:
    boxes = (
        Box(3, 10.25, 20, 30, 40),
        Box(30, 12.5, 20, 30, 40, rotation_deg=12),
        Box(31, 12.5, 20, 30, 40, False, 12),
    )
    job = make_job(Drawn("n1", "asha", "object", 100_000_000, round(31e9 / 30), noun="Dosa", boxes=boxes))
    annotations.know(job.proxy)
    files = format_named("cvat").write(job)
    annotations.drop(files[f"{job.name}.xml"], "asha.xml")
    (label,) = annotations.read()
    assert (label.start_ns, label.end_ns, label.noun) == (100_000_000, round(31e9 / 30), "Dosa")
    for box, expected in zip(json.loads(label.attributes)["boxes"], boxes, strict=True):
        assert [box["frame_index"], box["x_px"], box["w_px"], box["rotation_deg"]] == pytest.approx(
            [expected.frame_index, expected.x_px, expected.w_px, expected.rotation_deg], abs=0.005
        )
    assert {"action", "Dosa"} <= {one["name"] for one in json.loads(files[f"{job.name}.labels.json"])}
