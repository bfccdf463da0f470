"""`harchive evaluate` as a lab runs it."""

import json
import re
from datetime import date
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harchive_dagster.cli import cli
from harchive_dagster.errors import EvaluationError, LakeError
from harchive_dagster.labels.evaluation import evaluate
from harchive_dagster.labels.span_files import read_spans
from harchive_dagster.lake import schemas
from harchive_dagster.lake.tables import Lake

TRUTH = """session,layer,start_ns,end_ns,label,verb,noun
s1,action,0,1000,fold shirt,fold,shirt
s1,action,1000,3000,stack shirt,stack,shirt
s1,step,0,3000,step 1,,
s2,action,500,2500,fold towel,fold,towel
"""
PREDICTED = """session,start_ns,end_ns,label,verb
s1,0,900,fold shirt,fold
s1,900,3000,stack shirt,stack
s2,500,2500,fold shirt,fold
s9,0,10,fold shirt,fold
"""


def written(tmp_path, text, name="predictions.csv"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def run(*arguments):
    return CliRunner().invoke(cli, ["evaluate", *map(str, arguments)])


def test_the_table_says_what_the_json_says(tmp_path):
    files = written(tmp_path, PREDICTED), "--truth", written(tmp_path, TRUTH, "truth.csv")
    table = run(*files)
    assert table.exit_code == 0, table.output
    found = json.loads(run(*files, "--json").output)
    assert found["classes"]["stack shirt"] == {
        "average_precision": [1.0] * 5,
        "f1": [1.0] * 3,
        "accuracy": pytest.approx(1.0),
    }
    assert found["all_classes"]["average_precision"] == pytest.approx([2 / 3] * 5)
    assert found["all_classes"]["f1"] == pytest.approx([2 / 3] * 3)
    assert found["frame_accuracy"] == pytest.approx((900 + 2000 + 500) / 5500)
    assert (found["left_out_count"], found["recording_count"]) == (1, 2)
    assert "all classes     66.67" in table.output
    assert "  61.82  frame accuracy, background too" in table.output
    assert "1 predictions are of other sessions" in table.output


def test_verbs_can_be_compared_alone_and_a_choice_of_sessions(tmp_path):
    files = written(tmp_path, PREDICTED), "--truth", written(tmp_path, TRUTH, "truth.csv"), "--json"
    by_verb = json.loads(run(*files, "--by", "verb").output)
    assert by_verb["all_classes"]["f1"] == [1.0] * 3
    chosen = json.loads(run(*files, "--sessions", written(tmp_path, "s1\ns9\n", "split.txt")).output)
    assert (chosen["recording_count"], chosen["prediction_count"], chosen["left_out_count"]) == (2, 3, 1)
    assert chosen["edit_score"] == 0.5  # nothing happens in s9, and something was predicted


def test_chosen_sessions_that_nobody_names_are_named(tmp_path):
    files = written(tmp_path, PREDICTED), "--truth", written(tmp_path, TRUTH, "truth.csv"), "--sessions"
    choice = written(tmp_path, "s1\ns9\nS2\ns2 2\n", "split.txt")
    assert json.loads(run(*files, choice, "--json").output)["empty_recordings"] == ["S2", "s2 2"]
    assert "\nin neither truth nor predictions: S2, s2 2; nothing happens" in run(*files, choice).output
    assert "in neither" not in run(*files, written(tmp_path, "s1\ns9\n", "split.txt")).output
    outcome = run(*files, written(tmp_path, "S1\nS2\n", "split.txt"))
    assert isinstance(outcome.exception, EvaluationError)
    assert "name any of the 2 chosen recordings: 'S1', 'S2'." in str(outcome.exception)
    nothing = run(*files, written(tmp_path, "", "split.txt"))
    assert "No true span is left" in str(nothing.exception)


def test_a_choice_of_sessions_may_begin_with_a_byte_order_mark_and_have_spaces_in_names(tmp_path):
    truth = written(tmp_path, TRUTH.replace("s2,", "kitchen 2,"), "truth.csv")
    files = written(tmp_path, PREDICTED.replace("s2,", "kitchen 2,")), "--truth", truth, "--json"
    chosen = run(*files, "--sessions", written(tmp_path, "\ufeffs1\r\nkitchen 2\r\n\r\n", "split.txt"))
    assert [json.loads(chosen.output)[name] for name in ("recording_count", "truth_count")] == [2, 3]


def test_a_spreadsheet_s_rows_of_commas_are_no_predictions(tmp_path):
    assert len(read_spans(written(tmp_path, f"\ufeff{HEAD}\r\n{ROW}\r\n,,,,\r\n, ,,,\r\n"))) == 1


def test_detections_with_scores_may_overlap(tmp_path):
    text = "session,start_ns,end_ns,label,score\ns1,0,1000,fold shirt,.9\ns1,0,900,stack shirt,1e-3\n"
    found = read_spans(written(tmp_path, text))
    assert found.score.tolist() == [0.9, 0.001]
    shown = run(written(tmp_path, text), "--truth", written(tmp_path, TRUTH, "truth.csv"))
    assert "predictions overlap" in shown.output


ROW = "s1,0,1000,fold shirt,0.5"
HEAD = "session,start_ns,end_ns,label,score"


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "cannot be read"),
        ("session,start_ns,end_ns\ns1,0,5", "wrong columns: lacks label"),
        (f"{HEAD},scores\n{ROW},1", "wrong columns: 'scores' is unknown"),
        ("session,start_ns,end_ns,label,label\ns1,0,5,a,a", "label is there twice"),
        (f"{HEAD}\n{ROW}\ns1,0", "cannot be read"),
        (f"{HEAD}\n{ROW}\n{ROW},1", "cannot be read"),
        (f"{HEAD}\n,0,5,a,1", "session '' in row 1, expected a session"),
        (f"{HEAD}\n{ROW}\ns1,-5,5,a,1", "start_ns '-5' in row 2, expected whole nanoseconds"),
        (f"{HEAD}\ns1,0.5,5,a,1", "start_ns '0.5' in row 1"),
        (f"{HEAD}\ns1,0,9999999999999999,a,1", "end_ns '9999999999999999' in row 1"),
        (f"{HEAD}\ns1,7,5,a,1", "end_ns '5' in row 1, expected a time after start_ns"),
        (f"{HEAD}\ns1,5,5,a,1", "expected a time after start_ns"),
        (f"{HEAD}\ns1,0,5,a,nan", "score 'nan' in row 1, expected a number"),
        (f"{HEAD}\ns1,0,5,a,1e999", "score '1e999' in row 1, expected a finite number"),
        (f"{HEAD},layer\n{ROW},gesture", "layer 'gesture' in row 1, expected one of activity"),
        (b"\xff\xfe\x00", "cannot be read"),
        (f"{HEAD}\ns1,0,5,\xe9,1".encode("latin-1"), "cannot be read"),
        ("session,start_ns,end_ns,label\ns2,0,5,x\ns1,0,5,a\ns1,3,9,b", "rows 2 and 3 of 's1' overlap"),
    ],
)
def test_a_file_that_cannot_be_compared_says_why(tmp_path, text, match):
    with pytest.raises(EvaluationError, match=match):
        read_spans(written(tmp_path, text))


