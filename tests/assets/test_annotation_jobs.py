"""Out to the annotators and back: a job of a real run, drawn on as a tool would, and the run that reads it."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result

from harchive_dagster.cli import cli
from harchive_dagster.commands.annotate import export
from harchive_dagster.delivery.annotation_jobs import WHICH_LABELS
from harchive_dagster.errors import AnnotationFileError, HarchiveError, LakeError, SettingsError
from harchive_dagster.labels.formats.registry import FORMATS
from harchive_dagster.lake import schemas

TOOLS = ["label-studio", "cvat", "elan", "epic", "egoverse", "csv"]
SESSION = "ses-to-label"
STRANGER = "s-zzzzzzzzzzzzzzzzzzzz"


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory, make_house: Any) -> Any:
    """A house in which one session went through the whole chain. Tests put only annotations into it."""
    house = make_house(tmp_path_factory.mktemp("labelled"))
    house.add(session_id=SESSION, task_id="wash_dishes")
    assert house.run().success
    return house


@pytest.fixture
def run(labelled: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The command line over that house."""
    monkeypatch.setenv("HARCHIVE_LAKE", str(labelled.lake.root))
    monkeypatch.setenv("HARCHIVE_ANNOTATIONS", str(labelled.landing.annotations))
    monkeypatch.setenv("HARCHIVE_PSEUDONYM_KEY", labelled.pseudonyms.key.decode())
    shutil.rmtree(labelled.landing.annotations)
    labelled.landing.annotations.mkdir()

    def invoke(*arguments: object) -> Result:
        return CliRunner().invoke(cli, ["annotate", *map(str, arguments)], catch_exceptions=False)

    return invoke


def _tools_file(folder: Path) -> Path:
    """The file that an annotator's tool writes: the job's own, with nothing changed."""
    asides = (".proxy.json", ".labels.json", ".label-config.xml", ".txt")
    (found,) = (path for path in folder.glob("s-*") if not path.name.endswith(asides) and ".activity." not in path.name)
    return found


@pytest.mark.parametrize("tool", TOOLS)
def test_a_job_names_nobody_and_holds_the_anonymized_video(labelled: Any, run: Any, tmp_path: Path, tool: str) -> None:
    assert run("export", SESSION, "--tool", tool, "--to", tmp_path / "job").exit_code == 0
    video = labelled.lake.read(schemas.ANONYMIZED_VIDEOS).to_pylist()[0]
    (clip,) = (tmp_path / "job" / "media").iterdir()
    assert clip.name == f"{labelled.pseudonyms.session(SESSION)}-{video['sha256'][:16]}.mp4"
    assert clip.stat().st_size == video["bytes"]
    for path in (tmp_path / "job").glob("s-*"):
        said = f"{path.name} {path.read_text()}"
        assert not [name for name in (SESSION, video["worker_id"]) if name in said]


def test_a_job_s_proxy_is_the_frame_table_of_the_lake(labelled: Any, run: Any, tmp_path: Path) -> None:
    run("export", SESSION, "--tool", "csv", "--to", tmp_path)
    (path,) = labelled.landing.annotations.glob("*/*.proxy.json")
    frames = labelled.lake.read(schemas.FRAMES).sort_by("frame_index")
    assert json.loads(path.read_text())["pts_ns"] == frames.column("pts_ns").to_pylist()
    assert json.loads(path.read_text())["fps"] == pytest.approx(30, rel=1e-6)


def test_accepted_proposals_come_back_from_label_studio_as_labels_of_who_accepted_them(
    labelled: Any, run: Any, tmp_path: Path
) -> None:
    run("export", labelled.pseudonyms.session(SESSION), "--tool", "label-studio", "--to", tmp_path)
    path = next(path for path in tmp_path.glob("s-*.json") if not path.name.endswith(".proxy.json"))
    (task,) = json.loads(path.read_text())
    proposed = task["predictions"][0]["result"]
    assert {one["from_name"] for one in proposed} >= {"activity", "step"}
    task["annotations"] = [{"id": 7, "completed_by": {"id": 3, "email": "asha@example.org"}, "result": proposed}]
    (tmp_path / "project-1.json").write_text(json.dumps([task | {"id": 1}]))
    result = run("import", tmp_path / "project-1.json")
    assert result.exit_code == 0, result.output
    assert labelled.run(selection=["annotations"]).success

    drawn = labelled.lake.read(schemas.ANNOTATIONS).to_pylist()
    segments = labelled.lake.read(schemas.SEGMENTS).to_pylist()
    assert {row["annotator"] for row in drawn} == {labelled.pseudonyms.annotator("asha@example.org")}
    # The step where a task without labels is cut is a press, between frames; it snaps to the nearest.
    boundaries = np.append(
        labelled.lake.read(schemas.FRAMES).sort_by("frame_index").column("pts_ns").to_numpy(), 10**10
    )
    expected = {
        (row["layer"], *(int(boundaries[np.argmin(abs(boundaries - row[end]))]) for end in ("start_ns", "end_ns")))
        for row in segments
        if row["source"] != "annotator"
    }
    assert {(row["layer"], row["start_ns"], row["end_ns"]) for row in drawn} == expected


