import json
from collections.abc import Callable
from typing import Any

import pytest

from harchive_dagster.errors import LabelError
from harchive_dagster.labels.formats.protocol import Box, Drawn, Job
from harchive_dagster.labels.formats.proxy import Proxy
from harchive_dagster.labels.formats.registry import format_named
from harchive_dagster.labels.layers import SPAN_LAYERS

CUT = {
    "id": "a1",
    "type": "timelinelabels",
    "from_name": "timelineLabels",
    "to_name": "video",
    "value": {"ranges": [{"start": 3, "end": 5}], "timelinelabels": ["cut"]},
}
"""The form of a timeline region in Label Studio's own documentation."""


def _task(*results: Any, **changes: Any) -> dict[str, Any]:
    annotation = {
        "id": 1001,
        "completed_by": 10,
        "was_cancelled": False,
        "ground_truth": False,
        "lead_time": 4.2,
        "created_at": "2026-03-15T10:00:00.123456Z",
        "result": list(results),
    }
    task = {"id": 1, "data": {"video": "/data/upload/1/ab-clip.mp4", "fps": 30}, "project": 83}
    return task | {"annotations": [annotation | changes.pop("annotation", {})], "predictions": []} | changes


def _cut(*ranges: list[int]) -> dict[str, Any]:
    value = {"ranges": [{"start": start, "end": end} for start, end in ranges], "timelinelabels": ["cut"]}
    return CUT | {"value": value}


def _box(frame: int, fps: float = 30, **changes: Any) -> dict[str, Any]:
    return {
        "frame": frame, "enabled": True, "x": 10, "y": 20, "width": 50, "height": 25, "rotation": 0, "time": frame / fps
    } | changes  # fmt: skip


def _rectangle(*sequence: Any, **changes: Any) -> dict[str, Any]:
    value = {"framesCount": 900, "duration": 30.0, "sequence": list(sequence), "labels": ["plate"]} | changes
    return {"id": "b1", "type": "videorectangle", "from_name": "box", "to_name": "video", "value": value}


@pytest.fixture
def read(annotations: Any, make_proxy: Callable[..., Proxy]) -> Callable[..., Any]:
    annotations.know(make_proxy())

    def run(*tasks: Any) -> Any:
        annotations.drop(json.dumps(tasks), "project-1-at-2026-03-15.json")
        return annotations.read()

    return run


def test_an_export_as_documented_is_read_with_both_ends_inside(read: Any) -> None:
    (label,) = read(_task(CUT))
    assert (label.layer, label.verb, label.annotator, label.annotation_id) == ("action", "cut", "10", "1001:a1")
    # Frames 3 to 5 from 1 are the third, fourth and fifth: [2, 5) from 0.
    assert (label.start_ns, label.end_ns) == (round(2e9 / 30), round(5e9 / 30))
    assert (label.tool, label.created_at_utc.isoformat()) == ("label-studio", "2026-03-15T10:00:00.123456+00:00")


def test_an_editor_s_byte_order_mark_does_no_harm(annotations: Any, read: Any) -> None:
    assert len(read(_task(CUT))) == 1
    annotations.drop(b"\xef\xbb\xbf" + json.dumps([_task(CUT)]).encode(), "project-1-at-2026-03-15.json")
    assert len(annotations.read()) == 1


def test_a_region_s_noun_and_text_are_its_own(read: Any) -> None:
    noun = CUT | {"type": "choices", "from_name": "noun", "value": {"choices": ["shirt"]}}
    text = CUT | {"type": "textarea", "from_name": "text", "value": {"text": ["twice", "slowly"]}}
    (label,) = read(_task(CUT, noun, text))
    assert (label.verb, label.noun, label.text) == ("cut", "shirt", "twice slowly")


def test_a_comment_does_not_hide_an_outcome(read: Any) -> None:
    value = {"ranges": [{"start": 1, "end": 900}], "timelinelabels": ["failure"]}
    outcome = CUT | {"from_name": "episode", "value": value}
    comment = CUT | {"type": "textarea", "from_name": "text", "value": {"text": ["a plate broke"]}}
    (label,) = read(_task(outcome, comment))
    assert (label.layer, label.text, label.verb) == ("episode", "failure", None)


