import subprocess
import sys
from pathlib import Path

import pytest

from harchive_dagster.landing.formats.registry import reader_named

BENCHMARK = Path(__file__).resolve().parents[1] / "benchmarks" / "sensor_parsing.py"


def test_the_sensor_benchmark_measures_every_format_it_can_write(tmp_path):
    done = subprocess.run(
        [sys.executable, str(BENCHMARK), "400"],
        env={"PYTHONPATH": ":".join(sys.path), "HARCHIVE_REALDATA": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = {line[:24].strip(): line[24:].split() for line in done.stdout.splitlines()[1:]}
    measured = {name for name, cells in lines.items() if cells[0] == "400"}
    assert {"pandas.read_csv", "pyarrow.csv.read_csv", "csv", "parquet"} <= measured
    for name in ("mcap", "sensor_logger"):
        assert reader_named(name) is None or any(one.startswith(name) for one in measured)
    assert all(lines[name][0] == "skipped:" for name in ("gpmf", "vrs"))
    assert float(lines["pandas.read_csv"][3]) == 1.0


@pytest.mark.slow
def test_the_face_benchmark_measures_planted_faces_at_every_distance_between_looks():
    done = subprocess.run(
        [sys.executable, str(BENCHMARK.with_name("faces.py")), "2", "dense"],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    rows = [line.split() for line in done.stdout.splitlines()]
    assert [row[2] for row in rows[:-1]] == ["1", "3", "7", "10"]
    assert float(rows[0][rows[0].index(">=44") + 2]) >= 99.0
    assert rows[-1][-3:] == ["without", "the", "detector"]
