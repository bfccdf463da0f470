"""Which uploads a folder holds, and what is passed over there. What is wrong with an upload is for `upload_check`."""

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path

from harchive_dagster.errors import SettingsError
from harchive_dagster.landing.fields import is_identifier, parse_day
from harchive_dagster.landing.layout import (
    CONSENTS_FOLDER,
    MANIFEST_NAME,
    list_sessions,
    list_worker_days,
    worker_day_folder,
)
from harchive_dagster.landing.upload_check import UploadReport, check_session, elsewhere, upload_name
from harchive_dagster.reasons import Reason
from harchive_dagster.worker_day import WorkerDay


def check_uploads(path: Path, *, known_tasks: Collection[str], max_bytes: int, now: datetime) -> Iterator[UploadReport]:
    """Check one session's folder, all of a worker's day, or a whole landing folder, one upload at a time.

    Args:
        path: any of these folders.
        known_tasks: ids of the task catalogue.
        max_bytes: what the files of one session may come to.
        now: aware; the time that consent must hold at.

    Raises:
        SettingsError: there is no such folder.
    """
    place = path.resolve()
    if not place.is_dir():
        raise SettingsError(
            f"{str(path)!a} is not a folder.", consequence="Nothing was checked.", mend="Name a folder of uploads."
        )
    first_with: dict[str, str] = {}
    for report in _check(place, partial(check_session, known_tasks=known_tasks, max_bytes=max_bytes, now=now)):
        if report.video_sha256:
            first = first_with.setdefault(report.video_sha256, report.name)
            if first != report.name:
                report.refuse(Reason.DUPLICATE_SESSION, f"{first} has the same video.", "Remove one of them.")
        yield report


def _check(place: Path, check: Callable[..., UploadReport]) -> Iterator[UploadReport]:
    if (day := parse_day(place.parent.parent.name)) and is_identifier(place.parent.name):
        landing, worker_day = place.parents[2], WorkerDay(day, place.parent.name)
        yield check(landing, place, others=elsewhere(landing, worker_day, place.name))
    elif os.path.lexists(place / MANIFEST_NAME):  # not where it belongs, as its manifest will say
        yield check(place.parents[min(3, len(place.parents)) - 1], place, others=())
    elif (day := parse_day(place.parent.name)) and is_identifier(place.name):
        landing, worker_day = place.parents[1], WorkerDay(day, place.name)
        yield from _check_worker_day(landing, worker_day, partial(elsewhere, landing, worker_day), check)
    else:
        is_one_day = parse_day(place.name) is not None
        yield from _check_landing(place.parent if is_one_day else place, place.name if is_one_day else None, check)


def _check_landing(landing: Path, only_day: str | None, check: Callable[..., UploadReport]) -> Iterator[UploadReport]:
    if only_day is None:
        yield from _passed_over(landing, lambda name: bool(parse_day(name)) or name == CONSENTS_FOLDER, "a day")
    # Once for all sessions: asking for each alone would look into every folder as often as there are sessions.
    homes: dict[str, list[WorkerDay]] = {}
    for worker_day in list_worker_days(landing):
        listing = list_sessions(landing, worker_day)
        for session in (*listing.complete, *listing.waiting):
            homes.setdefault(session.name, []).append(worker_day)
    worker_days = [one for one in list_worker_days(landing) if only_day in (None, one.collected_on.isoformat())]
    for day in sorted({one.collected_on for one in worker_days}):
        yield from _passed_over(landing / day.isoformat(), is_identifier, "a worker's id")
    for worker_day in worker_days:
        yield from _check_worker_day(landing, worker_day, partial(_other_homes, homes, worker_day), check)


def _other_homes(homes: Mapping[str, list[WorkerDay]], mine: WorkerDay, session_id: str) -> list[WorkerDay]:
    return [other for other in homes[session_id] if other != mine]


def _check_worker_day(
    landing: Path,
    worker_day: WorkerDay,
    others_of: Callable[[str], list[WorkerDay]],
    check: Callable[..., UploadReport],
) -> Iterator[UploadReport]:
    yield from _passed_over(worker_day_folder(landing, worker_day), is_identifier, "a session's id")
    listing = list_sessions(landing, worker_day)
    for session in listing.waiting:
        report = UploadReport(upload_name(session))
        report.suspicions.append(f"it is still arriving: there is no {MANIFEST_NAME} yet")
        yield report
    for session in listing.complete:
        yield check(landing, session, others=others_of(session.name))


def _passed_over(folder: Path, is_good: Callable[[str], bool], expected: str) -> Iterator[UploadReport]:
    for entry in sorted(folder.iterdir()):
        if not entry.name.startswith(".") and (not is_good(entry.name) or entry.is_symlink()):
            report = UploadReport(ascii(entry.name)[1:-1])
            report.problems.append(f"it is passed over: a folder here must be named as {expected}, and be no link.")
            yield report
