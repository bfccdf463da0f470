import csv
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harchive_dagster.demo.motion import Phase, PhaseKind
from harchive_dagster.demo.timeline import (
    TASK_IDS,
    default_phases,
    markers_of,
    segments_of,
    visits_of,
    write_annotations,
)
from harchive_dagster.labels.annotation_files import read_annotations
from harchive_dagster.labels.segments import build_segments
from harchive_dagster.labels.task_catalog import expected_steps, load_task_catalog
from harchive_dagster.labels.taxonomy import load_taxonomy
from harchive_dagster.landing.manifest import Marker


@given(st.floats(0.5, 600))
def test_default_phases_fill_the_session_without_gaps(duration_s: float) -> None:
    phases = default_phases(duration_s)
    assert phases[0].start_s == 0.0
    assert phases[-1].end_s == duration_s
    assert all(a.end_s == b.start_s for a, b in pairwise(phases))
    assert all(phase.start_s < phase.end_s for phase in phases)


def test_a_long_session_stands_walks_and_works() -> None:
    assert {phase.kind for phase in default_phases(20.0)} == set(PhaseKind)


@pytest.mark.parametrize("task_id", [*TASK_IDS, None])
def test_segments_follow_each_other_and_use_known_words(task_id: str | None) -> None:
    segments = segments_of(default_phases(20.0), task_id)
    taxonomy = load_taxonomy()
    for segment in segments:
        assert segment.start_ns < segment.end_ns
        assert taxonomy.canonical_verb(segment.verb) == segment.verb
        assert segment.noun is None or taxonomy.canonical_noun(segment.noun) == segment.noun
    assert all(a.end_ns <= b.start_ns for a, b in pairwise(segments))


def test_every_task_is_in_the_catalogue() -> None:
    assert set(TASK_IDS) <= set(load_task_catalog().tasks)


def test_a_task_starts_before_its_steps_and_ends_inside_the_session() -> None:
    markers = markers_of(default_phases(20.0), "fold_laundry", has_private=False)
    assert [m.kind for m in markers] == ["task_start", *["step"] * 6, "task_end"]
    assert [m.at_ns for m in markers] == sorted(m.at_ns for m in markers)
    assert markers[0].at_ns > 0
    assert markers[-1].at_ns < 20_000_000_000


@pytest.mark.parametrize("task_id", TASK_IDS)
@pytest.mark.parametrize("duration_s", [5.0, 20.0])
def test_every_step_that_the_presses_are_named_is_what_the_worker_does_then(task_id: str, duration_s: float) -> None:
    phases = default_phases(duration_s)
    truth = {(done.start_ns, done.label) for done in segments_of(phases, task_id)}
    segments = build_segments(
        markers=[Marker(m.at_ns, m.kind, m.note) for m in markers_of(phases, task_id, has_private=False)],
        annotations=[],
        activity=[],
        duration_ns=round(duration_s * 1e9),
        expected_steps=expected_steps(task_id),
    )
    named = {(one.start_ns, one.label) for one in segments if one.verb}
    assert len(named) >= len(segments) - 1
    assert named <= truth


def test_private_time_lasts_two_seconds() -> None:
    private = [m.at_ns for m in markers_of(default_phases(20.0), None, has_private=True)]
    assert private == [10_000_000_000, 12_000_000_000]


def test_a_free_recording_has_no_markers() -> None:
    assert markers_of(default_phases(20.0), None, has_private=False) == ()


def test_a_session_of_nothing_but_work_still_has_a_visit() -> None:
    (visit,) = visits_of([Phase(PhaseKind.WORK, 0.0, 8.0)], 360, np.random.default_rng(0))
    assert (visit.start_s, visit.end_s) == (2.0, 6.0)


@pytest.mark.parametrize("height_px", [240, 360, 1080])
def test_faces_grow_with_the_picture(height_px: int) -> None:
    for visit in visits_of(default_phases(20.0), height_px, np.random.default_rng(0)):
        assert all(0.13 * height_px <= px <= 0.30 * height_px for px in visit.face_px)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("duration_s", [1.0, 20.0])
def test_annotations_are_valid_and_close_to_the_truth(tmp_path: Path, seed: int, duration_s: float) -> None:
    segments = segments_of(default_phases(duration_s), "wash_dishes")
    write_annotations(tmp_path / "p" / "anna.csv", segments, np.random.default_rng(seed), annotator="anna")
    read = read_annotations(tmp_path, session_pseudonym="p", duration_ns=round(duration_s * 1e9) - 33_333_333)
    assert [(a.verb, a.noun) for a in read] == [(s.verb, s.noun) for s in segments]
    for annotation, segment in zip(read, segments, strict=True):
        assert abs(annotation.start_ns - segment.start_ns) < 200_000_000
        assert abs(annotation.end_ns - segment.end_ns) < 200_000_000
    assert all(a.end_ns <= b.start_ns for a, b in pairwise(read))


def test_annotations_of_nothing_are_a_header(tmp_path: Path) -> None:
    path = tmp_path / "anna.csv"
    write_annotations(path, [], np.random.default_rng(0), annotator="anna")
    with path.open(newline="") as file:
        assert len(list(csv.reader(file))) == 1
