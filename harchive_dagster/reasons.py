"""The enumerated reason codes of the quarantine table. What each code means to a person; nothing that acts on them."""

from enum import StrEnum
from typing import Self


class Reason(StrEnum):
    """Why a session was set aside: the code, what it means, what helps. The table in docs/operations.md says the same.

    Codes are part of the data contract: add, never rename.
    """

    meaning: str
    mend: str

    # The empty texts are for type checkers alone, which take a look-up such as Reason("file_missing") for a call of it.
    def __new__(cls, code: str, meaning: str = "", mend: str = "") -> Self:
        """A member from its three parts; its value is the code alone."""
        reason = str.__new__(cls, code)
        reason._value_, reason.meaning, reason.mend = code, meaning, mend
        return reason

    MANIFEST_INVALID = (
        "manifest_invalid",
        "the manifest breaks its schema or contradicts its folder; the detail lists everything wrong",
        "a corrected upload",
    )
    FILE_MISSING = "file_missing", "a declared file is not there, or is a link", "upload again"
    CHECKSUM_MISMATCH = "checksum_mismatch", "a file is not the one that was hashed", "upload again"
    FILE_TOO_LARGE = (
        "file_too_large",
        "the files of a session come to more than `HARCHIVE_MAX_SESSION_GB`",
        "split the recording, or raise the limit",
    )
    DUPLICATE_SESSION = (
        "duplicate_session",
        "the session id was taken in for another worker-day before, or its video under another id",
        "an id of its own, or remove the copy",
    )
    TASK_UNKNOWN = "task_unknown", "the task is not in the catalogue", "add it, or correct the manifest"
    CONSENT_MISSING = (
        "consent_missing",
        "there is no consent record of that id",
        "file the record, then run the worker-day again",
    )
    CONSENT_INVALID = (
        "consent_invalid",
        "the record lacks fields, is another person's, or does not cover time, place or purpose",
        "a valid record",
    )
    CONSENT_WITHDRAWN = "consent_withdrawn", "the worker withdrew it", "nothing: honour it"
    VIDEO_UNREADABLE = "video_unreadable", "no container, no video track, or damaged pictures", "upload again"
    VIDEO_TRUNCATED = "video_truncated", "fewer frames can be read than the container declares", "upload again"
    LENS_COVERED = "lens_covered", "most of the picture has no texture for most of the time", "tell the worker"
    ARCHIVE_UNSAFE = (
        "archive_unsafe",
        "a zip archive has links, encryption, repeated or foreign names, or unpacks to too much",
        "pack it again, plainly",
    )
    SENSOR_UNREADABLE = (
        "sensor_unreadable",
        "a sensor or calibration file cannot be parsed, or holds no finite numbers",
        "export again",
    )
    READER_NOT_INSTALLED = (
        "reader_not_installed",
        "the file's format needs a library that is an extra to install",
        "the command in the message",
    )
    SENSOR_NOT_MONOTONIC = "sensor_not_monotonic", "device time goes back", "export again"
    SENSOR_IMPLAUSIBLE = (
        "sensor_implausible",
        "rate, units, axes or lens cannot be what was declared",
        "check the rig's entry",
    )
    SENSOR_MISSING = "sensor_missing", "the upload has no inertial stream", "check the device"
    SYNC_UNKNOWN = (
        "sync_unknown",
        "gyro and picture do not show the same motion, or too little of it",
        "check that the files belong together",
    )
    SYNC_OUT_OF_LIMITS = (
        "sync_out_of_limits",
        "aligned, but with a drift or residual outside the limits",
        "look at the sync picture",
    )
    NOT_ANONYMIZABLE = (
        "not_anonymizable",
        "detection, rendering or audit could not be completed or proven",
        "look at the check's figures",
    )
    AUDIT_FOUND_FACES = (
        "audit_found_faces",
        "the audit still saw somebody in the rendered file",
        "hide what was seen with `harchive redact add`",
    )
    ANNOTATION_INVALID = (
        "annotation_invalid",
        "annotators' labels lie outside the recording or on no known layer",
        "mend the file",
    )
    LABELS_DISPUTED = (
        "labels_disputed",
        "annotators agree less than the task asks",
        "see `harchive disagreements`, and have them settled",
    )
    NO_EPISODE = "no_episode", "no span is long, visible and active enough", "look at markers and segments"
    UNEXPECTED_ERROR = "unexpected_error", "something nobody foresaw; the run log holds the traceback", "report it"
    EXPECTATION_FAILED = (
        "expectation_failed",
        "another rule of the stage's suite; the row names it",
        "see the suite's page in the Data Docs",
    )