def test_regions_without_ids_stay_apart(read: Any) -> None:
    bare = {key: value for key, value in CUT.items() if key != "id"}
    assert [label.annotation_id for label in read(_task(bare, bare))] == ["1001:result 0", "1001:result 1"]


def test_a_region_of_another_kind_of_control_is_told_and_not_dropped(read: Any) -> None:
    audio = CUT | {"type": "labels", "value": {"start": 0.1, "end": 2.5, "labels": ["cut"]}}
    with pytest.raises(LabelError, match=r"region 'a1': it is of type 'labels'; labels are read from timelinelabels"):
        read(_task(audio))


def test_cancelled_annotations_and_predictions_are_no_labels(read: Any) -> None:
    assert read(_task(CUT, annotation={"was_cancelled": True}, predictions=[{"result": [CUT]}])) == []


@pytest.mark.parametrize(
    ("completed_by", "who"),
    [
        (7, "7"),
        ({"id": 7, "email": "asha@example.org"}, "asha@example.org"),
        ({"id": 7}, "7"),
        (" ", "project-1-at-2026-03-15"),
        (None, "project-1-at-2026-03-15"),
    ],
)
def test_who_drew_it_is_who_completed_it(read: Any, completed_by: Any, who: str) -> None:
    (label,) = read(_task(CUT, annotation={"completed_by": completed_by}))
    assert label.annotator == who


@pytest.mark.parametrize("place", ["annotator", "text", "annotation_id"])
def test_half_a_character_is_told_before_a_table_has_to_hold_it(read: Any, place: str) -> None:
    half = "asha \ud83d"
    text = CUT | {"type": "textarea", "from_name": "text", "value": {"text": [half]}}
    tasks = {
        "annotator": _task(CUT, annotation={"completed_by": {"email": half}}),
        "text": _task(CUT, text),
        "annotation_id": _task(CUT | {"id": half}),
    }
    with pytest.raises(LabelError, match=rf"{place} is '.*asha \\ud83d', which cannot be stored as text"):
        read(tasks[place])


def test_two_people_s_copies_of_one_proposal_are_two_labels(read: Any) -> None:
    task = _task(CUT)
    task["annotations"].append(task["annotations"][0] | {"id": 1002, "completed_by": 11})
    assert {label.annotator for label in read(task)} == {"10", "11"}


def test_tasks_of_other_sessions_are_passed_over(read: Any, make_proxy: Callable[..., Proxy]) -> None:
    mine = _task(CUT) | {"data": {"video": f"upload/9f-{make_proxy().name}.mp4", "fps": 30.0}}
    other = make_proxy(session="s-zzzzzzzzzzzzzzzzzzzz")
    theirs = _task(CUT | {"id": "z"}) | {"data": {"video": f"upload/9f-{other.name}.mp4", "fps": 25.0}}
    assert [label.annotation_id for label in read(theirs, mine)] == ["1001:a1"]


def test_a_rectangle_is_an_object_from_its_first_to_its_last_frame(read: Any) -> None:
    (label,) = read(_task(_rectangle(_box(4), _box(30, enabled=False))))
    assert (label.layer, label.noun) == ("object", "plate")
    assert (label.start_ns, label.end_ns) == (round(3e9 / 30), round(30e9 / 30))
    first, last, gone = json.loads(label.attributes)["boxes"]
    assert [box["frame_index"] for box in (first, last, gone)] == [3, 29, 30]
    assert [first[side] for side in ("x_px", "y_px", "w_px", "h_px")] == pytest.approx([128, 144, 640, 180])
    assert [box["visible"] for box in (first, last, gone)] == ["yes", "yes", "no"]


