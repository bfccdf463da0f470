"""The tables that keep account: arrivals, finished worker-days, quarantine, corrections, consents, tasks, catalogue.

The tables of the flow itself are in `schemas`.
"""

import pyarrow as pa

from harchive_dagster.lake.columns import DAY, REAL, SESSION, TEXT, TIME, UTC, WORKER, WORKER_DAY
from harchive_dagster.lake.contract import PUBLISHED, RESTRICTED, TableContract, column

ARRIVALS = TableContract(
    name="arrivals",
    zone=RESTRICTED,
    description="What each worker-day's intake found: the digest of its manifests, complete and waiting sessions",
    columns=(
        DAY,
        WORKER,
        column("arrival_digest", TEXT, "Digest over the names and manifests of all complete sessions"),
        column("complete_count", pa.int64(), "Sessions with a manifest"),
        column("waiting_count", pa.int64(), "Sessions whose manifest had not arrived"),
    ),
    partition_by=WORKER_DAY,
    key=("collected_on", "worker_id"),
)

STAGE_RUNS = TableContract(
    name="stage_runs",
    zone=RESTRICTED,
    description="Which arrival each stage's rows of a worker-day were made from",
    columns=(
        DAY,
        WORKER,
        column("stage", TEXT, "Asset"),
        column("arrival_digest", TEXT, "The arrival that its rows were made from"),
    ),
    partition_by=(*WORKER_DAY, "stage"),
    key=("collected_on", "worker_id", "stage"),
)

WORKER_DAYS = TableContract(
    name="worker_days",
    zone=RESTRICTED,
    description="Worker-days that went through the whole chain, and what came out",
    columns=(
        DAY,
        WORKER,
        column("arrival_digest", TEXT, "The arrival that was worked on"),
        column("published_sessions", pa.int64(), "Sessions with at least one published episode"),
        column("published_episodes", pa.int64(), "Published episodes"),
        column("published_ns", TIME, "Length of all published episodes", unit="ns"),
        column("quarantined_sessions", pa.int64(), "Sessions set aside at any stage"),
    ),
    partition_by=WORKER_DAY,
    key=("collected_on", "worker_id"),
)

QUARANTINE = TableContract(
    name="quarantine",
    zone=RESTRICTED,
    description="Sessions that were set aside: at which stage, why, on what evidence",
    columns=(
        DAY,
        WORKER,
        SESSION,
        column("stage", TEXT, "Asset that set it aside"),
        column("reason", TEXT, "Enumerated code"),
        column("detail", TEXT, "One sentence for a person"),
        column("expectation", TEXT, "Expectation that failed", is_nullable=True),
        column("evidence", TEXT, "JSON"),
        column("at_utc", UTC, "When"),
        column("run_id", TEXT, "Run"),
    ),
    # The stage is part of the partition so that two stages of one run never rewrite the same file.
    partition_by=(*WORKER_DAY, "stage"),
    key=("session_id",),
    volatile=("at_utc", "run_id"),
)

REDACTION_CORRECTIONS = TableContract(
    name="redaction_corrections",
    zone=RESTRICTED,
    description="What reviewers changed about what is hidden: who, when, why; revoked ones stay on record",
    columns=(
        DAY,
        WORKER,
        SESSION,
        column("correction_id", TEXT, "Id; also the partition"),
        column("action", TEXT, "add: hidden as well; remove: a false detection, not hidden any more"),
        column("kind", TEXT, "face, text, screen, plate, person, or private for the whole frame"),
        column("start_ns", TIME, "Session time from which on it holds", unit="ns"),
        column("end_ns", TIME, "Until, exclusive", unit="ns"),
        column("path_ns", pa.list_(TIME), "Session times at which its box is known; straight between them", unit="ns"),
        column("path_px", pa.list_(REAL), "x, y, w, h at each of these times, one after the other", unit="px"),
        column("video_sha256", TEXT, "Digest of the recording that was looked at; of another one nothing is removed"),
        column("reason", TEXT, "Why, in the reviewer's words"),
        column("made_by", TEXT, "Who"),
        column("made_at_utc", UTC, "When"),
        column("revoke_reason", TEXT, "Why it was revoked; null while it stands", is_nullable=True),
        column("revoked_by", TEXT, "Who revoked it", is_nullable=True),
        column("revoked_at_utc", UTC, "When it was revoked", is_nullable=True),
    ),
    # The id is part of the partition so that two reviewers never rewrite each other's.
    partition_by=(*WORKER_DAY, "correction_id"),
    key=("session_id", "correction_id"),
)

CONSENTS = TableContract(
    name="consents",
    zone=RESTRICTED,
    description="Consent records as they stand",
    columns=(
        column("consent_id", TEXT, "Record id"),
        column("worker_id", TEXT, "Principal"),
        column("purposes", pa.list_(pa.string()), "What the recording may be used for"),
        column("recipients", pa.list_(pa.string()), "Who may receive it"),
        column("jurisdiction", TEXT, "Whose law applies"),
        column("retention_period", TEXT, "ISO 8601 duration"),
        column("language", TEXT, "Language of the notice"),
        column("notice_version", TEXT, "Version of the notice"),
        column("valid_from_utc", UTC, "From"),
        column("valid_until_utc", UTC, "Until; null while open-ended", is_nullable=True),
        column("withdrawn_at_utc", UTC, "Withdrawn at", is_nullable=True),
    ),
    partition_by=(),
    key=("consent_id",),
)

TASK_CATALOG = TableContract(
    name="task_catalog",
    zone=PUBLISHED,
    description="The tasks that workers are asked to do",
    columns=(
        column("task_id", TEXT, "Id"),
        column("catalog_version", TEXT, "Version of the catalogue"),
        column("language", TEXT, "Language of the instruction"),
        column("instruction", TEXT, "What the worker is asked"),
        column("steps", pa.list_(pa.string()), "Expected steps in order"),
        column("objects", pa.list_(pa.string()), "Objects"),
        column("environments", pa.list_(pa.string()), "Where it is done"),
        column("success", TEXT, "What success looks like"),
        column("sync", TEXT, "required, or device_time_ok: recordings whose clocks nothing measures are published too"),
        column("min_duration_s", REAL, "Shortest plausible", unit="s"),
        column("max_duration_s", REAL, "Longest plausible", unit="s"),
    ),
    partition_by=(),
    key=("task_id", "language"),
)

CATALOG = TableContract(
    name="catalog",
    zone=PUBLISHED,
    description="The published tables: where each is, what it holds, which version is current",
    columns=(
        column("table_name", TEXT, "Table; its folder inside published/"),
        column("description", TEXT, "What a row is"),
        column("contract_version", TEXT, "SemVer of the data contract"),
        column("version", pa.int64(), "Current Delta version"),
        column("row_count", pa.int64(), "Rows now"),
        column("first_day", pa.date32(), "Earliest day held", is_nullable=True),
        column("last_day", pa.date32(), "Latest day held", is_nullable=True),
        column("columns", TEXT, "JSON: name, type, unit, description of every column"),
    ),
    partition_by=(),
    key=("table_name",),
)
