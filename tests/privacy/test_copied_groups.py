"""Copied groups: bit-exact ones pass, whatever else is in their place is named, and only part of them is decoded."""

import av
import numpy as np
import pytest

from harchive_dagster.errors import RecordingError
from harchive_dagster.privacy.audit import AuditEyes, audit_rendered
from harchive_dagster.privacy.copied_groups import prove_packets
from harchive_dagster.privacy.detection import Box
from harchive_dagster.privacy.redaction import Redaction
from harchive_dagster.privacy.rendering import RenderedGroup, render_anonymized
from harchive_dagster.recording.decoding import iterate_frames
from harchive_dagster.recording.group_decoding import GroupPart, PacketTimes, iterate_groups
from harchive_dagster.recording.nal_units import joined, unit_type, units

FRAME_COUNT, GROUP = 24, 6
ALL_COPIED = tuple(RenderedGroup(first, GROUP, is_copied=True) for first in range(0, FRAME_COUNT, GROUP))


class Sees:
    name, version = "sees", "1"

    def __init__(self, *boxes):
        self.boxes = list(boxes)

    def detect(self, _rgb):
        return self.boxes


def copy_packets(source, target, *, without=(), swapped=()):
    """The video of a file without messages (SEI), as a copying renderer writes it; `without` leaves packets out."""
    with av.open(str(source)) as before, av.open(str(target), "w", options={"fflags": "+bitexact"}) as after:
        stream = after.add_stream_from_template(before.streams.video[0])
        packets = [packet for packet in before.demux(video=0) if packet.size]
        payloads = [joined([one for one in units(bytes(packet), 4) if unit_type(one) != 6]) for packet in packets]
        for one, other in swapped:
            payloads[one], payloads[other] = payloads[other], payloads[one]
        for number, (packet, payload) in enumerate(zip(packets, payloads, strict=True)):
            if number in without:
                continue
            new = av.Packet(payload)
            new.pts, new.dts, new.time_base, new.duration = packet.pts, packet.dts, packet.time_base, packet.duration
            new.is_keyframe, new.stream = packet.is_keyframe, stream
            after.mux(new)


@pytest.fixture(scope="module")
def pair(tmp_path_factory, write_clip, face_at):
    """A clip of closed groups, and a copy of it."""
    folder = tmp_path_factory.mktemp("copied")
    pictures = [face_at(x=10 + 4 * number) for number in range(FRAME_COUNT)]
    write_clip(folder / "in.mp4", pictures, b_frames=2, context={"gop_size": GROUP})
    copy_packets(folder / "in.mp4", folder / "out.mp4")
    return folder / "in.mp4", folder / "out.mp4"


def copy_differences(source, rendered, groups):
    return prove_packets(source, rendered, groups).copy_differences


def stray_units(rendered):
    return prove_packets(rendered, rendered, ()).stray_units


def times_of(path):
    return np.array([one.pts_ns for one in iterate_frames(path)], np.int64)


def audit(source, rendered, redactions=(), *, eye=None, groups=ALL_COPIED):
    eyes = AuditEyes(*[eye or Sees()] * 3)
    pts_ns = times_of(source)
    motion_px = np.zeros(len(pts_ns))
    return audit_rendered(rendered, source, pts_ns, redactions, groups, motion_px=motion_px, eyes=eyes, seed=0).report


def test_packets_that_are_the_sources_are_proven_to_be(pair):
    source, copy = pair
    assert copy_differences(source, copy, ALL_COPIED) == []
    assert audit(source, copy).is_clean


def test_a_file_that_was_encoded_anew_is_no_copy(tmp_path, pair):
    source, _ = pair
    everywhere = [Redaction(frame, 1, "face", 10, 10, 20, 20, "detected", 0.9) for frame in range(FRAME_COUNT)]
    render_anonymized(source, tmp_path / "out.mp4", everywhere)
    found = copy_differences(source, tmp_path / "out.mp4", ALL_COPIED)
    assert "parameter sets are not among those" in found[0]
    assert "frame 0 (in decoding order) is not the source's" in found
    encoded = tuple(RenderedGroup(one.first_frame, one.frame_count, is_copied=False) for one in ALL_COPIED)
    assert copy_differences(source, tmp_path / "out.mp4", encoded) == []


@pytest.mark.parametrize(
    ("tampering", "culprit"),
    [
        ({"swapped": [(2, 3)]}, r"frame 2 \(in decoding order\) is not the source's"),
        ({"without": [FRAME_COUNT - 1]}, "different numbers of frames from 23 on"),
    ],
)
def test_a_packet_that_is_exchanged_or_missing_is_named(tmp_path, pair, tampering, culprit):
    copy_packets(pair[0], tmp_path / "out.mp4", **tampering)
    with pytest.raises(AssertionError, match=culprit):
        assert copy_differences(pair[0], tmp_path / "out.mp4", ALL_COPIED) == []


def test_a_face_in_a_copied_group_is_found_and_so_is_a_redaction_that_was_not_carried_out(pair):
    source, copy = pair
    face = Box("face", 60.0, 60.0, 60.0, 80.0, 0.8)
    assert {one.cause for one in audit(source, copy, eye=Sees(face)).residuals} == {"uncovered"}
    forgotten = Redaction(8, 1, "face", 40.0, 40.0, 90.0, 110.0, "detected", 0.9)
    report = audit(source, copy, [forgotten])
    assert report.copy_differences == ["frame 8 was copied, though something is to be hidden in it"]
    assert not report.is_clean


def test_messages_beside_the_pictures_are_named(pair):
    source, copy = pair
    assert stray_units(source) == ["units of type 6 in the picture stream"]
    assert stray_units(copy) == []


def test_another_codec_is_never_taken_for_a_copy(tmp_path, write_clip, face_at):
    video = tmp_path / "in.mp4"
    write_clip(video, [face_at()] * 6, codec="mpeg4")
    assert "not H.264" in copy_differences(video, video, (RenderedGroup(0, 6, is_copied=True),))[0]
    assert "not H.264" in stray_units(video)[0]


def test_chosen_groups_decode_to_the_frames_that_the_whole_file_has(pair):
    source, _ = pair
    whole = {one.frame_index: one.frame.to_ndarray(format="rgb24") for one in iterate_frames(source)}
    times = PacketTimes.of(source)
    assert (times.pts_ns == times_of(source)).all()
    parts = [GroupPart(GROUP, GROUP, GROUP + 2), GroupPart(3 * GROUP, GROUP, FRAME_COUNT - 1)]
    seen = {one.frame_index: one for one in iterate_groups(source, parts, times)}
    assert list(seen) == [6, 7, 8, 18, 19, 20, 21, 22, 23]
    for index, one in seen.items():
        assert (one.frame.to_ndarray(format="rgb24") == whole[index]).all()
        assert one.pts_ns == times.pts_ns[index]


def test_a_part_that_no_group_starts_with_is_refused(pair):
    source, _ = pair
    with pytest.raises(RecordingError):
        list(iterate_groups(source, [GroupPart(3, 3, 5)], PacketTimes.of(source)))


def test_a_file_that_is_cut_off_is_refused(tmp_path, pair):
    _, copy = pair
    content = copy.read_bytes()
    (tmp_path / "cut.mp4").write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(RecordingError):
        audit(pair[0], tmp_path / "cut.mp4")
