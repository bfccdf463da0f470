import json
from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from harchive_dagster.demo.breakage import EXPECTED_REASON, Breakage
from harchive_dagster.demo.truth import SessionTruth
from harchive_dagster.demo.uploads import generate_uploads, write_consent
from harchive_dagster.errors import SettingsError
from harchive_dagster.landing.layout import list_sessions, list_worker_days
from harchive_dagster.landing.manifest import read_manifest
from harchive_dagster.privacy.consent import check_consent, read_consent


def generate(root: Path, **overrides: Any) -> list[SessionTruth]:
    settings: dict[str, Any] = {
        "days": 1,
        "workers": 1,
        "sessions": 2,
        "width_px": 96,
        "height_px": 64,
        "fps": 10,
        "duration_s": 1.0,
        "has_broken": False,
        "processes": 1,
    }
    return generate_uploads(root / "landing", root / "truth", **(settings | overrides))


def stamps(root: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in (root / "landing").glob("*/*/*/*")}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[SessionTruth]]:
    root = tmp_path_factory.mktemp("demo")
    return root, generate(
        root,
        days=2,
        workers=3,
        sessions=1,
        has_broken=True,
        annotations=root / "annotations",
        session_pseudonym=lambda session_id: f"known-as-{session_id[::-1]}",
    )


def test_the_landing_lists_every_worker_day_as_whole(whole: tuple[Path, list[SessionTruth]]) -> None:
    root, truths = whole
    days = list_worker_days(root / "landing")
    assert [str(day) for day in days] == [f"2026-03-0{d}|worker-0{w}" for d in (2, 3) for w in (1, 2, 3)]
    folders = [folder for day in days for folder in list_sessions(root / "landing", day).complete]
    assert sorted(folder.name for folder in folders) == sorted(truth.session_id for truth in truths)
    for folder in folders:
        read_manifest(folder)


def test_each_kind_of_breakage_is_there_once_and_on_its_own_worker_day(whole: tuple[Path, list[SessionTruth]]) -> None:
    _, truths = whole
    broken = [truth for truth in truths if truth.broken]
    assert {truth.broken: truth.expected_reason for truth in broken} == dict(EXPECTED_REASON.items())
    assert max(Counter((truth.collected_on, truth.worker_id) for truth in broken).values()) == 1


def test_tasks_alternate_and_one_recording_is_free(whole: tuple[Path, list[SessionTruth]]) -> None:
    _, truths = whole
    tasks = [truth.task_id for truth in truths if not truth.broken]
    assert tasks == ["fold_laundry", "wash_dishes", "tighten_bolts", "fold_laundry", None, "tighten_bolts"]


def test_one_session_has_private_time(whole: tuple[Path, list[SessionTruth]]) -> None:
    _, truths = whole
    assert sum(any(marker.kind == "private_start" for marker in truth.markers) for truth in truths) == 1


def test_one_session_wears_a_glove_and_has_no_private_time(whole: tuple[Path, list[SessionTruth]]) -> None:
    root, truths = whole
    (gloved,) = [path.parent.name for path in (root / "landing").glob("*/*/*/hand.csv")]
    (truth,) = [truth for truth in truths if truth.session_id == gloved]
    assert not truth.broken
    assert not [marker for marker in truth.markers if marker.kind == "private_start"]


def test_both_sensor_formats_arrive(whole: tuple[Path, list[SessionTruth]]) -> None:
    root, _ = whole
    assert {path.suffix for path in (root / "landing").glob("*/*/*/imu.*")} == {".csv", ".parquet"}


def test_the_truth_folder_tells_what_was_returned(whole: tuple[Path, list[SessionTruth]]) -> None:
    root, truths = whole
    by_place = sorted(truths, key=lambda truth: (truth.collected_on, truth.worker_id, truth.session_id))
    assert SessionTruth.read_all(root / "truth") == by_place


