from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import csv, parquet

from harchive_dagster.errors import LandingError
from harchive_dagster.landing.formats.registry import read_stream
from harchive_dagster.landing.formats.tabular import CSV, PARQUET
from harchive_dagster.landing.formats.tabular_kinds import ACCEL_COLUMNS, GYRO_COLUMNS, MAG_COLUMNS, TIME_COLUMN
from harchive_dagster.landing.manifest import StreamSpec
from harchive_dagster.reasons import Reason
from harchive_dagster.recording.imu import ImuStream

STREAM = StreamSpec(stream_id="imu_head", placement="head", kind="imu", rate_hz=200.0)
FUZZ = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def read_imu(path: Path) -> ImuStream:
    imu = read_stream(path, STREAM, file_format=path.suffix.removeprefix(".")).stream
    assert isinstance(imu, ImuStream)
    return imu


def _table(count: int = 50, *, has_mag: bool = False, **overrides: object) -> pa.Table:
    rng = np.random.default_rng(1)
    columns: dict[str, object] = {TIME_COLUMN: np.arange(count, dtype=np.int64) * 5_000_000 + 17}
    names = (*ACCEL_COLUMNS, *GYRO_COLUMNS, *(MAG_COLUMNS if has_mag else ()))
    columns |= {name: rng.normal(size=count) for name in names}
    columns["accel_z_m_s2"] = np.full(count, 9.81)
    return pa.table(columns | overrides)


def _write(folder: Path, table: pa.Table, file_format: str) -> Path:
    path = folder / f"imu.{file_format}"
    csv.write_csv(table, path) if file_format == "csv" else parquet.write_table(table, path)
    return path


def _refusal(path: Path, reason: Reason = Reason.SENSOR_UNREADABLE) -> LandingError:
    with pytest.raises(LandingError) as caught:
        read_imu(path)
    assert caught.value.reason is reason
    return caught.value


@pytest.mark.parametrize("file_format", ["csv", "parquet"])
@pytest.mark.parametrize("has_mag", [False, True])
def test_samples_are_read_as_written(tmp_path: Path, file_format: str, has_mag: bool) -> None:
    table = _table(has_mag=has_mag)
    imu = read_imu(_write(tmp_path, table, file_format))
    assert (imu.stream_id, imu.placement) == ("imu_head", "head")
    np.testing.assert_array_equal(imu.t_device_ns, table[TIME_COLUMN].to_numpy())
    np.testing.assert_allclose(imu.gyro_rad_s[:, 1], table["gyro_y_rad_s"].to_numpy(), rtol=1e-12)
    np.testing.assert_allclose(imu.accel_m_s2[:, 2], 9.81)
    assert (imu.mag_ut is not None) is has_mag


def test_columns_are_found_by_name_and_others_are_passed_over(tmp_path: Path) -> None:
    table = _table()
    mixed = table.select(table.column_names[::-1]).append_column("temperature_c", pa.array(["warm"] * len(table)))
    imu = read_imu(_write(tmp_path, mixed, "csv"))
    np.testing.assert_allclose(imu.accel_m_s2[:, 2], 9.81)


def test_whole_numbers_are_valid_values(tmp_path: Path) -> None:
    table = _table(accel_z_m_s2=np.full(50, 10, dtype=np.int32))
    assert read_imu(_write(tmp_path, table, "parquet")).accel_m_s2[0, 2] == 10.0


def test_the_manifest_s_format_wins_over_the_file_name(tmp_path: Path) -> None:
    path = _write(tmp_path, _table(), "csv").rename(tmp_path / "imu.dat")
    assert len(CSV.read(path, STREAM).stream) == 50
    assert "has format 'dat', known are csv, " in _refusal(path).detail


@pytest.mark.parametrize("file_format", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("table", "problem"),
    [
        (_table().drop_columns(["gyro_z_rad_s"]), "column 'gyro_z_rad_s' 0 times"),
        (_table(mag_x_ut=np.zeros(50)), "column 'mag_y_ut' 0 times"),
        (_table().append_column("accel_x_m_s2", pa.array(np.zeros(50))), "column 'accel_x_m_s2' 2 times"),
        (_table(accel_x_m_s2=[None] + [0.0] * 49), "1 empty cells in column 'accel_x_m_s2'"),
        (_table(gyro_x_rad_s=[float("nan")] + [0.0] * 49), "gyro_rad_s that is not finite|1 empty cells"),
        (_table(gyro_x_rad_s=[float("inf")] + [0.0] * 49), "gyro_rad_s that is not finite"),
        (_table(accel_x_m_s2=["fast"] * 50), "cannot be read|of type string"),
        (_table(t_device_ns=np.arange(50) + 0.5), "cannot be read|of type double"),
        (_table(0), "has 0 samples"),
        (_table(1), "has 1 samples"),
    ],
)
def test_a_table_that_is_no_imu_stream_is_unreadable(
    tmp_path: Path, file_format: str, table: pa.Table, problem: str
) -> None:
    error = _refusal(_write(tmp_path, table, file_format))
    with pytest.raises(LandingError, match=problem):
        raise error


