"""`harchive redact add|remove|revoke`: options in, sentences out. What corrections do is in `privacy.corrections`."""

import getpass
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from harchive_dagster.commands import rerun
from harchive_dagster.commands.redaction_list import list_
from harchive_dagster.errors import LakeError, SettingsError
from harchive_dagster.settings import Settings
from harchive_dagster.stages import from_on

if TYPE_CHECKING:
    from harchive_dagster.lake.corrections import ReviewedSession
    from harchive_dagster.lake.tables import Lake
    from harchive_dagster.privacy.corrections import Correction
    from harchive_dagster.privacy.redaction import Redaction

_KINDS = ("face", "text", "screen", "plate", "person")
_PICTURE_ONLY = (
    "The picture alone is hidden: motion, figures of the frames and labels of that time are published as before. Time "
    "that is nobody's business belongs between private_start and private_end in the upload's manifest."
)


class _BoxType(click.ParamType[tuple[float, float, float, float]]):
    """x,y,w,h."""

    name = "x,y,w,h"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, float, float, float]:
        try:
            x, y, w, h = map(float, str(value).split(","))
        except ValueError:
            self.fail(f"{value!a} is not of the form x,y,w,h.", param, ctx)
        return x, y, w, h


def _about_the_run(command: Callable[..., None]) -> Callable[..., None]:
    """Options of every command that puts something on record."""
    for option in (
        click.option("--later", "is_later", is_flag=True, help="More follows: do not have the worker-day run yet."),
        click.option("--now", "is_now", is_flag=True, help="Hide and publish anew at once, in this process."),
        click.option("--by", help="Who decided; your user name otherwise."),
        click.option("--reason", required=True, help="Why; kept with it, in the restricted zone."),
    ):
        command = option(command)
    return command


@click.group()
def redact() -> None:
    """Correct what is hidden in a session's video.

    Times are session time: seconds ("12.3s") or frames, counted from 0 ("369f"). Pixels are those of the picture as it
    is coded, before any display rotation.
    """


redact.add_command(list_)


@redact.command()
@click.argument("session")
@click.option("--from", "start", required=True, metavar="TIME", help="First moment that it is to be hidden.")
@click.option("--to", "end", required=True, metavar="TIME", help="Until then; a frame is hidden itself.")
@click.option("--box", type=_BoxType(), help="What to hide; with --box-at-end, where it is at first.")
@click.option("--box-at-end", type=_BoxType(), help="Where it is at last; between, it moves straight.")
@click.option("--whole-frame", "is_whole", is_flag=True, help="Hide the whole picture; nothing else of that time.")
@click.option("--kind", type=click.Choice(_KINDS), default="face", show_default=True, help="What it is.")
@_about_the_run
def add(
    session: str,
    start: str,
    end: str,
    box: tuple[float, float, float, float] | None,
    box_at_end: tuple[float, float, float, float] | None,
    is_whole: bool,
    kind: str,
    **how: Any,
) -> None:
    """Hide something that was missed.

    --whole-frame hides the picture alone: motion, figures of the frames and labels of that time stay in what is
    published. Time that is nobody's business belongs between private_start and private_end in the upload's manifest.
    """
    from harchive_dagster.lake.corrections import reviewed_session
    from harchive_dagster.lake.tables import Lake
    from harchive_dagster.privacy.corrections import ADD
    from harchive_dagster.privacy.redaction import PRIVATE_KIND
    from harchive_dagster.privacy.review_input import interval_ns, require_box

    if is_whole == (box is not None) or (box_at_end and not box):
        raise click.UsageError("Give either --box (with --box-at-end if it moves) or --whole-frame.")
    settings = Settings.from_environment()
    lake = Lake(settings.lake)
    reviewed = reviewed_session(lake, session)
    start_ns, end_ns = interval_ns(start, end, reviewed.pts_ns)
    whole = (0.0, 0.0, float(reviewed.width_px), float(reviewed.height_px))
    boxes = [whole] if is_whole else [one for one in (box, box_at_end) if one]
    for one in boxes:
        require_box(one, reviewed.width_px, reviewed.height_px)
    correction = _correction(
        reviewed,
        how,
        action=ADD,
        kind=PRIVATE_KIND if is_whole else kind,
        start_ns=start_ns,
        end_ns=end_ns,
        path_ns=(start_ns, max(start_ns + 1, end_ns - 1))[: len(boxes)],
        path_px=tuple(number for one in boxes for number in one),
    )
    what = f"hides the {'whole picture' if is_whole else kind} from {start} to {end}"
    _put_on_record(lake, settings, correction, how, f"{what}\n{_PICTURE_ONLY}" if is_whole else what)


