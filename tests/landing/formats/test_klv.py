import contextlib
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harchive_dagster.landing.formats.klv import (
    GpmfError,
    Item,
    Sensor,
    devices,
    items,
    number,
    numbers,
    scaled,
    text,
    whole_number,
)


def _klv(key: bytes, kind: str, size: int, data: bytes, repeat: int | None = None) -> bytes:
    count = repeat if repeat is not None else len(data) // max(size, 1)
    return key + struct.pack(">cBH", kind.encode("latin-1"), size, count) + data + bytes(-len(data) % 4)


def _only(raw: bytes) -> Item:
    (item,) = items(raw)
    return item


def _scale(*values: int) -> Item:
    return _only(_klv(b"SCAL", "s", 2, struct.pack(f">{len(values)}h", *values)))


def _vectors(**properties: Item) -> Sensor:
    return Sensor("ACCL", (_only(_klv(b"ACCL", "s", 6, struct.pack(">6h", 10, 20, 30, 40, 50, 60))),), properties)


@pytest.mark.parametrize(
    ("kind", "size", "data", "expected"),
    [
        ("b", 1, b"\xff\x02", -1),
        ("B", 1, b"\xff\x02", 255),
        ("s", 2, struct.pack(">h", -2), -2),
        ("S", 2, struct.pack(">H", 65_535), 65_535),
        ("l", 4, struct.pack(">i", -70_000), -70_000),
        ("L", 4, struct.pack(">I", 2**32 - 1), 2**32 - 1),
        ("j", 8, struct.pack(">q", -(2**40)), -(2**40)),
        ("J", 8, struct.pack(">Q", 2**40), 2**40),
        ("f", 4, struct.pack(">f", 0.25), 0.25),
        ("d", 8, struct.pack(">d", 0.1), 0.1),
        ("q", 4, struct.pack(">i", -(3 << 15)), -1.5),
        ("Q", 8, struct.pack(">q", 3 << 31), 1.5),
    ],
)
def test_every_number_type_is_read(kind: str, size: int, data: bytes, expected: float) -> None:
    assert numbers(_only(_klv(b"TEST", kind, size, data)))[0, 0] == expected


def test_rows_and_columns_follow_repeat_and_size() -> None:
    item = _only(_klv(b"TEST", "s", 6, struct.pack(">6h", *range(6))))
    np.testing.assert_array_equal(numbers(item), [[0, 1, 2], [3, 4, 5]])
    assert numbers(_only(_klv(b"TEST", "s", 6, b""))).shape == (0, 3)


def test_a_complex_item_is_read_as_its_type_says() -> None:
    rows = struct.pack(">Iffh", 7, 0.5, 1.5, -3) + struct.pack(">Iffh", 8, 2.5, 3.5, 4)
    item = _only(_klv(b"TEST", "?", 14, rows))
    np.testing.assert_array_equal(numbers(item, "Lf[2]s"), [[7, 0.5, 1.5, -3], [8, 2.5, 3.5, 4]])


def test_items_are_padded_to_four_bytes_and_zeros_end_a_level() -> None:
    raw = _klv(b"AAAA", "c", 1, b"abc") + _klv(b"BBBB", "B", 1, b"\x05") + bytes(24) + b"never looked at"
    first, second = items(raw)
    assert (text(first), whole_number(second)) == ("abc", 5)


def test_whole_numbers_are_exact_up_to_64_bits() -> None:
    assert whole_number(_only(_klv(b"STMP", "J", 8, struct.pack(">Q", 2**64 - 1)))) == 2**64 - 1


def test_samples_are_divided_by_one_scale_or_by_one_each() -> None:
    np.testing.assert_array_equal(scaled(_vectors(), 3)[0], [10, 20, 30])
    np.testing.assert_array_equal(scaled(_vectors(SCAL=_scale(10)), 3)[1], [4, 5, 6])
    np.testing.assert_array_equal(scaled(_vectors(SCAL=_scale(1, 2, 3)), 3)[0], [10, 10, 10])


@pytest.mark.parametrize(
    ("scale", "problem"),
    [
        (_scale(0), r"with scale \[0.0\]"),
        (_scale(1, 0, 1), "with scale"),
        (_scale(1, 2), "2 scales for 'ACCL' samples of 3"),
        (_scale(), "0 scales"),
        (_only(_klv(b"SCAL", "f", 4, struct.pack(">f", float("nan")))), "with scale"),
        (_only(_klv(b"SCAL", "c", 1, b"1")), "'SCAL' of type 'c', expected numbers"),
    ],
)
def test_a_scale_that_cannot_divide_is_refused(scale: Item, problem: str) -> None:
    with pytest.raises(GpmfError, match=problem):
        scaled(_vectors(SCAL=scale), 3)


