"""The page of damages: what the pipeline says about each kind of damaged upload, found out by taking every one in.

`python -m harchive_dagster.demo.damage > docs/damage.md` writes it. How uploads are damaged is in `damaged_uploads`.
"""

import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from harchive_dagster.demo.damaged_uploads import DAMAGED, DAMAGES, DAY, OTHER_DAY, WHOLE, Damage, Upload
from harchive_dagster.demo.session import SessionSpec, folder_of, make_session
from harchive_dagster.demo.uploads import write_consent
from harchive_dagster.errors import SessionRejectedError
from harchive_dagster.landing.intake import Intake, KnownSession, take_in
from harchive_dagster.landing.manifest import read_manifest
from harchive_dagster.landing.storage import Landing
from harchive_dagster.landing.streams import read_streams, require_inertial
from harchive_dagster.recording.decoding import iterate_frames
from harchive_dagster.recording.imu import ImuStream

_NOW = datetime(2026, 3, 4, tzinfo=UTC)
_TASK = "fold_laundry"
_LIMIT_BYTES = 200 * 10**9

_INTRODUCTION = """# Damaged uploads

Written by `python -m harchive_dagster.demo.damage`, which makes each of these uploads, takes it in, reads its sensors
and decodes its video. Beside every one of them lies a whole upload of the same worker-day, which is accepted each time.

The files stay in landing as they are, whatever is said about them. "Figures" are what the session's row says of the
video: duration, size, rate, frames. A row without them means that the video was not opened, or could not be read.
"""


@dataclass(frozen=True)
class Finding:
    """What became of one damaged upload.

    Attributes:
        stage: that set it aside; empty where none did.
        reason: its code; empty likewise.
        message: the detail in `quarantine`, or what is said instead.
        kept: what the tables hold of the session.
    """

    stage: str
    reason: str
    message: str
    kept: str


def damage_page() -> str:
    """The whole page as Markdown."""
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "whole"
        make_landing(whole)
        sections = [_section(what, damages, whole) for what, damages in DAMAGES.items()]
    return "\n".join([_INTRODUCTION, *sections])


def make_landing(landing: Path) -> None:
    """A worker-day with two small whole sessions; one of them is there to be damaged."""
    for seed, session_id in enumerate((WHOLE, DAMAGED)):
        spec = SessionSpec(
            session_id,
            seed=seed,
            consent_id=f"consent-{session_id}",
            task_id=_TASK,
            duration_s=3.0,
            width_px=64,
            height_px=48,
            fps=10,
            has_audio=False,
        )
        make_session(folder_of(landing, spec), spec)
        write_consent(landing, spec.worker_id, first_day=spec.collected_on, consent_id=spec.consent_id)


def find(damage: Damage, whole: Path, place: Path) -> Finding:
    """Damage a copy of a whole landing and go through it as the pipeline does.

    Args:
        damage: what to do to it.
        whole: made by `make_landing`; stays as it is.
        place: where the copy goes; must not exist.

    Raises:
        RuntimeError: the neighbour suffered, which nothing may cause.
    """
    shutil.copytree(whole, place)
    upload = Upload(place)
    damage.spoil(upload)
    if damage.is_declared:
        upload.redeclare()
    landing = Landing(place, place / "annotations", _LIMIT_BYTES)
    intake = take_in(
        landing,
        DAY,
        participant_id="p-1",
        known_tasks=frozenset({_TASK}),
        known_sessions=_known(damage),
        now=_NOW,
    )
    if WHOLE in intake.faults or WHOLE not in {row["session_id"] for row in intake.rows}:
        raise RuntimeError(f"{damage.name}: the neighbour was not accepted")
    return _finding(landing, intake)


def _known(damage: Damage) -> dict[str, KnownSession]:
    """What an earlier run took in: nothing, or a session of the damaged one's id for another worker-day."""
    earlier = KnownSession(OTHER_DAY, "0" * 64, "0" * 64, _NOW - timedelta(days=1))
    return {DAMAGED: earlier} if damage.is_known else {}


def _finding(landing: Landing, intake: Intake) -> Finding:
    if DAMAGED in intake.waiting:
        return Finding("", "", "The session waits; its worker-day goes on without it.", "nothing yet")
    rows = [row for row in intake.rows if row["session_id"] == DAMAGED]
    kept = "no row" if not rows else "its row" + ("" if rows[0]["frame_count"] is None else " with figures")
    fault = intake.faults.get(DAMAGED)
    if fault is not None:
        return Finding("uploads", fault.reason.value, _readable(fault.detail), kept)
    folder = landing.session_folder(DAY, DAMAGED)
    left_out: list[str] = []
    for stage, pieces in (("sensor_samples", _sensors(folder)), ("frame_observations", _pictures(folder))):
        try:
            left_out += pieces
        except SessionRejectedError as error:
            return Finding(stage, error.reason.value, _readable(error.detail), kept)
    without = f" but {_readable('; '.join(left_out))}" if left_out else ""
    return Finding("", "", "Accepted.", f"everything{without}")


def _sensors(folder: Path) -> Iterator[str]:
    """What reading the sensors left out."""
    manifest = read_manifest(folder)
    require_inertial(manifest)
    for _, _, dropped in read_streams(folder, manifest, ImuStream):
        yield from map(str, dropped)


def _pictures(folder: Path) -> Iterator[str]:
    """Nothing: pictures are never left out."""
    for _ in iterate_frames(folder / read_manifest(folder).video_file.path):
        yield from ()


def _readable(detail: str) -> str:
    """Without digests, and what Markdown takes for markup disarmed."""
    return re.sub(r"\b[0-9a-f]{64}\b", "…", detail).replace("|", "\\|").replace("<", "\\<")


def _section(what: str, damages: tuple[Damage, ...], whole: Path) -> str:
    lines = [f"## {what}", "", "| what happened | set aside by | reason | what is said | what the tables keep |"]
    lines.append("|---|---|---|---|---|")
    for number, damage in enumerate(damages):
        finding = find(damage, whole, whole.with_name(f"{what}-{number}"))
        stage, reason = (f"`{text}`" if text else "–" for text in (finding.stage, finding.reason))
        lines.append(f"| {damage.name} | {stage} | {reason} | {finding.message} | {finding.kept} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(damage_page())
