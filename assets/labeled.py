"""Stage labeled: what annotators drew, and the labelled spans of every source."""

import dataclasses

import dagster as dg

from harchive_dagster.gates import StageEvents, StageGate
from harchive_dagster.labels.agreement import TENTATIVE_ALPHA, covered_count, layer_agreements
from harchive_dagster.labels.annotation_files import Annotation, read_annotations
from harchive_dagster.labels.layers import KNOWN_LAYERS
from harchive_dagster.labels.proposals import propose_activity
from harchive_dagster.labels.segments import build_segments
from harchive_dagster.labels.task_catalog import expected_steps, required_agreement
from harchive_dagster.lake import rows, schemas
from harchive_dagster.lake.standing import standing_sessions
from harchive_dagster.lake.tables import Lake
from harchive_dagster.landing.storage import Landing
from harchive_dagster.partitions import worker_day_of
from harchive_dagster.privacy.pseudonyms import Pseudonymiser
from harchive_dagster.quality import facts
from harchive_dagster.worker_day_asset import worker_day_asset


@worker_day_asset("annotations", kinds={"deltalake", "csv", "json", "xml"}, also_reads=["annotation_files"])
def annotations(
    context: dg.AssetExecutionContext,
    landing: dg.ResourceParam[Landing],
    lake: dg.ResourceParam[Lake],
    pseudonyms: dg.ResourceParam[Pseudonymiser],
) -> StageEvents:
    """What human annotators drew in any of the tools, as written; annotators under pseudonyms."""
    worker_day = worker_day_of(context)
    gate = StageGate(context, lake, "annotations", worker_day)
    tables = []
    standing = standing_sessions(lake, landing, worker_day, "annotations")
    for session in standing:
        with gate.session(session.session_id):
            drawn = read_annotations(
                landing.annotations,
                session_pseudonym=pseudonyms.session(session.session_id),
                duration_ns=session.row["duration_ns"],
            )
            named = [dataclasses.replace(item, annotator=pseudonyms.annotator(item.annotator)) for item in drawn]
            tables.append(rows.records(schemas.ANNOTATIONS, worker_day, session.session_id, named))
    table = rows.together(schemas.ANNOTATIONS, tables)
    durations_ns = {session.session_id: session.row["duration_ns"] for session in standing}
    gate.sift(facts.annotation_facts(table, durations_ns, KNOWN_LAYERS, list(durations_ns)))
    table = gate.keep(table)
    yield from gate.publish(
        {schemas.ANNOTATIONS: table},
        table.to_pandas(),
        {
            "annotated_sessions": len(table.column("session_id").unique()),
            "annotators": len(table.column("annotator").unique()),
        },
        accepted=[session_id for session_id in durations_ns if session_id not in gate.rejected],
    )


@worker_day_asset("segments", kinds={"deltalake", "python"})
def segments(
    context: dg.AssetExecutionContext, landing: dg.ResourceParam[Landing], lake: dg.ResourceParam[Lake]
) -> StageEvents:
    """Labelled spans of every source: the worker's markers, annotators, and proposals from motion and frames."""
    worker_day = worker_day_of(context)
    gate = StageGate(context, lake, "segments", worker_day)
    drawn = lake.read_worker_day(schemas.ANNOTATIONS, worker_day)
    synced = lake.read_worker_day(schemas.SYNCED_FRAMES, worker_day)
    frames = lake.read_worker_day(schemas.FRAMES, worker_day)
    tables = []
    margins: dict[str, float] = {}
    standing = standing_sessions(lake, landing, worker_day, "segments")
    for session in standing:
        with gate.session(session.session_id):
            labels = rows.objects(Annotation, rows.of_session(drawn, session.session_id))
            if agreements := layer_agreements(labels, session.row["duration_ns"]):
                least = min(agreements, key=lambda agreed: agreed.alpha)
                margins[session.session_id] = least.alpha - required_agreement(session.manifest.task_id)
                if least.alpha < TENTATIVE_ALPHA:
                    gate.remark(
                        f"annotators of {session.session_id} hardly agree on {least.layer}: alpha {least.alpha:.2f}; "
                        f"`harchive disagreements --session {session.session_id}` lists where"
                    )
            if covered := covered_count(labels):
                gate.remark(
                    f"{covered} labels of {session.session_id} lie under others of the same annotator and layer, "
                    "and are in no segment"
                )
            motion = rows.head_motion(rows.present(synced, session.session_id, "synced_frames"))
            seen = rows.frame_observations(rows.present(frames, session.session_id, "frames"))
            built = build_segments(
                markers=session.manifest.markers,
                annotations=labels,
                activity=propose_activity(*motion, seen.pts_ns, seen.obstructed_fraction),
                duration_ns=session.row["duration_ns"],
                expected_steps=expected_steps(session.manifest.task_id),
            )
            tables.append(rows.records(schemas.SEGMENTS, worker_day, session.session_id, built))
    table = rows.together(schemas.SEGMENTS, tables)
    durations_ns = {session.session_id: session.row["duration_ns"] for session in standing}
    gate.sift(facts.segment_facts(table, durations_ns, margins))
    table = gate.keep(table)
    by_source = table.to_pandas().groupby("source").size().to_dict()
    yield from gate.publish(
        {schemas.SEGMENTS: table},
        table.to_pandas(),
        {f"segments_{source}": int(by_source.get(source, 0)) for source in ("worker_marker", "annotator", "model")}
        | {"sessions_of_several_annotators": len(margins)},
        accepted=[session_id for session_id in durations_ns if session_id not in gate.rejected],
    )
