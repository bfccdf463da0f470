"""The enumerated reason codes of the quarantine table. What each code means to a person; nothing that acts on them."""

from enum import StrEnum


class Reason(StrEnum):
    """Why a session was set aside. Values are part of the data contract: add, never rename."""

    MANIFEST_INVALID = "manifest_invalid"
    FILE_MISSING = "file_missing"
    CHECKSUM_MISMATCH = "checksum_mismatch"
    DUPLICATE_SESSION = "duplicate_session"
    TASK_UNKNOWN = "task_unknown"
    CONSENT_MISSING = "consent_missing"
    CONSENT_INVALID = "consent_invalid"
    CONSENT_WITHDRAWN = "consent_withdrawn"
    VIDEO_UNREADABLE = "video_unreadable"
    VIDEO_TRUNCATED = "video_truncated"
    LENS_COVERED = "lens_covered"
    SENSOR_UNREADABLE = "sensor_unreadable"
    SENSOR_NOT_MONOTONIC = "sensor_not_monotonic"
    SENSOR_IMPLAUSIBLE = "sensor_implausible"
    SENSOR_MISSING = "sensor_missing"
    SYNC_UNKNOWN = "sync_unknown"
    SYNC_OUT_OF_LIMITS = "sync_out_of_limits"
    NOT_ANONYMIZABLE = "not_anonymizable"
    AUDIT_FOUND_FACES = "audit_found_faces"
    ANNOTATION_INVALID = "annotation_invalid"
    NO_EPISODE = "no_episode"
    UNEXPECTED_ERROR = "unexpected_error"
    EXPECTATION_FAILED = "expectation_failed"
