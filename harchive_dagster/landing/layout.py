"""Where uploads lie in a landing folder on disk, and which of them are whole. Names only; nothing is opened."""

import os
from dataclasses import dataclass
from datetime import date
from pathlib import Path, PurePosixPath

from harchive_dagster.errors import SettingsError
from harchive_dagster.landing.fields import is_identifier, parse_day
from harchive_dagster.worker_day import WorkerDay

MANIFEST_NAME = "manifest.json"
CONSENTS_FOLDER = "consents"

MAX_MANIFEST_BYTES = 8 * 2**20
"""A marker every second for a whole day is 5 MB."""


@dataclass(frozen=True)
class SessionListing:
    """The session folders of one worker-day, each group sorted by name.

    Attributes:
        complete: folders with a manifest, which uploaders write last.
        waiting: folders whose manifest has not arrived yet.
        ignored: names (escaped) that are not hidden and cannot be a session: somebody should look at them.
    """

    complete: tuple[Path, ...]
    waiting: tuple[Path, ...]
    ignored: tuple[str, ...] = ()


def worker_day_folder(landing: Path, worker_day: WorkerDay) -> Path:
    """The folder that holds all sessions of one worker-day."""
    return landing / worker_day.collected_on.isoformat() / worker_day.worker_id


def list_worker_days(landing: Path, *, since: date | None = None) -> list[WorkerDay]:
    """All worker-days that have a folder, sorted; days before `since` are not even opened.

    Looks at two levels of names only. A worker-day may hold nothing but waiting sessions: `list_sessions` tells.
    Linked folders are passed over, because a link can lead into somebody else's upload.

    Raises:
        SettingsError: the landing folder does not exist or cannot be read.
    """
    return [
        WorkerDay(day, worker)
        for day in list_days(landing)
        if since is None or day >= since
        for worker in identified_folders(landing / day.isoformat())
    ]


def list_days(landing: Path) -> list[date]:
    """All days that have a folder, sorted.

    Raises:
        SettingsError: the landing folder does not exist or cannot be read.
    """
    try:
        return sorted(day for name in _folder_names(landing) if (day := parse_day(name)) is not None)
    except OSError as error:
        raise SettingsError(
            f"landing folder {str(landing)!r} cannot be read: {error.strerror}.",
            consequence="No upload can be found.",
            mend="Set the landing path to the folder that uploads arrive in.",
        ) from None


def identified_folders(folder: Path) -> list[str]:
    """Names of the folders directly inside one that can be workers or sessions, sorted; none where it is not there."""
    try:
        return sorted(filter(is_identifier, _folder_names(folder)))
    except OSError:  # not there, no folder, or not ours to read: one such folder must not hide the others
        return []


def list_sessions(landing: Path, worker_day: WorkerDay) -> SessionListing:
    """The sessions of one worker-day; empty where it has no folder."""
    folder = worker_day_folder(landing, worker_day)
    complete: list[Path] = []
    waiting: list[Path] = []
    for name in identified_folders(folder):
        session = folder / name
        # lexists: a manifest that is a dangling link has arrived, and must be refused rather than awaited.
        (complete if os.path.lexists(session / MANIFEST_NAME) else waiting).append(session)
    known = {session.name for session in (*complete, *waiting)}
    ignored = sorted(ascii(name) for name in _visible_names(folder) if name not in known)
    return SessionListing(tuple(complete), tuple(waiting), tuple(ignored))


def link_on_path(session_folder: Path, relative: str) -> str | None:
    """The first part of a file's path inside the session's folder that is a link; None where there is none."""
    place = session_folder
    for part in PurePosixPath(relative).parts:
        place = place / part
        try:
            is_link = place.is_symlink()
        except OSError:  # cannot be looked up, and so not opened either; whoever tries hears why
            return None
        if is_link:
            return place.relative_to(session_folder).as_posix()
    return None


def _folder_names(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return [e.name for e in entries if not e.name.startswith(".") and e.is_dir(follow_symlinks=False)]


def _visible_names(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir() if not path.name.startswith(".")]
    except (FileNotFoundError, NotADirectoryError):
        return []
