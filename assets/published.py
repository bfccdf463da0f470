"""Stage published: episodes, and the pseudonymised copies of everything that a lab reads beside them."""

import dagster as dg
import pandas as pd

from harchive_dagster.delivery.episodes import (
    MOTION_SOURCES,
    SOURCES,
    cut_session,
    episode_rows,
    placements,
    read_sources,
    rejected_rows,
    synced_counts,
)
from harchive_dagster.delivery.publishing import (
    drop_stale_media,
    media_folder,
    media_uri,
    participant_day_key,
    publish_media,
    published_copy,
    without_free_joints,
    without_free_words,
    without_private_time,
)
from harchive_dagster.gates import StageEvents, StageGate
from harchive_dagster.labels.task_catalog import load_task_catalog
from harchive_dagster.labels.taxonomy import load_taxonomy
from harchive_dagster.lake import ledgers, rows, schemas
from harchive_dagster.lake.arrivals import finished_row
from harchive_dagster.lake.contract import PUBLISHED, RESTRICTED
from harchive_dagster.lake.standing import standing_sessions
from harchive_dagster.lake.tables import Lake, worker_day_key
from harchive_dagster.landing.storage import Landing
from harchive_dagster.partitions import worker_day_of
from harchive_dagster.privacy.pseudonyms import Pseudonymiser
from harchive_dagster.quality import facts
from harchive_dagster.worker_day_asset import worker_day_asset


@worker_day_asset("episodes", kinds={"deltalake", "python"})
def episodes(
    context: dg.AssetExecutionContext,
    landing: dg.ResourceParam[Landing],
    lake: dg.ResourceParam[Lake],
    pseudonyms: dg.ResourceParam[Pseudonymiser],
) -> StageEvents:
    """What a lab reads: episodes, their anonymized media, and pseudonymised copies of the tables behind them."""
    worker_day = worker_day_of(context)
    gate = StageGate(context, lake, "episodes", worker_day)
    sources = read_sources(lake, worker_day)
    standing = standing_sessions(lake, landing, worker_day, "episodes")
    cut = {}
    for session in standing:
        with gate.session(session.session_id):
            cut[session.session_id] = cut_session(session, sources)
            for unread in cut[session.session_id].unread_judgements:
                gate.remark(f"{unread} of {session.session_id} say neither success nor failure, and judge nothing")
            cut[session.session_id].require_episodes()
    rendered = {row["session_id"]: row for row in sources["anonymized_videos"].to_pylist()}
    files = {session_id: lake.media_folder(RESTRICTED) / row["uri"] for session_id, row in rendered.items()}
    flat = [(session_id, e.frame_start, e.frame_end) for session_id, found in cut.items() for e in found.episodes]
    gate.sift(
        facts.episode_facts(
            pd.DataFrame(flat, columns=["session_id", "frame_start", "frame_end"]),
            {session_id: path.is_file() for session_id, path in files.items()},
            synced_counts(sources["synced_frames"], {s.session_id: s.row["frame_count"] for s in standing}),
        )
    )
    published = [session for session in standing if session.session_id not in gate.rejected]
    uris = {
        s.session_id: media_uri(worker_day, s.session_id, rendered[s.session_id]["sha256"], pseudonyms)
        for s in published
    }
    catalog = load_task_catalog()
    rows_of_episodes = [
        row
        for session in published
        for row in episode_rows(
            session,
            cut[session.session_id].episodes,
            media_uri=uris[session.session_id],
            placements=placements(sources, session.session_id),
            catalog=catalog,
            pseudonyms=pseudonyms,
        )
    ]
    table = schemas.EPISODES.conform(rows_of_episodes)
    kept = {name: rows.only_sessions(sources[name], list(uris)) for name in SOURCES}
    private_ns = {session.session_id: session.manifest.private_intervals_ns for session in published}
    kept |= {name: without_private_time(kept[name], private_ns) for name in MOTION_SOURCES}
    kept["clock_alignments"] = kept["clock_alignments"].filter(kept["clock_alignments"].column("is_accepted"))
    kept["segments"] = without_free_words(kept["segments"], load_taxonomy(), pseudonyms)
    kept["pose_samples"] = without_free_joints(kept["pose_samples"])
    kept["anonymized_videos"] = rows.with_uris(kept["anonymized_videos"], uris)
    media = lake.media_folder(PUBLISHED)
    yield from gate.publish(
        {
            **{
                schemas.WORKER_DAY_COPIES[name]: published_copy(kept[name], schemas.WORKER_DAY_COPIES[name], pseudonyms)
                for name in SOURCES
            },
            schemas.REJECTED_SPANS: rejected_rows(cut, worker_day),
            schemas.EPISODES: table,
        },
        table.to_pandas(),
        {"published_minutes": sum(row["end_ns"] - row["start_ns"] for row in rows_of_episodes) / 60e9},
        accepted=list(uris),
        published_key=participant_day_key(worker_day, pseudonyms),
        before_writing=lambda: publish_media({uri: files[s] for s, uri in uris.items()}, media),
    )
    keep = {uri.rpartition("/")[2] for uri in uris.values()}
    for name in drop_stale_media(media / media_folder(worker_day, pseudonyms), keep):
        context.log.info(f"removed published file {name}: no current row names it")
    # Last of all: a run that dies before this line leaves the worker-day unfinished, and the sweep asks for it again.
    finished = ledgers.WORKER_DAYS.conform([finished_row(lake, worker_day, table, gate.rejected)])
    lake.replace(ledgers.WORKER_DAYS, worker_day_key(worker_day), finished, run_id=context.run.run_id)
    landing.let_go(worker_day)
