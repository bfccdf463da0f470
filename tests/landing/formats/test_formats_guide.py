"""The guide to formats lists what there is, and the reader that it shows is run as it stands there."""

import importlib.util
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from harchive_dagster.errors import LandingError
from harchive_dagster.landing.formats import registry
from harchive_dagster.landing.formats.protocol import Channel
from harchive_dagster.landing.formats.tabular_kinds import (
    ACCEL_COLUMNS,
    GYRO_COLUMNS,
    KINDS,
    LOCATION_COLUMNS,
    MAG_COLUMNS,
    TIME_COLUMN,
    UTC_COLUMN,
)
from harchive_dagster.landing.manifest import StreamSpec

GUIDE = (Path(__file__).resolve().parents[3] / "docs" / "formats.md").read_text()
READER, FUZZING = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
IMPORT = "from harchive_dagster.landing.formats.wristlog import WristlogReader\n"
STREAM = StreamSpec(stream_id="imu_wrist", placement="left_wrist", kind="imu", rate_hz=100.0)
LINES = "WRISTLOG 1\n0 0 0 1 90 0 0\n10 0 0 1 90 0 0\n20 0 1 0 0 0 -180\n"


@pytest.fixture
def wristlog(tmp_path: Path) -> ModuleType:
    """The guide's reader and its test as one module: it stands in no package that an import could find it in."""
    assert FUZZING.count(IMPORT) == 1
    path = tmp_path / "wristlog_of_the_guide.py"
    path.write_text(READER + FUZZING.replace(IMPORT, ""))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _rows(heading: str) -> dict[str, str]:
    """A table's rows by their first cell, formats and kinds without their quotes."""
    section = GUIDE.split(f"# {heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = re.findall(r"^\| (.+?) \| (.+) \|$", section, re.MULTILINE)
    return {name: rest for cell, rest in rows[1:] for name in cell.replace("`", "").split(", ")}


def test_the_guide_lists_every_format():
    assert set(_rows("Formats of sensor files")) == {reader.name for reader in registry.READERS}


def test_the_guide_lists_the_columns_of_every_kind():
    rows = _rows("Columns of CSV and Parquet")
    assert set(rows) == set(KINDS)
    listed = {kind: set(re.findall(r"`([^`]+)`", row)) for kind, row in rows.items()}
    assert listed["imu"] == {*ACCEL_COLUMNS, *GYRO_COLUMNS, *MAG_COLUMNS}
    assert listed["gps"] == {*LOCATION_COLUMNS, UTC_COLUMN}
    examples = {column.replace("<joint>", "elbow") for column in listed["pose"] if column.startswith("<joint>")}
    assert len(examples) == 8
    assert all(KINDS["pose"].is_mine(column) for column in examples)
    for unit in ("", "_n", "_pa", "_raw"):
        assert KINDS["tactile"].is_mine(f"cell_0_1{unit}")
    assert f"Every table has `{TIME_COLUMN}`" in GUIDE


def test_adding_a_format_takes_no_more_than_a_screen():
    assert len(GUIDE.split("## Adding a format\n", 1)[1].splitlines()) < 60


def test_the_guide_s_reader_works_once_it_is_registered(wristlog, tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "READERS", (*registry.READERS, wristlog.WristlogReader()))
    path = tmp_path / "notes.txt"
    path.write_text(LINES)
    assert registry.probe(path) == ("wristlog", (Channel("", "imu"),))
    imu = registry.read_stream(path, STREAM, file_format="wristlog").stream
    assert (imu.stream_id, imu.placement) == ("imu_wrist", "left_wrist")
    np.testing.assert_array_equal(imu.t_device_ns, [0, 10_000_000, 20_000_000])
    np.testing.assert_allclose(imu.accel_m_s2[0], [0, 0, 9.80665])
    np.testing.assert_allclose(imu.gyro_rad_s[[0, 2]], [[np.pi / 2, 0, 0], [0, 0, -np.pi]])


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("WRISTLOG 2\n", "it has none"),
        ("WRISTLOG 1\n", "expected 7 a line"),
        (LINES.replace("90 ", ""), "cannot be read"),
        (LINES.replace("90", "fast"), "cannot be read"),
        (LINES.replace("90", "é"), "cannot be read"),
        (LINES.replace("90", "nan"), "not finite"),
        (LINES.replace("\n10 ", "\n1e300 "), "expected 7 a line, the first one milliseconds"),
        (LINES.replace("\n10 ", "\n-10 "), "goes back"),
    ],
)
def test_the_guide_s_reader_refuses_as_every_reader_must(wristlog, tmp_path, content, problem):
    path = tmp_path / "a.wristlog"
    path.write_text(content)
    with pytest.raises(LandingError, match=problem):
        wristlog.WristlogReader().read(path, STREAM)


def test_the_guide_s_test_passes(wristlog, tmp_path, survive_mutations: Callable[..., dict[str, int]]):
    wristlog.test_two_thousand_damaged_wristlogs_end_in_a_stream_or_a_refusal(tmp_path, survive_mutations)
