"""What H.264 parameter sets say, read from encoders' own records."""

import contextlib
from fractions import Fraction

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harchive_dagster.recording.parameter_sets import AvcRecord, SequenceSet, picture_set_ids


def record_of(tmp_path, *, pix_fmt="yuv420p", **parameters):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        options = {"x264-params": ":".join(f"{key.replace('_', '-')}={value}" for key, value in parameters.items())}
        stream = container.add_stream("libx264", rate=Fraction(30), options=options)
        stream.width, stream.height, stream.pix_fmt = 322, 184, pix_fmt
        for number in range(3):
            frame = av.VideoFrame(322, 184, pix_fmt)
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with av.open(str(path)) as container:
        return container.streams.video[0].codec_context.extradata


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"bframes": 0}, SequenceSet(0, 1, 8, is_progressive=True, reorder_depth=0)),
        ({"bframes": 3, "b_pyramid": "normal"}, SequenceSet(0, 1, 8, is_progressive=True, reorder_depth=2)),
        ({"sps_id": 7, "bframes": 0}, SequenceSet(7, 1, 8, is_progressive=True, reorder_depth=0)),
        ({"tff": 1, "bframes": 0}, SequenceSet(0, 1, 8, is_progressive=False, reorder_depth=0)),
        ({"cqm": "jvt", "bframes": 0}, SequenceSet(0, 1, 8, is_progressive=True, reorder_depth=0)),
        (
            {"nal_hrd": "vbr", "vbv_maxrate": 900, "vbv_bufsize": 900, "bframes": 0},
            SequenceSet(0, 1, 8, is_progressive=True, reorder_depth=0),
        ),
        (
            {"overscan": "show", "colorprim": "bt709", "sar": "40\\:33", "chromaloc": 1, "bframes": 0},
            SequenceSet(0, 1, 8, is_progressive=True, reorder_depth=0),
        ),
        ({"pix_fmt": "yuv420p10le", "bframes": 0}, SequenceSet(0, 1, 10, is_progressive=True, reorder_depth=0)),
        ({"pix_fmt": "yuv444p", "bframes": 0}, SequenceSet(0, 3, 8, is_progressive=True, reorder_depth=0)),
    ],
)
def test_what_an_encoder_was_told_is_read_from_its_sets(tmp_path, parameters, expected):
    record = AvcRecord.parse(record_of(tmp_path, **parameters))
    assert [SequenceSet.parse(unit) for unit in record.sequence_sets] == [expected]
    assert [picture_set_ids(unit) for unit in record.picture_sets] == [(expected.set_id, expected.set_id)]


def test_a_record_is_written_as_it_was_read_and_joined_with_the_highest_profile(tmp_path):
    high, baseline = record_of(tmp_path, bframes=0), record_of(tmp_path, bframes=0, cabac=0, weightp=0, sps_id=1)
    record, other = AvcRecord.parse(high), AvcRecord.parse(baseline)
    assert record.written() == high
    both = AvcRecord.parse(other.joined_with(record).written())
    assert both.sequence_sets == other.sequence_sets + record.sequence_sets
    assert both.picture_sets == other.picture_sets + record.picture_sets
    assert both.written()[1:4] == high[1:4]
    assert (record.free_id, other.free_id, both.free_id) == (1, 2, 2)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_set_or_a_value_error(data):
    for parse in (SequenceSet.parse, picture_set_ids, AvcRecord.parse):
        with contextlib.suppress(ValueError):
            parse(data)


@pytest.mark.parametrize(
    "record", [b"", b"\x01\x64\x00\x28\xff\xe1", b"\x00" * 20, b"\x01\x64\x00\x28\xff\xe1\xff\xff"]
)
def test_what_is_no_record_is_refused(record):
    with pytest.raises(ValueError, match="avcC"):
        AvcRecord.parse(record)