CELLS = st.one_of(
    st.sampled_from(
        ["s1", "0", "7", "900", "-1", "", " 5 ", "1e5", "+1", "1.", ".5", "nan", "fold", "action", '"', '"a']
    ),
    st.text(max_size=6),
)
TABLES = st.lists(st.lists(CELLS, min_size=5, max_size=6), max_size=4).map(
    lambda rows: "\n".join([HEAD, *(",".join(row) for row in rows)]).encode("utf-8", "surrogatepass")
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.one_of(st.binary(max_size=200), TABLES))
def test_any_other_file_gives_spans_or_one_error(tmp_path, text):
    try:
        spans = read_spans(written(tmp_path, text))
    except EvaluationError:
        return
    assert (spans.start_ns < spans.end_ns).all()


def test_rows_without_a_layer_are_of_the_one_that_is_compared(tmp_path):
    (tmp_path / "spans.csv").write_text("session,start_ns,end_ns,label\ns1,0,9,idle\n")
    assert read_spans(tmp_path / "spans.csv", layer="activity").label.tolist() == ["idle"]


def test_labels_of_other_layers_may_be_there_at_the_same_time(tmp_path):
    text = "session,layer,start_ns,end_ns,label\ns1,step,0,9,x\ns1,action,0,5,a\ns1, activity ,2,9,idle\n"
    assert read_spans(written(tmp_path, text)).label.tolist() == ["a"]


