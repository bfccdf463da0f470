"""Poses, pressure arrays and places in CSV and Parquet: read as written, or refused with the culprit's name."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import csv, parquet

from harchive_dagster.errors import LandingError
from harchive_dagster.landing.formats import tabular, tabular_kinds
from harchive_dagster.landing.formats.registry import probe, read_stream
from harchive_dagster.landing.formats.tabular import CSV, PARQUET
from harchive_dagster.landing.formats.tabular_kinds import TIME_COLUMN
from harchive_dagster.landing.manifest import StreamSpec
from harchive_dagster.reasons import Reason

COUNT = 40
FORMATS = ["csv", "parquet"]
FUZZ = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def spec(kind: str) -> StreamSpec:
    return StreamSpec(stream_id="glove", placement="left_hand", kind=kind, rate_hz=60.0)


def table(columns: dict[str, object]) -> pa.Table:
    return pa.table({TIME_COLUMN: np.arange(COUNT, dtype=np.int64) * 16_666_667 + 17} | columns)


def pose_table(**overrides: object) -> pa.Table:
    angle = np.linspace(0, 1, COUNT)
    columns: dict[str, object] = {f"wrist_{axis}_m": angle + index for index, axis in enumerate("xyz")}
    columns |= {"wrist_qw": np.cos(angle), "wrist_qx": np.sin(angle), "wrist_qy": angle * 0, "wrist_qz": angle * 0}
    columns |= {f"index_tip_{axis}_m": angle - index for index, axis in enumerate("xyz")}
    columns["index_tip_confidence"] = np.full(COUNT, 0.5)
    return table(columns | overrides)


def tactile_table(names: list[str] | None = None, **overrides: object) -> pa.Table:
    names = [f"cell_{row}_{place}_n" for row in range(2) for place in range(3)] if names is None else names
    cells = {name: np.arange(COUNT, dtype=np.float64) + 100 * index for index, name in enumerate(names)}
    return table(cells | overrides)


def gps_table(**overrides: object) -> pa.Table:
    place = np.linspace(0, 1e-3, COUNT)
    columns: dict[str, object] = {"latitude_deg": 12.9 + place, "longitude_deg": 77.6 + place}
    columns |= {"altitude_m": 900 + place, "speed_m_s": place}
    columns["utc_ns"] = np.arange(COUNT, dtype=np.int64) * 1_000_000_001 + 1_772_424_000_000_000_123
    return table(columns | overrides)


def write(folder: Path, content: pa.Table, file_format: str) -> Path:
    path = folder / f"glove.{file_format}"
    csv.write_csv(content, path) if file_format == "csv" else parquet.write_table(content, path)
    return path


def read(folder: Path, content: pa.Table, kind: str, file_format: str = "csv"):
    return read_stream(write(folder, content, file_format), spec(kind), file_format=file_format).stream


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize(
    ("content", "kind"), [(pose_table(), "pose"), (tactile_table(), "tactile"), (gps_table(), "gps")]
)
def test_a_file_s_kind_is_found_by_its_columns(tmp_path: Path, content: pa.Table, kind: str, file_format: str) -> None:
    found = probe(write(tmp_path, content, file_format))
    assert found is not None
    assert [channel.kind for channel in found[1]] == [kind]


def test_one_table_may_hold_several_kinds(tmp_path: Path) -> None:
    both = pose_table(**{name: tactile_table()[name] for name in tactile_table().column_names[1:]})
    path = write(tmp_path, both, "csv")
    assert [channel.kind for channel in CSV.probe(path)] == ["pose", "tactile"]
    assert len(CSV.read(path, spec("tactile")).stream) == len(CSV.read(path, spec("pose")).stream) == COUNT


@pytest.mark.parametrize("file_format", FORMATS)
def test_joints_are_parsed_from_the_columns_names(tmp_path: Path, file_format: str) -> None:
    pose = read(tmp_path, pose_table(), "pose", file_format)
    assert pose.joints == ("wrist", "index_tip")
    np.testing.assert_allclose(pose.position_m[:, 1, 2], np.linspace(0, 1, COUNT) - 2)
    np.testing.assert_allclose(pose.orientation_wxyz[:, 0, 1], np.sin(np.linspace(0, 1, COUNT)))
    assert np.isnan(pose.orientation_wxyz[:, 1]).all()
    assert np.isnan(pose.confidence[:, 0]).all()
    np.testing.assert_array_equal(pose.confidence[:, 1], 0.5)


@pytest.mark.parametrize("file_format", FORMATS)
def test_an_empty_cell_is_a_joint_that_was_not_tracked(tmp_path: Path, file_format: str) -> None:
    holes = {f"wrist_{part}": [None] + [1.0] * (COUNT - 1) for part in ("x_m", "qw")}
    holes |= {f"wrist_{part}": [None] + [0.0] * (COUNT - 1) for part in ("qx", "qy", "qz")}
    pose = read(tmp_path, pose_table(**holes), "pose", file_format)
    assert np.isnan(pose.position_m[0, 0, 0])
    assert np.isnan(pose.orientation_wxyz[0, 0]).all()
    assert np.isfinite(pose.position_m[1:]).all()


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_joint_that_was_never_tracked_is_no_error(tmp_path: Path, file_format: str) -> None:
    never = {f"index_tip_{axis}_m": pa.nulls(COUNT) for axis in "xyz"}
    pose = read(tmp_path, pose_table(**never), "pose", file_format)
    assert np.isnan(pose.position_m[:, 1]).all()


def test_positions_alone_make_a_pose_and_so_do_orientations(tmp_path: Path) -> None:
    columns = pose_table().column_names
    positions = pose_table().select([name for name in columns if "_q" not in name])
    orientations = pose_table().select([name for name in columns if not name.endswith(("_m", "confidence"))])
    assert read(tmp_path, positions, "pose").orientation_wxyz is None
    assert read(tmp_path, orientations, "pose").position_m is None


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (pose_table().drop_columns(["wrist_y_m"]), "column 'wrist_y_m' 0 times"),
        (pose_table().drop_columns(["wrist_qz"]), "column 'wrist_qz' 0 times"),
        (pose_table().append_column("wrist_x_m", pa.array(np.zeros(COUNT))), "column 'wrist_x_m' 2 times"),
        (pose_table(wrist_qw=np.full(COUNT, 3.0)), "quaternions of length"),
        (pose_table(wrist_x_m=np.full(COUNT, np.inf)), "infinite values in position_m"),
        (pose_table(index_tip_confidence=np.full(COUNT, 2.0)), "confidences outside 0 to 1"),
        (pose_table(wrist_x_m=["near"] * COUNT), "cannot be read|of type string"),
        (pose_table(**{f"Asha's hand_{axis}_m": np.zeros(COUNT) for axis in "xyz"}), 'joint named "Asha\'s hand"'),
        (pose_table(**{f"{'j' * 41}_{axis}_m": np.zeros(COUNT) for axis in "xyz"}), "up to 40 of a-z"),
        (table({"wrist_confidence": np.ones(COUNT)}), "has no joint"),
    ],
)
def test_a_table_that_is_no_pose_is_unreadable(
    tmp_path: Path, file_format: str, content: pa.Table, problem: str
) -> None:
    with pytest.raises(LandingError, match=problem) as caught:
        read(tmp_path, content, "pose", file_format)
    assert caught.value.reason is Reason.SENSOR_UNREADABLE


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize(("ending", "unit"), [("", "raw"), ("_raw", "raw"), ("_n", "N"), ("_pa", "Pa")])
def test_cells_become_a_grid_in_the_unit_of_their_names(
    tmp_path: Path, file_format: str, ending: str, unit: str
) -> None:
    names = [f"cell_{row}_{place}{ending}" for place in range(3) for row in range(2)]
    touch = read(tmp_path, tactile_table(names), "tactile", file_format)
    assert (touch.values.shape, touch.unit) == ((COUNT, 2, 3), unit)
    np.testing.assert_array_equal(touch.values[7], [[7, 207, 407], [107, 307, 507]])


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (tactile_table(["cell_0_0", "cell_0_1_n"]), "cells in N and raw, expected one unit"),
        (tactile_table(["cell_0_0", "cell_0_0_raw"]), "2 cells, expected each of 1 x 1 once"),
        (tactile_table(["cell_0_0", "cell_1_1"]), "2 cells, expected each of 2 x 2 once"),
        (tactile_table(["cell_9999_9999"]), "1 cells, expected each of 10000 x 10000 once"),
        (tactile_table(["cell_01_0", "cell_-1_0"]), "has no tactile cell"),
        (tactile_table(cell_0_0_n=[None] * 2 + [1.0] * (COUNT - 2)), "2 empty cells in column 'cell_0_0_n'"),
        (tactile_table(cell_0_0_n=np.full(COUNT, 1e300)), "values that is not finite"),
    ],
)
def test_a_table_that_is_no_grid_of_cells_is_unreadable(
    tmp_path: Path, file_format: str, content: pa.Table, problem: str
) -> None:
    with pytest.raises(LandingError, match=problem) as caught:
        read(tmp_path, content, "tactile", file_format)
    assert caught.value.reason is Reason.SENSOR_UNREADABLE


@pytest.mark.parametrize("file_format", FORMATS)
def test_utc_of_a_receiver_keeps_every_nanosecond(tmp_path: Path, file_format: str) -> None:
    fixes = read(tmp_path, gps_table(), "gps", file_format)
    np.testing.assert_array_equal(fixes.utc_ns, gps_table()["utc_ns"].to_numpy())
    np.testing.assert_allclose(fixes.latitude_deg, gps_table()["latitude_deg"].to_numpy())
    assert read(tmp_path, gps_table().drop_columns(["utc_ns"]), "gps", file_format).utc_ns is None


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (gps_table(latitude_deg=np.full(COUNT, 91.0)), "not on Earth"),
        (gps_table().drop_columns(["speed_m_s"]), "column 'speed_m_s' 0 times"),
        (gps_table(utc_ns=np.full(COUNT, 1.5)), "cannot be read|of type double"),
    ],
)
def test_a_table_that_is_no_place_is_unreadable(
    tmp_path: Path, file_format: str, content: pa.Table, problem: str
) -> None:
    with pytest.raises(LandingError, match=problem):
        read(tmp_path, content, "gps", file_format)


def test_a_small_parquet_file_that_claims_more_than_a_host_holds_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, tactile_table(), "parquet")
    packed_bytes = parquet.read_metadata(path).row_group(0).total_byte_size
    monkeypatch.setattr(tabular, "MAX_UNPACKED_BYTES", packed_bytes)
    assert len(PARQUET.read(path, spec("tactile")).stream) == COUNT
    monkeypatch.setattr(tabular, "MAX_UNPACKED_BYTES", packed_bytes - 1)
    with pytest.raises(LandingError, match=f"claims {packed_bytes} bytes, at most {packed_bytes - 1}"):
        PARQUET.read(path, spec("tactile"))


def test_what_a_parquet_file_unpacks_to_is_counted_by_its_rows_where_it_claims_less(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    still = {name: np.zeros(100 * COUNT) for name in tactile_table().column_names}  # all of it fits into a few bytes
    path = write(tmp_path, pa.table(still | {TIME_COLUMN: np.arange(100 * COUNT)}), "parquet")
    wanted_bytes = 100 * COUNT * 7 * 8
    assert parquet.read_metadata(path).row_group(0).total_byte_size < wanted_bytes
    monkeypatch.setattr(tabular, "MAX_UNPACKED_BYTES", wanted_bytes - 1)
    with pytest.raises(LandingError, match=f"claims {wanted_bytes} bytes"):
        PARQUET.read(path, spec("tactile"))


@pytest.mark.parametrize(
    ("column", "problem"),
    [
        (pa.array(["x" * 1000] * COUNT).dictionary_encode(), "of type dictionary<values=string.*, expected float64"),
        (pa.array(["x" * 1000] * COUNT), "of type string, expected float64"),
        (pa.array([{"a": 1.0}] * COUNT), "of type struct<a: double>, expected float64"),
        (pa.array([[1.0]] * COUNT), "of type list<.*>, expected float64"),
    ],
)
def test_a_parquet_column_that_is_no_plain_number_is_refused_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, column: pa.Array, problem: str
) -> None:
    path = write(tmp_path, tactile_table(cell_1_2_n=column), "parquet")
    monkeypatch.setattr(parquet.ParquetFile, "read", lambda *_, **__: pytest.fail("it was read"))
    with pytest.raises(LandingError, match=problem):
        PARQUET.read(path, spec("tactile"))


def test_a_parquet_column_named_like_a_struct_s_field_is_refused(tmp_path: Path) -> None:
    """Arrow would read the struct's text, too: it selects both by the same path."""
    struct = pa.array([{"b_x_m": "secret"}] * COUNT)
    with pytest.raises(LandingError, match=r"'a\.b_x_m', which has a dot in its name"):
        read(tmp_path, pose_table(**{"a.b_x_m": np.zeros(COUNT), "a": struct}), "pose", "parquet")


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_large_array_takes_no_more_passes_over_its_names_than_a_small_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file_format: str
) -> None:
    names = [f"cell_{row}_{place}_n" for row in range(128) for place in range(128)]
    wide = pa.table({TIME_COLUMN: np.arange(2)} | dict.fromkeys(names, np.ones(2)))
    path = write(tmp_path, wide, file_format)
    looks = 0
    real = tabular_kinds.column

    def column(table: pa.Table, name: str, **options: bool):
        nonlocal looks
        listed = _CountedNames(table)
        values = real(listed, name, **options)
        looks += listed.looks
        return values

    monkeypatch.setattr(tabular_kinds, "column", column)
    tactile = read_stream(path, spec("tactile"), file_format=file_format).stream
    assert tactile.values.shape == (2, 128, 128)
    assert looks == 0


