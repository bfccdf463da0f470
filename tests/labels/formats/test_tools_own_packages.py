"""The tools' own packages read what we write, and we read what they write. None is a dependency: a test runs where its
package is installed.

`label-studio-sdk` has the checks that Label Studio makes of an import, `cvat-sdk` the model of CVAT's requests,
`datumaro` a reader of CVAT's XML, `pympi-ling` a reader and writer of ELAN's.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harchive_dagster.labels.formats.protocol import Box, Drawn, Job
from harchive_dagster.labels.formats.registry import format_named
from harchive_dagster.labels.taxonomy import load_taxonomy

SECOND = 1_000_000_000

# What these packages warn about themselves is no concern of ours.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def job(make_job: Callable[..., Job]) -> Job:
    """All layers, all of our words, and words that nobody offers."""
    boxes = (
        Box(3, 10, 20, 30, 40),
        Box(30, 12.5, 20, 30, 40, rotation_deg=12),
        Box(31, 12.5, 20, 30, 40, is_visible=False, rotation_deg=12),
    )
    taxonomy = load_taxonomy()
    return make_job(
        Drawn("n1", "asha", "action", SECOND, 2 * SECOND, verb='say "no"', noun="a & <b>", text="slowly, twice"),
        Drawn("n2", "asha", "action", 2 * SECOND, 3 * SECOND, verb="fold", noun="shirt"),
        Drawn("n3", "", "step", 0, 3 * SECOND, text="step 1"),
        Drawn("n4", "", "activity", 0, SECOND, text="idle"),
        Drawn("n5", "ravi", "activity", SECOND, 2 * SECOND, verb="walk"),
        Drawn("n6", "ravi", "activity", 2 * SECOND, 3 * SECOND, text="looks around"),
        Drawn("n8", "ravi", "episode", 0, 3 * SECOND, text="success"),
        Drawn("n7", "asha", "object", SECOND // 10, round(31e9 / 30), noun="plate", boxes=boxes),
        verbs=tuple(dict.fromkeys(taxonomy.verbs.values())),
        nouns=tuple(dict.fromkeys(taxonomy.nouns.values())),
    )


def _label_studio(job: Job) -> tuple[Any, str, dict[str, Any]]:
    """The job's configuration as the SDK understands it, as it is written, and its task."""
    interface = pytest.importorskip("label_studio_sdk.label_interface", reason="label-studio-sdk is not installed")
    files = format_named("label-studio").write(job)
    config = files[f"{job.name}.label-config.xml"].decode()
    (task,) = json.loads(files[f"{job.name}.json"])
    return interface.LabelInterface(config), config, task


def test_label_studio_accepts_our_configuration_and_every_prediction(job: Job) -> None:
    interface, _, task = _label_studio(job)
    interface.validate()
    assert [one["model_version"] for one in task["predictions"]] == ["harchive", "asha", "ravi"]
    for prediction in task["predictions"]:
        assert interface.validate_prediction(prediction, return_errors=True) == []
    assert all(task["data"].get(each.value_name) for each in interface.objects)


def test_label_studio_s_checks_would_see_a_label_that_is_not_offered(job: Job) -> None:
    interface, _, task = _label_studio(job)
    (result, *_) = task["predictions"][0]["result"]
    result["value"]["timelinelabels"] = ["unheard of"]
    assert interface.validate_prediction({"result": [result]}, return_errors=True) != []


