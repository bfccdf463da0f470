"""The tables of a worker-day's flow: columns, units, keys. One constant a table; no behaviour.

Tables that keep account are in `ledgers`, those of poses, pressure and depth in `stream_schemas`.
"""

import pyarrow as pa

from harchive_dagster.lake import ledgers, stream_schemas
from harchive_dagster.lake.columns import (
    DAY,
    PARTICIPANT,
    REAL,
    SESSION,
    TEXT,
    TIME,
    UTC,
    WORKER,
    WORKER_DAY,
    published_table,
    quaternion,
    restricted_table,
    vector,
)
from harchive_dagster.lake.contract import RESTRICTED, TableContract, column

SESSIONS = TableContract(
    name="sessions",
    zone=RESTRICTED,
    description="Sessions whose manifest could be read, accepted or not; figures of unopened videos are null",
    columns=(
        DAY,
        WORKER,
        SESSION,
        PARTICIPANT,
        column("consent_id", TEXT, "Consent record that the manifest names"),
        column("task_id", TEXT, "Entry of the task catalogue; null for free recording", is_nullable=True),
        column("started_at_utc", UTC, "Wall clock at the start, as the device had it"),
        column("duration_ns", TIME, "First frame to end of last frame", unit="ns", is_nullable=True),
        column("country", TEXT, "ISO 3166-1 alpha-2"),
        column("region", TEXT, "ISO 3166-2", is_nullable=True),
        column("environment", TEXT, "home, kitchen, workshop, shop, street, field or other"),
        column("rig_model", TEXT, "Rig model"),
        column("camera", TEXT, "Camera model"),
        column("width_px", pa.int32(), "Picture width as coded", unit="px", is_nullable=True),
        column("height_px", pa.int32(), "Picture height as coded", unit="px", is_nullable=True),
        column("fps", REAL, "Measured mean frame rate", unit="Hz", is_nullable=True),
        column("frame_count", pa.int64(), "Frames in the container", is_nullable=True),
        column("video_codec", TEXT, "Codec of the source", is_nullable=True),
        column("video_sha256", TEXT, "Digest of the video as declared; proven where accepted"),
        column("bytes", pa.int64(), "All files of the session", unit="B"),
        column("manifest_sha256", TEXT, "Digest of manifest.json"),
        column("status", TEXT, "accepted, quarantined or withdrawn"),
        column("reason", TEXT, "Reason code where not accepted", is_nullable=True),
        column("ingested_at_utc", UTC, "When this content was first written"),
    ),
    partition_by=WORKER_DAY,
    key=("session_id",),
    volatile=("ingested_at_utc",),
)

SENSOR_SAMPLES = restricted_table(
    "sensor_samples",
    "Inertial samples at the native rate on the device's own clock, sensor axes",
    ("stream_id", "t_device_ns"),
    column("stream_id", TEXT, "The rig's name for the stream"),
    column("placement", TEXT, "Where it is worn"),
    column("kind", TEXT, "imu"),
    column("t_device_ns", TIME, "Device clock, carried on where it was set back or by years", unit="ns"),
    *vector("accel_{axis}_m_s2", "m/s^2", "Specific force"),
    *vector("gyro_{axis}_rad_s", "rad/s", "Angular velocity"),
    *vector("mag_{axis}_ut", "uT", "Magnetic field", is_nullable=True),
)

_FRAME_COLUMNS = (
    column("frame_index", pa.int64(), "Position in presentation order, from 0"),
    column("pts_ns", TIME, "Presentation time since the first frame (session time)", unit="ns"),
    column("is_keyframe", pa.bool_(), "Coded without reference to others"),
    column("sharpness", REAL, "Variance of the Laplacian of the small luma picture"),
    column("luma_mean", REAL, "Mean luma, 0-255"),
    column("luma_std", REAL, "Standard deviation of luma"),
    column("clipped_fraction", REAL, "Share of pixels at or near black or white"),
    column("obstructed_fraction", REAL, "Share of blocks without texture"),
    *vector("rotation_{axis}_rad", "rad", "Camera rotation since the last frame, from pixels, camera axes"),
    column("rotation_inliers", pa.int32(), "Feature pairs that agree; 0 where not estimable"),
    column("motion_px", REAL, "Median feature displacement since the last frame", unit="px"),
)

