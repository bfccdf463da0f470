"""`harchive disagreements`: where annotators differ, for whoever settles it. Merging is in `labels.merge`."""

import csv
import sys
from collections import defaultdict
from datetime import datetime
from typing import TYPE_CHECKING

import click

from harchive_dagster.commands.terminal import printable
from harchive_dagster.errors import LabelError
from harchive_dagster.settings import Settings

if TYPE_CHECKING:
    from harchive_dagster.labels.annotation_files import Annotation
    from harchive_dagster.labels.merge import MergedLabel

_COLUMNS = ("session", "layer", "start_ns", "end_ns", "agreement", "shown", "votes")


@click.command()
@click.option("--day", type=click.DateTime(["%Y-%m-%d"]), help="Only of this local day.")
@click.option("--worker", help="Only of this worker.")
@click.option("--session", help="Only of this session.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1), help="Lines that are printed.")
@click.option("--csv", "is_csv", is_flag=True, help="All of them as CSV.")
def disagreements(day: datetime | None, worker: str | None, session: str | None, limit: int, is_csv: bool) -> None:
    """Print where annotators of a session differ, worst first: least agreement, then most time."""
    from harchive_dagster.labels import merge

    found: list[tuple[str, MergedLabel]] = []
    for (session_id, _), labels in _labels(day, worker, session).items():
        try:
            found += [(session_id, one) for one in merge.disagreements(labels)]
        except LabelError as error:
            click.echo(f"{session_id}: {error}", err=True)
    found.sort(key=lambda item: (merge.severity(item[1]), item[0]))
    if is_csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(_COLUMNS)
        writer.writerows(_cells(*item) for item in found)
        return
    for session_id, one in found[:limit]:
        span = f"{one.start_ns / 1e9:.3f}-{one.end_ns / 1e9:.3f} s"
        hidden = "" if one.is_shown else ", not shown"
        click.echo(printable(f"{one.agreement:.2f}  {session_id}  {one.layer} {span}: {_votes(one)}{hidden}"))
    if len(found) > limit:
        click.echo(f"and {len(found) - limit} more: --limit shows them, --csv all")
    click.echo(f"{len(found)} spans on which annotators differ")


def _labels(day: datetime | None, worker: str | None, session: str | None) -> "dict[tuple[str, str], list[Annotation]]":
    """Stored labels by session and layer."""
    from harchive_dagster.labels.annotation_files import Annotation
    from harchive_dagster.lake import rows, schemas
    from harchive_dagster.lake.tables import Lake

    wanted = {"collected_on": day.date() if day else None, "worker_id": worker, "session_id": session}
    key = {name: value for name, value in wanted.items() if value is not None}
    table = Lake(Settings.from_environment().lake).read(schemas.ANNOTATIONS, key)
    labels: defaultdict[tuple[str, str], list[Annotation]] = defaultdict(list)
    for session_id, label in zip(table["session_id"].to_pylist(), rows.objects(Annotation, table), strict=True):
        labels[session_id, label.layer].append(label)
    return labels


def _cells(session_id: str, one: "MergedLabel") -> tuple[object, ...]:
    return session_id, one.layer, one.start_ns, one.end_ns, one.agreement, one.is_shown, _votes(one)


def _votes(one: "MergedLabel") -> str:
    return ", ".join(f"{count} x {name or 'nothing'}" for name, count in one.votes.items())