@pytest.mark.parametrize(
    ("truth", "predicted", "match"),
    [
        ("session,start_ns,end_ns,label\n", PREDICTED, "No true span is left"),
        (
            "session,start_ns,end_ns,label,score\ns1,0,5,a,1\ns1,3,9,b,1\n",
            PREDICTED,
            "two labels at a time: 'a' and 'b'",
        ),
        ("session,start_ns,end_ns,label\nother,0,5,a\n", PREDICTED, "None of the 4 predictions"),
    ],
)
def test_what_cannot_be_compared_says_why(tmp_path, truth, predicted, match):
    spans = [read_spans(written(tmp_path, text, name)) for text, name in ((truth, "t.csv"), (predicted, "p.csv"))]
    with pytest.raises(EvaluationError, match=match):
        evaluate(*spans)


def published(rows):
    """Rows of the published segments, of one participant's day."""
    common = {"collected_on": date(2026, 3, 2), "participant_id": "p-1", "annotator_count": 1, "confidence": 0.5}
    names = schemas.PUBLISHED_SEGMENTS.schema.names
    return schemas.PUBLISHED_SEGMENTS.conform(
        [{**dict.fromkeys(names), **common, **row, "segment_id": f"seg-{number}"} for number, row in enumerate(rows)]
    )


def test_the_truth_comes_from_the_published_segments_and_any_version_of_them(tmp_path, monkeypatch):
    monkeypatch.setenv("HARCHIVE_LAKE", str(tmp_path / "lake"))
    lake, key = Lake(tmp_path / "lake"), {"collected_on": date(2026, 3, 2), "participant_id": "p-1"}
    label = {"session_pseudonym": "s1", "layer": "action", "start_ns": 0, "label": "fold shirt", "source": "annotator"}
    proposed = {**label, "end_ns": 9000, "source": "model"}
    for end_ns in (1000, 4000):
        written_as = lake.replace(
            schemas.PUBLISHED_SEGMENTS, key, published([{**label, "end_ns": end_ns}, proposed]), run_id="r"
        )
    path = written(tmp_path, "session,start_ns,end_ns,label\ns1,0,4000,fold shirt\n")
    now, before = run(path, "--json"), run(path, "--json", "--version", written_as.version - 1)
    assert json.loads(now.output)["frame_accuracy"] == 1
    assert json.loads(before.output)["frame_accuracy"] == 0.25
    with pytest.raises(LakeError, match="Version 99 of table segments cannot be read"):
        lake.read(schemas.PUBLISHED_SEGMENTS, version=99)
    assert isinstance(run(path, "--version", 99).exception, LakeError)
    assert run(path, "--truth", path, "--version", 1).exit_code == 2


def test_the_page_s_example_can_be_read_and_its_commands_exist(tmp_path):
    page = (Path(__file__).resolve().parents[2] / "docs" / "evaluation.md").read_text()
    (example,) = re.findall(r"```csv\n(.*?)```", page, re.DOTALL)
    assert len(read_spans(written(tmp_path, example))) == 2
    commands = re.findall(r"^    harchive (\w+)(.*)$", page, re.MULTILINE)
    assert {name for name, _ in commands} == {"evaluate", "agreement", "disagreements", "changes"}
    for name, rest in commands:
        known = {option for parameter in cli.commands[name].params for option in parameter.opts}
        assert set(re.findall(r"--\w+", rest)) <= known
