"""The command line: `harchive`. Parses, calls the library, prints. Every known error is one line, never a traceback."""

import sys
from datetime import date
from pathlib import Path

import click

from harchive_dagster import __version__
from harchive_dagster.commands.annotate import annotate
from harchive_dagster.commands.annotators import agreement, disagreements
from harchive_dagster.commands.changes import changes
from harchive_dagster.commands.doctor import doctor
from harchive_dagster.commands.evaluate import evaluate
from harchive_dagster.commands.quarantine import quarantine
from harchive_dagster.commands.redact import redact
from harchive_dagster.commands.review import review
from harchive_dagster.commands.uploads import extract_video, landing, pack
from harchive_dagster.errors import HarchiveError


@click.group()
@click.version_option(__version__, prog_name="harchive")
def cli() -> None:
    """Turn camera-cap recordings into synced, anonymized, labeled Delta tables."""


cli.add_command(pack)
cli.add_command(extract_video)
cli.add_command(landing)
cli.add_command(annotate)
cli.add_command(quarantine)
cli.add_command(redact)
cli.add_command(review)
cli.add_command(doctor)
cli.add_command(evaluate)
cli.add_command(agreement)
cli.add_command(disagreements)
cli.add_command(changes)


@cli.group()
def demo() -> None:
    """Generated uploads with known truth, the chain over them, and a comparison."""


@demo.command("uploads")
@click.option("--days", default=2, show_default=True, type=click.IntRange(1, 31), help="Worker-days per worker.")
@click.option("--workers", default=3, show_default=True, type=click.IntRange(1, 99), help="Workers.")
@click.option("--sessions", default=2, show_default=True, type=click.IntRange(1, 26), help="Sessions per worker-day.")
@click.option("--seconds", default=20.0, show_default=True, type=click.FloatRange(4, 3600), help="Length of each.")
@click.option("--first-day", default="2026-03-02", show_default=True, type=click.DateTime(["%Y-%m-%d"]))
@click.option("--seed", default=7, show_default=True, help="Same seed, same uploads.")
@click.option("--broken/--no-broken", default=True, show_default=True, help="Add sessions broken in distinct ways.")
@click.option("--truth", default="var/demo/truth", show_default=True, type=click.Path(path_type=Path))
def demo_uploads(
    days: int, workers: int, sessions: int, seconds: float, first_day: date, seed: int, broken: bool, truth: Path
) -> None:
    """Render uploads into HARCHIVE_LANDING, and the truth beside it where the pipeline never looks."""
    from harchive_dagster.demo.uploads import generate_uploads
    from harchive_dagster.privacy.pseudonyms import Pseudonymiser
    from harchive_dagster.settings import Settings, pseudonym_key

    settings = Settings.from_environment()
    truths = generate_uploads(
        settings.landing,
        truth,
        days=days,
        workers=workers,
        sessions=sessions,
        first_day=date(first_day.year, first_day.month, first_day.day),
        seed=seed,
        duration_s=seconds,
        has_broken=broken,
        annotations=settings.annotations,
        session_pseudonym=Pseudonymiser(pseudonym_key()).session,
        progress=click.echo,
    )
    click.echo(f"{len(truths)} sessions in {settings.landing}")


@demo.command("run")
@click.option("--processes", default=2, show_default=True, type=click.IntRange(1, 64), help="Worker-days at a time.")
def demo_run(processes: int) -> None:
    """Run the whole chain through Dagster for every worker-day in HARCHIVE_LANDING."""
    from harchive_dagster.demonstration import run_worker_days

    failed = run_worker_days(processes, click.echo)
    if failed:
        raise click.ClickException(f"failed: {', '.join(map(str, failed))}. `make ui` shows which check is red.")


@demo.command("report")
@click.option("--truth", default="var/demo/truth", show_default=True, type=click.Path(exists=True, path_type=Path))
def demo_report(truth: Path) -> None:
    """Compare the tables with the truth of the generated uploads."""
    from harchive_dagster.demo.report import build_report
    from harchive_dagster.lake.tables import Lake
    from harchive_dagster.privacy.pseudonyms import Pseudonymiser
    from harchive_dagster.settings import Settings, pseudonym_key

    lake = Lake(Settings.from_environment().lake)
    click.echo(build_report(lake, truth, Pseudonymiser(pseudonym_key())))


@cli.command("data-docs")
@click.option("--out", default="var/data_docs", show_default=True, type=click.Path(path_type=Path))
def data_docs(out: Path) -> None:
    """Write static pages of the last validation of every stage and worker-day."""
    from harchive_dagster.lake.tables import Lake
    from harchive_dagster.quality.data_docs import write_data_docs
    from harchive_dagster.settings import Settings

    index = write_data_docs(Lake(Settings.from_environment().lake).validations, out)
    click.echo(f"open {index}")


@cli.command("tables")
def tables() -> None:
    """Print the page of all tables, with every column's type, unit and meaning."""
    from harchive_dagster.lake.documentation import table_pages

    click.echo(table_pages(), nl=False)


def main() -> None:
    """Entry point of the console script."""
    try:
        cli(standalone_mode=True)
    except HarchiveError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
