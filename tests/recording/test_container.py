import struct
from fractions import Fraction

import av
import numpy as np
import pytest

from harchive_dagster.errors import RecordingError
from harchive_dagster.reasons import Reason
from harchive_dagster.recording import decoding
from harchive_dagster.recording.container import probe_video
from harchive_dagster.recording.decoding import iterate_frames


def _rejected(path):
    with pytest.raises(RecordingError) as caught:
        probe_video(path)
    return caught.value


def test_a_constant_rate_clip_is_measured_exactly(make_clip, panning):
    facts = probe_video(make_clip(panning(10)))
    assert (facts.width_px, facts.height_px, facts.codec) == (320, 180, "h264")
    assert facts.frame_count == 10
    assert facts.fps == pytest.approx(25.0)
    assert facts.duration_ns == pytest.approx(400_000_000, abs=1_000_000)
    assert (facts.min_step_ns, facts.max_step_ns) == (40_000_000, 40_000_000)
    assert not facts.is_variable_rate


def test_frames_are_counted_in_presentation_order_when_the_codec_reorders(make_clip, panning):
    facts = probe_video(make_clip(panning(13), b_frames=2))
    assert facts.frame_count == 13
    assert facts.min_step_ns == facts.max_step_ns == 40_000_000


def test_a_variable_rate_is_told_apart_and_its_mean_rate_is_measured(make_clip, panning):
    times = [0, 40, 80, 180, 220, 300]
    facts = probe_video(make_clip(panning(6), pts_ms=times))
    assert facts.is_variable_rate
    assert facts.fps == pytest.approx(5 / 0.3)
    assert facts.max_step_ns == 100_000_000


def test_time_base_rounding_is_no_variable_rate(make_clip, panning):
    times = [round(index * 1000 / 30) for index in range(12)]
    assert not probe_video(make_clip(panning(12), pts_ms=times)).is_variable_rate


def test_a_single_frame_has_no_rate(make_clip, panning):
    facts = probe_video(make_clip(panning(1)))
    assert (facts.frame_count, facts.fps, facts.max_step_ns) == (1, 0.0, 0)


@pytest.mark.parametrize("share", [0.4, 0.7, 0.95])
def test_a_file_cut_after_its_index_is_truncated_and_says_how_much_is_left(make_clip, panning, share):
    whole = make_clip(panning(40))
    content = whole.read_bytes()
    start = content.index(b"mdat")
    whole.write_bytes(content[: start + int((len(content) - start) * share)])
    error = _rejected(whole)
    assert error.reason is Reason.VIDEO_TRUNCATED
    assert error.evidence["declared_frames"] == 40
    assert 0 < error.evidence["readable_frames"] < 40
    assert error.evidence["last_good_s"] == pytest.approx(0.04 * (error.evidence["readable_frames"] - 1))
    assert "declares 40 frames" in error.detail


def test_a_file_cut_before_its_first_frame_is_truncated(make_clip, panning):
    whole = make_clip(panning(5))
    content = whole.read_bytes()
    whole.write_bytes(content[: content.index(b"mdat") + 8])
    error = _rejected(whole)
    assert error.reason is Reason.VIDEO_TRUNCATED
    assert error.evidence["readable_frames"] == 0


@pytest.mark.parametrize(
    ("content", "match"),
    [(b"", "cannot be opened"), (b"not a video " * 100, "cannot be opened"), (None, "cannot be opened")],
    ids=["empty", "text", "absent"],
)
def test_what_is_no_video_is_unreadable(tmp_path, content, match):
    path = tmp_path / "cap.mp4"
    if content is not None:
        path.write_bytes(content)
    error = _rejected(path)
    assert error.reason is Reason.VIDEO_UNREADABLE
    assert match in error.detail
    assert "cap.mp4" in error.detail


def test_a_file_without_its_index_says_what_is_lost(make_clip, panning):
    path = make_clip(panning(5))
    content = path.read_bytes()
    start = content.index(b"moov") - 4
    size = int.from_bytes(content[start : start + 4], "big")
    path.write_bytes(content[:start] + content[start + size :])
    error = _rejected(path)
    assert error.reason is Reason.VIDEO_UNREADABLE
    media_start, media_end = _box(content, b"mdat")
    assert f"has no index (moov), so none of its {media_end - media_start - 8} bytes" in error.detail


def test_a_recording_without_a_video_track_is_unreadable(tmp_path):
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    error = _rejected(path)
    assert error.reason is Reason.VIDEO_UNREADABLE
    assert "no video track" in error.detail


def _box(content: bytes, name: bytes) -> tuple[int, int]:
    """Where the first box of a name starts and ends."""
    start = content.index(name) - 4
    return start, start + int.from_bytes(content[start : start + 4], "big")


