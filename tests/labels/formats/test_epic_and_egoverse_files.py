import csv
import io
import json
from collections.abc import Callable
from typing import Any

import pytest

from harchive_dagster.errors import LabelError
from harchive_dagster.labels.formats.epic import COLUMNS
from harchive_dagster.labels.formats.protocol import Drawn, Job
from harchive_dagster.labels.formats.proxy import Proxy
from harchive_dagster.labels.formats.registry import format_named

HEADER = ",".join(COLUMNS)
ROW = "P01_01_0,P01,P01_01,00:00:00.560,00:00:00.14,00:00:03.37,8,202,open door,open,3,door,3,['door'],[3]"
"""The form of a row of EPIC-KITCHENS-100, with frames of a video of 60 a second."""


def _row(**changes: str) -> str:
    cells = (
        dict(zip(COLUMNS, next(csv.reader([ROW])), strict=True)) | {"start_frame": "4", "stop_frame": "101"} | changes
    )
    text = io.StringIO()
    csv.writer(text).writerow(cells.values())
    return text.getvalue().strip()


def test_a_row_of_epic_is_an_action_with_its_narration(annotations: Any) -> None:
    annotations.drop(f"{HEADER}\n{ROW}\n", "asha.csv")
    (label,) = annotations.read()
    assert (label.layer, label.verb, label.text, label.annotation_id) == ("action", "open", "open door", "P01_01_0")
    assert (label.start_ns, label.end_ns) == (140_000_000, 3_370_000_000)
    assert (label.annotator, label.tool, label.tool_version) == ("asha", "epic", "100")


def test_its_frames_prove_the_rate_that_it_was_drawn_at(annotations: Any, make_proxy: Callable[..., Proxy]) -> None:
    annotations.know(make_proxy("59.94", frame_count=1800))
    annotations.drop(f"{HEADER}\n{ROW}\n", "asha.csv")
    assert len(annotations.read()) == 1
    annotations.drop(f"{HEADER}\n{_row()}\n", "asha.csv")
    with pytest.raises(LabelError, match=r"start_frame 4 is not at start_timestamp 0\.14 s.*another frame rate"):
        annotations.read()


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (_row(start_timestamp="0.14"), "start_timestamp is '0.14', expected HH:mm:ss.SS"),
        (_row(stop_timestamp="00:00:61.00"), "stop_timestamp is '00:00:61.00'"),
        (_row(stop_timestamp="00:00:00.14"), "start_ns 140000000 is not before end_ns 140000000"),
        (_row(start_frame="x"), "start_frame is 'x', expected a whole number"),
        (_row(verb="", narration=""), "neither verb nor text"),
        (f"{_row()}\n{_row(video_id='P02_09')}", "labels of 2 videos that may be this session's"),
    ],
)
def test_what_cannot_be_read_is_told(annotations: Any, row: str, problem: str) -> None:
    annotations.drop(f"{HEADER}\n{row}\n", "asha.csv")
    with pytest.raises(LabelError) as caught:
        annotations.read()
    assert problem in " ".join(caught.value.evidence["problems"])


def test_an_export_has_epic_s_columns_in_their_order(make_job: Callable[..., Job]) -> None:
    job = make_job(
        Drawn("n1", "", "action", 3_661_004_000_000, 3_662_250_000_000, verb="Pick Up", noun="Dosa", text="takes it"),
    )
    (header, row) = csv.reader(io.StringIO(format_named("epic").write(job)[f"{job.name}.csv"].decode()))
    assert tuple(header[: len(COLUMNS)]) == COLUMNS
    cells = dict(zip(header, row, strict=True))
    assert cells["narration_timestamp"] == "01:01:01.000"
    assert (cells["start_timestamp"], cells["stop_timestamp"]) == ("01:01:01.00", "01:01:02.25")
    assert (cells["verb"], cells["noun"], cells["all_nouns"]) == ("Pick Up", "Dosa", "['Dosa']")
    assert int(cells["verb_class"]) >= 0
    assert (cells["noun_class"], cells["all_noun_classes"]) == ("-1", "[-1]")


def test_egoverse_counts_frames_from_0_with_its_end_outside(annotations: Any, make_proxy: Callable[..., Proxy]) -> None:
    annotations.know(make_proxy())
    entries = [
        {"text": "fold the shirt", "start_idx": 3, "end_idx": 30},
        {"text": "waits", "start_idx": 10, "end_idx": 900},
    ]
    annotations.drop(json.dumps(entries), "asha.json")
    first, second = annotations.read()
    assert (first.layer, first.start_ns, first.end_ns, first.annotator) == ("action", 10**8, 10**9, "asha")
    assert (first.verb, first.noun, first.text) == ("fold", "shirt", "fold the shirt")
    assert (second.verb, second.text, second.end_ns) == (None, "waits", 30 * 10**9)


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ({"start_idx": 3, "end_idx": 901, "text": "fold"}, "frames 3 to 901"),
        ({"start_idx": 3, "end_idx": 3, "text": "fold"}, "frames 3 to 3"),
        ({"start_idx": 3.5, "end_idx": 9, "text": "fold"}, "start_idx is 3.5, expected a whole number"),
        ({"start_idx": 3, "end_idx": 9}, "text is missing"),
        ({"start_idx": True, "end_idx": 9, "text": "fold"}, "start_idx is True"),
    ],
)
def test_an_entry_of_egoverse_that_cannot_be_is_told(
    annotations: Any, make_proxy: Callable[..., Proxy], entry: Any, problem: str
) -> None:
    annotations.know(make_proxy())
    annotations.drop(json.dumps([entry]), "asha.json")
    with pytest.raises(LabelError) as caught:
        annotations.read()
    assert problem in " ".join(caught.value.evidence["problems"])


def test_frames_mean_nothing_where_no_job_was_exported(annotations: Any) -> None:
    annotations.drop('[{"text": "fold", "start_idx": 3, "end_idx": 30}]', "asha.json")
    with pytest.raises(LabelError, match="it counts frames, and no proxy says when they are"):
        annotations.read()
