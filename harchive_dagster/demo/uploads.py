"""A whole landing of synthetic uploads: workers, days, consents, good and broken sessions, and people's labels."""

import json
import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from datetime import date, datetime, time, timedelta, timezone
from pathlib import Path

from harchive_dagster.demo.breakage import Breakage
from harchive_dagster.demo.session import SessionSpec, folder_of, make_session
from harchive_dagster.demo.timeline import TASK_IDS, write_annotations
from harchive_dagster.demo.truth import SessionTruth
from harchive_dagster.errors import SettingsError

_INDIA = timezone(timedelta(hours=5, minutes=30))
_ENVIRONMENTS = ("home", "kitchen", "workshop")
_REGIONS = ("IN-KA", "IN-TN", "IN-MH")
_FREE_RECORDING = 4  # the good session (counted from 0) without a task
_PRIVATE = 1  # the one with private time
_GLOVED = (
    0  # and the one with a glove; not the same, as a clock that nobody measured is not published beside private time
)
_CALIBRATED = 1  # the worker whose camera's lens is known
_SHORT_S = 7.0
_FOREIGN_IMU_S = 15.0  # shorter, chance alone may look like agreement


def generate_uploads(
    landing: Path,
    truth: Path,
    *,
    days: int = 2,
    workers: int = 3,
    sessions: int = 2,
    first_day: date = date(2026, 3, 2),
    seed: int = 7,
    width_px: int = 640,
    height_px: int = 360,
    fps: int = 30,
    duration_s: float = 20.0,
    has_broken: bool = True,
    annotations: Path | None = None,
    session_pseudonym: Callable[[str], str] | None = None,
    processes: int | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> list[SessionTruth]:
    """Fills a landing. A session that is there already and would be the same is kept.

    Args:
        landing: gets <day>/<worker>/<session>/… and consents/….
        truth: gets <day>/<worker>/<session_id>.json. Keep it outside the landing.
        days: worker-days are the product of days and workers; each holds `sessions` good ones.
        workers: "worker-01" and so on.
        sessions: good ones per worker-day.
        first_day: the others follow it.
        seed: the same seed gives the same files on the same machine.
        width_px: of every clip, as are the next three.
        height_px: even.
        fps: frames per second.
        duration_s: of the good sessions; broken ones are shorter where their kind allows.
        has_broken: adds one session of each `Breakage`, spread over the worker-days.
        annotations: gets people's labels of every second good session, if session_pseudonym is given too.
        session_pseudonym: the name under which annotators know a session.
        processes: None takes one per core. More than one starts new interpreters (spawn).
        progress: told one line per session.

    Returns:
        what is true about every session, good ones first.

    Raises:
        SettingsError: a count below one.
    """
    _check_counts(days=days, workers=workers, sessions=sessions)
    base = SessionSpec("base", seed=seed, width_px=width_px, height_px=height_px, fps=fps, duration_s=duration_s)
    good = list(_good_specs(base, days=days, workers=workers, sessions=sessions, first_day=first_day))
    specs = good + (list(_broken_specs(base, good)) if has_broken else [])
    for number in range(1, workers + 1):
        write_consent(landing, f"worker-{number:02d}", first_day=first_day)
    truths = _make_all(landing, truth, specs, processes or os.cpu_count() or 1, progress)
    if annotations is not None and session_pseudonym is not None:
        for spec, session in list(zip(specs, truths, strict=True))[: len(good) : 2]:
            path = annotations / session_pseudonym(spec.session_id) / "anna.csv"
            write_annotations(path, session.segments, spec.rng("anna"), annotator="anna")
    return truths


def write_consent(landing: Path, worker_id: str, *, first_day: date, consent_id: str | None = None) -> Path:
    """Writes a worker's consent record, valid from a month before `first_day` for two years; returns its path."""
    record_id = consent_id or f"consent-{worker_id}"
    valid_from = datetime.combine(first_day, time(), tzinfo=_INDIA) - timedelta(days=30)
    party = {
        "id": worker_id,
        "name": f"Demo {worker_id}",
        "address": "12 Example Road, Bengaluru",
        "contact": f"{worker_id}@example.org",
        "type": "data_principal",
    }
    record = {
        "schema_version": "1",
        "record_id": record_id,
        "principal_id": worker_id,
        "privacy_notice": "https://example.org/notice/v3",
        "language": "en-IN",
        "notice_version": "3",
        "purposes": ["robot_learning", "quality_assurance"],
        "pii_types": ["video", "motion"],
        "controllers": ["Harchive Demo Collective"],
        "storage_locations": ["IN"],
        "retention_period": "P5Y",
        "jurisdiction": "IN",
        "recipients": ["robotics_labs"],
        "withdrawal_method": "Tell any coordinator, or write to privacy@example.org",
        "valid_from": valid_from.isoformat(),
        "valid_until": (valid_from + timedelta(days=730)).isoformat(),
        "withdrawn_at": None,
        "party": party,
    }
    path = landing / "consents" / f"{record_id}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(json.dumps(record, indent=1) + "\n")
    partial.replace(path)
    return path


def _check_counts(**counts: int) -> None:
    for name, count in counts.items():
        if count < 1:
            raise SettingsError(
                f"{name} is {count}.", consequence="There is nothing to generate.", mend="Give at least 1."
            )


def _good_specs(base: SessionSpec, *, days: int, workers: int, sessions: int, first_day: date) -> Iterator[SessionSpec]:
    index = 0
    for day in (first_day + timedelta(days=d) for d in range(days)):
        for worker in range(1, workers + 1):
            for turn in range(sessions):
                yield replace(
                    base,
                    session_id=f"{_prefix(day, worker)}-{_letters(turn)}",
                    worker_id=f"worker-{worker:02d}",
                    collected_on=day,
                    started_at=_started_at(day, worker, turn),
                    task_id=None if index == _FREE_RECORDING else TASK_IDS[index % len(TASK_IDS)],
                    has_private=index == _PRIVATE,
                    has_glove=index == _GLOVED,
                    has_calibration=worker == _CALIBRATED,
                    imu_format=("csv", "parquet")[index % 2],
                    region=_REGIONS[(worker - 1) % len(_REGIONS)],
                    environment=_ENVIRONMENTS[index % len(_ENVIRONMENTS)],
                    serial=f"SN-7F3A-{worker:04d}",
                )
                index += 1


def _broken_specs(base: SessionSpec, good: list[SessionSpec]) -> Iterator[SessionSpec]:
    """One session of each kind, each with another worker-day's neighbours as far as there are any."""
    neighbours = list({spec.worker_day: spec for spec in good}.values())
    for number, kind in enumerate(Breakage):
        neighbour = neighbours[number % len(neighbours)]
        worker = int(neighbour.worker_id.removeprefix("worker-"))
        is_long = kind is Breakage.FOREIGN_IMU
        yield replace(
            neighbour,
            session_id=f"{_prefix(neighbour.collected_on, worker)}-x{number + 1}",
            started_at=_started_at(neighbour.collected_on, worker, 20 + number),
            task_id=neighbour.task_id or TASK_IDS[0],
            has_private=False,
            has_glove=False,
            imu_format="csv",
            duration_s=min(base.duration_s, _FOREIGN_IMU_S if is_long else _SHORT_S),
            broken=kind,
        )


def _prefix(day: date, worker: int) -> str:
    return f"s{day:%m%d}-w{worker:02d}"


def _letters(turn: int) -> str:
    """a, b, … z, then a1, b1, …: unique for any count."""
    return chr(ord("a") + turn % 26) + (str(turn // 26) if turn >= 26 else "")


def _started_at(day: date, worker: int, turn: int) -> datetime:
    return datetime.combine(day, time(9), tzinfo=_INDIA) + timedelta(minutes=7 * worker + 11 * turn)


def _make_all(
    landing: Path, truth: Path, specs: list[SessionSpec], processes: int, progress: Callable[[str], None]
) -> list[SessionTruth]:
    def gathered(made: Iterable[SessionTruth]) -> list[SessionTruth]:
        truths = []
        for number, session in enumerate(made, start=1):
            broken = f" ({session.broken})" if session.broken else ""
            progress(f"{number}/{len(specs)} {session.session_id}{broken}")
            truths.append(session)
        return truths

    jobs = ([landing] * len(specs), [truth] * len(specs), specs)
    if processes == 1 or len(specs) == 1:
        return gathered(map(_make_or_keep, *jobs))
    # Forking a process whose libraries already run threads may hang it; a new interpreter costs half a second.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(processes, len(specs)), context, initializer=_use_one_thread) as pool:
        return gathered(pool.map(_make_or_keep, *jobs))


def _use_one_thread() -> None:
    """There is one process per core already."""
    import cv2

    cv2.setNumThreads(1)


def _make_or_keep(landing: Path, truth: Path, spec: SessionSpec) -> SessionTruth:
    """The truth is written after the folder is in place, so its presence proves a whole session."""
    folder, truth_path = folder_of(landing, spec), _truth_path(truth, spec)
    if (folder / "manifest.json").is_file() and truth_path.is_file():
        known = SessionTruth.read(truth_path)
        if known.recipe_sha256 == spec.recipe_sha256:
            return known
    truth_path.unlink(missing_ok=True)
    session = make_session(folder, spec)
    session.write(truth)
    return session


def _truth_path(truth: Path, spec: SessionSpec) -> Path:
    return truth / spec.collected_on.isoformat() / spec.worker_id / f"{spec.session_id}.json"