FRAMES = restricted_table(
    "frames",
    "One row per decoded frame: what one look at it measured",
    ("frame_index",),
    *_FRAME_COLUMNS,
    column("is_detected", pa.bool_(), "The privacy detector ran on this frame, or saw nobody at a glance"),
    column("is_slow_detected", pa.bool_(), "The slower privacy detector ran on this frame"),
)

DETECTIONS = restricted_table(
    "detections",
    "Raw privacy detections in pixels of the source picture",
    ("frame_index", "kind", "x", "y", "w", "h"),
    column("frame_index", pa.int64(), "Frame"),
    column("kind", TEXT, "face, text, screen, plate or person"),
    column("x", REAL, "Left", unit="px"),
    column("y", REAL, "Top", unit="px"),
    column("w", REAL, "Width", unit="px"),
    column("h", REAL, "Height", unit="px"),
    column("score", REAL, "Detector score, 0-1"),
    column("model", TEXT, "Detector"),
    column("model_version", TEXT, "Digest of the model file, and what else makes its answers others"),
    column("is_slow", pa.bool_(), "The slower detector found it"),
)

_ALIGNMENT_COLUMNS = (
    column("piece_index", pa.int32(), "Piece of the recording, from 0; more than one where the device clock was set"),
    column("device_start_ns", TIME, "First device time that this piece holds for", unit="ns"),
    column("device_end_ns", TIME, "First device time that it no longer holds for", unit="ns"),
    column("clock", TEXT, stream_schemas.CLOCK_MEANING),
    column("method", TEXT, "How the clock was aligned"),
    column("offset_ns", TIME, "t_session = (1 + drift_ppm*1e-6) * t_device + offset_ns", unit="ns"),
    column(
        "offset_sd_ns",
        REAL,
        "Standard uncertainty of session times in the middle of the piece; none where nothing was measured",
        unit="ns",
        is_nullable=True,
    ),
    column("drift_ppm", REAL, "Device clock drift against the camera", unit="ppm"),
    column(
        "drift_sd_ppm",
        REAL,
        "Standard uncertainty of the drift; drift is shrunk to 0 where it is large; none where it was not measured",
        unit="ppm",
        is_nullable=True,
    ),
    column("residual_ms", REAL, "Robust RMS of the windows about the line", unit="ms"),
    column("max_residual_ms", REAL, "Worst window", unit="ms"),
    column("correlation", REAL, "Explained share of the visual rotation, 0-1; 0 where `clock` is event or device"),
    column("confidence", REAL, "0-1"),
    column("window_count", pa.int32(), "Windows (or shared events) that agree"),
    *quaternion("camera_from_sensor", "Rotation of sensor axes into camera axes; none where `clock` is not content"),
    *vector("gyro_bias_{axis}_rad_s", "rad/s", "Gyro bias, sensor axes"),
    column(
        "readout_ms",
        REAL,
        "Rolling shutter's read-out as the rig declares it. A frame's session time is when its middle row is exposed: "
        "measured clocks have it so, device clocks are moved by half of this",
        unit="ms",
        is_nullable=True,
    ),
)

CLOCK_ALIGNMENTS = restricted_table(
    "clock_alignments",
    "Each inertial stream's clock against the camera's, and what it rests on; or refused",
    ("stream_id", "piece_index"),
    column("stream_id", TEXT, "The rig's name for the stream"),
    column("placement", TEXT, "Where it is worn"),
    *_ALIGNMENT_COLUMNS,
    column(
        "is_accepted",
        pa.bool_(),
        "The stream is put on the camera's clock by this row; whether that was measured, `clock` says",
    ),
    column("reason", TEXT, "Reason code where refused", is_nullable=True),
)