@pytest.mark.parametrize(
    ("secret_row", "problem"),
    [
        ("12.971599,home\n", "cannot be read: row 3 has 2 columns, expected 7."),
        ("1,2,3,4,5,6,7,12.971599,home\n", "cannot be read: row 3 has 9 columns, expected 7."),
        (
            "1,12.971599 home,3,4,5,6,7\n",
            "cannot be read: row 3 has a cell in column 'accel_x_m_s2' that is no double.",
        ),
        ("12.971599,2,3,4,5,6,7\n", "cannot be read: row 3 has a cell in column 't_device_ns' that is no int64."),
    ],
)
def test_what_is_wrong_with_a_csv_file_is_said_without_what_its_rows_hold(
    tmp_path: Path, secret_row: str, problem: str
) -> None:
    path = _write(tmp_path, _table(1), "csv")
    with path.open("a") as file:
        file.write(secret_row)
    error = _refusal(path)
    assert error.detail.endswith(problem)
    assert "12.97" not in f"{error} {error.evidence}"
    assert "home" not in f"{error} {error.evidence}"


def test_cells_of_other_columns_are_not_even_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "imu.csv"
    names = [TIME_COLUMN, *ACCEL_COLUMNS, *GYRO_COLUMNS]
    rows = [",".join([str(n)] * len(names)).encode() + b",\xff\xfe not UTF-8\n" for n in range(3)]
    path.write_bytes(b"\n".join([",".join([*names, "note"]).encode(), b"".join(rows)]))
    assert read_imu(path).gyro_rad_s[:, 2].tolist() == [0, 1, 2]


@pytest.mark.parametrize("file_format", ["csv", "parquet"])
@pytest.mark.parametrize("second_ns", [0, -5])
def test_device_time_that_does_not_increase_is_refused(tmp_path: Path, file_format: str, second_ns: int) -> None:
    time_ns = np.arange(50, dtype=np.int64)
    time_ns[1] = second_ns
    path = _write(tmp_path, _table(t_device_ns=time_ns), file_format)
    assert "goes back" in _refusal(path, Reason.SENSOR_NOT_MONOTONIC).detail


def test_unsigned_time_beyond_int64_is_unreadable(tmp_path: Path) -> None:
    time_ns = np.arange(50, dtype=np.uint64) + np.uint64(2**63)
    path = _write(tmp_path, _table(t_device_ns=time_ns), "parquet")
    assert "do not fit" in _refusal(path).detail


@pytest.mark.parametrize("name", ["imu.csv", "imu.parquet"])
def test_a_file_that_is_not_there_or_empty_is_unreadable(tmp_path: Path, name: str) -> None:
    assert "is not there" in _refusal(tmp_path / name).detail
    (tmp_path / name).write_bytes(b"")
    assert "cannot be read" in _refusal(tmp_path / name).detail
    (tmp_path / name).unlink()
    (tmp_path / name).mkdir()
    assert "is not there" in _refusal(tmp_path / name).detail


@FUZZ
@given(content=st.binary(max_size=400), name=st.sampled_from(["imu.csv", "imu.parquet"]))
def test_garbage_raises_nothing_but_a_landing_error(tmp_path: Path, content: bytes, name: str) -> None:
    (tmp_path / name).write_bytes(content)
    _refusal(tmp_path / name)


@FUZZ
@given(
    file_format=st.sampled_from(["csv", "parquet"]),
    place=st.floats(0, 1, exclude_max=True),
    junk=st.binary(min_size=1, max_size=8),
    is_cut=st.booleans(),
)
def test_a_damaged_file_gives_a_stream_or_a_landing_error(
    tmp_path: Path, file_format: str, place: float, junk: bytes, is_cut: bool
) -> None:
    path = _write(tmp_path, _table(8), file_format)
    raw = path.read_bytes()
    at = int(place * len(raw))
    path.write_bytes(raw[:at] + junk + (b"" if is_cut else raw[at + len(junk) :]))
    try:
        is_sound = bool(np.isfinite(read_imu(path).gyro_rad_s).all())
    except LandingError as error:
        is_sound = error.reason in {Reason.SENSOR_UNREADABLE, Reason.SENSOR_NOT_MONOTONIC}
    assert is_sound


def exercise_csv(path: Path) -> None:
    CSV.probe(path)
    CSV.read(path, STREAM)


def exercise_parquet(path: Path) -> None:
    PARQUET.probe(path)
    PARQUET.read(path, STREAM)


@pytest.mark.parametrize(("exercise", "file_format"), [(exercise_csv, "csv"), (exercise_parquet, "parquet")])
def test_two_thousand_damaged_files_end_in_a_stream_or_a_refusal(
    tmp_path: Path, survive_mutations: Callable[..., dict[str, int]], exercise: Callable[[Path], None], file_format: str
) -> None:
    survive_mutations(exercise, [_write(tmp_path, _table(40, has_mag=True), file_format)])


@pytest.mark.fuzz
@pytest.mark.parametrize(("exercise", "file_format"), [(exercise_csv, "csv"), (exercise_parquet, "parquet")])
def test_fifty_thousand_damaged_files_end_in_a_stream_or_a_refusal(
    tmp_path: Path, survive_mutations: Callable[..., dict[str, int]], exercise: Callable[[Path], None], file_format: str
) -> None:
    survive_mutations(exercise, [_write(tmp_path, _table(40, has_mag=True), file_format)], 50_000)
