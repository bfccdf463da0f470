"""Stage anonymized: what is hidden in which frame; rendered files that were audited. Fails closed."""

import dagster as dg

from harchive_dagster.delivery.publishing import drop_stale_media
from harchive_dagster.gates import StageEvents, StageGate
from harchive_dagster.lake import rows, schemas
from harchive_dagster.lake.contract import RESTRICTED
from harchive_dagster.lake.standing import standing_sessions
from harchive_dagster.lake.tables import Lake
from harchive_dagster.landing.storage import Landing
from harchive_dagster.partitions import worker_day_of
from harchive_dagster.previews import inline_png
from harchive_dagster.privacy.anonymize import anonymize
from harchive_dagster.privacy.detection import CenterFaceDetector
from harchive_dagster.privacy.redaction import Redaction
from harchive_dagster.privacy.tracking import build_redactions
from harchive_dagster.quality import facts
from harchive_dagster.recording.observations import Detection
from harchive_dagster.worker_day_asset import worker_day_asset


@worker_day_asset("redactions", kinds={"deltalake", "numpy"})
def redactions(
    context: dg.AssetExecutionContext, landing: dg.ResourceParam[Landing], lake: dg.ResourceParam[Lake]
) -> StageEvents:
    """What is hidden in which frame: detections linked into tracks without holes, grown where sight is less sure."""
    worker_day = worker_day_of(context)
    gate = StageGate(context, lake, "redactions", worker_day)
    frames = lake.read_worker_day(schemas.FRAMES, worker_day)
    detections = lake.read_worker_day(schemas.DETECTIONS, worker_day)
    tables = []
    standing = standing_sessions(lake, landing, worker_day, "redactions")
    for session in standing:
        with gate.session(session.session_id):
            seen = rows.frame_observations(rows.present(frames, session.session_id, "frames"))
            built = build_redactions(
                rows.objects(Detection, rows.of_session(detections, session.session_id)),
                pts_ns=seen.pts_ns,
                is_detected=seen.is_detected,
                width_px=session.row["width_px"],
                height_px=session.row["height_px"],
                motion_px=seen.motion_px,
                rotation_rad=seen.rotation_rad,
                is_slow_detected=seen.is_slow_detected,
                private_intervals_ns=session.manifest.private_intervals_ns,
            )
            tables.append(rows.records(schemas.REDACTIONS, worker_day, session.session_id, built))
    table = rows.together(schemas.REDACTIONS, tables)
    gate.sift(facts.redaction_facts(table, detections, [s.session_id for s in standing]))
    table = gate.keep(table)
    yield from gate.publish(
        {schemas.REDACTIONS: table},
        table.to_pandas(),
        {"redacted_frames": table.group_by(["session_id", "frame_index"]).aggregate([]).num_rows},
        accepted=[session.session_id for session in standing if session.session_id not in gate.rejected],
    )


@worker_day_asset("anonymized_videos", kinds={"deltalake", "ffmpeg"}, pool="decode")
def anonymized_videos(
    context: dg.AssetExecutionContext, landing: dg.ResourceParam[Landing], lake: dg.ResourceParam[Lake]
) -> StageEvents:
    """Each recording rendered with everything hidden, without sound or metadata, and audited as a stranger would."""
    worker_day = worker_day_of(context)
    gate = StageGate(context, lake, "anonymized_videos", worker_day)
    hidden = lake.read_worker_day(schemas.REDACTIONS, worker_day)
    frames = lake.read_worker_day(schemas.FRAMES, worker_day)
    audit_detector = CenterFaceDetector(input_width_px=1920, input_height_px=1088)
    media = lake.media_folder(RESTRICTED)
    folder = media / str(worker_day.collected_on) / worker_day.worker_id
    videos, sheets = {}, {}
    standing = standing_sessions(lake, landing, worker_day, "anonymized_videos")
    for session in standing:
        with gate.session(session.session_id):
            video = anonymize(
                session.video,
                folder,
                session.session_id,
                rows.objects(Redaction, rows.of_session(hidden, session.session_id)),
                rows.present(frames, session.session_id, "frames").column("pts_ns").to_numpy(),
                detector=CenterFaceDetector.for_picture(session.row["width_px"], session.row["height_px"]),
                audit_detector=audit_detector,
            )
            videos[session.session_id] = video
            sheets[f"anonymized {session.session_id}"] = inline_png(video.sheet_png, session.session_id)
            context.log.info(f"{session.session_id}: rendered {video.render.frame_count} frames, audited")
    gate.sift(facts.video_facts(videos, {s.session_id: s.row["frame_count"] for s in standing}))
    kept = {session_id: video for session_id, video in videos.items() if session_id not in gate.rejected}
    table = rows.together(
        schemas.ANONYMIZED_VIDEOS,
        [rows.video_row(worker_day, s, video, media, audit_detector.version) for s, video in kept.items()],
    )
    yield from gate.publish(
        {schemas.ANONYMIZED_VIDEOS: table},
        table.to_pandas(),
        {
            "seeded_recall_min": min((video.seeded_recall for video in kept.values()), default=0.0),
            "audit_frames": sum(video.audit.audit_frames for video in kept.values()),
            # Only of files that passed: the picture of a failed one could show the very face that was missed.
            **{key: sheets[key] for key in (f"anonymized {session_id}" for session_id in kept)},
        },
        accepted=list(kept),
    )
    drop_stale_media(folder, [video.path.name for video in kept.values()])
