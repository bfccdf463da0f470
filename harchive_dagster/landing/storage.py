"""Where uploads and annotators' files arrive, and how a stage gets at one session's files."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Self

from harchive_dagster.errors import SessionRejectedError
from harchive_dagster.landing.layout import list_sessions, worker_day_folder
from harchive_dagster.landing.listing import LocalUploads, RemoteUploads, Uploads
from harchive_dagster.landing.manifest import read_manifest
from harchive_dagster.landing.mirror import Mirror
from harchive_dagster.landing.object_store import ObjectStore
from harchive_dagster.privacy.consent import check_consent, read_consent
from harchive_dagster.worker_day import WorkerDay


@dataclass(frozen=True)
class Landing:
    """Where uploads and annotators' files arrive. Nothing is brought here, nor let go, of a landing on this machine.

    Attributes:
        uploads: holds `<day>/<worker>/<session>/` and `consents/`; of a remote landing, what was brought here of it.
        annotations: holds one folder per session pseudonym.
        max_session_bytes: what the files of one session may come to.
        mirror: brings a remote landing's files to `uploads`; None where they arrive there.
    """

    uploads: Path
    annotations: Path
    max_session_bytes: int = 200 * 10**9
    mirror: Mirror | None = None

    @classmethod
    def at(cls, place: str, annotations: Path, max_session_bytes: int, *, spool: Path) -> Self:
        """A landing in a local folder or behind a URL.

        Args:
            place: what `Settings.landing_place` holds.
            annotations: a local folder.
            max_session_bytes: see the attribute.
            spool: gets a folder for what is being worked on of a remote landing; not made for a local one.
        """
        if "://" not in place:
            return cls(Path(place), annotations, max_session_bytes)
        # A folder for each landing: the same session in two of them must not pass for one.
        folder = spool / hashlib.sha256(place.encode()).hexdigest()[:16]
        return cls(folder, annotations, max_session_bytes, Mirror(ObjectStore(place), folder))

    @property
    def listing(self) -> Uploads:
        """What lies in the landing itself, wherever it is; nothing is brought here for it."""
        return RemoteUploads(self.mirror.store) if self.mirror else LocalUploads(self.uploads)

    def bring_worker_day(self, worker_day: WorkerDay, *, now: datetime) -> None:
        """Have a worker-day in `uploads` as it is now: manifests, consents, and the files of what consent may cover.

        What is recorded without a consent that holds is not even fetched.

        Raises:
            StoreError: the landing cannot be read, which is no session's fault.
            SettingsError: the spool cannot take it.
        """
        if self.mirror is None:
            return
        self.mirror.bring_worker_day(worker_day)
        for folder in list_sessions(self.uploads, worker_day).complete:
            if self._is_wanted(folder, now):
                self.mirror.bring_session(worker_day, folder.name, is_intake=True)

    def bring_consents(self) -> None:
        """Have every consent record in `uploads`.

        Raises:
            StoreError, SettingsError: see `bring_worker_day`.
        """
        if self.mirror is not None:
            self.mirror.bring_consents()

    def let_go(self, worker_day: WorkerDay) -> None:
        """Remove what was brought here of a worker-day that is through; no recording stays beside the landing.

        Raises:
            SettingsError: the spool cannot be written.
        """
        if self.mirror is not None:
            self.mirror.let_go(worker_day)

    def session_folder(self, worker_day: WorkerDay, session_id: str) -> Path:
        """Where one session's files lie, once they are there.

        Raises:
            StoreError, SettingsError: see `bring_worker_day`.
        """
        if self.mirror is not None:
            return self.mirror.bring_session(worker_day, session_id, is_intake=False)
        return worker_day_folder(self.uploads, worker_day) / session_id

    def fetched_digest(self, path: Path) -> str | None:
        """The SHA-256 (hex) that a file had as it was fetched, so that proving it takes no second pass; else None."""
        return self.mirror.fetched_digest(path) if self.mirror else None

    def _is_wanted(self, folder: Path, now: datetime) -> bool:
        """Whether a session may go on as far as its manifest tells; if not, intake finds and reports the same."""
        try:
            manifest = read_manifest(folder)
            check_consent(
                read_consent(self.uploads, manifest.consent_id),
                worker_id=manifest.worker_id,
                started_at=manifest.started_at,
                ended_at=manifest.started_at,
                country=manifest.site.country,
                now=now,
            )
        except SessionRejectedError:
            return False
        # One file may be declared for several streams.
        return sum({file.path: file.bytes for file in manifest.files}.values()) <= self.max_session_bytes