IMU_WINDOW_SIZE = 8
"""Samples per frame in `imu_window`: 30 fps against 200 Hz is 6.7 native samples, so 8 loses none."""

_SYNCED_COLUMNS = (
    column("frame_index", pa.int64(), "Frame"),
    column("placement", TEXT, "Where the sensor is worn"),
    column("t_ns", TIME, "Session time of the frame", unit="ns"),
    column(
        "clock", TEXT, f"{stream_schemas.CLOCK_MEANING}. Axes are the camera's where it is content, else the sensor's"
    ),
    *vector("accel_{axis}_m_s2", "m/s^2", "Specific force at the frame, anti-aliased"),
    *vector("gyro_{axis}_rad_s", "rad/s", "Angular velocity at the frame, anti-aliased"),
    *quaternion(
        "orientation", "Rotation of these axes into a level frame: z up, x along their z axis at the first frame"
    ),
    column(
        "imu_window",
        pa.list_(pa.float32()),
        f"{IMU_WINDOW_SIZE} x (accel xyz, gyro xyz) of the frame's interval, row-major, same axes",
    ),
    column("has_gap", pa.bool_(), "No native sample near the frame: values are held, not measured"),
)

SYNCED_FRAMES = restricted_table(
    "synced_frames",
    "Each frame with each inertial stream on the camera's clock: one row per frame and stream",
    ("stream_id", "frame_index"),
    column("stream_id", TEXT, "The rig's name for the stream"),
    *_SYNCED_COLUMNS,
)

_REDACTION_COLUMNS = (
    column("frame_index", pa.int64(), "Frame"),
    column("track_id", pa.int64(), "Track within the session"),
    column("kind", TEXT, "face, text, screen, plate, person or private"),
    column("x", REAL, "Left", unit="px"),
    column("y", REAL, "Top", unit="px"),
    column("w", REAL, "Width", unit="px"),
    column("h", REAL, "Height", unit="px"),
    column("source", TEXT, "detected, tracked, interpolated, padded, private_time or reviewed (added by a correction)"),
    column("score", REAL, "Detector score, or that of the track's nearest detection"),
)

REDACTIONS = restricted_table(
    "redactions", "What is hidden in which frame, and why", ("frame_index", "track_id"), *_REDACTION_COLUMNS
)

LIFTED_REDACTIONS = restricted_table(
    "lifted_redactions",
    "False detections that a reviewer removed: what would be hidden in which frame, and is not",
    ("frame_index", "track_id"),
    *_REDACTION_COLUMNS,
    column("correction_id", TEXT, "The entry of redaction_corrections that says so"),
)

_VIDEO_COLUMNS = (
    column("uri", TEXT, "Path of the anonymized file, relative to the zone's media folder"),
    column("sha256", TEXT, "Digest of the file"),
    column("bytes", pa.int64(), "Size", unit="B"),
    column("codec", TEXT, "Codec"),
    column("frame_count", pa.int64(), "Frames, equal to the source's"),
    column("redacted_frame_count", pa.int64(), "Frames with something hidden"),
    column("copied_fraction", REAL, "Share of frames copied bit-exact from the source"),
    column("whole_reencode_reason", TEXT, "Why no frame could be copied, where none could", is_nullable=True),
    column("audit_frames", pa.int64(), "Rendered frames on which the audit ran"),
    column(
        "audit_residual_faces", pa.int64(), "Faces that the audit still found, and redactions that still show detail"
    ),
    column(
        "audit_suspects",
        pa.int64(),
        "What the audit's detector found and scored below what counts as a face",
        is_nullable=True,
    ),
    column("seeded_recall", REAL, "Share of planted faces of 44 px and more that the session's detector found"),
    column("seeded_recall_small", REAL, "Share of planted faces of 36 to 44 px that it found", is_nullable=True),
    column("renderer_version", TEXT, "Renderer"),
    column("model_version", TEXT, "Digest of the model file that searched whole pictures"),
)