def test_every_second_good_session_has_labels_under_its_pseudonym(whole: tuple[Path, list[SessionTruth]]) -> None:
    root, truths = whole
    good = [truth.session_id for truth in truths if not truth.broken]
    labelled = sorted(path.parent.name for path in (root / "annotations").glob("*/anna.csv"))
    assert labelled == sorted(f"known-as-{session_id[::-1]}" for session_id in good[::2])


def test_sessions_differ_in_clock_and_mount(whole: tuple[Path, list[SessionTruth]]) -> None:
    _, truths = whole
    assert len({truth.offset_ns for truth in truths}) == len(truths)
    assert len({truth.camera_from_sensor for truth in truths}) == len(truths)
    assert all(abs(truth.offset_ns) <= 1.5e9 and abs(truth.drift_ppm) <= 80 for truth in truths)


def test_consents_cover_every_good_recording(whole: tuple[Path, list[SessionTruth]]) -> None:
    root, truths = whole
    for truth in truths:
        folder = root / "landing" / truth.collected_on.isoformat() / truth.worker_id / truth.session_id
        manifest = read_manifest(folder)
        if truth.broken != Breakage.MISSING_CONSENT:
            check_consent(
                read_consent(root / "landing", manifest.consent_id),
                worker_id=truth.worker_id,
                started_at=manifest.started_at,
                ended_at=manifest.started_at,
                country=manifest.site.country,
                now=datetime(2026, 6, 1, tzinfo=UTC),
            )


def test_a_second_run_touches_nothing(tmp_path: Path) -> None:
    first = generate(tmp_path)
    before = stamps(tmp_path)
    assert generate(tmp_path) == first
    assert stamps(tmp_path) == before


def test_another_seed_makes_the_sessions_again(tmp_path: Path) -> None:
    first = generate(tmp_path, sessions=1)
    second = generate(tmp_path, sessions=1, seed=8)
    assert second[0].offset_ns != first[0].offset_ns
    assert SessionTruth.read_all(tmp_path / "truth") == second


@pytest.mark.parametrize("lost", ["truth", "manifest"])
def test_a_session_that_is_not_whole_is_made_again(tmp_path: Path, lost: str) -> None:
    (truth,) = generate(tmp_path, sessions=1)
    folder = tmp_path / "landing" / "2026-03-02" / "worker-01" / truth.session_id
    manifest = (folder / "manifest.json").read_text()
    (truth.path_in(tmp_path / "truth") if lost == "truth" else folder / "manifest.json").unlink()
    assert generate(tmp_path, sessions=1) == [truth]
    assert (folder / "manifest.json").read_text() == manifest


def test_progress_names_each_session(tmp_path: Path) -> None:
    said: list[str] = []
    generate(tmp_path, progress=said.append)
    assert said == ["1/2 s0302-w01-a", "2/2 s0302-w01-b"]


def test_a_consent_record_tells_who_agreed_to_what(tmp_path: Path) -> None:
    path = write_consent(tmp_path, "worker-02", first_day=date(2026, 3, 2))
    record = json.loads(path.read_text())
    assert path == tmp_path / "consents" / "consent-worker-02.json"
    assert record["principal_id"] == record["party"]["id"] == "worker-02"
    assert record["valid_from"].startswith("2026-01-31")
    assert record["withdrawn_at"] is None


@pytest.mark.parametrize("name", ["days", "workers", "sessions"])
def test_counts_below_one_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} is 0"):
        generate(tmp_path, **{name: 0})


@pytest.mark.slow
def test_two_processes_make_what_one_makes(tmp_path: Path) -> None:
    assert generate(tmp_path / "a", processes=2) == generate(tmp_path / "b", processes=1)
    made = {
        root: {p.relative_to(tmp_path / root): p.read_bytes() for p in (tmp_path / root).rglob("*.mp4")}
        for root in "ab"
    }
    assert {p.parts[1:]: v for p, v in made["a"].items()} == {p.parts[1:]: v for p, v in made["b"].items()}
