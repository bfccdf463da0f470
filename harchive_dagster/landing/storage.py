"""Where uploads and annotators' files arrive, and how a stage gets at one session's files."""

from dataclasses import dataclass
from pathlib import Path

from harchive_dagster.landing.layout import worker_day_folder
from harchive_dagster.worker_day import WorkerDay


@dataclass(frozen=True)
class Landing:
    """Where uploads and annotators' files arrive.

    Attributes:
        uploads: holds `<day>/<worker>/<session>/` and `consents/`.
        annotations: holds one folder per session pseudonym.
    """

    uploads: Path
    annotations: Path

    def session_folder(self, worker_day: WorkerDay, session_id: str) -> Path:
        """Where one session's files lie."""
        return worker_day_folder(self.uploads, worker_day) / session_id
