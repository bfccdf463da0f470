"""Packets taken apart into units and put together again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harchive_dagster.recording.nal_units import joined, slices, units, units_of_stream

ANY_UNIT = st.tuples(st.integers(0, 31), st.binary(max_size=40)).map(lambda parts: bytes([parts[0]]) + parts[1])


@given(st.lists(ANY_UNIT, max_size=6), st.sampled_from([1, 2, 3, 4]))
def test_units_come_out_as_they_went_in_whatever_the_size_of_their_lengths(wanted, length_size):
    payload = b"".join(len(unit).to_bytes(length_size) + unit for unit in wanted)
    assert list(units(payload, length_size)) == wanted
    assert slices(payload, length_size) == [unit for unit in wanted if 1 <= unit[0] & 31 <= 5]


@given(st.binary(max_size=60), st.sampled_from([1, 2, 3, 4]))
def test_any_bytes_are_units_or_a_value_error(payload, length_size):
    try:
        found = list(units(payload, length_size))
    except ValueError:
        return
    assert sum(length_size + len(unit) for unit in found) == len(payload)


@pytest.mark.parametrize(
    ("payload", "complaint"),
    [
        (b"\0\0\0\5\x65ab", "the unit at byte 0 of 7 ends at byte 9"),
        (b"\0\0\0\1\x65\0\0\0\0", "the unit at byte 5 of 9 ends at byte 9"),
        (b"\0\0", "the unit at byte 0 of 2 ends at byte 4"),
    ],
)
def test_a_length_that_cannot_be_is_named(payload, complaint):
    with pytest.raises(ValueError, match=complaint):
        slices(payload, 4)


def test_messages_delimiters_and_parameter_sets_are_no_slices():
    kept = [b"\x65picture", b"\x41picture"]
    payload = joined([b"\x09\xf0", b"\x67sps", b"\x68pps", b"\x06where it was", kept[0], kept[1], b"\x0cfiller"])
    assert slices(payload, 4) == kept


def test_start_codes_of_three_and_four_bytes_separate_units():
    assert units_of_stream(b"\0\0\0\1\x67ab\0\0\1\x68c\0\0\0\1\x65d\0\0\3x\0") == [b"\x67ab", b"\x68c", b"\x65d\0\0\3x"]
