"""`harchive pack`, `extract-video` and `landing check`: options in, sentences out. What they do is in `landing`."""

import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from harchive_dagster.commands.terminal import printable
from harchive_dagster.errors import SettingsError
from harchive_dagster.landing.manifest import ENVIRONMENTS, MARKER_KINDS, PLACEMENTS
from harchive_dagster.settings import Settings

_NO_TASK = "none"


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--worker", required=True, help="Who recorded it.")
@click.option("--task", required=True, help=f"Id of the task, or '{_NO_TASK}' for a recording without one.")
@click.option("--consent", required=True, help="Id of the consent record.")
@click.option("--started-at", help="First frame's time with its offset. [default: what the video says]")
@click.option("--day", help="Local day of the recording. [default: that of the start]")
@click.option("--country", help="ISO 3166-1. [default: the region's, else the consent's]")
@click.option("--region", help="ISO 3166-2, such as IN-KA.")
@click.option("--environment", default="other", show_default=True, help=f"One of {', '.join(sorted(ENVIRONMENTS))}.")
@click.option("--session", help="Id of the session. [default: made of start and content]")
@click.option("--placement", multiple=True, help=f"stream=place: where it is worn. {', '.join(sorted(PLACEMENTS))}.")
@click.option("--clock", multiple=True, help="stream=clock: streams of one clock are timed by the same hardware.")
@click.option("--without", multiple=True, help="Stream to leave out of the manifest.")
@click.option("--marker", multiple=True, help=f"kind@seconds, from the first frame. {', '.join(sorted(MARKER_KINDS))}.")
@click.option("--rig-model", default="unknown", show_default=True, help="Model of the cap.")
@click.option("--camera", default="unknown", show_default=True, help="Model of the camera.")
@click.option("--readout-ms", type=float, help="How long the rolling shutter takes from first row to last.")
@click.option(
    "--calibration", type=click.Path(path_type=Path), help="The camera's lens: our JSON or Gyroflow's profile."
)
@click.option("--serial", default="unknown", show_default=True, help="Serial number; it stays in the manifest.")
@click.option("--landing", help="Landing folder. [default: HARCHIVE_LANDING]")
@click.option("--move/--copy", default=False, show_default="copy", help="Remove the files once they are in place.")
def pack(files: tuple[Path, ...], calibration: Path | None, landing: str | None, move: bool, **said: Any) -> None:
    """Make a valid upload of one video and its sensor files, and put it into the landing folder.

    Formats, streams and rates are found in the files. Interrupted, the same command goes on where it stopped.
    """
    from harchive_dagster.labels.task_catalog import load_task_catalog
    from harchive_dagster.landing.manifest_draft import Answers
    from harchive_dagster.landing.packing import plan_upload
    from harchive_dagster.landing.placing import place_upload

    settings = Settings.from_environment()
    uploads = (replace(settings, landing_place=landing) if landing else settings).landing
    if landing and not uploads.is_dir():
        raise SettingsError(
            f"--landing {landing!a} is not a folder.",
            consequence="Nothing was packed.",
            mend="Correct it, or make the folder first.",
        )
    answers = Answers(
        worker_id=said["worker"],
        consent_id=said["consent"],
        task_id=None if said["task"] == _NO_TASK else said["task"],
        started_at=said["started_at"],
        collected_on=said["day"],
        country=said["country"],
        region=said["region"],
        environment=said["environment"],
        session_id=said["session"],
        rig_model=said["rig_model"],
        camera=said["camera"],
        serial=said["serial"],
        placements=said["placement"],
        clocks=said["clock"],
        readout_ms=said["readout_ms"],
        without=said["without"],
        markers=said["marker"],
    )
    plan = plan_upload(
        files,
        answers,
        landing=uploads,
        calibration=calibration,
        known_tasks=load_task_catalog().tasks,
        max_bytes=settings.max_session_gb * 10**9,
        timezone=settings.timezone,
        now=datetime.now(UTC),
    )
    for remark in plan.remarks:
        click.echo(remark)
    folder = plan.folder_in(uploads)
    placed = place_upload(folder, plan.sources, plan.manifest, is_move=move)
    if placed.kept:
        click.echo(f"in place already: {', '.join(map(ascii, placed.kept))}")
    click.echo(f"{'packed' if placed.is_new else 'was packed before'}: {folder}")


@click.command("extract-video")
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--channel", default="", help="Topic or member. [default: the only one]")
def extract_video(file: Path, target: Path, channel: str) -> None:
    """Take the video out of an MCAP file or a Sensor Logger archive, as it is, so that both can be packed."""
    from harchive_dagster.landing.contained_video import take_out

    video = take_out(file, target, channel)
    for remark in video.remarks:
        click.echo(f"left out: {printable(remark)}")
    if video.started_at:
        nearly = "" if video.is_exact else "up to a second before "
        click.echo(f"{nearly}its first picture it was {video.started_at.isoformat()}: give it as --started-at")
    click.echo(f"{printable(video.name)} is in {target}")


@click.group()
def landing() -> None:
    """Uploads in the landing folder."""


@landing.command()
@click.argument("path", type=click.Path(path_type=Path))
def check(path: Path) -> None:
    """Say everything that is wrong with an upload, a worker's day of them, or a whole landing folder."""
    from harchive_dagster.labels.task_catalog import load_task_catalog
    from harchive_dagster.landing.upload_walk import check_uploads

    max_bytes = Settings.from_environment().max_session_gb * 10**9
    reports = check_uploads(path, known_tasks=load_task_catalog().tasks, max_bytes=max_bytes, now=datetime.now(UTC))
    count = wrong = 0
    for report in reports:
        count += 1
        wrong += bool(report.problems)
        click.echo(
            f"{report.name}: {len(report.problems)} wrong" if report.problems else f"{report.name}: nothing wrong"
        )
        for mark, sentences in (("-", report.problems), ("?", report.suspicions)):
            for sentence in sentences:
                click.echo(f"  {mark} {printable(sentence)}")
    click.echo(f"{count} checked, {wrong} with something wrong")
    if wrong:
        sys.exit(1)