ANONYMIZED_VIDEOS = restricted_table(
    "anonymized_videos", "The rendered files and their audit; not yet published", (), *_VIDEO_COLUMNS
)

ANNOTATIONS = restricted_table(
    "annotations",
    "What human annotators drew, as written",
    ("annotation_id", "source_file_sha256"),
    column("annotation_id", TEXT, "The tool's id"),
    column("annotator", TEXT, "Keyed pseudonym of the annotator"),
    column("tool", TEXT, "Tool"),
    column("tool_version", TEXT, "Tool's version"),
    column("layer", TEXT, "activity, action, step or object"),
    column("start_ns", TIME, "Start, session time", unit="ns"),
    column("end_ns", TIME, "End, exclusive", unit="ns"),
    column("verb", TEXT, "Verb as written, canonical where known", is_nullable=True),
    column("noun", TEXT, "Noun as written, canonical where known", is_nullable=True),
    column("text", TEXT, "Free text", is_nullable=True),
    column("attributes", TEXT, "JSON: words as written, the video it was drawn on, boxes"),
    column("created_at_utc", UTC, "When it was drawn, where the tool says", is_nullable=True),
    column("source_file_sha256", TEXT, "Digest of the file it came from"),
)

_SEGMENT_COLUMNS = (
    column("segment_id", TEXT, "Stable id within the session"),
    column("layer", TEXT, "activity, action or step"),
    column("start_ns", TIME, "Start, session time", unit="ns"),
    column("end_ns", TIME, "End, exclusive", unit="ns"),
    column("verb", TEXT, "Verb", is_nullable=True),
    column("noun", TEXT, "Noun", is_nullable=True),
    column("label", TEXT, "Label of the layer"),
    column("source", TEXT, "worker_marker, annotator or model"),
    column("annotator_count", pa.int32(), "Annotators who saw this span"),
    column("agreement", REAL, "Share of the others who agree", is_nullable=True),
    column("confidence", REAL, "0-1"),
    column("model", TEXT, "Model, where one proposed it", is_nullable=True),
    column("model_version", TEXT, "Its version", is_nullable=True),
    column(
        "is_known",
        pa.bool_(),
        "The taxonomy knows verb and noun; false where words are as somebody wrote them, null where there are none",
        is_nullable=True,
    ),
)

SEGMENTS = restricted_table(
    "segments",
    "Labelled spans of every source, no overlap within a layer",
    ("segment_id",),
    *_SEGMENT_COLUMNS,
)

REJECTED_SPANS = restricted_table(
    "rejected_spans",
    "Stretches of recordings that made no episode, and why; of quarantined sessions as well",
    ("start_ns", "end_ns"),
    column("start_ns", TIME, "Start, session time, before idle ends were trimmed", unit="ns"),
    column("end_ns", TIME, "End, exclusive", unit="ns"),
    column("reason", TEXT, "no_frame, private (or outside the recording), short, idle, obstructed or unsynced"),
    column("detail", TEXT, "One clause for a person"),
)

