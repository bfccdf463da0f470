"""The local copy of what is being worked on of a remote landing. Whether they are whole: `integrity`.

The copy has the landing's own layout, so that every stage reads plain files. Files are hashed as they arrive, and go
when the worker-day is through or a week old.
"""

import errno
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from harchive_dagster.errors import SessionRejectedError, SettingsError, StoreError
from harchive_dagster.landing.layout import (
    CONSENTS_FOLDER,
    MANIFEST_NAME,
    MAX_MANIFEST_BYTES,
    identified_folders,
    list_worker_days,
    worker_day_folder,
)
from harchive_dagster.landing.listing import LocalUploads, RemoteUploads
from harchive_dagster.landing.manifest import Manifest, ManifestFile, read_manifest
from harchive_dagster.landing.object_store import ObjectStore, Stored
from harchive_dagster.landing.occupancy import occupy, vacate
from harchive_dagster.worker_day import WorkerDay

_STATE_FOLDER = ".state"
_PARTIAL_FOLDER = ".partial"
_KEPT_S = 7 * 24 * 3600
"""A worker-day whose runs failed is fetched again after a week; until then a new run finds its files here."""
_SPARE_BYTES = 2**30
"""Left free on the spool's disk: a full one would stop every other run as well."""


@dataclass(frozen=True)
class Mirror:
    """A remote landing and the folder that mirrors a part of it.

    Attributes:
        store: the landing.
        folder: gets `<day>/<worker>/<session>/` and `consents/`, and `.state/` for what is known of fetched files.
    """

    store: ObjectStore
    folder: Path

    def bring_worker_day(self, worker_day: WorkerDay) -> None:
        """Mirror a worker-day's manifests and the consents they name; sessions that are gone go here too.

        Raises:
            StoreError: the landing cannot be read.
            SettingsError: the spool cannot be written.
        """
        remote = RemoteUploads(self.store).sessions(worker_day.collected_on, worker_day.worker_id)
        folder = worker_day_folder(self.folder, worker_day)
        with self._writing():
            self._drop_old(worker_day)
            occupy(self._state(worker_day))
            for gone in set(identified_folders(folder)) - {session for _, session in remote}:
                shutil.rmtree(folder / gone)
                self._record_file(folder / gone / MANIFEST_NAME).unlink(missing_ok=True)
            for (_, session), stamp in remote.items():
                (folder / session).mkdir(parents=True, exist_ok=True)
                manifest = folder / session / MANIFEST_NAME
                if stamp:
                    self._copy_small(manifest)
                else:
                    manifest.unlink(missing_ok=True)
        manifests = [f"{worker_day.collected_on}/{worker}/{name}/{MANIFEST_NAME}" for worker, name in remote]
        for consent_id in {content.consent_id for content in LocalUploads(self.folder).read(manifests)} - {""}:
            self.bring_consent(consent_id)

    def bring_consent(self, consent_id: str) -> None:
        """Mirror one consent record; one that is gone goes here too.

        Raises:
            StoreError, SettingsError: see `bring_worker_day`.
        """
        with self._writing():
            self._copy_small(self.folder / CONSENTS_FOLDER / f"{consent_id}.json")

    def bring_consents(self) -> None:
        """Mirror every consent record.

        Raises:
            StoreError, SettingsError: see `bring_worker_day`.
        """
        remote = set(RemoteUploads(self.store).consents())
        for consent_id in remote | set(LocalUploads(self.folder).consents()):
            self.bring_consent(consent_id)

    def bring_session(self, worker_day: WorkerDay, session_id: str, *, is_intake: bool) -> Path:
        """Fetch the files that a session's manifest declares, those that are not here yet.

        Args:
            worker_day: which one; `bring_worker_day` must have mirrored it.
            session_id: a session of it. One whose manifest cannot be relied on is left as it is.
            is_intake: ask the landing for every file whether it was replaced, and leave out what is missing there, for
                the checks to find; else what was taken in is taken as settled.

        Returns:
            The session's folder here.

        Raises:
            StoreError: the landing cannot be read; or a file is not what it was at intake.
            SettingsError: the spool cannot be written or has too little room.
        """
        folder = worker_day_folder(self.folder, worker_day) / session_id
        with self._writing():
            occupy(self._state(worker_day))
            if not is_intake and not (folder / MANIFEST_NAME).exists():
                self._copy_small(folder / MANIFEST_NAME)
            try:
                manifest = read_manifest(folder)
            except SessionRejectedError:  # whoever reads it next says what is wrong with it
                return folder
            self._bring_files(folder, manifest, is_intake=is_intake)
        return folder

    def let_go(self, worker_day: WorkerDay) -> None:
        """Remove a worker-day's files, unless another run is at work on them.

        Raises:
            SettingsError: the spool cannot be written.
        """
        with self._writing(), vacate(self._state(worker_day)) as is_vacant:
            if is_vacant:
                shutil.rmtree(worker_day_folder(self.folder, worker_day), ignore_errors=True)

    def fetched_digest(self, path: Path) -> str | None:
        """The SHA-256 (hex) that a file had as it arrived; None where it was not fetched, or changed since."""
        record = self._records(path).get(self._key(path))
        return record["sha256"] if record and record["local"] == _local_stamp(path) else None

    def _bring_files(self, folder: Path, manifest: Manifest, *, is_intake: bool) -> None:
        for file in {file.path: file for file in manifest.files}.values():
            path = folder / file.path
            if is_intake or self.fetched_digest(path) != file.sha256:
                # Two files of which one lies where the other's folder would be: at most one of them can be there.
                with suppress(FileExistsError, NotADirectoryError, IsADirectoryError):
                    self._bring_file(path, file, self.store.stat(self._key(path)))
            if not is_intake and self.fetched_digest(path) != file.sha256:
                raise StoreError(
                    f"File {file.path!r} of {folder.name} is no longer in the landing as it was taken in.",
                    consequence="Nothing was written: this stage would mix two versions of the upload.",
                    mend="Materialize the whole worker-day again, which takes in what lies there now.",
                )

    def _bring_file(self, path: Path, file: ManifestFile, stored: Stored | None) -> None:
        records = self._records(path)
        known = records.get(self._key(path))
        if stored and known and known["remote"] == stored.stamp and known["local"] == _local_stamp(path):
            return
        if stored is None:
            path.unlink(missing_ok=True)
            return
        if stored.size_bytes != file.bytes:
            _stand_in(path, stored.size_bytes)
            return
        self._require_room(stored.size_bytes, path)
        with self._replacing(path) as partial:
            sha256 = self.store.fetch(self._key(path), stored, partial)
        records[self._key(path)] = {"remote": stored.stamp, "local": _local_stamp(path), "sha256": sha256}
        with self._replacing(self._record_file(path)) as partial:
            partial.write(json.dumps(records).encode())

    def _copy_small(self, path: Path) -> None:
        (found,) = self.store.read_small(
            [self._key(path)], max_bytes=MAX_MANIFEST_BYTES, keep=lambda raw, size_bytes: (raw, size_bytes)
        )
        if found is None:
            path.unlink(missing_ok=True)
        elif found[1] > MAX_MANIFEST_BYTES:
            _stand_in(path, found[1])
        else:
            with self._replacing(path) as partial:
                partial.write(found[0])

    def _drop_old(self, wanted: WorkerDay) -> None:
        for worker_day in list_worker_days(self.folder) if self.folder.is_dir() else []:
            state = self._state(worker_day)
            age_s = time.time() - state.stat().st_mtime if state.is_dir() else _KEPT_S
            if worker_day != wanted and age_s >= _KEPT_S:
                self.let_go(worker_day)
        for partial in self.folder.glob(f"{_PARTIAL_FOLDER}/*"):  # of processes that were killed while fetching
            with suppress(FileNotFoundError):  # whole meanwhile, and in its place
                if time.time() - partial.stat().st_mtime >= _KEPT_S:
                    partial.unlink()

    @contextmanager
    def _replacing(self, path: Path) -> Iterator[IO[bytes]]:
        """A file that takes a path's place once it is whole. It grows in a folder that no upload can name a file in."""
        path.parent.mkdir(parents=True, exist_ok=True)
        growing = self.folder / _PARTIAL_FOLDER
        growing.mkdir(exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=growing, delete=False) as file:
            try:
                yield file
            except BaseException:
                Path(file.name).unlink()
                raise
        Path(file.name).replace(path)

    def _require_room(self, size_bytes: int, path: Path) -> None:
        free_bytes = shutil.disk_usage(self.folder).free
        if size_bytes + _SPARE_BYTES > free_bytes:
            room = f"{free_bytes / 2**30:.1f} GB free, and {path.name!r} takes {size_bytes / 2**30:.1f}"
            raise SettingsError(
                f"HARCHIVE_SPOOL has {room}.",
                consequence="The worker-day cannot be fetched; nothing was written.",
                mend="Free space there, or set HARCHIVE_SPOOL to a larger disk.",
            )

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise SettingsError(
                f"HARCHIVE_SPOOL cannot be used: {error.strerror}.",
                consequence="What lies in the object store cannot be fetched; nothing was written.",
                mend="Set it to a folder that can be written, with room for the worker-days of one night.",
            ) from None

    def _key(self, path: Path) -> str:
        """A file's key in the landing: its path here, which is laid out alike."""
        return path.relative_to(self.folder).as_posix()

    def _state(self, worker_day: WorkerDay) -> Path:
        return worker_day_folder(self.folder / _STATE_FOLDER, worker_day)

    def _record_file(self, path: Path) -> Path:
        """Where it is kept what is known of a session's fetched files, one of which is at `path`."""
        day, worker, session = path.relative_to(self.folder).parts[:3]
        return self.folder / _STATE_FOLDER / day / worker / f"{session}.json"

    def _records(self, path: Path) -> dict[str, Any]:
        try:
            document: dict[str, Any] = json.loads(self._record_file(path).read_bytes())
        except (FileNotFoundError, ValueError):  # not fetched yet, or cut short by a crash: it is fetched again
            return {}
        return document


def _local_stamp(path: Path) -> str:
    try:
        status = path.lstat()
    except OSError:
        return ""
    return f"{status.st_size}-{status.st_mtime_ns}"


def _stand_in(path: Path, size_bytes: int) -> None:
    """An empty file of the size that the landing's has, which alone decides that it is refused: nothing is fetched."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.touch()
    try:
        os.truncate(path, size_bytes)
    except OSError as error:
        if error.errno != errno.EFBIG:
            raise
        path.unlink()  # larger than any file can be here: then it is missing, which is refused as well
