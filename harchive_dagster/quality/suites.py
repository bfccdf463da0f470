"""The suite of every stage: what is proven before anything is written. Limits live here and nowhere else.

Session rules read `session_facts` (see `facts`); batch rules read the rows of the stage's main table.
"""

from harchive_dagster.lake.schemas import IMU_WINDOW_SIZE
from harchive_dagster.quality.rules import Suite, between, less_than, matches, not_null, one_of, unique, zero
from harchive_dagster.reasons import Reason
from harchive_dagster.sync.stream_clock import CLOCK_SOURCES

_SHA256 = r"^[0-9a-f]{64}$"
_PSEUDONYM = r"^[psa]-[a-z2-7]{20}$"
_HOUR_NS = 3_600_000_000_000

UPLOADS = Suite(
    "uploads",
    session_rules=(
        between("duration_ns", 1_000_000_000, 16 * _HOUR_NS, "a recording lasts between 1 s and 16 h"),
        between("fps", 5, 240, "the measured frame rate is one that a camera makes"),
        between("width_px", 160, 16_384, "the picture is wide enough to show anything"),
        between("day_offset_days", -1, 1, "the device's wall clock agrees with the day it was collected on"),
        between("future_s", None, 86_400, "the device's wall clock is not in the future"),
    ),
    batch_rules=(
        unique(("session_id",), "a session appears once"),
        one_of("status", ("accepted", "quarantined", "withdrawn"), "the status is one of the contract's"),
        matches("participant_id", _PSEUDONYM, "every worker has a pseudonym"),
        matches("manifest_sha256", _SHA256, "every manifest was hashed"),
        not_null("consent_id", "every session names its consent"),
    ),
)

SENSOR_SAMPLES = Suite(
    "sensor_samples",
    session_rules=(
        between("min_step_ns", 1, None, "device time increases", reason=Reason.SENSOR_NOT_MONOTONIC),
        between("rate_ratio", 0.8, 1.25, "the rate is the declared one", reason=Reason.SENSOR_IMPLAUSIBLE),
        between("span_s", 0, 86_400, "device time spans at most a day", reason=Reason.SENSOR_IMPLAUSIBLE),
        between("accel_median_m_s2", 5, 15, "gravity is there", reason=Reason.SENSOR_IMPLAUSIBLE),
        between("accel_max_m_s2", 0, 1000, "no head meets more than 100 g", reason=Reason.SENSOR_IMPLAUSIBLE),
        between("gyro_max_rad_s", 0, 50, "no head turns faster than 50 rad/s", reason=Reason.SENSOR_IMPLAUSIBLE),
    ),
    batch_rules=(
        unique(("session_id", "stream_id", "t_device_ns"), "a sample appears once"),
        between("gyro_x_rad_s", -50, 50, "angular velocity is in rad/s"),
        between("accel_z_m_s2", -1000, 1000, "specific force is in m/s^2"),
    ),
)

FRAME_OBSERVATIONS = Suite(
    "frame_observations",
    session_rules=(
        zero("missing_frames", "every frame of the container has one row", Reason.VIDEO_TRUNCATED),
        between("min_step_ns", 1, None, "presentation times increase"),
        between("obstructed_median", 0, 0.8, "the lens is not covered", reason=Reason.LENS_COVERED),
        zero("undetected_gaps", "the privacy detector ran or glanced at the agreed density", Reason.NOT_ANONYMIZABLE),
    ),
    batch_rules=(
        unique(("session_id", "frame_index"), "a frame appears once"),
        between("pts_ns", 0, 16 * _HOUR_NS, "session time starts at zero"),
        between("luma_mean", 0, 255, "luma is in range"),
        between("clipped_fraction", 0, 1, "a share is a share"),
        between("obstructed_fraction", 0, 1, "a share is a share"),
    ),
)

CLOCK_ALIGNMENTS = Suite(
    "clock_alignments",
    session_rules=(
        between("drift_ppm", -500, 500, "no crystal is worse than 500 ppm", reason=Reason.SYNC_OUT_OF_LIMITS),
        between("residual_ms", 0, 10, "the windows agree within 10 ms", reason=Reason.SYNC_OUT_OF_LIMITS),
        between("correlation", 0.2, 1, "gyro and picture show the same motion", reason=Reason.SYNC_UNKNOWN),
    ),
    batch_rules=(
        one_of("clock", CLOCK_SOURCES, "every stream says what times it"),
        unique(("session_id", "stream_id", "piece_index"), "a piece of a stream is aligned once"),
        between("confidence", 0, 1, "confidence is a share"),
        between("quaternion_norm", 1 - 1e-6, 1 + 1e-6, "the rotation is a rotation"),
    ),
)

SYNCED_FRAMES = Suite(
    "synced_frames",
    session_rules=(
        zero("missing_frames", "each stream has one row per frame"),
        between("min_step_ns", 1, None, "session time increases"),
        between("gap_fraction", 0, 0.2, "sensors cover at least four fifths of the frames"),
    ),
    batch_rules=(
        unique(("session_id", "stream_id", "frame_index"), "one row per frame and stream"),
        between("window_length", 6 * IMU_WINDOW_SIZE, 6 * IMU_WINDOW_SIZE, "windows are full"),
        between("window_peak", 0, 1e4, "windows hold finite numbers"),
        between("orientation_norm", 1 - 1e-3, 1 + 1e-3, "orientations are rotations"),
    ),
)

