"""The unit of work: all sessions that one worker uploaded for one local calendar day. No I/O, no Dagster."""

import re
from dataclasses import dataclass
from datetime import date

from harchive_dagster.errors import SettingsError

IDENTIFIER_PATTERN = r"[a-z0-9][a-z0-9_-]{1,63}"
"""Worker and session ids; also what Delta partition values are safe with (delta-rs #3939)."""

_IDENTIFIER = re.compile(IDENTIFIER_PATTERN)


@dataclass(frozen=True, order=True)
class WorkerDay:
    """One worker, one local day.

    Raises:
        SettingsError: when the worker id is not an identifier.
    """

    collected_on: date
    worker_id: str

    def __post_init__(self) -> None:
        if not _IDENTIFIER.fullmatch(self.worker_id):
            raise SettingsError(
                f"worker id {self.worker_id!r} is not of the form {IDENTIFIER_PATTERN}.",
                consequence="No worker-day can be addressed by it.",
                mend="Use lower-case letters, digits, '-' and '_', 2 to 64 characters.",
            )

    def __str__(self) -> str:
        return f"{self.collected_on.isoformat()}|{self.worker_id}"
