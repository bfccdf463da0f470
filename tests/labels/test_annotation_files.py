import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harchive_dagster.errors import LabelError
from harchive_dagster.labels.annotation_files import Annotation, read_annotations
from harchive_dagster.reasons import Reason

HEADER = "annotation_id,annotator,layer,start_ns,end_ns,verb,noun,text"
FUZZ = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def _write(folder: Path, content: str | bytes, name: str = "labels.csv") -> Path:
    path = folder / "s-abc" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def _read(folder: Path, *rows: str, header: str = HEADER, duration_ns: int | None = 10_000) -> list[Annotation]:
    _write(folder, "\n".join([header, *rows, ""]))
    return read_annotations(folder, session_pseudonym="s-abc", duration_ns=duration_ns)


def _problems(folder: Path, *rows: str, header: str = HEADER) -> list[str]:
    with pytest.raises(LabelError) as caught:
        _read(folder, *rows, header=header)
    assert caught.value.reason is Reason.ANNOTATION_INVALID
    return list(caught.value.evidence["problems"])


def test_a_label_is_read_with_its_file_s_digest(tmp_path: Path) -> None:
    (label,) = _read(tmp_path, 'a1,asha,action,100,900,Grab,shirt,"picks up, slowly"')
    digest = hashlib.sha256((tmp_path / "s-abc" / "labels.csv").read_bytes()).hexdigest()
    assert (label.annotation_id, label.annotator, label.layer) == ("a1", "asha", "action")
    assert (label.start_ns, label.end_ns) == (100, 900)
    assert (label.verb, label.noun, label.text) == ("grasp", "shirt", "picks up, slowly")
    assert json.loads(label.attributes) == {
        "is_known_noun": True,
        "is_known_verb": True,
        "verb_as_written": "Grab",
    }
    assert label.source_file_sha256 == digest
    assert label.created_at_utc is None


def test_words_outside_the_taxonomy_stay_as_written(tmp_path: Path) -> None:
    (label,) = _read(tmp_path, "a1,asha,action,0,9,juggle,Dosa,")
    assert (label.verb, label.noun, label.text) == ("juggle", "Dosa", None)
    assert json.loads(label.attributes) == {"is_known_noun": False, "is_known_verb": False}


def test_the_tool_is_kept_where_the_file_names_it(tmp_path: Path) -> None:
    (label,) = _read(
        tmp_path,
        "a1,asha,step,0,9,,,wipes,elan,6.8,2026-03-15T10:00:00+05:30",
        header=f"{HEADER},tool,tool_version,created_at_utc",
    )
    assert (label.tool, label.tool_version) == ("elan", "6.8")
    assert label.created_at_utc == datetime(2026, 3, 15, 4, 30, tzinfo=UTC)


def test_a_spreadsheet_s_byte_order_mark_line_ends_and_rows_of_commas_do_no_harm(tmp_path: Path) -> None:
    _write(tmp_path, f"\ufeff{HEADER}\r\na1,asha,action,0,9,fold,,\r\n\r\n,,,,,,,\r\n, ,,,,,,\r\n")
    (label,) = read_annotations(tmp_path, session_pseudonym="s-abc")
    assert label.verb == "fold"


def test_labels_of_all_files_come_in_order_and_others_are_passed_over(tmp_path: Path) -> None:
    _write(tmp_path, f"{HEADER}\nb1,ravi,action,50,60,fold,,\n", "b.csv")
    _write(tmp_path, f"{HEADER}\na2,asha,step,0,5,fold,,\na1,asha,action,70,80,fold,,\n", "a.csv")
    _write(tmp_path, "junk", ".a.csv")
    _write(tmp_path, "junk", "readme.txt")
    labels = read_annotations(tmp_path, session_pseudonym="s-abc")
    assert [label.annotation_id for label in labels] == ["b1", "a1", "a2"]


def test_a_session_without_a_folder_has_no_labels(tmp_path: Path) -> None:
    assert read_annotations(tmp_path, session_pseudonym="s-abc") == []


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (",asha,action,0,9,fold,,", "annotation_id is empty"),
        ("a1,asha,mood,0,9,fold,,", "layer is 'mood'"),
        ("a1,asha,action,0.5,9,fold,,", "start_ns is '0.5'"),
        ("a1,asha,action,-1,9,fold,,", "start_ns is '-1'"),
        ("a1,asha,action,٣,9,fold,,", "expected whole nanoseconds"),
        ("a1,asha,action,0,,fold,,", "end_ns is ''"),
        ("a1,asha,action,9,9,fold,,", "start_ns 9 is not before end_ns 9"),
        ("a1,asha,action,0,10001,fold,,", "end_ns 10001 is after the recording's end at 10000"),
        ("a1,asha,action,0,9,,shirt,", "neither verb nor text"),
    ],
)
def test_a_wrong_row_is_named_with_its_line(tmp_path: Path, row: str, problem: str) -> None:
    (found,) = _problems(tmp_path, "ok,asha,action,0,9,fold,,", row)
    assert found.startswith("'labels.csv' line 3: ")
    assert problem in found