def test_what_label_studio_s_sdk_and_converter_write_is_read_unchanged(
    tmp_path: Path, annotations: Any, job: Job
) -> None:
    interface, config, task = _label_studio(job)
    from label_studio_sdk.converter import Converter
    from label_studio_sdk.label_interface.objects import AnnotationValue, TaskValue

    action = interface.get_control("action").label(label=["fold"], ranges=[{"start": 31, "end": 60}])
    noun = interface.get_control("noun").label(label=["shirt"])
    noun.id = action.id
    corners = {"x": 10, "y": 20, "width": 50, "height": 25, "frame": 4, "time": 4 / 30}
    box = interface.get_control("box").label(framesCount=900, duration=30.0, sequence=[corners], labels=["towel"])
    drawn = AnnotationValue(completed_by=7, result=[action, noun, box])
    (tmp_path / "in").mkdir()
    document = TaskValue(data=task["data"], annotations=[drawn]).model_dump()
    (tmp_path / "in" / "1.json").write_text(json.dumps(document))
    Converter(config, str(tmp_path)).convert(str(tmp_path / "in"), str(tmp_path / "out"), "JSON")

    annotations.know(job.proxy)
    annotations.drop((tmp_path / "out" / "result.json").read_bytes(), "project.json")
    fold, towel = annotations.read()
    assert (fold.layer, fold.verb, fold.noun, fold.annotator) == ("action", "fold", "shirt", "7")
    assert (fold.start_ns, fold.end_ns) == (SECOND, 2 * SECOND)
    assert (towel.layer, towel.noun, towel.start_ns) == ("object", "towel", SECOND // 10)


def test_cvat_s_requests_hold_the_labels_of_a_job(job: Job) -> None:
    models = pytest.importorskip("cvat_sdk.models", reason="cvat-sdk is not installed")
    labels = json.loads(format_named("cvat").write(job)[f"{job.name}.labels.json"])
    task = models.TaskWriteRequest(name=job.name, labels=labels)
    assert [label.name for label in task.labels][:4] == ["activity", "action", "step", "episode"]
    assert [str(attribute.input_type) for attribute in task.labels[0].attributes] == ["select", "select", "text"]
    for attribute in task.labels[0].attributes:
        assert attribute.default_value in attribute["values"]


def test_datumaro_reads_the_tracks_of_a_job_for_cvat(tmp_path: Path, job: Job) -> None:
    datumaro = pytest.importorskip("datumaro", reason="datumaro is not installed")
    (tmp_path / "annotations.xml").write_bytes(format_named("cvat").write(job)[f"{job.name}.xml"])
    dataset = datumaro.Dataset.import_from(str(tmp_path / "annotations.xml"), "cvat")
    names = dataset.categories()[datumaro.AnnotationType.label]
    seen = {
        (item.attributes["frame"], names[shape.label].name, shape.attributes.get("verb"), shape.attributes["outside"])
        for item in dataset
        for shape in item.annotations
    }
    assert {(30, "action", 'say "no"', False), (60, "action", 'say "no"', True), (90, "action", "fold", True)} <= seen
    assert {(3, "plate", None, False), (30, "plate", None, False), (31, "plate", None, True)} <= seen


def test_pympi_reads_the_tiers_of_a_job_for_elan(tmp_path: Path, job: Job) -> None:
    pympi = pytest.importorskip("pympi", reason="pympi-ling is not installed")
    (tmp_path / "job.eaf").write_bytes(format_named("elan").write(job)[f"{job.name}.eaf"])
    read = pympi.Elan.Eaf(str(tmp_path / "job.eaf"))
    assert read.get_annotation_data_for_tier("action@asha") == [(1000, 2000, "slowly, twice"), (2000, 3000, "")]
    assert [each[2] for each in read.get_ref_annotation_data_for_tier("verb-action@asha")] == ['say "no"', "fold"]
    assert read.get_annotation_data_for_tier("activity") == [(0, 1000, "idle")]


def test_what_pympi_writes_is_read_unchanged(tmp_path: Path, annotations: Any, job: Job) -> None:
    pympi = pytest.importorskip("pympi", reason="pympi-ling is not installed")
    written = pympi.Elan.Eaf(author="asha")
    written.add_tier("action")
    written.add_annotation("action", 100, 2000, "fold the shirt")
    written.to_file(str(tmp_path / "drawn.eaf"))
    annotations.know(job.proxy)
    annotations.drop((tmp_path / "drawn.eaf").read_bytes(), "drawn.eaf")
    (label,) = annotations.read()
    assert (label.layer, label.annotator, label.verb, label.noun) == ("action", "asha", "fold", "shirt")
    assert (label.start_ns, label.end_ns) == (SECOND // 10, 2 * SECOND)


def test_a_job_that_went_through_pympi_is_read_as_it_was(tmp_path: Path, annotations: Any, job: Job) -> None:
    pympi = pytest.importorskip("pympi", reason="pympi-ling is not installed")
    (tmp_path / "job.eaf").write_bytes(format_named("elan").write(job)[f"{job.name}.eaf"])
    pympi.Elan.Eaf(str(tmp_path / "job.eaf")).to_file(str(tmp_path / "saved.eaf"))
    annotations.know(job.proxy)
    annotations.drop((tmp_path / "saved.eaf").read_bytes(), "anna.eaf")
    back = {(label.layer, label.annotator, label.start_ns, label.verb, label.text) for label in annotations.read()}
    assert ("action", "asha", SECOND, 'say "no"', "slowly, twice") in back
    assert ("activity", "ravi", SECOND, "walk", None) in back
    assert len(back) == len(job.labels)