def test_boxes_come_back_as_they_went(annotations: Any, make_job: Callable[..., Job]) -> None:
    boxes = (
        Box(3, 10, 20, 30, 40),
        Box(30, 12.5, 20, 30, 40, rotation_deg=12),
        Box(31, 12.5, 20, 30, 40, is_visible=False, rotation_deg=12),
        Box(50, 0, 0, 5, 5),
    )
    job = make_job(Drawn("n1", "asha", "object", 100_000_000, 30 * 10**9, noun="plate", boxes=boxes))
    annotations.know(job.proxy)
    annotations.drop_job(job, "label-studio")
    (label,) = annotations.read()
    assert (label.start_ns, label.end_ns) == (100_000_000, 30 * 10**9)
    for box, expected in zip(json.loads(label.attributes)["boxes"], boxes, strict=True):
        assert [box["frame_index"], box["visible"]] == [expected.frame_index, "yes" if expected.is_visible else "no"]
        assert [box["x_px"], box["h_px"], box["rotation_deg"]] == pytest.approx(
            [expected.x_px, expected.h_px, expected.rotation_deg], rel=1e-12
        )


@pytest.mark.parametrize(
    ("task", "problem"),
    [
        (_task(CUT) | {"data": {"fps": 25}}, "data.fps is 25 frames a second, the proxy has 30"),
        (_task(CUT) | {"data": {"fps": 29.97}}, "data.fps is 29.97 frames a second, the proxy has 30"),
        (_task(CUT) | {"data": {"fps": 24}}, "data.fps is 24"),
        (_task(CUT) | {"data": {"fps": 10**400}}, "data.fps is missing"),
        (_task(CUT) | {"data": {"video": "x.mp4"}}, "data.fps is missing"),
        (_task(_rectangle(_box(4, fps=24), _box(600, fps=24))), "frame 600 at 25 s, the proxy has 30"),
        (_task(_rectangle(_box(4), framesCount=720)), "has 720 frames in 30 s, the proxy has 30"),
        (_task(_cut([3, 1200])), "frame 1201 is at 40"),
        (_task(_cut([6, 5])), "start 6 is after end 5"),
        (_task(_cut()), "value.ranges has 0 entries"),
        (_task(CUT | {"value": {"ranges": [{"start": 3, "end": 5}]}}), "value.timelinelabels is missing"),
        (_task(CUT | {"value": 5}), "value is 5, expected an object"),
        (_task(_rectangle()), "value.sequence has 0 entries"),
        (_task(_rectangle(_box(3), labels=[])), "value.labels has 0 entries"),
        (_task(_rectangle({"frame": 3})), "value.sequence[0].x is missing"),
        (_task(5), "holds something else than regions"),
        (_task(CUT) | {"annotations": 5}, "annotations is no list"),
    ],
)  # fmt: skip
def test_what_contradicts_the_proxy_or_the_format_is_told(read: Any, task: Any, problem: str) -> None:
    with pytest.raises(LabelError) as caught:
        read(task)
    assert problem in " ".join(caught.value.evidence["problems"])


def test_a_file_that_does_not_tell_its_session_apart_is_refused(read: Any) -> None:
    with pytest.raises(LabelError, match="it holds 2 tasks that may be this session's, expected one"):
        read(_task(CUT), _task(CUT))


def test_a_configuration_offers_our_words_on_the_proxy_s_clock(make_job: Callable[..., Job]) -> None:
    from lxml import etree

    job = make_job(
        Drawn("n1", "", "action", 0, 10**9, verb="juggle", noun="Dosa"),
        Drawn("n2", "asha", "activity", 0, 10**9, verb="walk"),
    )
    files = format_named("label-studio").write(job)
    # As text, which is how Label Studio parses it: a declared encoding would be an error.
    view = etree.fromstring(next(content for name, content in files.items() if name.endswith(".xml")).decode())
    assert view.find("Video").attrib["frameRate"] == "$fps"
    timelines = {tag.get("name"): [label.get("value") for label in tag] for tag in view.iterfind("TimelineLabels")}
    assert tuple(timelines) == SPAN_LAYERS
    assert {"fold", "juggle"} <= set(timelines["action"])
    assert {"idle", "walk"} <= set(timelines["activity"])
    assert {"success", "failure"} <= set(timelines["episode"])
    (task,) = json.loads(next(content for name, content in files.items() if name.endswith(".json")))
    assert task["data"]["fps"] == pytest.approx(30)
    assert task["data"]["instruction"] == "Fold the clean laundry & stack it."
    assert [one["from_name"] for one in task["predictions"][0]["result"]] == ["action", "noun"]