@pytest.mark.parametrize(
    ("raw", "layout", "problem"),
    [
        (_klv(b"TEST", "x", 2, b"ab"), "", "of type 'x', expected numbers"),
        (_klv(b"TEST", "#", 2, b"ab"), "", "of type '#', expected numbers"),
        (_klv(b"TEST", "s", 3, b"abc"), "", "of 3 bytes in type 's'"),
        (_klv(b"TEST", "s", 0, b"", repeat=65_535), "", "of 0 bytes in type 's'"),
        (_klv(b"TEST", "?", 4, b"abcd"), "", "complex 'TEST' with TYPE ''"),
        (_klv(b"TEST", "?", 4, b"abcd"), "L]", "with TYPE 'L]'"),
        (_klv(b"TEST", "?", 4, b"abcd"), "F", "expected numbers"),
        (_klv(b"TEST", "?", 4, b"abcd"), "f[0]", "expected numbers"),
        (_klv(b"TEST", "?", 4, b"abcd"), "Lf", "of 4 bytes, its TYPE says 8"),
        (_klv(b"TEST", "?", 4, b"abcd"), "f[999]" * 1_000_000, "with TYPE 'f"),
    ],
    ids=str,
)
def test_samples_that_are_no_numbers_are_refused(raw: bytes, layout: str, problem: str) -> None:
    with pytest.raises(GpmfError, match=problem.replace("[", r"\[")):
        numbers(_only(raw), layout)


@pytest.mark.parametrize("raw", [_klv(b"TIMO", "f", 4, b""), _klv(b"TIMO", "f", 4, struct.pack(">f", float("inf")))])
def test_a_single_number_must_be_there_and_finite(raw: bytes) -> None:
    with pytest.raises(GpmfError, match="'TIMO' without a value"):
        number(_only(raw))


@pytest.mark.parametrize(
    "raw", [_klv(b"TSMP", "f", 4, b"abcd"), _klv(b"TSMP", "L", 4, b""), _klv(b"TSMP", "L", 2, b"ab")]
)
def test_a_counter_must_be_a_whole_number(raw: bytes) -> None:
    with pytest.raises(GpmfError, match="expected a whole number"):
        whole_number(_only(raw))


def test_an_item_may_not_claim_more_than_its_level_has() -> None:
    with pytest.raises(GpmfError, match="b'TEST' claims 2 bytes more than there are"):
        list(items(_klv(b"TEST", "s", 2, bytes(2), repeat=2)[:10]))


def _device(*sensors: bytes, identifier: bytes = struct.pack(">I", 1)) -> bytes:
    inside = _klv(b"DVID", "L", 4, identifier) + b"".join(_klv(b"STRM", "\0", 1, sensor) for sensor in sensors)
    return _klv(b"DEVC", "\0", 1, inside)


def test_the_last_key_of_a_sensor_is_its_samples_and_all_before_describe_them() -> None:
    scale, first, second = _klv(b"SCAL", "s", 2, b"\0\2"), _klv(b"FACE", "s", 2, b"\0\4"), _klv(b"FACE", "s", 2, b"")
    (device,) = devices(_device(_klv(b"STNM", "c", 1, b"Faces") + scale + first + second))
    (sensor,) = device.sensors
    assert (device.identifier, sensor.key, sensor.count, set(sensor.properties)) == ("1", "FACE", 1, {"STNM", "SCAL"})
    assert scaled(sensor, 1).tolist() == [[2.0]]


def test_a_sensor_that_is_switched_off_is_none() -> None:
    (device,) = devices(_device(_klv(b"TICK", "L", 4, bytes(4)) + _klv(b"STNM", "c", 1, b"3A STATS"), b""))
    assert device.sensors == ()


def test_deep_nesting_is_passed_over_and_not_descended_into() -> None:
    deep = b""
    for _ in range(5_000):
        deep = _klv(b"NEST", "\0", 1, deep)
    (device,) = devices(_device(deep + _klv(b"GYRO", "s", 2, b"\0\1")))
    assert [sensor.key for sensor in device.sensors] == ["GYRO"]


def test_a_payload_beyond_any_camera_s_is_refused() -> None:
    with pytest.raises(GpmfError, match="payload of 4194312 bytes"):
        devices(bytes(4 * 2**20 + 8))


@given(st.binary(max_size=400), st.sampled_from(["", "s", "Lf", "f[8]L"]))
def test_any_bytes_are_items_or_an_error(raw: bytes, layout: str) -> None:
    with contextlib.suppress(GpmfError):
        for item in items(raw):
            assert len(numbers(item, layout)) == item.repeat


@given(st.lists(st.tuples(st.sampled_from([b"AAAA", b"BBBB"]), st.binary(max_size=40)), max_size=8))
def test_what_is_written_is_found_again(written: list[tuple[bytes, bytes]]) -> None:
    raw = b"".join(_klv(key, "B", 1, data) for key, data in written)
    assert [(item.key.encode(), item.data) for item in items(raw)] == written
