"""What lies in a landing, on disk or in an object store: days, sessions and consents with stamps; contents as digests.

A stamp changes whenever a manifest or consent is written, and costs no reading. What arrivals mean is in `arrivals`.
"""

import hashlib
import json
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Protocol

from harchive_dagster.errors import SettingsError
from harchive_dagster.landing.fields import is_identifier, parse_day
from harchive_dagster.landing.layout import (
    CONSENTS_FOLDER,
    MANIFEST_NAME,
    MAX_MANIFEST_BYTES,
    identified_folders,
    list_days,
)
from harchive_dagster.landing.object_store import ObjectStore, UnlistableError

Sessions = Mapping[tuple[str, str], str]
"""The manifest's stamp by (worker id, session id); empty while the manifest has not arrived."""


@dataclass(frozen=True)
class Content:
    """What is kept of a manifest or consent that was read.

    Attributes:
        digest: SHA-256 as hex; empty for what cannot be read, which reading the session then reports properly.
        consent_id: the consent that it names; empty where it names none.
    """

    digest: str = ""
    consent_id: str = ""


class Uploads(Protocol):
    """A landing as something to be listed. Paths are relative to it, with '/' between their parts.

    Every method raises SettingsError or StoreError where the landing itself cannot be read.
    """

    def days(self) -> list[date]:
        """Days that have uploads, sorted."""
        ...

    def sessions(self, day: date, worker_id: str | None = None) -> Sessions:
        """The sessions of a day, or of one worker on it."""
        ...

    def consents(self) -> Mapping[str, str]:
        """The stamp of every consent record, by its id."""
        ...

    def read(self, paths: Sequence[str]) -> list[Content]:
        """The content of manifests and consents."""
        ...


@dataclass(frozen=True)
class LocalUploads:
    """A landing folder on disk."""

    root: Path

    def days(self) -> list[date]:
        """See `Uploads`."""
        return list_days(self.root)

    def sessions(self, day: date, worker_id: str | None = None) -> Sessions:
        """See `Uploads`."""
        folder = self.root / day.isoformat()
        return {
            (worker, session): _file_stamp(folder / worker / session / MANIFEST_NAME)
            for worker in ([worker_id] if worker_id else identified_folders(folder))
            for session in identified_folders(folder / worker)
        }

    def consents(self) -> Mapping[str, str]:
        """See `Uploads`."""
        files = (self.root / CONSENTS_FOLDER).glob("*.json")
        return {file.stem: _file_stamp(file) for file in files if is_identifier(file.stem)}

    def read(self, paths: Sequence[str]) -> list[Content]:
        """See `Uploads`."""
        return [self._read(self.root / path) for path in paths]

    def _read(self, path: Path) -> Content:
        try:
            status = path.lstat()
            if not stat.S_ISREG(status.st_mode):
                return Content()
            raw = path.read_bytes() if status.st_size <= MAX_MANIFEST_BYTES else b""
        except OSError:
            return Content()
        return _content(raw, status.st_size)


@dataclass(frozen=True)
class RemoteUploads:
    """A landing in an object store."""

    store: ObjectStore

    def days(self) -> list[date]:
        """See `Uploads`."""
        names = self.store.folders()
        if not names:
            # A prefix that does not exist looks just like one that lost everything: that must not empty the tables.
            raise SettingsError(
                f"Nothing lies beneath {self.store.url}.",
                consequence="No upload can be found.",
                mend="Set HARCHIVE_LANDING to the prefix that uploads arrive beneath; the first upload ends this.",
            )
        return sorted(day for name in names if (day := parse_day(name)) is not None)

    def sessions(self, day: date, worker_id: str | None = None) -> Sessions:
        """See `Uploads`."""
        prefix = day.isoformat()
        try:
            return dict(self._sessions(f"{prefix}/{worker_id}" if worker_id else prefix))
        except UnlistableError:  # one odd key must not hide the neighbours of the worker that it belongs to
            workers = [worker_id] if worker_id else filter(is_identifier, self.store.folders(prefix))
            return {key: stamp for worker in workers for key, stamp in self._one_by_one(f"{prefix}/{worker}")}

    def consents(self) -> Mapping[str, str]:
        """See `Uploads`."""
        found = ((key.split("/"), stored.stamp) for key, stored in self.store.objects(CONSENTS_FOLDER))
        return {
            parts[1].removesuffix(".json"): stamp
            for parts, stamp in found
            if len(parts) == 2 and parts[1].endswith(".json") and is_identifier(parts[1].removesuffix(".json"))
        }

    def read(self, paths: Sequence[str]) -> list[Content]:
        """See `Uploads`."""
        read = self.store.read_small(paths, max_bytes=MAX_MANIFEST_BYTES, keep=_content)
        return [content or Content() for content in read]

    def _sessions(self, prefix: str) -> Iterator[tuple[tuple[str, str], str]]:
        waiting, complete = {}, {}
        for key, stored in self.store.objects(prefix):
            _, worker, session, *rest = *key.split("/"), "", ""
            if is_identifier(worker) and is_identifier(session):
                waiting[worker, session] = ""
                if rest[:2] == [MANIFEST_NAME, ""]:
                    complete[worker, session] = stored.stamp
        yield from (waiting | complete).items()

    def _one_by_one(self, prefix: str) -> Iterator[tuple[tuple[str, str], str]]:
        try:
            yield from self._sessions(prefix)
        except UnlistableError:
            worker = prefix.rpartition("/")[2]
            for session in filter(is_identifier, self.store.folders(prefix)):
                manifest = self.store.stat(f"{prefix}/{session}/{MANIFEST_NAME}")
                yield (worker, session), manifest.stamp if manifest else ""


def _file_stamp(path: Path) -> str:
    try:
        status = path.lstat()  # a manifest that is a link has arrived, and must be refused rather than awaited
    except OSError:
        return ""
    # The change time too: a copy can carry over size and modification time of what it replaces.
    return f"{status.st_size}-{status.st_mtime_ns}-{status.st_ctime_ns}"


def _content(raw: bytes, size_bytes: int) -> Content:
    """What is too large to be a manifest is refused by whoever reads it; its size is enough to tell it from another."""
    if size_bytes > MAX_MANIFEST_BYTES:
        return Content(hashlib.sha256(f"{size_bytes} bytes".encode()).hexdigest())
    return Content(hashlib.sha256(raw).hexdigest(), _consent_id(raw))


def _consent_id(raw: bytes) -> str:
    try:
        document = json.loads(raw.decode())
    except (ValueError, RecursionError):
        return ""
    consent_id = document.get("consent_id") if isinstance(document, dict) else None
    return consent_id if isinstance(consent_id, str) and is_identifier(consent_id) else ""
