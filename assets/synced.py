"""Stage synced: every sensor on the camera's clock, measured; its values on every frame."""

import dagster as dg
import pyarrow as pa

from harchive_dagster.gates import StageEvents, StageGate
from harchive_dagster.lake import rows, schemas
from harchive_dagster.lake.standing import standing_ids
from harchive_dagster.lake.tables import Lake
from harchive_dagster.partitions import worker_day_of
from harchive_dagster.previews import inline_png
from harchive_dagster.quality import facts
from harchive_dagster.sync.clock import refusal, wall_clock_offset_ns
from harchive_dagster.sync.clock_breaks import align_pieces
from harchive_dagster.sync.curve_picture import sync_curve_png
from harchive_dagster.sync.resampling import synced_frames as resample
from harchive_dagster.worker_day_asset import worker_day_asset


@worker_day_asset("clock_alignments", kinds={"deltalake", "numpy"})
def clock_alignments(
    context: dg.AssetExecutionContext, lake: dg.ResourceParam[Lake], sync_search_s: dg.ResourceParam[float]
) -> StageEvents:
    """Offset, drift and mounting of each inertial stream against the picture's own rotation; or a refusal."""
    worker_day = worker_day_of(context)
    gate = StageGate(context, lake, "clock_alignments", worker_day)
    samples = lake.read_worker_day(schemas.SENSOR_SAMPLES, worker_day)
    frames = lake.read_worker_day(schemas.FRAMES, worker_day)
    sessions = lake.read_worker_day(schemas.SESSIONS, worker_day).to_pylist()
    started_at = {row["session_id"]: row["started_at_utc"] for row in sessions}
    tables: list[pa.Table] = []
    pictures = {}
    standing = standing_ids(lake, worker_day, "clock_alignments")
    for session_id in standing:
        with gate.session(session_id):
            seen = rows.frame_observations(rows.present(frames, session_id, "frames"))
            streams = rows.imu_streams(rows.present(samples, session_id, "sensor_samples"))
            aligned = [
                (stream, alignment)
                for stream in streams
                for alignment in align_pieces(
                    seen.pts_ns,
                    seen.rotation_rad,
                    seen.rotation_inliers,
                    stream,
                    search_s=sync_search_s,
                    expected_offset_ns=wall_clock_offset_ns(stream.t_device_ns, started_at[session_id]),
                )
            ]
            tables.extend(
                rows.alignment_rows(worker_day, session_id, stream.placement, alignment)
                for stream, alignment in aligned
            )
            best, alignment = max(aligned, key=lambda pair: (pair[1].is_accepted, pair[1].confidence))
            pictures[f"sync of {session_id}"] = inline_png(
                sync_curve_png(alignment, seen.pts_ns, seen.rotation_rad, seen.rotation_inliers, best), session_id
            )
            if not alignment.is_accepted:
                raise refusal(alignment)
    alignments = gate.keep(rows.together(schemas.CLOCK_ALIGNMENTS, tables))
    accepted_rows = alignments.filter(alignments.column("is_accepted"))
    gate.sift(accepted_rows.to_pandas())
    alignments = gate.keep(alignments)
    judged = alignments.to_pandas()
    judged["quaternion_norm"] = (judged.filter(like="camera_from_sensor_q") ** 2).sum(axis=1) ** 0.5
    yield from gate.publish(
        {schemas.CLOCK_ALIGNMENTS: alignments},
        judged,
        {
            "residual_ms_median": float(judged["residual_ms"].median()) if len(judged) else 0.0,
            "confidence_min": float(judged["confidence"].min()) if len(judged) else 0.0,
            **pictures,
        },
        accepted=[session_id for session_id in standing if session_id not in gate.rejected],
    )


@worker_day_asset("synced_frames", kinds={"deltalake", "numpy"})
def synced_frames(context: dg.AssetExecutionContext, lake: dg.ResourceParam[Lake]) -> StageEvents:
    """Each frame with the sensors on its clock: values, orientation, a window of native samples, gap flags."""
    worker_day = worker_day_of(context)
    gate = StageGate(context, lake, "synced_frames", worker_day)
    samples = lake.read_worker_day(schemas.SENSOR_SAMPLES, worker_day)
    frames = lake.read_worker_day(schemas.FRAMES, worker_day)
    alignments = lake.read_worker_day(schemas.CLOCK_ALIGNMENTS, worker_day)
    tables, frame_counts = [], {}
    standing = standing_ids(lake, worker_day, "synced_frames")
    for session_id in standing:
        with gate.session(session_id):
            pts_ns = rows.frame_observations(rows.present(frames, session_id, "frames")).pts_ns
            frame_counts[session_id] = len(pts_ns)
            clocks = rows.clock_mappings(rows.present(alignments, session_id, "clock_alignments"))
            for stream in rows.imu_streams(rows.present(samples, session_id, "sensor_samples")):
                if stream.stream_id in clocks:
                    synced = resample(pts_ns, stream, clocks[stream.stream_id], window_size=schemas.IMU_WINDOW_SIZE)
                    tables.append(rows.synced_rows(worker_day, session_id, stream.stream_id, stream.placement, synced))
    synced_table = rows.together(schemas.SYNCED_FRAMES, tables)
    figures = facts.synced_facts(synced_table, frame_counts)
    gate.sift(figures)
    synced_table = gate.keep(synced_table)
    yield from gate.publish(
        {schemas.SYNCED_FRAMES: synced_table},
        facts.judged_synced_frames(synced_table),
        {"gap_fraction_max": float(figures["gap_fraction"].max()) if len(figures) else 0.0},
        accepted=[session_id for session_id in standing if session_id not in gate.rejected],
    )
