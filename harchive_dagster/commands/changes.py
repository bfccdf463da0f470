"""`harchive changes`: options in, lines out. Comparing versions is in `lake.changes`."""

import json
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

import click

from harchive_dagster.commands.terminal import printable
from harchive_dagster.settings import Settings

if TYPE_CHECKING:
    from harchive_dagster.lake.changes import RowChange
    from harchive_dagster.lake.contract import TableContract
    from harchive_dagster.lake.tables import Lake

_SIGNS = {"added": "+", "removed": "-", "changed": "~"}


@click.command()
@click.argument("table", type=click.Choice(["segments", "episodes"]))
@click.option("--from", "older", type=click.IntRange(0), help="Version before; without it, the versions are listed.")
@click.option("--to", "newer", type=click.IntRange(0), help="Version after; the newest by default.")
@click.option("--session", help="Only of this session, by its pseudonym.")
@click.option("--rows", "is_rows", is_flag=True, help="Print every row that changed, not only how many.")
@click.option("--json", "is_json", is_flag=True, help="Every row that changed, before and after, as JSON lines.")
def changes(
    table: str, older: int | None, newer: int | None, session: str | None, is_rows: bool, is_json: bool
) -> None:
    """Print what changed in the published segments or episodes between two versions, by session."""
    from harchive_dagster.lake import schemas
    from harchive_dagster.lake.changes import row_changes
    from harchive_dagster.lake.tables import Lake

    lake = Lake(Settings.from_environment().lake)
    contract = {"segments": schemas.PUBLISHED_SEGMENTS, "episodes": schemas.EPISODES}[table]
    if older is None:
        _list_versions(lake, contract)
        return
    to = newer if newer is not None else (lake.version(contract) or 0)
    by_session: defaultdict[str, list[RowChange]] = defaultdict(list)
    for change in row_changes(lake, contract, older, to):
        if session in (None, change.row["session_pseudonym"]):
            by_session[change.row["session_pseudonym"]].append(change)
    if is_json:
        for change in (change for found in by_session.values() for change in found):
            click.echo(json.dumps({"kind": change.kind, "before": change.before, "after": change.after}, default=str))
        return
    for name, found in by_session.items():
        counts = Counter(change.kind for change in found)
        click.echo(f"{name}  {', '.join(f'{counts[kind]} {kind}' for kind in _SIGNS if counts[kind])}")
        for change in sorted(found, key=_place) if is_rows else ():
            click.echo(f"  {_line(change)}")
    click.echo(f"{len(by_session)} sessions differ between versions {older} and {to} of {table}")


def _list_versions(lake: "Lake", contract: "TableContract") -> None:
    from harchive_dagster.lake.changes import versions

    for one in versions(lake, contract):
        click.echo(f"{one.version:6d}  {one.at_utc:%Y-%m-%d %H:%M:%S} UTC  {one.run_id or ''}".rstrip())


def _place(change: "RowChange") -> tuple[str, int]:
    return change.row.get("layer", ""), change.row["start_ns"]


def _line(change: "RowChange") -> str:
    row = change.row
    name = row.get("label") or row.get("task_id") or "free recording"
    spans = f"{row['start_ns'] / 1e9:.3f}-{row['end_ns'] / 1e9:.3f} s"
    layer = f"{row['layer']} " if "layer" in row else ""
    return printable(f"{_SIGNS[change.kind]} {layer}{spans}  {name}{_differences(change)}")


def _differences(change: "RowChange") -> str:
    if change.before is None or change.after is None:
        return ""
    pairs = [f"{name} {_value(change.before[name])} -> {_value(change.after[name])}" for name in sorted(change.columns)]
    return f": {', '.join(pairs)}"


def _value(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
