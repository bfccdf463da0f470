"""Stage raw: what arrived, proven whole and consented; sensor samples as recorded; one look at every frame."""

from datetime import UTC, datetime

import dagster as dg

from harchive_dagster.gates import StageEvents, StageGate
from harchive_dagster.labels.task_catalog import load_task_catalog
from harchive_dagster.lake import ledgers, rows, schemas
from harchive_dagster.lake.arrivals import arrival_row, known_sessions
from harchive_dagster.lake.standing import standing_sessions
from harchive_dagster.lake.tables import Lake
from harchive_dagster.landing.calibration import lens_of
from harchive_dagster.landing.intake import take_in
from harchive_dagster.landing.storage import Landing
from harchive_dagster.landing.streams import read_streams, require_inertial
from harchive_dagster.partitions import worker_day_of
from harchive_dagster.previews import histogram
from harchive_dagster.privacy.detectors import DetectorChoice
from harchive_dagster.privacy.pseudonyms import Pseudonymiser
from harchive_dagster.quality import facts
from harchive_dagster.recording.imu import ImuStream
from harchive_dagster.recording.look import look
from harchive_dagster.worker_day_asset import worker_day_asset

DETECT_EVERY_S = 0.24
"""Between two runs of the privacy detector: every seventh frame at 30 fps, every frame below 8 fps."""

landing_uploads = dg.AssetSpec(
    "landing_uploads",
    description="`<landing>/<day>/<worker>/<session>/`: uploads as devices left them; manifest.json arrives last.",
    group_name="landing",
    kinds={"file"},
)
consent_records = dg.AssetSpec(
    "consent_records",
    description="`<landing>/consents/*.json`: consent records with the fields of ISO/IEC TS 27560.",
    group_name="landing",
    kinds={"json"},
)
annotation_files = dg.AssetSpec(
    "annotation_files",
    description="`<annotations>/<session pseudonym>/`: what human annotators drew, as their tools write it.",
    group_name="landing",
    kinds={"csv"},
)


@worker_day_asset("uploads", kinds={"deltalake", "python"}, also_reads=["landing_uploads", "consent_records"])
def uploads(
    context: dg.AssetExecutionContext,
    landing: dg.ResourceParam[Landing],
    lake: dg.ResourceParam[Lake],
    pseudonyms: dg.ResourceParam[Pseudonymiser],
) -> StageEvents:
    """Every session of the worker-day: manifest valid, files whole, container readable, consent covering it."""
    worker_day = worker_day_of(context)
    gate = StageGate(context, lake, "uploads", worker_day)
    now = datetime.now(UTC)
    landing.bring_worker_day(worker_day, now=now)
    # Before the sessions are listed: one that arrives meanwhile makes the digest stale, never falsely fresh.
    arrival = arrival_row(landing.uploads, worker_day)
    intake = take_in(
        landing,
        worker_day,
        participant_id=pseudonyms.participant(worker_day.worker_id),
        known_tasks=frozenset(load_task_catalog().tasks),
        known_sessions=known_sessions(lake),
        now=now,
    )
    for session_id, fault in intake.faults.items():
        gate.reject(session_id, fault)
    gate.sift(facts.upload_facts(schemas.SESSIONS.conform(intake.rows_with_status(gate.rejected)), now))
    sessions = schemas.SESSIONS.conform(intake.rows_with_status(gate.rejected))
    accepted = [row["session_id"] for row in sessions.to_pylist() if row["status"] == "accepted"]
    yield from gate.publish(
        {ledgers.ARRIVALS: ledgers.ARRIVALS.conform([arrival]), schemas.SESSIONS: sessions},
        sessions.to_pandas(),
        {
            "waiting_sessions": len(intake.waiting),
            "recorded_minutes": sum(row["duration_ns"] or 0 for row in sessions.to_pylist()) / 60e9,
        },
        accepted=accepted,
    )


