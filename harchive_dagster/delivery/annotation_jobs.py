"""Makes jobs for annotators out of the lake: the anonymized video, what is proposed, and the words that are offered.

How a tool's files are laid out is in `labels.formats`; reading what comes back is in `labels.annotation_files`.
"""

import difflib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from harchive_dagster.delivery.publishing import publish_media
from harchive_dagster.errors import LakeError, SettingsError
from harchive_dagster.labels.class_mapping import ClassMapping
from harchive_dagster.labels.formats.plain_csv import boxes_of
from harchive_dagster.labels.formats.protocol import AnnotationFormat, Drawn, Job
from harchive_dagster.labels.formats.proxy import Proxy, write_proxy
from harchive_dagster.labels.task_catalog import Task, load_task_catalog
from harchive_dagster.labels.taxonomy import load_taxonomy
from harchive_dagster.lake import rows, schemas
from harchive_dagster.lake.contract import RESTRICTED
from harchive_dagster.lake.standing import standing_ids
from harchive_dagster.lake.tables import Lake
from harchive_dagster.privacy.pseudonyms import Pseudonymiser
from harchive_dagster.worker_day import WorkerDay

PROPOSALS, ANNOTATIONS, NOTHING = "proposals", "annotations", "none"
WHICH_LABELS = (PROPOSALS, ANNOTATIONS, NOTHING)
"""What a job holds already: what markers and models propose; what people drew; nothing."""

MEDIA = "media"
"""The folder of a job's videos, beside its files."""

_NEAREST = 3
_SIDEWAYS = 180


@dataclass(frozen=True)
class SessionToLabel:
    """One session as a job needs it.

    Attributes:
        job: what goes to the annotator.
        video: the anonymized file.
        task: None for a recording without one.
    """

    job: Job
    video: Path
    task: Task | None


def session_to_label(
    lake: Lake,
    named: str,
    pseudonyms: Pseudonymiser,
    *,
    which_labels: str,
    media_url: str,
    made_at: datetime,
    classes: ClassMapping | None = None,
) -> SessionToLabel:
    """Gather one session.

    Args:
        lake: where it is.
        named: its id or its pseudonym.
        pseudonyms: makes the only name that leaves the house.
        which_labels: one of `WHICH_LABELS`.
        media_url: what the tool finds the videos under; their names are put behind it.
        made_at: aware.
        classes: whose class numbers to write; ours if None.

    Raises:
        LakeError: there is no such session, or it has no anonymized video that may be shown.
    """
    worker_day, session_id = find_session(lake, named, pseudonyms)
    session = _row(lake, schemas.SESSIONS, worker_day, session_id)
    video = _row(lake, schemas.ANONYMIZED_VIDEOS, worker_day, session_id)
    frames = rows.of_session(lake.read_worker_day(schemas.FRAMES, worker_day), session_id)
    if session is None or video is None or session_id not in standing_ids(lake, worker_day, "anonymized_videos"):
        raise LakeError(
            f"Session {session_id} has no anonymized video.",
            consequence="No job was made: annotators see anonymized pictures only.",
            mend="Run its worker-day, or see `harchive quarantine show` for why it was set aside.",
        )
    path = lake.media_folder(RESTRICTED) / video["uri"]
    width_px, height_px = _shown_size_px(path, session["width_px"], session["height_px"])
    proxy = Proxy(
        session_pseudonym=pseudonyms.session(session_id),
        sha256=video["sha256"],
        pts_ns=frames.sort_by("frame_index").column("pts_ns").to_numpy(),
        end_ns=session["duration_ns"],
        width_px=width_px,
        height_px=height_px,
    )
    if proxy.frame_count != video["frame_count"]:
        raise LakeError(
            f"Session {session_id} has {proxy.frame_count} frames in table frames, its video {video['frame_count']}.",
            consequence="No job was made: its frame numbers would mean nothing.",
            mend="Run the worker-day again, whole.",
        )
    task = load_task_catalog().tasks.get(session["task_id"] or "")
    labels = tuple(_labels(lake, worker_day, session_id, which_labels, pseudonyms))
    taxonomy = load_taxonomy()
    job = Job(
        proxy=proxy,
        video_uri=f"{media_url}{proxy.name}.mp4",
        instruction=task.text if task else "",
        labels=labels,
        verbs=tuple(dict.fromkeys(taxonomy.verbs.values())),
        nouns=tuple(dict.fromkeys(taxonomy.nouns.values())),
        made_at=made_at,
        classes=classes,
    )
    return SessionToLabel(job, path, task)