@pytest.mark.parametrize("tool", [tool for tool in TOOLS if tool not in ("label-studio", "csv")])
def test_what_a_tool_saves_is_read_by_the_next_run(labelled: Any, run: Any, tmp_path: Path, tool: str) -> None:
    run("export", SESSION, "--tool", tool, "--to", tmp_path)
    written = _tools_file(tmp_path) if tool != "egoverse" else next(tmp_path.glob("*.step.json"))
    result = run("import", written, "--annotator", "asha")
    assert result.exit_code == 0, result.output
    assert labelled.run(selection=["annotations"]).success
    drawn = labelled.lake.read(schemas.ANNOTATIONS).to_pylist()
    assert {row["annotator"] for row in drawn} == {labelled.pseudonyms.annotator("asha")}
    assert "step" in {row["layer"] for row in drawn}


def test_the_command_line_offers_every_format_and_every_choice_of_labels() -> None:
    offered = {option.name: option.type.choices for option in export.params if isinstance(option.type, click.Choice)}
    assert set(offered["tool"]) == {one.name for one in FORMATS}
    assert offered["labels"] == WHICH_LABELS


def test_a_file_that_cannot_be_read_is_not_filed(labelled: Any, run: Any, tmp_path: Path) -> None:
    (tmp_path / "asha.csv").write_text(
        "annotation_id,annotator,layer,start_ns,end_ns,verb,noun,text\n,,action,0,9,fold,,\n"
    )
    with pytest.raises(HarchiveError, match="annotation_id is empty"):
        run("import", tmp_path / "asha.csv", "--session", SESSION)
    assert not list(labelled.landing.annotations.glob("*/*"))


def test_a_session_that_is_not_in_the_lake_is_named_with_its_neighbours(run: Any, tmp_path: Path) -> None:
    with pytest.raises(LakeError, match=r"no session 'ses-to-labl' in the lake \(ses-to-label\)"):
        run("export", "ses-to-labl", "--tool", "csv", "--to", tmp_path)


def test_another_file_of_the_same_name_is_only_replaced_when_asked(labelled: Any, run: Any, tmp_path: Path) -> None:
    header = "annotation_id,annotator,layer,start_ns,end_ns,verb,noun,text"
    path = tmp_path / "labels.csv"
    path.write_text(f"{header}\n1,asha,action,0,9,fold,,\n")
    run("import", path, "--session", SESSION)
    path.write_text(f"{header}\n1,ravi,action,0,9,fold,,\n")
    with pytest.raises(HarchiveError, match=r"another file 'labels\.csv' was filed before"):
        run("import", path, "--session", SESSION)
    run("import", path, "--session", SESSION, "--replace")
    (filed,) = labelled.landing.annotations.glob("*/*.csv")
    assert "ravi" in filed.read_text()