class _CountedNames:
    """A table that counts how often somebody goes through all its names."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table
        self.looks = 0

    def __getattr__(self, name: str):
        self.looks += name == "column_names"
        return getattr(self._table, name)


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_table_of_more_columns_than_any_array_has_is_refused(tmp_path: Path, file_format: str) -> None:
    names = [f"cell_0_{place}" for place in range(tabular_kinds.MAX_COLUMNS)]
    path = write(tmp_path, pa.table({TIME_COLUMN: [1]} | {name: [1] for name in names}), file_format)
    with pytest.raises(LandingError, match="has 20001 columns, at most 20000 are read"):
        read_stream(path, spec("tactile"), file_format=file_format)


@FUZZ
@given(names=st.lists(st.from_regex(r"(cell_\d{1,6}_\d{1,6}(_n)?|[a-z\n]{0,3}_(x_m|qw))", fullmatch=True), max_size=6))
def test_no_column_name_raises_anything_but_a_landing_error(tmp_path: Path, names: list[str]) -> None:
    path = write(tmp_path, table({name: np.zeros(COUNT) for name in names}), "parquet")
    read_or_refused = 0
    for kind in ("pose", "tactile"):
        try:
            read_or_refused += len(PARQUET.read(path, spec(kind)).stream) == COUNT
        except LandingError as error:
            read_or_refused += error.reason is Reason.SENSOR_UNREADABLE
    assert read_or_refused == 2


def exercise_csv(path: Path) -> None:
    _exercise(path, CSV)


def exercise_parquet(path: Path) -> None:
    _exercise(path, PARQUET)


def _exercise(path: Path, reader) -> None:
    refusal = None
    for channel in reader.probe(path):
        try:
            reader.read(path, spec(channel.kind))
        except LandingError as error:
            refusal = error
    if refusal is not None or not reader.probe(path):
        raise refusal or LandingError(Reason.SENSOR_UNREADABLE, "nothing", mend="none")


def seeds(folder: Path, file_format: str) -> list[Path]:
    made = []
    for content in (pose_table(), tactile_table(), gps_table()):
        path = folder / f"seed{len(made)}.{file_format}"
        write(folder, content.slice(0, 12), file_format).rename(path)
        made.append(path)
    return made


@pytest.mark.parametrize(("exercise", "file_format"), [(exercise_csv, "csv"), (exercise_parquet, "parquet")])
def test_two_thousand_damaged_tables_end_in_a_stream_or_a_refusal(
    tmp_path: Path, survive_mutations: Callable[..., dict[str, int]], exercise: Callable[[Path], None], file_format: str
) -> None:
    survive_mutations(exercise, seeds(tmp_path, file_format))


@pytest.mark.fuzz
@pytest.mark.parametrize(("exercise", "file_format"), [(exercise_csv, "csv"), (exercise_parquet, "parquet")])
def test_fifty_thousand_damaged_tables_end_in_a_stream_or_a_refusal(
    tmp_path: Path, survive_mutations: Callable[..., dict[str, int]], exercise: Callable[[Path], None], file_format: str
) -> None:
    survive_mutations(exercise, seeds(tmp_path, file_format), 50_000)
