"""Stage anonymized: what is hidden in which frame; rendered files that were audited. Fails closed."""

import dagster as dg

from harchive_dagster.delivery.publishing import drop_stale_media
from harchive_dagster.gates import StageEvents, StageGate
from harchive_dagster.lake import rows, schemas
from harchive_dagster.lake.contract import RESTRICTED
from harchive_dagster.lake.corrections import forget_withdrawn, standing_corrections
from harchive_dagster.lake.standing import standing_sessions
from harchive_dagster.lake.tables import Lake
from harchive_dagster.landing.calibration import lens_of
from harchive_dagster.landing.storage import Landing
from harchive_dagster.partitions import worker_day_of
from harchive_dagster.previews import inline_png
from harchive_dagster.privacy.anonymize import anonymize
from harchive_dagster.privacy.audit import AuditEyes
from harchive_dagster.privacy.corrections import Lifted, apply_corrections, without_effect
from harchive_dagster.privacy.detectors import DetectorChoice
from harchive_dagster.privacy.hiding import Hiding
from harchive_dagster.privacy.parts import drop_parts, keys_path
from harchive_dagster.privacy.redaction import Redaction
from harchive_dagster.privacy.tracking import build_redactions
from harchive_dagster.progress import spoken_progress
from harchive_dagster.quality import facts
from harchive_dagster.recording.observations import Detection
from harchive_dagster.worker_day_asset import worker_day_asset


@worker_day_asset("redactions", kinds={"deltalake", "numpy"})
def redactions(
    context: dg.AssetExecutionContext, landing: dg.ResourceParam[Landing], lake: dg.ResourceParam[Lake]
) -> StageEvents:
    """What is hidden in which frame: detections linked into tracks without holes, grown where sight is less sure, and
    what reviewers added or removed.
    """
    worker_day = worker_day_of(context)
    gate = StageGate(context, lake, "redactions", worker_day)
    frames = lake.read_worker_day(schemas.FRAMES, worker_day)
    detections = lake.read_worker_day(schemas.DETECTIONS, worker_day)
    tables, lifted_tables = [], []
    standing = standing_sessions(lake, landing, worker_day, "redactions")
    corrections = standing_corrections(lake, [session.session_id for session in standing])
    for session in standing:
        with gate.session(session.session_id):
            seen = rows.frame_observations(rows.present(frames, session.session_id, "frames"))
            width_px, height_px = session.row["width_px"], session.row["height_px"]
            built = build_redactions(
                rows.objects(Detection, rows.of_session(detections, session.session_id)),
                pts_ns=seen.pts_ns,
                is_detected=seen.is_detected,
                width_px=width_px,
                height_px=height_px,
                motion_px=seen.motion_px,
                rotation_rad=seen.rotation_rad,
                lens=lens_of(session.folder, session.manifest, width_px=width_px, height_px=height_px),
                is_slow_detected=seen.is_slow_detected,
                private_intervals_ns=session.manifest.private_intervals_ns,
            )
            corrected = apply_corrections(
                built,
                corrections[session.session_id],
                pts_ns=seen.pts_ns,
                video_sha256=session.row["video_sha256"],
            )
            for sentence in without_effect(corrections[session.session_id], corrected):
                gate.remark(sentence)
            key = (worker_day, session.session_id)
            tables.append(rows.records(schemas.REDACTIONS, *key, corrected.redactions))
            lifted_tables.append(rows.records(schemas.LIFTED_REDACTIONS, *key, corrected.lifted))
    table = rows.together(schemas.REDACTIONS, tables)
    lifted = rows.together(schemas.LIFTED_REDACTIONS, lifted_tables)
    gate.sift(facts.redaction_facts(table, lifted, detections, [s.session_id for s in standing]))
    table, lifted = gate.keep(table), gate.keep(lifted)
    yield from gate.publish(
        {schemas.LIFTED_REDACTIONS: lifted, schemas.REDACTIONS: table},
        table.to_pandas(),
        {
            "redacted_frames": table.group_by(["session_id", "frame_index"]).aggregate([]).num_rows,
            "corrections": sum(map(len, corrections.values())),
            "lifted_redactions": lifted.num_rows,
        },
        accepted=[session.session_id for session in standing if session.session_id not in gate.rejected],
    )
    for correction_id in forget_withdrawn(lake, worker_day, run_id=context.run.run_id):
        context.log.info(f"forgot correction {correction_id}: the consent of its session was withdrawn")


