"""`harchive review`: options in, the page's place out. What it shows and how it looks is in `review`."""

import os
from datetime import datetime
from pathlib import Path

import click

from harchive_dagster.errors import SettingsError
from harchive_dagster.settings import Settings


@click.command()
@click.argument("day", type=click.DateTime(["%Y-%m-%d"]))
@click.argument("worker")
@click.option("--to", "folder", type=click.Path(path_type=Path), help="Folder of the page. [default: under var/review]")
@click.option(
    "--restricted", "is_restricted", is_flag=True, help="With ids, free words and details: not to leave the house."
)
def review(day: datetime, worker: str, folder: Path | None, is_restricted: bool) -> None:
    """Write a page that shows what came out of a worker-day: anonymized videos, labels of every source, sensors.

    DAY is local, WORKER an id or a pseudonym. The page needs no server and no network.
    """
    from harchive_dagster.lake.tables import Lake
    from harchive_dagster.privacy.pseudonyms import Pseudonymiser
    from harchive_dagster.review.gathering import find_worker_day, view_of
    from harchive_dagster.review.page import write_page
    from harchive_dagster.settings import pseudonym_key

    lake = Lake(Settings.from_environment().lake)
    if folder is not None:
        _require_outside(folder, lake.root)
    pseudonyms = Pseudonymiser(pseudonym_key())
    worker_day = find_worker_day(lake, day.date(), worker, pseudonyms)
    view = view_of(lake, worker_day, pseudonyms, is_restricted=is_restricted)
    # A name of its own, lest the page that may leave the house be replaced by the one that must not.
    name = f"{view.collected_on}-{view.participant}{'-restricted' if is_restricted else ''}"
    page = write_page(view, folder or Path("var/review") / name)
    click.echo(f"{len(view.sessions)} sessions to look at, {view.aside_count} set aside without a picture: open {page}")


def _require_outside(folder: Path, lake: Path) -> None:
    # Not Path.resolve, which a loop of links makes raise a RuntimeError.
    if Path(os.path.realpath(folder)).is_relative_to(os.path.realpath(lake)):
        raise SettingsError(
            f"{str(folder)!a} is inside the lake {lake}.",
            consequence="No page was written: a lab would see what is not published.",
            mend="Name a folder elsewhere with --to.",
        )