def test_others_class_numbers_go_out_and_come_back_as_our_words(labelled: Any, run: Any, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs.csv"
    theirs.write_text("kind,class_id,class_name,word\nverb,4,scrub down,wash\nnoun,9,crockery,plate\n")
    header = "annotation_id,annotator,layer,start_ns,end_ns,verb,noun,text"
    (tmp_path / "asha.csv").write_text(f"{header}\n1,asha,action,0,2000000000,Scrub-Down,plate,\n")
    run("import", tmp_path / "asha.csv", "--session", SESSION, "--class-mapping", theirs)
    assert labelled.run(selection=["annotations"]).success
    (drawn,) = labelled.lake.read(schemas.ANNOTATIONS).to_pylist()
    assert (drawn["verb"], json.loads(drawn["attributes"])["verb_as_written"]) == ("wash", "Scrub-Down")

    export = ("export", SESSION, "--to", tmp_path / "job", "--labels", "annotations", "--class-mapping", theirs)
    run(*export, "--tool", "epic")
    (row,) = csv.DictReader(next((tmp_path / "job").glob("*.csv")).open())
    assert (row["verb"], row["verb_class"], row["noun_class"]) == ("Scrub-Down", "4", "9")
    refused = run(*export, "--tool", "elan")
    assert (refused.exit_code, "is for --tool epic" in refused.output) == (2, True)


def test_what_people_drew_goes_to_others_without_their_names_and_comes_back(
    labelled: Any, run: Any, tmp_path: Path
) -> None:
    header = "annotation_id,annotator,layer,start_ns,end_ns,verb,noun,text"
    for who in ("asha", "ravi"):
        rows = f"{who}-1,{who},action,0,2000000000,wash,plate,\n2,{who},action,2000000000,3000000000,place,plate,"
        (tmp_path / f"{who}.csv").write_text(f"{header}\n{rows}\n")
        run("import", tmp_path / f"{who}.csv", "--session", SESSION)
    assert labelled.run(selection=["annotations"]).success
    for tool in TOOLS:
        run("export", SESSION, "--tool", tool, "--to", tmp_path / tool, "--labels", "annotations")
        written = [path.read_text() for path in (tmp_path / tool).glob("s-*")]
        assert not [text for text in written if "asha" in text or "ravi" in text]
    shutil.rmtree(next(labelled.landing.annotations.glob("s-*")))
    (job,) = (tmp_path / "csv").glob("*.csv")
    assert "4 labels, filed" in run("import", job).output
    assert labelled.run(selection=["annotations"]).success
    annotators = {row["annotator"] for row in labelled.lake.read(schemas.ANNOTATIONS).to_pylist()}
    assert annotators == {labelled.pseudonyms.annotator(who) for who in ("asha", "ravi")}


def test_labels_of_a_session_that_no_run_took_in_are_refused(labelled: Any, run: Any, tmp_path: Path) -> None:
    (tmp_path / "asha.csv").write_text(
        "annotation_id,annotator,layer,start_ns,end_ns,verb,noun,text\n1,asha,action,0,9,fold,,\n"
    )
    for named, nearest in (("ses-to-labl", "ses-to-label"), (STRANGER, "none is named like it")):
        with pytest.raises(LakeError, match=rf"no session '{named}' in the lake \({nearest}\)\. Nothing was written"):
            run("import", tmp_path / "asha.csv", "--session", named)
    (tmp_path / "asha.csv").rename(tmp_path / f"{STRANGER}-0123456789abcdef.csv")
    with pytest.raises(AnnotationFileError, match=rf"no session '{STRANGER}' in the lake .* It was not filed"):
        run("import", tmp_path / f"{STRANGER}-0123456789abcdef.csv")
    assert not list(labelled.landing.annotations.iterdir())


def test_a_job_comes_back_without_lake_and_key(labelled: Any, run: Any, tmp_path: Path, monkeypatch: Any) -> None:
    run("export", SESSION, "--tool", "csv", "--labels", "none", "--to", tmp_path)
    monkeypatch.delenv("HARCHIVE_PSEUDONYM_KEY")
    monkeypatch.setenv("HARCHIVE_LAKE", str(tmp_path / "elsewhere"))
    assert "0 labels, filed" in run("import", _tools_file(tmp_path)).output


def test_a_job_is_not_put_into_a_file(run: Any, tmp_path: Path) -> None:
    (tmp_path / "job").write_text("")
    result = run("export", SESSION, "--tool", "csv", "--to", tmp_path / "job")
    assert (result.exit_code, "is a file" in result.output) == (2, True)


def test_a_place_that_cannot_be_written_to_is_told_in_one_line(labelled: Any, run: Any, tmp_path: Path) -> None:
    shutil.rmtree(labelled.landing.annotations)
    labelled.landing.annotations.write_text("")
    try:
        with pytest.raises(SettingsError, match=r"job cannot be written to .* Not a directory"):
            run("export", SESSION, "--tool", "csv", "--to", tmp_path)
    finally:
        labelled.landing.annotations.unlink()
        labelled.landing.annotations.mkdir()


def test_an_unknown_word_reaches_segments_as_written_and_what_is_published_flagged(
    labelled: Any, run: Any, tmp_path: Path
) -> None:
    header = "annotation_id,annotator,layer,start_ns,end_ns,verb,noun,text"
    rows = "1,asha,action,1000000000,3000000000,Juggle,Dosa,\n2,asha,action,4000000000,6000000000,wash,Thingummy,"
    (tmp_path / "asha.csv").write_text(f"{header}\n{rows}\n")
    run("import", tmp_path / "asha.csv", "--session", SESSION)
    assert labelled.run(selection=["annotations", "segments", "episodes"]).success

    drawn = labelled.lake.read(schemas.ANNOTATIONS).sort_by("start_ns").to_pylist()
    assert [(row["verb"], row["noun"]) for row in drawn] == [("Juggle", "Dosa"), ("wash", "Thingummy")]
    assert [json.loads(row["attributes"])["is_known_noun"] for row in drawn] == [False, False]
    named = ["start_ns", "end_ns", "label", "verb", "noun", "is_known"]
    restricted, published = (
        [
            tuple(row[name] for name in named)
            for row in labelled.lake.read(contract).sort_by("start_ns").to_pylist()
            if row["layer"] == "action"
        ]
        for contract in (schemas.SEGMENTS, schemas.PUBLISHED_SEGMENTS)
    )
    assert restricted == [
        (1_000_000_000, 3_000_000_000, "Juggle Dosa", "Juggle", "Dosa", False),
        (4_000_000_000, 6_000_000_000, "wash Thingummy", "wash", "Thingummy", False),
    ]
    # Free words may name a person, so that labs see that there is a label, and that its words are not ours.
    assert published == [
        (1_000_000_000, 3_000_000_000, "other", None, None, False),
        (4_000_000_000, 6_000_000_000, "other", "wash", None, False),
    ]
