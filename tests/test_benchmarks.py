import subprocess
import sys
from pathlib import Path

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
