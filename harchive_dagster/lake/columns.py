"""What several tables share: keys, vectors, quaternions, Arrow types, and the form of a worker-day's table."""

import pyarrow as pa

from harchive_dagster.lake.contract import PUBLISHED, RESTRICTED, TableContract, column

TIME = pa.int64()
UTC = pa.timestamp("us", tz="UTC")
TEXT = pa.string()
REAL = pa.float64()

DAY = column("collected_on", pa.date32(), "Worker's local calendar day")
WORKER = column("worker_id", TEXT, "Operational worker id")
SESSION = column("session_id", TEXT, "One continuous recording")
PARTICIPANT = column("participant_id", TEXT, "Keyed pseudonym of the worker")
PUBLIC_SESSION = column("session_pseudonym", TEXT, "Keyed pseudonym of the session")

WORKER_DAY = ("collected_on", "worker_id")
PARTICIPANT_DAY = ("collected_on", "participant_id")


def vector(prefix: str, unit: str, description: str, *, is_nullable: bool = False) -> tuple[pa.Field, ...]:
    """Three columns; `{axis}` in the prefix becomes x, y, z."""
    return tuple(
        column(prefix.format(axis=axis), REAL, f"{description}, {axis}", unit=unit, is_nullable=is_nullable)
        for axis in "xyz"
    )


def quaternion(prefix: str, description: str) -> tuple[pa.Field, ...]:
    """Four columns in the order w, x, y, z."""
    return tuple(column(f"{prefix}_q{part}", REAL, f"{description}, {part} of w,x,y,z") for part in "wxyz")


def restricted_table(name: str, description: str, key: tuple[str, ...], *columns: pa.Field) -> TableContract:
    """A table of the flow, in the house: one partition a worker-day, sessions under their operational ids."""
    return TableContract(
        name=name,
        zone=RESTRICTED,
        description=description,
        columns=(DAY, WORKER, SESSION, *columns),
        partition_by=WORKER_DAY,
        key=("session_id", *key),
    )


def published_table(name: str, description: str, key: tuple[str, ...], *columns: pa.Field) -> TableContract:
    """A table that labs read: one partition a worker-day, everybody under pseudonyms."""
    return TableContract(
        name=name,
        zone=PUBLISHED,
        description=description,
        columns=(DAY, PARTICIPANT, PUBLIC_SESSION, *columns),
        partition_by=PARTICIPANT_DAY,
        key=("session_pseudonym", *key),
    )