@worker_day_asset("sensor_samples", kinds={"deltalake", "python"})
def sensor_samples(
    context: dg.AssetExecutionContext, landing: dg.ResourceParam[Landing], lake: dg.ResourceParam[Lake]
) -> StageEvents:
    """Every inertial stream at its native rate, in SI units, on the device's own clock."""
    worker_day = worker_day_of(context)
    gate = StageGate(context, lake, "sensor_samples", worker_day)
    tables, left_out, declared_hz = [], [], {}
    standing = standing_sessions(lake, landing, worker_day, "sensor_samples")
    for session in standing:
        with gate.session(session.session_id):
            require_inertial(session.manifest)
            for stream, spec, dropped in read_streams(session.folder, session.manifest, ImuStream):
                tables.append(rows.imu_rows(worker_day, session.session_id, stream))
                declared_hz[session.session_id, spec.stream_id] = spec.rate_hz
                left_out += [f"{session.session_id} {spec.stream_id}: {one}" for one in dropped]
    samples = rows.together(schemas.SENSOR_SAMPLES, tables)
    figures = facts.sensor_facts(samples, declared_hz)
    gate.sift(figures)
    samples = gate.keep(samples)
    yield from gate.publish(
        {schemas.SENSOR_SAMPLES: samples},
        samples.to_pandas(),
        {
            "rate_ratio_median": float(figures["rate_ratio"].median()) if len(figures) else 0.0,
            "max_gap_s": float(figures["max_gap_s"].max()) if len(figures) else 0.0,
            "left_out": left_out,
        },
        accepted=[session.session_id for session in standing if session.session_id not in gate.rejected],
    )


@worker_day_asset("frame_observations", kinds={"deltalake", "opencv"}, pool="decode")
def frame_observations(
    context: dg.AssetExecutionContext,
    landing: dg.ResourceParam[Landing],
    lake: dg.ResourceParam[Lake],
    detectors: dg.ResourceParam[DetectorChoice],
) -> StageEvents:
    """One look at every frame: sharpness, exposure, obstruction, camera rotation, privacy detections."""
    worker_day = worker_day_of(context)
    gate = StageGate(context, lake, "frame_observations", worker_day)
    models = set()
    frame_tables, detection_tables = [], []
    standing = standing_sessions(lake, landing, worker_day, "frame_observations")
    strides = {s.session_id: max(1, int(s.row["fps"] * DETECT_EVERY_S + 0.01)) for s in standing}
    for session in standing:
        with gate.session(session.session_id):
            detector = detectors.face_detectors(session.row["width_px"], session.row["height_px"], has_hints=True)
            models.add(f"{detector.name} {detector.version}")
            seen, found = look(
                session.video,
                detector=detector,
                glance=detectors.glance(session.row["width_px"], session.row["height_px"]),
                slow_detector=detectors.slow_detectors(),
                detect_every=strides[session.session_id],
                private_intervals_ns=session.manifest.private_intervals_ns,
                lens=lens_of(
                    session.folder,
                    session.manifest,
                    width_px=session.row["width_px"],
                    height_px=session.row["height_px"],
                ),
            )
            frame_tables.append(rows.frame_rows(worker_day, session.session_id, seen))
            detection_tables.append(rows.records(schemas.DETECTIONS, worker_day, session.session_id, found))
            context.log.info(f"{session.session_id}: looked at {len(seen)} frames, {len(found)} detections")
    frames = rows.together(schemas.FRAMES, frame_tables)
    gate.sift(
        facts.frame_facts(
            frames,
            {s.session_id: s.row["frame_count"] for s in standing},
            {s.session_id: s.manifest.private_intervals_ns for s in standing},
            strides,
        )
    )
    frames = gate.keep(frames)
    detections = gate.keep(rows.together(schemas.DETECTIONS, detection_tables))
    yield from gate.publish(
        {schemas.DETECTIONS: detections, schemas.FRAMES: frames},
        frames.to_pandas(),
        {
            "detections": detections.num_rows,
            "detectors": sorted(models),
            "sharpness": histogram(frames.column("sharpness").to_numpy(), "sharpness"),
        },
        accepted=[session.session_id for session in standing if session.session_id not in gate.rejected],
    )