@redact.command()
@click.argument("session")
@click.argument("track_id", type=int)
@click.option("--from", "start", metavar="TIME", help="Only from this moment on.")
@click.option("--to", "end", metavar="TIME", help="Only until then.")
@_about_the_run
def remove(session: str, track_id: int, start: str | None, end: str | None, **how: Any) -> None:
    """Show a false detection: a picture on the wall, a clock. `harchive redact list` has the track ids.

    It is remembered where the track was in every frame, so that a new look that numbers tracks anew finds it again.
    What comes to be elsewhere, private time, and everything else that is hidden there stay hidden.
    """
    from harchive_dagster.lake.corrections import reviewed_session
    from harchive_dagster.lake.tables import Lake
    from harchive_dagster.privacy.corrections import REMOVE, path_of
    from harchive_dagster.privacy.review_input import interval_ns

    settings = Settings.from_environment()
    lake = Lake(settings.lake)
    reviewed = reviewed_session(lake, session)
    track = _removable(reviewed, track_id)
    pts_ns = reviewed.pts_ns
    first, last = start or f"{track[0].frame_index}f", end or f"{track[-1].frame_index}f"
    start_ns, end_ns = interval_ns(first, last, pts_ns)
    track = [one for one in track if start_ns <= pts_ns[one.frame_index] < end_ns]
    if not track:
        raise SettingsError(
            f"Track {track_id} hides nothing from {first} to {last}.",
            consequence="Nothing was put on record.",
            mend=f"`harchive redact list {session}` shows when it does.",
        )
    path_ns, path_px = path_of(track, pts_ns)
    correction = _correction(
        reviewed,
        how,
        action=REMOVE,
        kind=track[0].kind,
        start_ns=path_ns[0],
        end_ns=path_ns[-1] + 1,
        path_ns=path_ns,
        path_px=path_px,
    )
    _put_on_record(lake, settings, correction, how, f"shows track {track_id} ({track[0].kind}, {len(track)} frames)")


@redact.command()
@click.argument("correction_id")
@_about_the_run
def revoke(correction_id: str, **how: Any) -> None:
    """Take a wrong correction back. It stays on record."""
    from harchive_dagster.lake.corrections import revoked
    from harchive_dagster.lake.tables import Lake

    settings = Settings.from_environment()
    lake = Lake(settings.lake)
    correction = revoked(lake, correction_id, reason=_reason(how), by=_who(how))
    _put_on_record(lake, settings, correction, how, "is revoked")


def _correction(reviewed: "ReviewedSession", how: dict[str, Any], **what: Any) -> "Correction":
    from harchive_dagster.lake.corrections import new_correction_id
    from harchive_dagster.privacy.corrections import Correction

    return Correction(
        worker_day=reviewed.worker_day,
        session_id=reviewed.session_id,
        correction_id=new_correction_id(),
        video_sha256=reviewed.video_sha256,
        reason=_reason(how),
        made_by=_who(how),
        made_at_utc=datetime.now(UTC),
        **what,
    )


def _put_on_record(lake: "Lake", settings: Settings, correction: "Correction", how: dict[str, Any], what: str) -> None:
    from harchive_dagster.lake.corrections import keep

    if how["is_later"] and how["is_now"]:
        raise click.UsageError("Give either --now or --later.")
    stages, worker_day = from_on("redactions"), correction.worker_day
    # Before it is on record: while a run is under way, it could finish the worker-day without this correction.
    arrivals = [] if how["is_later"] else rerun.require_runnable(settings, [worker_day], is_now=how["is_now"])
    keep(lake, correction)
    click.echo(f"on record: {correction.correction_id} of {correction.session_id} {what}")
    note = f"correction {correction.correction_id}"
    if how["is_now"]:
        (arrival,) = arrivals
        if not rerun.run_now(lake, arrival, correction.session_id, note, stages=stages):
            sys.exit(1)
        return
    if not how["is_later"]:
        rerun.request(lake, worker_day, note)
    click.echo(
        "Until a run is through, what was published stays as it was. These stages alone:\n"
        f'dagster asset materialize -m harchive_dagster.definitions --partition "{worker_day}" '
        f"--select {','.join(stages)}"
    )


def _removable(reviewed: "ReviewedSession", track_id: int) -> list["Redaction"]:
    from harchive_dagster.privacy.corrections import REVIEWED
    from harchive_dagster.privacy.redaction import PRIVATE_KIND

    track = [one for one in reviewed.redactions if one.track_id == track_id]
    listed = f"`harchive redact list {reviewed.session_id}` shows what is hidden."
    if not track:
        raise LakeError(
            f"{reviewed.session_id} has no track {track_id}.", consequence="Nothing was put on record.", mend=listed
        )
    if track[0].source == REVIEWED:
        raise LakeError(
            f"Track {track_id} was added by a correction.",
            consequence="Nothing was put on record.",
            mend=f"Revoke that one: {listed}",
        )
    if track[0].kind == PRIVATE_KIND:
        raise LakeError(
            f"Track {track_id} is the worker's private time.",
            consequence="Nothing was put on record: nobody but the worker may show it.",
            mend="Ask the worker for an upload with other markers.",
        )
    return track


def _reason(how: dict[str, Any]) -> str:
    reason = str(how["reason"]).strip()
    if not reason:
        raise click.UsageError("--reason is empty: say why, for whoever reads it in a year.")
    return reason


def _who(how: dict[str, Any]) -> str:
    if how["by"]:
        return str(how["by"])
    try:
        return getpass.getuser()
    except (OSError, KeyError) as error:  # a container whose user has no name; KeyError before Python 3.13
        raise click.UsageError("Nobody knows who you are here: give --by.") from error