def write_job(session: SessionToLabel, tool: AnnotationFormat, folder: Path, annotations: Path) -> list[Path]:
    """Put a job into a folder: the tool's files, the video, the instruction, and the proxy, which is filed here too.

    Args:
        session: what is to be labelled.
        tool: whose files to write.
        folder: gets the job; created.
        annotations: the folder of all sessions' annotations, where readers look for the proxy.

    Returns:
        The tool's own files.

    Raises:
        SettingsError: a folder cannot be written to.
    """
    job = session.job
    written = tool.write(job)
    instructions = {f"{job.name}.instructions.txt": _instructions(session.task).encode()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        publish_media({f"{MEDIA}/{job.name}.mp4": session.video}, folder)
        for place in (folder, annotations / job.proxy.session_pseudonym):
            write_proxy(job.proxy, place)
        for name, content in {**instructions, **written}.items():
            (folder / name).write_bytes(content)
    except OSError as error:
        raise SettingsError(
            f"The job cannot be written to {folder} and HARCHIVE_ANNOTATIONS: {error.strerror}.",
            consequence="It is not whole.",
            mend="Name folders that you may write to, on a disk with space.",
        ) from None
    return [folder / name for name in written]


def find_session(lake: Lake, named: str, pseudonyms: Pseudonymiser) -> tuple[WorkerDay, str]:
    """The session of an id or a pseudonym.

    Raises:
        LakeError: there is none.
    """
    known = lake.read_columns(schemas.SESSIONS, ["session_id", "worker_id", "collected_on"]).to_pylist()
    by_name = {row["session_id"]: row for row in known}
    by_name |= {pseudonyms.session(row["session_id"]): row for row in known}
    found = by_name.get(named)
    if found is None:
        near = ", ".join(difflib.get_close_matches(named, by_name, n=_NEAREST)) or "none is named like it"
        raise LakeError(
            f"There is no session {named!a} in the lake ({near}).",
            consequence="Nothing was written.",
            mend="Give its id or its pseudonym.",
        )
    return WorkerDay(found["collected_on"], found["worker_id"]), found["session_id"]


def _row(lake: Lake, contract: Any, worker_day: WorkerDay, session_id: str) -> dict[str, Any] | None:
    found = rows.of_session(lake.read_worker_day(contract, worker_day), session_id).to_pylist()
    return found[0] if found else None


def _shown_size_px(video: Path, width_px: int, height_px: int) -> tuple[int, int]:
    """Width and height as players show the picture, which is where tools count pixels."""
    import av

    with av.open(video) as container:
        rotation_deg = next(container.decode(video=0)).rotation
    return (height_px, width_px) if rotation_deg % _SIDEWAYS else (width_px, height_px)


def _labels(
    lake: Lake, worker_day: WorkerDay, session_id: str, which: str, pseudonyms: Pseudonymiser
) -> Iterable[Drawn]:
    if which == PROPOSALS:
        found = rows.of_session(lake.read_worker_day(schemas.SEGMENTS, worker_day), session_id).to_pylist()
        return [_proposed(row) for row in found if row["source"] != "annotator"]
    if which == ANNOTATIONS:
        found = rows.of_session(lake.read_worker_day(schemas.ANNOTATIONS, worker_day), session_id).to_pylist()
        return [_drawn(row, pseudonyms) for row in found]
    return []


def _proposed(row: dict[str, Any]) -> Drawn:
    return Drawn(
        annotation_id=row["segment_id"],
        annotator="",
        layer=row["layer"],
        start_ns=row["start_ns"],
        end_ns=row["end_ns"],
        verb=row["verb"] or "",
        noun=row["noun"] or "",
        text="" if row["verb"] else row["label"],
    )


def _drawn(row: dict[str, Any], pseudonyms: Pseudonymiser) -> Drawn:
    names = ("annotator", "layer", "start_ns", "end_ns", "tool", "tool_version", "created_at_utc")
    attributes = json.loads(row["attributes"])
    return Drawn(
        **{name: row[name] for name in names},
        # Ids may name who numbered them, and two annotators' may be the same.
        annotation_id=pseudonyms.annotation(f"{row['annotator']}/{row['annotation_id']}"),
        verb=attributes.get("verb_as_written") or row["verb"] or "",
        noun=attributes.get("noun_as_written") or row["noun"] or "",
        verb_meant=row["verb"] if "verb_as_written" in attributes else "",
        noun_meant=row["noun"] if "noun_as_written" in attributes else "",
        text=row["text"] or "",
        boxes=boxes_of(attributes.get("boxes", [])),
    )


def _instructions(task: Task | None) -> str:
    if task is None:
        return "A recording without a task.\n"
    steps = [f"{number}. {step.verb} {step.noun}" for number, step in enumerate(task.steps, 1)]
    return "\n".join([task.text, "", "Expected steps:", *steps, "", f"Success: {task.success}", ""])