SYNCED_STREAMS = Suite(
    "synced_streams",
    session_rules=(
        between("min_step_ns", 1, None, "session time increases", reason=Reason.SENSOR_NOT_MONOTONIC),
        between("rate_ratio", 0.8, 1.25, "the rate is the declared one", reason=Reason.SENSOR_IMPLAUSIBLE),
        # A hand may leave a tracker's view, and its samples with it; after half a minute the device has stopped.
        between("max_gap_s", 0, 30, "no gap is longer than 30 s", reason=Reason.SENSOR_IMPLAUSIBLE),
        between("norm_error", 0, 1e-3, "orientations are rotations", reason=Reason.SENSOR_IMPLAUSIBLE),
    ),
    batch_rules=(
        unique(("session_id", "stream_id"), "a stream is told of once"),
        one_of("clock", CLOCK_SOURCES, "every stream says what times it"),
        zero("outside_recording", "every sample lies inside its recording"),
        zero("not_finite", "numbers are finite"),
    ),
)

REDACTIONS = Suite(
    "redactions",
    session_rules=(
        zero("uncovered_detections", "every detection is covered in its frame", Reason.NOT_ANONYMIZABLE),
        zero("track_holes", "tracks have no holes", Reason.NOT_ANONYMIZABLE),
        zero("lifted_private", "no correction lifts private time", Reason.NOT_ANONYMIZABLE),
    ),
    batch_rules=(
        unique(("session_id", "frame_index", "track_id"), "a track covers a frame once"),
        between("w", 0, None, "boxes have a width", strict_min=True),
        between("h", 0, None, "boxes have a height", strict_min=True),
        one_of(
            "source",
            ("detected", "tracked", "interpolated", "padded", "private_time", "reviewed"),
            "every redaction says where it comes from",
        ),
    ),
)

ANONYMIZED_VIDEOS = Suite(
    "anonymized_videos",
    session_rules=(
        zero("frame_count_error", "as many frames as the source", Reason.NOT_ANONYMIZABLE),
        zero("max_pts_error_ns", "presentation times equal the source's", Reason.NOT_ANONYMIZABLE),
        zero("leak_count", "no audio, location, serial or other metadata", Reason.NOT_ANONYMIZABLE),
        between("audit_frames", 1, None, "the audit ran", reason=Reason.NOT_ANONYMIZABLE),
        zero("audit_residual_faces", "the audit finds nothing left", Reason.AUDIT_FOUND_FACES),
        zero("copy_differences", "copied frames are the source's", Reason.NOT_ANONYMIZABLE),
        between("seeded_recall", 0.8, 1, "planted faces are found", reason=Reason.NOT_ANONYMIZABLE),
    ),
    batch_rules=(
        unique(("session_id",), "one file a session"),
        matches("sha256", _SHA256, "every file was hashed"),
        between("bytes", 1, None, "files are not empty"),
        zero("audit_residual_faces", "nothing with a face left is written"),
    ),
)

ANNOTATIONS = Suite(
    "annotations",
    session_rules=(
        zero("outside_session", "labels lie inside the recording", Reason.ANNOTATION_INVALID),
        zero("layer_unknown", "layers are those of the taxonomy", Reason.ANNOTATION_INVALID),
    ),
    batch_rules=(
        unique(("session_id", "annotation_id", "source_file_sha256"), "a label appears once"),
        less_than("start_ns", "end_ns", "labels end after they start"),
        matches("annotator", _PSEUDONYM, "annotators are pseudonyms"),
    ),
)

SEGMENTS = Suite(
    "segments",
    session_rules=(
        zero("overlap_count", "segments of a layer do not overlap"),
        zero("outside_session", "segments lie inside the recording"),
        between("agreement_margin", 0, None, "annotators agree as far as the task asks", reason=Reason.LABELS_DISPUTED),
    ),
    batch_rules=(
        unique(("session_id", "segment_id"), "a segment appears once"),
        less_than("start_ns", "end_ns", "segments end after they start"),
        one_of("source", ("worker_marker", "annotator", "model"), "every segment says who says so"),
        between("confidence", 0, 1, "confidence is a share", strict_min=True),
    ),
)

EPISODES = Suite(
    "episodes",
    session_rules=(
        zero("missing_media", "every episode points to anonymized media that exists"),
        zero("missing_synced_frames", "every frame of an episode has its sensors"),
    ),
    batch_rules=(
        unique(("episode_id",), "an episode appears once"),
        less_than("start_ns", "end_ns", "episodes end after they start"),
        less_than("frame_start", "frame_end", "episodes hold frames"),
        matches("participant_id", _PSEUDONYM, "workers are pseudonyms"),
        matches("session_pseudonym", _PSEUDONYM, "sessions are pseudonyms"),
        between("quality_score", 0, 1, "quality is a share"),
    ),
)

SUITES: dict[str, Suite] = {
    suite.stage: suite
    for suite in (
        UPLOADS,
        SENSOR_SAMPLES,
        FRAME_OBSERVATIONS,
        CLOCK_ALIGNMENTS,
        SYNCED_FRAMES,
        SYNCED_STREAMS,
        REDACTIONS,
        ANONYMIZED_VIDEOS,
        ANNOTATIONS,
        SEGMENTS,
        EPISODES,
    )
}