@worker_day_asset("anonymized_videos", kinds={"deltalake", "ffmpeg"}, pool="decode")
def anonymized_videos(
    context: dg.AssetExecutionContext,
    landing: dg.ResourceParam[Landing],
    lake: dg.ResourceParam[Lake],
    detectors: dg.ResourceParam[DetectorChoice],
    hiding: dg.ResourceParam[Hiding],
) -> StageEvents:
    """Each recording rendered with everything hidden, without sound or metadata, and audited as a stranger would."""
    worker_day = worker_day_of(context)
    gate = StageGate(context, lake, "anonymized_videos", worker_day)
    hidden = lake.read_worker_day(schemas.REDACTIONS, worker_day)
    frames = lake.read_worker_day(schemas.FRAMES, worker_day)
    lifted = lake.read_worker_day(schemas.LIFTED_REDACTIONS, worker_day)
    media = lake.media_folder(RESTRICTED)
    folder = media / str(worker_day.collected_on) / worker_day.worker_id
    videos, sheets = {}, {}
    standing = standing_sessions(lake, landing, worker_day, "anonymized_videos")
    for session in standing:
        with gate.session(session.session_id):
            seen = rows.present(frames, session.session_id, "frames")
            size_px = session.row["width_px"], session.row["height_px"]
            video = anonymize(
                session.video,
                folder,
                session.session_id,
                rows.objects(Redaction, rows.of_session(hidden, session.session_id)),
                seen.column("pts_ns").to_numpy(),
                motion_px=seen.column("motion_px").to_numpy(),
                detector=detectors.face_detectors(*size_px),
                eyes=AuditEyes.for_picture(*size_px, detectors),
                how=hiding,
                lifted=rows.objects(Lifted, rows.of_session(lifted, session.session_id)),
                on_progress=spoken_progress(context.log.info, f"{session.session_id}: rendered"),
            )
            videos[session.session_id] = video
            sheets[session.session_id] = inline_png(video.preview_png, session.session_id)
            context.log.info(
                f"{session.session_id}: rendered {video.render.frame_count} frames; the audit searched "
                f"{video.audit.audit_frames}: {len(video.audit.residuals)} found, {len(video.audit.suspects)} suspected"
            )
    gate.sift(facts.video_facts(videos, {s.session_id: s.row["frame_count"] for s in standing}))
    kept = {session_id: video for session_id, video in videos.items() if session_id not in gate.rejected}
    table = rows.together(
        schemas.ANONYMIZED_VIDEOS,
        [rows.video_row(worker_day, s, video, media) for s, video in kept.items()],
    )
    yield from gate.publish(
        {schemas.ANONYMIZED_VIDEOS: table},
        table.to_pandas(),
        {
            "seeded_recall_min": min((video.seeded.large for video in kept.values()), default=0.0),
            "audit_frames": sum(video.audit.audit_frames for video in kept.values()),
            "audit_suspects": sum(len(video.audit.suspects) for video in kept.values()),
            "audit_accepted_by_reviewers": sum(video.accepted for video in kept.values()),
            # Only of files that passed: the picture of a failed one could show the very face that was missed.
            **{f"anonymized {session_id}": sheets[session_id] for session_id in kept},
        },
        accepted=list(kept),
    )
    # A rejected file stays too: what a reviewer corrects is then rendered anew, and the rest is taken from it. Its
    # sheet shows why.
    kinds_of_file = [(video.path, keys_path(video.path), video.sheet) for video in videos.values()]
    drop_stale_media(folder, [path.name for files in kinds_of_file for path in files])
    drop_parts(folder)
