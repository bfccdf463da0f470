"""`harchive doctor`: which checks are made, in which order, and how they are printed. The checks are in `doctor`."""

import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from harchive_dagster.doctor.findings import Check, Finding
    from harchive_dagster.settings import Settings


@click.command()
@click.option("--json", "is_json", is_flag=True, help="The same as JSON.")
def doctor(is_json: bool) -> None:
    """Look whether everything that a night needs is in place. Ends with 1 where something must be mended."""
    from harchive_dagster.doctor.findings import Level, examine

    found = []
    for check in _checks():
        finding = examine(check)
        found.append((check.name, finding))
        if not is_json:
            click.echo(f"{finding.level:<4} {check.name}: {finding.text}")
    if is_json:
        lines = [{"name": name, "level": finding.level.lower(), "finding": finding.text} for name, finding in found]
        click.echo(json.dumps(lines, indent=2))
    if any(finding.level is Level.FAIL for _, finding in found):
        sys.exit(1)


def _checks() -> "Iterator[Check]":
    from harchive_dagster.doctor import software
    from harchive_dagster.doctor.findings import Check
    from harchive_dagster.errors import SettingsError
    from harchive_dagster.settings import Settings

    yield Check("packages", software.packages_fit)
    yield Check("dagster", software.webserver_fits_dagster)
    yield Check("extras", software.extras_are_known)
    yield Check("opencv", software.opencv_is_one_and_loads)
    yield Check("codecs", software.codecs_are_there)
    yield Check("encoder", software.encoder_works)
    yield Check("detector", software.detector_finds_a_face)
    yield Check("settings", _settings_are_valid)
    try:
        settings = Settings.from_environment()
    except SettingsError:  # said by the check before; without settings there is nothing else to look at
        return
    yield Check("detectors", partial(software.chosen_detectors_answer, settings.detectors))
    yield from _checks_of_places(settings)
    yield from _checks_of_dagster()


def _settings_are_valid() -> "Finding":
    from harchive_dagster.doctor.findings import fine
    from harchive_dagster.settings import Settings

    settings = Settings.from_environment()
    return fine(f"nightly at {settings.nightly_at!r} in {settings.timezone}, from {settings.first_day} on")


def _checks_of_places(settings: "Settings") -> "Iterator[Check]":
    from harchive_dagster.doctor import places, tables
    from harchive_dagster.doctor.findings import Check
    from harchive_dagster.lake.tables import Lake

    yield Check("pseudonym key", partial(places.pseudonym_key_is_fit, settings))
    yield Check("landing", partial(places.landing_is_readable, settings))
    yield Check("spool", partial(places.spool_is_writable, settings))
    yield Check("annotations", partial(places.annotations_are_there, settings))
    yield Check("lake", partial(places.lake_is_writable, settings))
    yield Check("disk", partial(places.disk_has_room, settings))
    yield Check("tables", partial(tables.tables_fit_the_contract, Lake(settings.lake)))
    yield Check("media", partial(tables.media_are_there, Lake(settings.lake)))
    yield Check("clock", partial(places.clock_is_sane, settings, datetime.now(UTC)))


def _checks_of_dagster() -> "Iterator[Check]":
    from harchive_dagster import dagster_checks
    from harchive_dagster.doctor.findings import Check

    yield Check("code location", dagster_checks.code_location_loads)
    yield Check("instance", dagster_checks.instance_answers)
    yield Check("daemon", dagster_checks.daemon_is_alive)
