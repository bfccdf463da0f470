"""`harchive annotate export|import`: options in, sentences out. What they do is in `delivery` and `labels`."""

from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import click

from harchive_dagster.commands.terminal import printable
from harchive_dagster.settings import Settings

_TOOLS = ("label-studio", "cvat", "elan", "epic", "egoverse", "csv")  # their modules load only when one is used
_FOLDER = click.Path(file_okay=False, writable=True, path_type=Path)
_LABELS = ("proposals", "annotations", "none")


@click.group()
def annotate() -> None:
    """Jobs for annotators, and what comes back from them."""


@annotate.command()
@click.argument("sessions", nargs=-1, required=True)
@click.option("--tool", required=True, type=click.Choice(_TOOLS), help="Whose files to write.")
@click.option("--to", "folder", required=True, type=_FOLDER, help="Folder that gets the job.")
@click.option("--labels", default="proposals", show_default=True, type=click.Choice(_LABELS), help="What it holds.")
@click.option("--media-url", default="media/", show_default=True, help="What the tool finds the videos under.")
@click.option("--class-mapping", type=click.Path(path_type=Path), help="CSV of the class numbers to write; for epic.")
def export(
    sessions: tuple[str, ...], tool: str, folder: Path, labels: str, media_url: str, class_mapping: Path | None
) -> None:
    """Make a job of each session (id or pseudonym), ready to be imported by a tool.

    A job is the anonymized video, the task's words, our proposals, and the video's frame table, which is also kept in
    HARCHIVE_ANNOTATIONS: by it the frame numbers that come back become times.
    """
    from harchive_dagster.delivery.annotation_jobs import session_to_label, write_job
    from harchive_dagster.labels.class_mapping import read_class_mapping
    from harchive_dagster.labels.formats.registry import format_named
    from harchive_dagster.lake.tables import Lake
    from harchive_dagster.privacy.pseudonyms import Pseudonymiser
    from harchive_dagster.settings import pseudonym_key

    if class_mapping is not None and tool != "epic":
        raise click.UsageError(f"--class-mapping is for --tool epic: {tool} writes no class numbers.")
    settings = Settings.from_environment()
    pseudonyms = Pseudonymiser(pseudonym_key())
    classes = read_class_mapping(class_mapping) if class_mapping else None
    for named in sessions:
        session = session_to_label(
            Lake(settings.lake),
            named,
            pseudonyms,
            which_labels=labels,
            media_url=media_url,
            made_at=datetime.now(UTC).replace(microsecond=0),
            classes=classes,
        )
        written = write_job(session, format_named(tool), folder, settings.annotations)
        names = ", ".join(path.name for path in written)
        click.echo(f"{printable(named)}: {len(session.job.labels)} labels in {names}")


@annotate.command("import")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--session", help="Id or pseudonym. [default: those that the file names]")
@click.option("--annotator", help="Who drew it, where the format keeps no name. [default: the file's name]")
@click.option("--class-mapping", type=click.Path(path_type=Path), help="CSV of our words for the classes in it.")
@click.option("--replace", "is_replacing", is_flag=True, help="Put it in place of the one that was filed by its name.")
def import_(
    files: tuple[Path, ...],
    session: str | None,
    annotator: str | None,
    class_mapping: Path | None,
    is_replacing: bool,
) -> None:
    """Check what a tool exported, and file it in HARCHIVE_ANNOTATIONS.

    The next run of the worker-day reads it. Of a session that no run has taken in, nothing is filed.
    """
    from harchive_dagster.labels.annotation_intake import file_annotations

    settings = Settings.from_environment()
    require_session = partial(_require_session, settings)
    pseudonym = None if session is None else require_session(session)
    for path in files:
        filings = file_annotations(
            path,
            settings.annotations,
            pseudonym,
            annotator,
            require_session=require_session,
            class_mapping=class_mapping,
            is_replacing=is_replacing,
        )
        for filed in filings:
            state = "was filed before" if filed.is_unchanged else "filed"
            click.echo(f"{printable(path.name)}: {filed.label_count} labels, {state}: {filed.path}")


def _require_session(settings: Settings, named: str) -> str:
    """The pseudonym of a session that a run took in. Where a job was exported, that takes neither key nor lake.

    Raises:
        LakeError: there is no such session; its labels would wait for ever.
    """
    from harchive_dagster.delivery.annotation_jobs import find_session
    from harchive_dagster.labels.formats.proxy import PROXY_SUFFIX, is_session_pseudonym
    from harchive_dagster.lake.tables import Lake
    from harchive_dagster.privacy.pseudonyms import Pseudonymiser
    from harchive_dagster.settings import pseudonym_key

    if is_session_pseudonym(named) and any((settings.annotations / named).glob(f"*{PROXY_SUFFIX}")):
        return named
    pseudonyms = Pseudonymiser(pseudonym_key())
    _, session_id = find_session(Lake(settings.lake), named, pseudonyms)
    return pseudonyms.session(session_id)
