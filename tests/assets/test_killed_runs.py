"""What is left when the whole process tree of a run is killed, and what a re-run makes of it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harchive_dagster.lake import schemas
from harchive_dagster.lake.contract import PUBLISHED

KEY = os.environ["HARCHIVE_PSEUDONYM_KEY"]
MOMENTS = (
    "restricted/frames/_delta_log",
    "restricted/media/**/*",
    "restricted/anonymized_videos/_delta_log",
    "published/media/**/*",
    "published/episodes/_delta_log",
)
"""A run is killed as soon as one of these appears: in the middle of a stage, of a rendering, of a publication."""


def start(house) -> subprocess.Popen:
    (house.root / "dagster" / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    environment = os.environ | {
        "DAGSTER_HOME": str(house.root / "dagster"),
        "HARCHIVE_LANDING": str(house.landing.uploads),
        "HARCHIVE_ANNOTATIONS": str(house.landing.annotations),
        "HARCHIVE_LAKE": str(house.lake.root),
        "HARCHIVE_PSEUDONYM_KEY": KEY,
    }
    command = [str(Path(sys.executable).with_name("harchive")), "demo", "run", "--processes", "1"]
    # A session of its own, so that the kill takes the worker processes along, as a lost host would.
    return subprocess.Popen(command, env=environment, start_new_session=True, stdout=subprocess.DEVNULL)


def kill_when_it_appears(house, pattern: str) -> bool:
    run = start(house)
    while run.poll() is None and not any(house.lake.root.glob(pattern)):
        time.sleep(0.02)
    is_running = run.poll() is None
    if is_running:
        os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    return is_running


def run_to_the_end(house) -> None:
    assert start(house).wait(timeout=500) == 0


def content(house):
    return {(c.zone, c.name): house.lake.read(c).drop_columns(list(c.volatile)).to_pylist() for c in schemas.ALL_TABLES}


def missing_media(house):
    videos = house.lake.read(schemas.WORKER_DAY_COPIES["anonymized_videos"]).to_pylist()
    media = house.lake.media_folder(PUBLISHED)
    return [row["uri"] for row in videos if not (media / row["uri"]).is_file()]


def published_files(house):
    media = house.lake.media_folder(PUBLISHED)
    return {str(path.relative_to(media)): path.read_bytes() for path in media.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_a_run_killed_anywhere_is_mended_by_a_re_run_to_the_tables_of_an_undisturbed_one(tmp_path, make_house):
    undisturbed, killed = make_house(tmp_path / "undisturbed"), make_house(tmp_path / "killed")
    for house in (undisturbed, killed):
        house.add(session_id="s-one", duration_s=12.0)
        house.add(session_id="s-two", duration_s=5.0)
    run_to_the_end(undisturbed)
    kills = 0
    for moment in MOMENTS:
        kills += kill_when_it_appears(killed, moment)
        assert missing_media(killed) == []
    assert kills >= 3
    run_to_the_end(killed)
    assert content(killed) == content(undisturbed)
    assert published_files(killed) == published_files(undisturbed)
