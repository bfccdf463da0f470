"""The one family of errors. Every message names the culprit, the consequence and the mend. No logic beyond that."""

from collections.abc import Mapping
from typing import Any

from harchive_dagster.reasons import Reason


class HarchiveError(Exception):
    """Base of everything this package raises on purpose.

    Args:
        culprit: what is wrong, with its name and value.
        consequence: what follows from it ("nothing was written", "the session is quarantined").
        mend: what a person can do.
    """

    def __init__(self, culprit: str, *, consequence: str, mend: str) -> None:
        super().__init__(f"{culprit} {consequence} {mend}")
        self.culprit = culprit
        self.consequence = consequence
        self.mend = mend


class SettingsError(HarchiveError):
    """A setting is missing or cannot be used."""


class StoreError(HarchiveError):
    """The object store that uploads arrive in does not answer; no upload is at fault."""


class LakeError(HarchiveError):
    """A table is missing, or does not fit its contract."""


class EvaluationError(HarchiveError):
    """Predictions cannot be compared with the truth."""


class AnnotationFileError(HarchiveError):
    """What an annotator sent cannot be filed under its session."""


class SessionRejectedError(HarchiveError):
    """One session cannot go on: it is moved to quarantine and its neighbours are not affected.

    Args:
        reason: the enumerated code.
        detail: one human sentence that names the culprit and its value.
        mend: what a person can do about it.
        evidence: small JSON-ready facts for the engineer.
    """

    def __init__(self, reason: Reason, detail: str, *, mend: str, evidence: Mapping[str, Any] | None = None) -> None:
        super().__init__(detail, consequence="The session is quarantined.", mend=mend)
        self.reason = reason
        self.detail = detail
        self.evidence = dict(evidence or {})


class UnexpectedError(SessionRejectedError):
    """Something that nobody foresaw went wrong with one session; its neighbours and withdrawals must still go on."""

    def __init__(self, error: Exception) -> None:
        super().__init__(
            Reason.UNEXPECTED_ERROR,
            f"{type(error).__name__}: {str(error)[:300]}.",
            mend="Report it with the run's log; running the worker-day again after a fix takes the session in.",
            evidence={"error": type(error).__name__},
        )


class LandingError(SessionRejectedError):
    """An upload is not what its manifest says, or cannot be read."""


class ConsentError(SessionRejectedError):
    """No valid consent covers a recording."""


class RecordingError(SessionRejectedError):
    """A video cannot be decoded, or shows nothing usable."""


class SyncError(SessionRejectedError):
    """A sensor stream could not be put on the camera's clock."""


class PrivacyError(SessionRejectedError):
    """A session could not be anonymized, or its audit found something left."""


class LabelError(SessionRejectedError):
    """Labels of a session contradict the recording or the taxonomy."""