def _index_cut(content):
    start, end = _box(content, b"moov")
    return content[: start + (end - start) // 2]


def _index_overwritten(content):
    start, end = _box(content, b"moov")
    return content[: start + 8] + bytes(end - start - 8) + content[end:]


def _no_sample_sizes(content):
    start, end = _box(content, b"stsz")
    return content[: start + 12] + bytes(end - start - 12) + content[end:]


def _chunks_beyond_the_end(content):
    start, end = _box(content, b"stco")
    return content[: start + 16] + b"\x7f\xff\xff\xff" * ((end - start - 16) // 4) + content[end:]


def _chunks_at_the_wrong_place(content):
    start, _ = _box(content, b"stco")
    return content[: start + 16] + bytes(3) + b"\x08" + content[start + 20 :]


def _unknown_codec(content):
    return content.replace(b"avc1", b"zzz9")


def _probe_and_decode(path):
    probe_video(path)
    list(iterate_frames(path))


@pytest.mark.parametrize(
    "spoil",
    [
        _index_cut,
        _index_overwritten,
        _no_sample_sizes,
        _chunks_beyond_the_end,
        _chunks_at_the_wrong_place,
        _unknown_codec,
    ],
)
def test_a_damaged_index_never_passes_as_a_whole_recording(make_clip, panning, spoil):
    path = make_clip(panning(12))
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(RecordingError) as caught:
        _probe_and_decode(path)
    assert caught.value.reason in (Reason.VIDEO_UNREADABLE, Reason.VIDEO_TRUNCATED)


@pytest.mark.parametrize(("claimed", "place"), [(20_000_000, b"moov"), (2**32 - 1, b"moov"), (20_000_000, b"free")])
def test_an_index_that_claims_more_samples_than_the_file_has_bytes_is_refused_before_memory_is_taken(
    make_clip, panning, claimed, place
):
    path = make_clip(panning(5))
    content = bytearray(path.read_bytes().replace(b"moov", place, 1))
    sizes, spans, durations = (_box(content, name)[0] for name in (b"stsz", b"stsc", b"stts"))
    content[sizes + 12 : sizes + 20] = struct.pack(">II", 1, claimed)
    content[spans + 20 : spans + 24] = content[durations + 16 : durations + 20] = struct.pack(">I", claimed)
    path.write_bytes(content)
    assert f"claims {claimed} samples in a file of {len(content)} bytes" in _rejected(path).detail


@pytest.mark.parametrize("name", [b"moov", b"trak", b"free"])
def test_boxes_inside_each_other_without_end_are_walked_in_bounds(tmp_path, name):
    path = tmp_path / "cap.mp4"
    depth = 300_000
    path.write_bytes(b"".join(struct.pack(">I4s", 8 * (depth - level), name) for level in range(depth)))
    assert _rejected(path).reason is Reason.VIDEO_UNREADABLE


def test_a_file_of_empty_boxes_only_is_given_up(tmp_path):
    path = tmp_path / "cap.mp4"
    path.write_bytes(struct.pack(">I4s", 8, b"free") * 1_000_001)
    assert "consists of more than 1000000 boxes" in _rejected(path).detail


@pytest.mark.parametrize(
    "content",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{other}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile {other}\n",
        "<?xml version='1.0'?><MPD><Period><AdaptationSet><BaseURL>{other}</BaseURL></AdaptationSet></Period></MPD>",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    ],
    ids=["hls", "concat", "dash", "sdp"],
)
def test_a_play_list_never_leads_to_another_file(make_clip, panning, tmp_path, content):
    other = make_clip(panning(5), name="other.mp4")
    path = tmp_path / "cap.mp4"
    path.write_text(content.format(other=other.name))
    assert "cannot be opened" in _rejected(path).detail


def _tracks(path, *sizes, cover=False):
    with av.open(str(path), "w") as container:
        streams = []
        for index, (width, height) in enumerate(sizes):
            is_cover = cover and index == 0
            stream = container.add_stream("mjpeg" if is_cover else "libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuvj420p" if is_cover else "yuv420p"
            if is_cover:
                stream.disposition = av.stream.Disposition.attached_pic
            streams.append((stream, 1 if is_cover else 6))
        for stream, count in streams:
            for number in range(count):
                frame = av.VideoFrame.from_ndarray(
                    np.full((stream.height * 3 // 2, stream.width), 99, np.uint8), format="yuv420p"
                ).reformat(format=stream.pix_fmt)
                frame.pts, frame.time_base = number, Fraction(1, 25)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    return path


def test_two_video_tracks_are_refused_because_nothing_says_which_one_is_meant(tmp_path):
    error = _rejected(_tracks(tmp_path / "cap.mp4", (160, 120), (320, 240)))
    assert "has 2 video tracks, expected one" in error.detail
    assert error.evidence["video_tracks"] == 2


def test_a_cover_picture_is_no_second_track(tmp_path):
    facts = probe_video(_tracks(tmp_path / "cap.mp4", (64, 64), (160, 120), cover=True))
    assert (facts.width_px, facts.frame_count) == (160, 6)


@pytest.mark.parametrize(("width", "height"), [(16_384, 8_640), (0, 0)])
def test_a_picture_larger_than_8k_or_of_no_size_is_refused_before_it_is_decoded(make_clip, panning, width, height):
    path = make_clip(panning(3))
    content = bytearray(path.read_bytes())
    entry = content.rindex(b"avc1")
    content[entry : entry + 4] = b"jpeg"  # H.264 carries its size in a header of its own, which would win
    content[entry + 28 : entry + 32] = struct.pack(">HH", width, height)
    path.write_bytes(content)
    assert f"pictures of {width} x {height} px" in _rejected(path).detail


def test_a_decoder_refuses_pictures_larger_than_8k_whatever_the_container_says(make_clip, panning, monkeypatch):
    monkeypatch.setattr(decoding, "MAX_PICTURE_PX", 320 * 180 - 1)
    with pytest.raises(RecordingError, match="damaged"):
        next(iterate_frames(make_clip(panning(3))))


@pytest.mark.realdata
def test_real_recordings_are_whole(realdata):
    counts = {"egocentric_two_faces.mp4": 14, "gopro_max_walk.mp4": 315, "street_one_person.mp4": 600}
    for name, count in counts.items():
        assert probe_video(realdata / name).frame_count == count
    assert probe_video(realdata / "gopro_max_walk.mp4").data_track_count == 3
