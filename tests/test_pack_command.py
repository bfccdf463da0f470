"""`harchive pack` and `harchive landing check` as a person runs them, and as their page shows them."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from click.testing import CliRunner

from harchive_dagster.cli import cli
from harchive_dagster.demo.session import SessionSpec, make_session
from harchive_dagster.demo.uploads import write_consent
from harchive_dagster.errors import SettingsError

PAGE = Path(__file__).resolve().parents[1] / "docs" / "uploading.md"
COMMANDS = re.findall(r"```sh( fails)?\n(.*?)\n```", PAGE.read_text(), re.DOTALL)
PACK = shlex.split(next(command for fails, command in COMMANDS if not fails))[1:]
RUN = [sys.executable, "-c", "from harchive_dagster.cli import main; main()"]


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "session"
    make_session(folder, SessionSpec("ses-1", duration_s=2, width_px=192, height_px=160))
    return folder


@pytest.fixture
def desk(
    tmp_path: Path, recording: Path, make_recorder_file: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A person's folder: a card with a recording, and a landing with the worker's consent."""
    (tmp_path / "card").mkdir()
    for name in ("cap.mp4", "imu.csv"):
        shutil.copy(recording / name, tmp_path / "card")
    make_recorder_file(tmp_path / "card" / "recorder.mcap")
    write_consent(tmp_path / "var" / "landing", "worker-01", first_day=date(2026, 3, 2))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HARCHIVE_")}
    return subprocess.run([*RUN, *arguments], capture_output=True, text=True, check=False, env=environment)


def test_the_pages_commands_do_what_it_says(desk):
    assert len(COMMANDS) >= 3
    for fails, command in COMMANDS:
        program, *arguments = shlex.split(command)
        assert program == "harchive"
        outcome = CliRunner().invoke(cli, arguments)
        assert isinstance(outcome.exception, SettingsError if fails else type(None)), outcome.output
    (manifest,) = (desk / "var" / "landing").glob("*/*/*/manifest.json")
    assert {file["path"] for file in json.loads(manifest.read_text())["files"]} == {"cap.mp4", "imu.csv"}


def test_a_recorder_s_one_file_is_taken_apart_and_packed(desk):
    outcome = CliRunner().invoke(cli, ["extract-video", "card/recorder.mcap", "card/recorder.mp4"])
    assert "it was 2026-03-02T04:00:00+00:00: give it as --started-at" in outcome.output
    said = ["--worker", "worker-01", "--task", "none", "--consent", "consent-worker-01", "--placement", "imu=head"]
    start = ["--started-at", "2026-03-02T04:00:00+00:00"]
    packed = CliRunner().invoke(cli, ["pack", "card/recorder.mp4", "card/recorder.mcap", *said, *start])
    assert packed.exit_code == 0, packed.exception
    checked = CliRunner().invoke(cli, ["landing", "check", "var/landing"])
    assert "1 checked, 0 with something wrong" in checked.output


def test_every_option_is_on_the_page():
    options = {parameter.opts[0] for parameter in cli.commands["pack"].params if parameter.opts[0].startswith("--")}
    assert "--worker" in options
    assert not [option for option in options if not re.search(rf"{option}\b", PAGE.read_text())]


def test_packing_twice_says_so_and_changes_nothing(desk):
    first, second = (CliRunner().invoke(cli, PACK) for _ in range(2))
    assert (first.exit_code, second.exit_code) == (0, 0)
    assert "packed: " in first.output
    assert "in place already: 'cap.mp4', 'imu.csv'" in second.output
    assert "was packed before: " in second.output


def test_a_mistyped_landing_is_not_made(desk):
    outcome = run([*PACK, "--landing", "var/lading"])
    assert outcome.returncode == 1
    assert "--landing 'var/lading' is not a folder. Nothing was packed" in outcome.stderr
    assert [path.name for path in (desk / "var").iterdir()] == ["landing"]


def test_moving_takes_what_was_packed_off_the_card(desk):
    (desk / "other").mkdir()
    assert CliRunner().invoke(cli, [*PACK, "--move", "--landing", "other", "--region", "IN-KA"]).exit_code == 0
    assert [path.name for path in (desk / "card").iterdir()] == ["recorder.mcap"]
    assert len(list((desk / "other").glob("2026-03-02/worker-01/*/*"))) == 3


def test_problems_are_one_line_without_a_traceback(desk):
    outcome = run(
        ["pack", "card/cap.mp4", "gone.csv", "--worker", "W", "--task", "none", "--consent", "consent-worker-01"]
    )
    assert outcome.returncode == 1
    assert len(outcome.stderr.strip().splitlines()) == 1
    assert "'gone.csv' cannot be read" in outcome.stderr
    assert "worker_id is 'W'" in outcome.stderr


def test_a_landing_in_an_object_store_is_not_written_into(desk):
    outcome = run([*PACK, "--landing", "s3://bucket/landing"])
    assert outcome.returncode == 1
    assert "is no folder of this machine" in outcome.stderr
    assert {path.name for path in desk.iterdir()} == {"card", "var"}


def test_a_check_that_finds_something_ends_with_one(desk):
    CliRunner().invoke(cli, [*PACK, "--serial", "SN-SECRET"])
    (folder,) = (desk / "var" / "landing").glob("2026-03-02/worker-01/*")
    with (folder / "imu.csv").open("a") as file:
        file.write("\x1b[31mred,\n")
    (folder / "extra\x1b[31m.txt").touch()
    outcome = CliRunner().invoke(cli, ["landing", "check", "var/landing"])
    assert outcome.exit_code == 1
    assert "- checksum_mismatch: file 'imu.csv' has" in outcome.output
    assert "1 checked, 1 with something wrong" in outcome.output
    assert "SECRET" not in outcome.output
    assert "\x1b" not in outcome.output


@pytest.mark.parametrize("arguments", [["pack", "--help"], ["landing", "check", "--help"]])
def test_help_loads_nothing_heavy(arguments):
    code = (
        "import sys\nfrom click.testing import CliRunner\nfrom harchive_dagster.cli import cli\n"
        f"assert CliRunner().invoke(cli, {arguments}).exit_code == 0\nprint(' '.join(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & {"numpy", "av", "pyarrow", "pandas", "cv2", "dagster", "scipy"}
