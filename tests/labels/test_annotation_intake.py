from pathlib import Path

import pytest

from harchive_dagster.errors import AnnotationFileError, LakeError, SettingsError
from harchive_dagster.labels.annotation_files import read_annotations
from harchive_dagster.labels.annotation_intake import file_annotations

SESSION = "s-abcdefghij234567klmn"
JOB = f"{SESSION}-0123456789abcdef.csv"
OTHER = "s-zzzzzzzzzzzzzzzzzzzz"
ROWS = "annotation_id,annotator,layer,start_ns,end_ns,verb,noun,text\n1,asha,action,0,9,fold,,\n"


def _file(folder: Path, name: str = "asha.csv", content: str = ROWS, annotator: str | None = None) -> Path:
    (folder / name).write_text(content)
    (filed,) = file_annotations(folder / name, folder / "annotations", SESSION, annotator, require_session=str)
    return filed.path


def test_a_refusal_says_that_nothing_was_filed_and_nothing_of_quarantine(tmp_path: Path) -> None:
    with pytest.raises(AnnotationFileError, match=r"annotator is empty\. '.*\.csv' was not filed\.") as caught:
        _file(tmp_path, JOB, ROWS.replace("asha", ""))
    assert "quarantine" not in str(caught.value)


def test_rows_of_a_job_are_whose_the_command_says(tmp_path: Path) -> None:
    filed = _file(tmp_path, JOB, ROWS.replace("asha", ""), annotator="ravi")
    (label,) = read_annotations(filed.parent.parent, session_pseudonym=SESSION)
    assert (filed.name, label.annotator) == (f"ravi.{JOB}", "ravi")


@pytest.mark.parametrize("annotator", ["..", "a/b", "a.b", "", "asha\n", "é" * 100])
def test_an_annotator_that_a_file_s_name_cannot_hold_is_refused(tmp_path: Path, annotator: str) -> None:
    with pytest.raises(AnnotationFileError, match=r"cannot be part of a file's name|at most 200 are taken"):
        _file(tmp_path, annotator=annotator)


def test_a_name_at_the_limit_is_filed(tmp_path: Path) -> None:
    assert _file(tmp_path, f"{'a' * 196}.csv").is_file()


def test_a_folder_that_cannot_be_written_to_is_a_setting_to_mend(tmp_path: Path) -> None:
    (tmp_path / "annotations").write_text("")
    with pytest.raises(SettingsError, match=r"HARCHIVE_ANNOTATIONS cannot be written to: .*asha\.csv' was not filed"):
        _file(tmp_path)


def test_of_two_sessions_that_a_file_labels_both_must_be_there(tmp_path: Path) -> None:
    def require_session(pseudonym: str) -> None:
        if pseudonym == OTHER:
            raise LakeError(f"There is no session {pseudonym!a} in the lake.", consequence="", mend="")

    path = tmp_path / "project-1.json"
    path.write_text(f'["{SESSION}-0123456789abcdef.mp4", "{OTHER}-0123456789abcdef.mp4"]')
    with pytest.raises(AnnotationFileError, match=rf"'project-1.json' cannot be .* no session '{OTHER}'.* not filed"):
        file_annotations(path, tmp_path / "annotations", None, None, require_session=require_session)
    assert not (tmp_path / "annotations").exists()


def test_our_own_table_of_another_session_s_video_is_not_filed(tmp_path: Path) -> None:
    with pytest.raises(AnnotationFileError, match=f"it labels '{OTHER}', another session"):
        _file(tmp_path, f"{OTHER}-0123456789abcdef.csv")
