"""`harchive agreement|disagreements`: options in, lines out. Comparing is in `labels.agreement` and `labels.merge`."""

import csv
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from harchive_dagster.commands.terminal import printable
from harchive_dagster.errors import LabelError
from harchive_dagster.settings import Settings

if TYPE_CHECKING:
    from harchive_dagster.labels.agreement import LayerAgreement
    from harchive_dagster.labels.annotation_files import Annotation
    from harchive_dagster.labels.merge import MergedLabel
    from harchive_dagster.lake.tables import Lake

_COLUMNS = ("session", "layer", "start_ns", "end_ns", "agreement", "shown", "votes")


def _choice(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option("--session", "session_id", help="Only of this session: id or pseudonym."),
        click.option("--worker", "worker_id", help="Only of this worker."),
        click.option("--day", "collected_on", type=click.DateTime(["%Y-%m-%d"]), help="Only of this local day."),
    ):
        command = option(command)
    return command


@click.command()
@_choice
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1), help="Lines that are printed.")
@click.option("--csv", "is_csv", is_flag=True, help="All of them as CSV.")
def disagreements(limit: int, is_csv: bool, **choice: Any) -> None:
    """Print where annotators of a session differ, worst first: least agreement, then most time."""
    from harchive_dagster.labels import merge

    found: list[tuple[str, MergedLabel]] = []
    for session_id, layers in _labels(_lake(), choice).items():
        try:
            found += [(session_id, one) for labels in layers.values() for one in merge.disagreements(labels)]
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


@click.command()
@_choice
@click.option("--json", "is_json", is_flag=True, help="The same as JSON, by session and layer.")
def agreement(is_json: bool, **choice: Any) -> None:
    """Print how far annotators of each session agree, and which words they take for each other."""
    from harchive_dagster.lake import schemas

    lake = _lake()
    sessions = lake.read_columns(schemas.SESSIONS, ["session_id", "duration_ns"])
    durations_ns = dict(zip(sessions["session_id"].to_pylist(), sessions["duration_ns"].to_pylist(), strict=True))
    found = _agreements(_labels(lake, choice), durations_ns)
    if is_json:
        click.echo(json.dumps([_plain(*item) for item in found], indent=2))
        return
    if not found:
        click.echo("no layer of a session was labelled by several people")
        return
    click.echo("alpha  same span  mean IoU  annotators")
    for session_id, one in sorted(found, key=lambda item: item[1].alpha):
        iou = "-" if one.mean_iou is None else f"{one.mean_iou:.2f}"
        figures = f"{one.alpha:5.2f}  {one.matched_share:9.2f}  {iou:>8}  {one.annotator_count:10d}"
        click.echo(f"{figures}  {session_id} {one.layer}")
    for name in ("verbs", "nouns"):
        counts: Counter[tuple[str, str]] = Counter()
        for _, one in found:
            counts.update(getattr(one, name))
        click.echo(f"\n{name} of the same span")
        for (first, second), count in counts.most_common():
            click.echo(printable(f"{count:5d}  {first or 'none'}" + (f" / {second}" if first != second else "")))


def _agreements(
    labels: "Mapping[str, Mapping[str, list[Annotation]]]", durations_ns: Mapping[str, int | None]
) -> "list[tuple[str, LayerAgreement]]":
    from harchive_dagster.labels.agreement import layer_agreements

    found = []
    for session_id, layers in labels.items():
        if (duration_ns := durations_ns.get(session_id)) is None:
            click.echo(f"{session_id}: its recording is not in the tables any more", err=True)
            continue
        drawn = [label for mine in layers.values() for label in mine]
        try:
            found += [(session_id, one) for one in layer_agreements(drawn, duration_ns)]
        except LabelError as error:
            click.echo(f"{session_id}: {error}", err=True)
    return found


def _lake() -> "Lake":
    from harchive_dagster.lake.tables import Lake

    return Lake(Settings.from_environment().lake)


def _labels(lake: "Lake", choice: Mapping[str, Any]) -> "dict[str, dict[str, list[Annotation]]]":
    """Labels as drawn, by session and layer, of the chosen sessions."""
    from harchive_dagster.delivery.annotation_jobs import find_session
    from harchive_dagster.labels.annotation_files import Annotation
    from harchive_dagster.lake import rows, schemas
    from harchive_dagster.privacy.pseudonyms import Pseudonymiser
    from harchive_dagster.settings import pseudonym_key

    key = {name: value for name, value in choice.items() if value is not None}
    if named := key.get("session_id"):
        _, key["session_id"] = find_session(lake, named, Pseudonymiser(pseudonym_key()))
    if isinstance(moment := key.get("collected_on"), datetime):
        key["collected_on"] = moment.date()
    table = lake.read(schemas.ANNOTATIONS, key)
    labels: defaultdict[str, defaultdict[str, list[Annotation]]] = defaultdict(lambda: defaultdict(list))
    for session_id, label in zip(table["session_id"].to_pylist(), rows.objects(Annotation, table), strict=True):
        labels[session_id][label.layer].append(label)
    return {session_id: dict(layers) for session_id, layers in labels.items()}


def _cells(session_id: str, one: "MergedLabel") -> tuple[object, ...]:
    return session_id, one.layer, one.start_ns, one.end_ns, one.agreement, one.is_shown, _votes(one)


def _votes(one: "MergedLabel") -> str:
    return ", ".join(f"{count} x {name or 'nothing'}" for name, count in one.votes.items())


def _plain(session_id: str, one: "LayerAgreement") -> dict[str, object]:
    tables = {
        name: [[*words, count] for words, count in table.items()]
        for name, table in (("verbs", one.verbs), ("nouns", one.nouns))
    }
    return {"session": session_id} | asdict(one) | tables
