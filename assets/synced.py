"""Stage synced: every sensor on the camera's clock, measured where it can be; inertial values on every frame."""

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from harchive_dagster.gates import StageEvents, StageGate
from harchive_dagster.lake import rows, schemas
from harchive_dagster.lake.contract import TableContract
from harchive_dagster.lake.session_timing import time_session
from harchive_dagster.lake.standing import standing_ids, standing_sessions
from harchive_dagster.lake.stream_rows import read_stream_rows
from harchive_dagster.lake.stream_schemas import STREAM_TABLES
from harchive_dagster.lake.tables import Lake
from harchive_dagster.landing.storage import Landing
from harchive_dagster.partitions import worker_day_of
from harchive_dagster.previews import inline_png
from harchive_dagster.quality import facts
from harchive_dagster.quality.stream_facts import stream_facts
from harchive_dagster.sync.curve_picture import sync_curve_png
from harchive_dagster.sync.resampling import synced_frames as resample
from harchive_dagster.sync.stream_clock import CONTENT, DEVICE
from harchive_dagster.worker_day_asset import worker_day_asset


@worker_day_asset("clock_alignments", kinds={"deltalake", "numpy"})
def clock_alignments(
    context: dg.AssetExecutionContext,
    landing: dg.ResourceParam[Landing],
    lake: dg.ResourceParam[Lake],
    sync_search_s: dg.ResourceParam[float],
) -> StageEvents:
    """Each inertial stream on the camera's clock: by the picture's own rotation, or by what it shares; or a refusal."""
    worker_day = worker_day_of(context)
    gate = StageGate(context, lake, "clock_alignments", worker_day)
    samples = lake.read_worker_day(schemas.SENSOR_SAMPLES, worker_day)
    frames = lake.read_worker_day(schemas.FRAMES, worker_day)
    tables: list[pa.Table] = []
    pictures, left_out = {}, []
    standing = standing_sessions(lake, landing, worker_day, "clock_alignments")
    for session in standing:
        session_id = session.session_id
        with gate.session(session_id):
            seen = rows.frame_observations(rows.present(frames, session_id, "frames"))
            streams = rows.imu_streams(rows.present(samples, session_id, "sensor_samples"))
            turned, timings, refusal = time_session(session, seen, streams, search_s=sync_search_s)
            tables.extend(
                rows.alignment_rows(worker_day, session_id, timing, session.manifest.rig.readout_ms)
                for timing in timings
            )
            left_out += [f"{session_id} {one.best.detail}" for one in timings if not one.is_accepted]
            shown = max(timings, key=lambda one: (one.clock == CONTENT, one.is_accepted, one.best.confidence))
            pictures[f"sync of {session_id}"] = inline_png(
                sync_curve_png(shown.best, turned.t_ns, turned.rotation_rad, turned.rotation_inliers, shown.stream),
                session_id,
            )
            if refusal:
                raise refusal
            for lost in (one for one in timings if not one.is_accepted):
                gate.remark(f"nothing times stream {lost.stream.stream_id} of {session_id}, and it is left out")
    alignments = gate.keep(rows.together(schemas.CLOCK_ALIGNMENTS, tables))
    measured = pc.and_(alignments.column("is_accepted"), pc.equal(alignments.column("clock"), CONTENT))
    gate.sift(alignments.filter(measured).to_pandas())
    alignments = gate.keep(alignments)
    judged = alignments.to_pandas()
    judged["quaternion_norm"] = (judged.filter(like="camera_from_sensor_q") ** 2).sum(axis=1) ** 0.5
    yield from gate.publish(
        {schemas.CLOCK_ALIGNMENTS: alignments},
        judged,
        {
            "residual_ms_median": float(judged["residual_ms"].median()) if len(judged) else 0.0,
            "confidence_min": float(judged["confidence"].min()) if len(judged) else 0.0,
            "clocks": judged["clock"].value_counts().to_dict(),
            "left_out": left_out,
            **pictures,
        },
        accepted=[session.session_id for session in standing if session.session_id not in gate.rejected],
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
            clocks = rows.stream_clocks(rows.present(alignments, session_id, "clock_alignments"))
            for stream in rows.imu_streams(rows.present(samples, session_id, "sensor_samples")):
                if stream.stream_id in clocks:
                    clock = clocks[stream.stream_id]
                    synced = resample(pts_ns, stream, clock.mapping, window_size=schemas.IMU_WINDOW_SIZE)
                    tables.append(rows.synced_rows(worker_day, session_id, stream, clock.source, synced))
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


@worker_day_asset("synced_streams", kinds={"deltalake", "numpy"})
def synced_streams(
    context: dg.AssetExecutionContext, landing: dg.ResourceParam[Landing], lake: dg.ResourceParam[Lake]
) -> StageEvents:
    """Native samples, poses, pressure arrays and depth pictures in session time, saying what that rests on."""
    worker_day = worker_day_of(context)
    gate = StageGate(context, lake, "synced_streams", worker_day)
    samples = lake.read_worker_day(schemas.SENSOR_SAMPLES, worker_day)
    alignments = lake.read_worker_day(schemas.CLOCK_ALIGNMENTS, worker_day)
    tables: dict[TableContract, list[pa.Table]] = {contract: [] for contract in STREAM_TABLES}
    declared_hz, left_out = {}, []
    standing = standing_sessions(lake, landing, worker_day, "synced_streams")
    for session in standing:
        with gate.session(session.session_id):
            clocks = rows.stream_clocks(rows.present(alignments, session.session_id, "clock_alignments"))
            inertial = rows.imu_streams(rows.present(samples, session.session_id, "sensor_samples"))
            for stream in read_stream_rows(session, inertial, clocks):
                tables[stream.contract].append(stream.rows)
                declared_hz[session.session_id, stream.spec.stream_id] = stream.spec.rate_hz
                left_out += [f"{session.session_id} {stream.spec.stream_id}: {one}" for one in stream.left_out]
                if stream.is_lost:
                    gate.remark(f"nothing of stream {stream.spec.stream_id} of {session.session_id} could be used")
    durations_ns = {session.session_id: session.row["duration_ns"] for session in standing}
    merged = {contract: rows.together(contract, parts) for contract, parts in tables.items()}
    figures = stream_facts(merged.values(), declared_hz, durations_ns)
    gate.sift(figures)
    figures = figures[~figures["session_id"].isin(list(gate.rejected))]
    yield from gate.publish(
        {contract: gate.keep(table) for contract, table in merged.items()},
        figures,
        {
            "streams": len(figures),
            "streams_on_device_clocks": int((figures["clock"] == DEVICE).sum()),
            "left_out": left_out,
        },
        accepted=[session_id for session_id in durations_ns if session_id not in gate.rejected],
    )