def test_all_problems_of_all_files_come_in_one_error(tmp_path: Path) -> None:
    _write(tmp_path, f"{HEADER}\n,ravi,action,9,0,fold,,\n", "other.csv")
    problems = _problems(tmp_path, "a1,asha,mood,0,9,fold,,", "a2,asha,action,x,9,fold,,")
    assert len(problems) == 4


def test_an_annotator_uses_an_id_once_over_all_files(tmp_path: Path) -> None:
    _write(tmp_path, f"{HEADER}\na1,asha,action,0,9,wash,,\n", "z.csv")
    (found,) = _problems(tmp_path, "a1,asha,action,0,9,fold,,")
    assert found == "'z.csv' line 2: annotation_id 'a1' was used in 'labels.csv' line 2"


def test_annotators_who_number_their_labels_alike_do_not_clash(tmp_path: Path) -> None:
    _write(tmp_path, f"{HEADER}\na1,ravi,action,0,9,fold,,\n", "z.csv")
    assert [label.annotator for label in _read(tmp_path, "a1,asha,action,0,9,fold,,")] == ["asha", "ravi"]


def test_an_id_is_not_shared_within_a_file(tmp_path: Path) -> None:
    (found,) = _problems(tmp_path, "a1,asha,action,0,9,fold,,", "a1,ravi,action,0,9,fold,,")
    assert found == "'labels.csv' line 3: annotation_id 'a1' is another annotator's in the same file"


def test_the_same_file_under_two_names_is_refused(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        _write(tmp_path, f"{HEADER}\na1,asha,action,0,9,fold,,\n", name)
    with pytest.raises(LabelError, match=r"same file as 'a\.csv'"):
        read_annotations(tmp_path, session_pseudonym="s-abc")


def test_annotators_who_found_nothing_to_label_may_send_the_same_file(tmp_path: Path) -> None:
    for name in ("asha.csv", "ravi.csv"):
        _write(tmp_path, f"{HEADER}\n", name)
    assert read_annotations(tmp_path, session_pseudonym="s-abc") == []


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "first line, which names the columns, is empty"),
        (HEADER.replace(",", ";"), "columns are separated by ';'; save it with commas"),
        (HEADER.replace(",", "\t"), r"columns are separated by '\\t'; save it with commas"),
        ("annotation_id,layer,start_ns,end_ns,verb,noun,text\n", r"lacks \['annotator'\]"),
        (f"{HEADER},mood\n", r"unknown \['mood'\]"),
        (f"{HEADER},text\n", r"repeats \['text'\]"),
        (f"{HEADER}\na1,asha\n", "line 2 has 2 cells, the header has 8"),
        (f'{HEADER}\na1,asha,action,0,9,fold,,"open\n', "unexpected end of data"),
        (f"{HEADER}\na1,asha,action,0,9,fold,,a\0b\n", "NUL"),
        (f"{HEADER}\na1,asha,action,0,9,fold,,caf\xe9\n".encode("cp1252"), "not UTF-8 .in spreadsheets: CSV UTF-8"),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path: Path, content: str | bytes, problem: str) -> None:
    _write(tmp_path, content)
    with pytest.raises(LabelError, match=problem):
        read_annotations(tmp_path, session_pseudonym="s-abc")


def test_a_linked_file_is_not_followed(tmp_path: Path) -> None:
    _write(tmp_path, f"{HEADER}\n", "labels.txt")
    (tmp_path / "s-abc" / "labels.csv").symlink_to("labels.txt")
    with pytest.raises(LabelError, match="not a regular file"):
        read_annotations(tmp_path, session_pseudonym="s-abc")


@FUZZ
@given(rows=st.lists(st.lists(st.text(max_size=6), min_size=1, max_size=9), max_size=4))
def test_no_cells_raise_anything_but_a_label_error(tmp_path: Path, rows: list[list[str]]) -> None:
    content = "\n".join([HEADER, *(",".join(row) for row in rows)]).encode("utf-8", "surrogatepass")
    _write(tmp_path, content)
    try:
        labels = read_annotations(tmp_path, session_pseudonym="s-abc")
    except LabelError as error:
        json.dumps(error.evidence)
    else:
        assert all(0 <= label.start_ns < label.end_ns for label in labels)