EPISODES = published_table(
    "episodes",
    "One attempt at a task (or one free recording), trimmed, with its anonymized media",
    ("episode_id",),
    column("episode_id", TEXT, "Stable id"),
    column("task_id", TEXT, "Entry of task_catalog; null for free recording", is_nullable=True),
    column("task_text", TEXT, "Instruction in English; null for free recording", is_nullable=True),
    column("start_ns", TIME, "Start, session time", unit="ns"),
    column("end_ns", TIME, "End, exclusive", unit="ns"),
    column("frame_start", pa.int64(), "First frame"),
    column("frame_end", pa.int64(), "Frame after the last"),
    column("action_start_ns", TIME, "Start of the first action inside; null without one", unit="ns", is_nullable=True),
    column("action_end_ns", TIME, "End of the last action inside, exclusive", unit="ns", is_nullable=True),
    column(
        "transition_start_ns",
        pa.list_(pa.int64()),
        "Where each gap between consecutive actions starts",
        unit="ns",
        is_nullable=True,
    ),
    column("transition_end_ns", pa.list_(pa.int64()), "Where it ends, exclusive", unit="ns", is_nullable=True),
    column("trimmed_idle_s", REAL, "Rest that was cut off both ends", unit="s", is_nullable=True),
    column("outcome", TEXT, "success, failure or unknown"),
    column("outcome_source", TEXT, "annotator or worker_marker; null where nobody judged", is_nullable=True),
    column("quality_score", REAL, "0-1: geometric mean of visibility, sharpness, sync, continuity and activity"),
    column("quality_visibility", REAL, "0-1: how little of the view is covered", is_nullable=True),
    column("quality_sharpness", REAL, "0-1: of the median frame", is_nullable=True),
    column("quality_sync", REAL, "0-1: confidence of the best clock that was found in the picture", is_nullable=True),
    column("quality_continuity", REAL, "0-1: share of frames with every sensor", is_nullable=True),
    column("quality_activity", REAL, "0-1: share of time that is not idle", is_nullable=True),
    column("media_uri", TEXT, "Anonymized file, relative to published/media"),
    column("environment", TEXT, "home, kitchen, workshop, shop, street, field or other"),
    column("country", TEXT, "ISO 3166-1 alpha-2"),
    column("placements", pa.list_(pa.string()), "Where sensors were worn"),
    column("handedness", TEXT, "As the worker told", is_nullable=True),
)

PUBLISHED_SEGMENTS = published_table("segments", "Labelled spans of every source", ("segment_id",), *_SEGMENT_COLUMNS)
PUBLISHED_FRAMES = published_table(
    "frames", "One row per frame of every published video", ("frame_index",), *_FRAME_COLUMNS
)
PUBLISHED_SYNCED_FRAMES = published_table(
    "synced_frames",
    "Each frame with each sensor on the camera's clock: one row per frame and placement",
    ("placement", "frame_index"),
    *_SYNCED_COLUMNS,
)
PUBLISHED_CLOCK_ALIGNMENTS = published_table(
    "clock_alignments",
    "How each sensor's clock was measured",
    ("placement", "piece_index"),
    column("placement", TEXT, "Where the sensor is worn"),
    # Without device time, which may be a wall clock and would tell when somebody worked.
    *(field for field in _ALIGNMENT_COLUMNS if field.name not in ("device_start_ns", "device_end_ns", "offset_ns")),
)
PUBLISHED_VIDEOS = published_table("anonymized_videos", "Anonymized files and their audit", (), *_VIDEO_COLUMNS)

WORKER_DAY_COPIES = {
    "segments": PUBLISHED_SEGMENTS,
    "frames": PUBLISHED_FRAMES,
    "synced_frames": PUBLISHED_SYNCED_FRAMES,
    **stream_schemas.WORKER_DAY_COPIES,
    "clock_alignments": PUBLISHED_CLOCK_ALIGNMENTS,
    "anonymized_videos": PUBLISHED_VIDEOS,
}
"""Restricted tables by name, and the pseudonymised copy that a lab sees."""

ALL_TABLES = (
    SESSIONS,
    SENSOR_SAMPLES,
    FRAMES,
    DETECTIONS,
    CLOCK_ALIGNMENTS,
    SYNCED_FRAMES,
    *stream_schemas.STREAM_TABLES,
    REDACTIONS,
    LIFTED_REDACTIONS,
    ANONYMIZED_VIDEOS,
    ANNOTATIONS,
    SEGMENTS,
    REJECTED_SPANS,
    ledgers.QUARANTINE,
    ledgers.REDACTION_CORRECTIONS,
    ledgers.ARRIVALS,
    ledgers.STAGE_RUNS,
    ledgers.WORKER_DAYS,
    ledgers.CONSENTS,
    EPISODES,
    *WORKER_DAY_COPIES.values(),
    ledgers.TASK_CATALOG,
    ledgers.CATALOG,
)
