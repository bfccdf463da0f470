"""The command line: help for everything, one line for every known error, never a traceback."""

import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from harchive_dagster.cli import cli
from harchive_dagster.lake.documentation import table_pages

RUN = [sys.executable, "-c", "from harchive_dagster.cli import main; main()"]


def commands(group, prefix=()):
    for name, command in group.commands.items():
        yield (*prefix, name)
        if hasattr(command, "commands"):
            yield from commands(command, (*prefix, name))


@pytest.mark.parametrize("command", list(commands(cli)), ids=" ".join)
def test_every_command_and_option_has_help(command):
    result = CliRunner().invoke(cli, [*command, "--help"])
    assert result.exit_code == 0
    assert len(result.output.splitlines()[2].strip()) > 10


def test_the_page_of_the_tables_is_printed():
    assert CliRunner().invoke(cli, ["tables"]).output == table_pages()


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        (["demo", "uploads"], {"HARCHIVE_PSEUDONYM_KEY": ""}, "HARCHIVE_PSEUDONYM_KEY is not set"),
        (["data-docs"], {"HARCHIVE_LAKE": "nowhere"}, "No validation is kept"),
        (["data-docs"], {"HARCHIVE_FIRST_DAY": "soon"}, "HARCHIVE_FIRST_DAY='soon' is not a day"),
    ],
    ids=["no key", "no lake", "bad day"],
)
def test_a_known_error_is_one_line_with_its_mend(arguments, environment, message, tmp_path):
    result = subprocess.run(
        [*RUN, *arguments],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, **environment, "HARCHIVE_LANDING": str(tmp_path / "landing")},
        check=False,
    )
    assert result.returncode == 1
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
