"""`harchive redact list`: what is hidden in a session, and every correction of it, as a person reads it."""

from typing import TYPE_CHECKING

import click

from harchive_dagster.commands.terminal import columns, printable
from harchive_dagster.settings import Settings

if TYPE_CHECKING:
    from harchive_dagster.lake.corrections import ReviewedSession
    from harchive_dagster.privacy.corrections import Correction
    from harchive_dagster.privacy.redaction import Redaction


@click.command("list")
@click.argument("session")
@click.option("--at", "moment", metavar="TIME", help="Only what is hidden then, with its box.")
def list_(session: str, moment: str | None) -> None:
    """Print what is hidden in a session by the last run, by track, and every correction of it."""
    from harchive_dagster.lake.corrections import corrections_of, reviewed_session
    from harchive_dagster.lake.tables import Lake

    lake = Lake(Settings.from_environment().lake)
    reviewed = reviewed_session(lake, session)
    click.echo(f"{session} of {reviewed.worker_day}, {len(reviewed.pts_ns)} frames")
    columns(_at(reviewed, moment) if moment else _tracks(reviewed))
    made = corrections_of(lake, session)
    click.echo("\ncorrections:" if made else "\nno corrections")
    for one in made:
        click.echo(f"{one.correction_id}  {one.action} {one.kind}, {_seconds(one.start_ns)} to {_seconds(one.end_ns)}")
        click.echo(f"  {one.made_at_utc:%Y-%m-%d %H:%M} UTC  {printable(one.made_by)}: {printable(one.reason)}")
        click.echo(f"  {_standing(reviewed, one)}")


def _tracks(reviewed: "ReviewedSession") -> list[tuple[str, ...]]:
    by_track: dict[int, list[Redaction]] = {}
    for one in reviewed.redactions:
        by_track.setdefault(one.track_id, []).append(one)
    table: list[tuple[str, ...]] = [("track", "kind", "from", "to", "frames", "found in", "least score")]
    for track_id, track in sorted(by_track.items()):
        first, last = track[0].frame_index, track[-1].frame_index
        table.append(
            (
                str(track_id),
                track[0].kind,
                f"{_seconds(reviewed.pts_ns[first])} {first}f",
                f"{_seconds(reviewed.pts_ns[last])} {last}f",
                str(len(track)),
                str(sum(one.source == "detected" for one in track)),
                f"{min(one.score for one in track):.2f}",
            )
        )
    return table


def _at(reviewed: "ReviewedSession", moment: str) -> list[tuple[str, ...]]:
    import numpy as np

    from harchive_dagster.privacy.review_input import moment_ns

    frame = int(np.searchsorted(reviewed.pts_ns, moment_ns(moment, reviewed.pts_ns), side="right")) - 1
    here = [one for one in reviewed.redactions if one.frame_index == frame]
    table: list[tuple[str, ...]] = [("track", "kind", "x,y,w,h", "source", "score", "frame")]
    for one in here:
        box = ",".join(f"{number:.0f}" for number in (one.x, one.y, one.w, one.h))
        table.append((str(one.track_id), one.kind, box, one.source, f"{one.score:.2f}", f"{frame}f"))
    return table


def _standing(reviewed: "ReviewedSession", correction: "Correction") -> str:
    if not correction.is_standing:
        by, why = printable(correction.revoked_by or ""), printable(correction.revoke_reason or "")
        return f"revoked {correction.revoked_at_utc:%Y-%m-%d %H:%M} UTC  {by}: {why}"
    count = reviewed.frames_in_force(correction)
    if count:
        return f"in force in {count} frames"
    return "not in force: not run since, or it matches nothing (then the check of redactions says so)"


def _seconds(t_ns: int) -> str:
    return f"{t_ns * 1e-9:.3f}s"
