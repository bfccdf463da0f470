import json
import struct
import zipfile
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from harchive_dagster.errors import LandingError
from harchive_dagster.landing.formats import depth_pictures
from harchive_dagster.landing.formats.depth_pictures import DEPTH_PICTURES, DEPTH_VIDEO
from harchive_dagster.landing.formats.protocol import Channel
from harchive_dagster.landing.formats.registry import probe, read_stream
from harchive_dagster.landing.manifest import StreamSpec
from harchive_dagster.reasons import Reason
from harchive_dagster.recording.depth import DepthStream

STREAM = StreamSpec(stream_id="depth_head", placement="head", kind="depth", rate_hz=30.0)
START_NS = 1_767_225_600_123_456_789
COUNTS = (0, 1000, 2000, 4000)


def _picture(number: int = 0, *, width: int = 40, height: int = 4) -> NDArray[np.uint16]:
    """A quarter without depth, a quarter each at 1000, 2000 and 4000 counts, 10 more with every picture."""
    rows = np.array([count + 10 * number if count else 0 for count in COUNTS], dtype=np.uint16)
    return np.repeat(np.resize(rows, height)[:, None], width, axis=1)


def _png(picture: NDArray[np.generic]) -> bytes:
    is_packed, raw = cv2.imencode(".png", picture)
    assert is_packed
    return raw.tobytes()


def _png_claiming(width: int, height: int) -> bytes:
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 16, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))


def _times(count: int) -> list[int]:
    return [START_NS + i * 33_333_333 for i in range(count)]


def _listing(names: list[str], times: list[int]) -> bytes:
    return "\n".join(["file,t_device_ns", *(f"{name},{t}" for name, t in zip(names, times, strict=True)), ""]).encode()


def _archive(
    folder: Path,
    *,
    count: int = 5,
    wrap: str = "",
    method: int = zipfile.ZIP_STORED,
    changed: dict[str, bytes | None] | None = None,
) -> Path:
    """An archive of depth pictures; `changed` replaces, adds or (None) removes members."""
    names = [f"depth/{i:06d}.png" for i in range(count)]
    members: dict[str, bytes | None] = {name: _png(_picture(i)) for i, name in enumerate(names)}
    members["timestamps.csv"] = _listing(names, _times(count))
    path = folder / "depth.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in (members | (changed or {})).items():
            if content is not None:
                archive.writestr(wrap + name, content)
    return path


def _video(path: Path, *, codec: str = "ffv1", pix_fmt: str = "gray16le", count: int = 5, first_ms: int = 700) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 40, 4, pix_fmt
        stream.codec_context.time_base = Fraction(1, 1000)
        for i in range(count):
            frame = av.VideoFrame.from_ndarray(_picture(i), format="gray16le")
            if pix_fmt != "gray16le":
                frame = frame.reformat(format=pix_fmt)
            frame.pts, frame.time_base = first_ms + 100 * i, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def _depth(path: Path, file_format: str = "depth_pictures") -> DepthStream:
    depth = read_stream(path, STREAM, file_format=file_format).stream
    assert isinstance(depth, DepthStream)
    return depth


def _check_figures(depth: DepthStream, *, unit_m: float = 0.001) -> None:
    added = 10 * np.arange(len(depth))
    assert (depth.stream_id, depth.width_px, depth.height_px) == ("depth_head", 40, 4)
    np.testing.assert_allclose(depth.valid_fraction, 0.75)
    np.testing.assert_allclose(depth.min_m, (1000 + added) * unit_m)
    np.testing.assert_allclose(depth.median_m, (2000 + added) * unit_m)
    np.testing.assert_allclose(depth.max_m, (4000 + added) * unit_m)


@pytest.mark.parametrize("wrap", ["", "session/"])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_pictures_become_figures_in_millimetres(tmp_path: Path, wrap: str, method: int) -> None:
    path = _archive(tmp_path, wrap=wrap, method=method)
    assert probe(path) == ("depth_pictures", (Channel("", "depth"),))
    depth = _depth(path)
    assert depth.t_device_ns.tolist() == _times(5)
    _check_figures(depth)


@pytest.mark.parametrize("unit_m", [0.001, 0.0001, 0.00025])
def test_the_unit_is_the_archive_s_own(tmp_path: Path, unit_m: float) -> None:
    _check_figures(
        _depth(_archive(tmp_path, changed={"depth.json": json.dumps({"unit_m": unit_m}).encode()})), unit_m=unit_m
    )


def test_a_picture_without_any_depth_has_no_figures(tmp_path: Path) -> None:
    depth = _depth(_archive(tmp_path, changed={"depth/000002.png": _png(np.zeros((4, 40), dtype=np.uint16))}))
    assert depth.valid_fraction.tolist() == [0.75, 0.75, 0.0, 0.75, 0.75]
    assert np.isnan([depth.min_m[2], depth.median_m[2], depth.max_m[2]]).all()


def test_pictures_that_are_not_listed_are_left_out_and_counted(tmp_path: Path) -> None:
    path = _archive(tmp_path, changed={"depth/extra.png": _png(_picture()), "notes.txt": b"hello"})
    reading = read_stream(path, STREAM, file_format="depth_pictures")
    assert [str(one) for one in reading.dropped] == ["1 depth pictures (not in timestamps.csv)"]
    _check_figures(_depth(path))


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"depth/000001.png": None}, "lists 'depth/000001.png', which it does not hold"),
        ({"depth/000001.png": b""}, "'depth/000001.png', which is no 16-bit gray PNG"),
        ({"depth/000001.png": b"not a picture" * 9}, "is no 16-bit gray PNG"),
        ({"depth/000001.png": _png(np.zeros((4, 40), dtype=np.uint8))}, "is no 16-bit gray PNG"),
        ({"depth/000001.png": _png(np.zeros((4, 40, 3), dtype=np.uint16))}, "is no 16-bit gray PNG"),
        ({"depth/000001.png": _png_claiming(60_000, 60_000)}, "is no 16-bit gray PNG of at most 16777216 pixels"),
        ({"depth/000001.png": _png_claiming(0, 60_000)}, "is no 16-bit gray PNG"),
        ({"depth/000001.png": _png_claiming(40, 4)}, "is no 16-bit gray PNG"),
        ({"depth/000001.png": _png(_picture()) + bytes(100_000)}, "is no 16-bit gray PNG"),
        (
            {"depth/000001.png": _png(_picture(width=41))},
            "changes its pictures from .4, 40. to .4, 41. .* at picture 1",
        ),
        ({"timestamps.csv": None}, "has no timestamps.csv with the columns file, t_device_ns"),
        ({"timestamps.csv": b"file,time\na,1\n"}, "has no timestamps.csv with the columns"),
        ({"timestamps.csv": b"file,t_device_ns\n"}, "has 0 samples"),
        (
            {"timestamps.csv": b"file,t_device_ns\ndepth/000001.png,soon\n"},
            "'timestamps.csv', which cannot be read: row 2 has a cell in column 't_device_ns' that is no int64",
        ),
        (
            {"timestamps.csv": b"file,t_device_ns\ndepth/000001.png,1,2\n"},
            "'timestamps.csv', which cannot be read: row 2 has 3 columns, expected 2",
        ),
        ({"timestamps.csv": b"file,t_device_ns\ndepth/000001.png,1\n,2\n"}, "which it does not hold"),
        ({"timestamps.csv": b"file,file,t_device_ns\na,a,1\n"}, "has column 'file' 2 times"),
        ({"timestamps.csv": _listing(["depth/000001.png"] * 2, [1, 2])}, "lists a picture twice"),
        ({"timestamps.csv": _listing(["../secret.png"], [1])}, "which it does not hold"),
        ({"depth.json": b"{"}, "without a unit_m"),
        ({"depth.json": b"[" * 4000}, "without a unit_m"),
        ({"depth.json": b'{"unit_m": true}'}, "without a unit_m"),
        ({"depth.json": b'{"unit_m": 0}'}, "without a unit_m"),
        ({"depth.json": b'{"unit_m": NaN}'}, "without a unit_m"),
        ({"depth.json": b'{"unit_m": 1}'}, "without a unit_m"),
        ({"depth.json": b"7"}, "without a unit_m"),
    ],
)
def test_an_archive_whose_pictures_cannot_be_used_is_refused(
    tmp_path: Path, changed: dict[str, bytes | None], problem: str
) -> None:
    with pytest.raises(LandingError, match=problem) as caught:
        _depth(_archive(tmp_path, changed=changed))
    assert caught.value.reason is Reason.SENSOR_UNREADABLE


def test_an_archive_of_more_pixels_than_are_worth_decoding_is_refused_before_the_first_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _archive(tmp_path)
    monkeypatch.setattr(depth_pictures, "_MAX_TOTAL_PX", 5 * 160)
    assert len(_depth(path)) == 5
    monkeypatch.setattr(depth_pictures, "_MAX_TOTAL_PX", 5 * 160 - 1)
    monkeypatch.setattr(depth_pictures, "decoded_png", lambda _: pytest.fail("it was decoded"))
    with pytest.raises(LandingError, match="holds pictures of 800 pixels together, at most 799 are read"):
        _depth(path)


def test_times_that_go_back_are_refused(tmp_path: Path) -> None:
    listing = _listing(["depth/000001.png", "depth/000002.png"], [2, 1])
    with pytest.raises(LandingError, match="device time goes back") as caught:
        _depth(_archive(tmp_path, changed={"timestamps.csv": listing}))
    assert caught.value.reason is Reason.SENSOR_NOT_MONOTONIC


@pytest.mark.parametrize("reader", [DEPTH_PICTURES, DEPTH_VIDEO])
def test_what_is_missing_or_of_another_kind_is_not_claimed(tmp_path: Path, reader: object) -> None:
    assert isinstance(reader, type(DEPTH_PICTURES) | type(DEPTH_VIDEO))
    (tmp_path / "a.csv").write_text("file,t_device_ns\n")
    for path in (tmp_path / "a.csv", tmp_path / "gone", tmp_path):
        assert reader.probe(path) == ()
    with pytest.raises(LandingError, match="is not there"):
        reader.read(tmp_path / "gone", STREAM)
    with pytest.raises(LandingError, match="does not have channel 'left'"):
        reader.read(tmp_path / "a.csv", STREAM, "left")


def test_a_16_bit_gray_video_becomes_figures_on_its_container_s_clock(tmp_path: Path) -> None:
    path = _video(tmp_path / "depth.mkv")
    assert probe(path) == ("depth_video", (Channel("", "depth"),))
    depth = _depth(path, "depth_video")
    assert depth.t_device_ns.tolist() == [700_000_000 + i * 100_000_000 for i in range(5)]
    _check_figures(depth)


def test_a_video_of_colours_is_no_depth_video(tmp_path: Path) -> None:
    path = _video(tmp_path / "colour.mkv", pix_fmt="yuv420p")
    assert DEPTH_VIDEO.probe(path) == ()
    with pytest.raises(LandingError, match="is no Matroska file with a 16-bit gray video"):
        _depth(path, "depth_video")


def test_a_depth_video_that_broke_off_is_read_as_far_as_it_goes_and_refused_without_a_picture(tmp_path: Path) -> None:
    path = _video(tmp_path / "depth.mkv", count=40)
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) // 2])
    assert 2 <= len(_depth(path, "depth_video")) < 40
    path.write_bytes(raw[:300])
    with pytest.raises(LandingError, match=r"stream 'depth_head': file 'depth.mkv' cannot be decoded"):
        _depth(path, "depth_video")


def exercise_archive(path: Path) -> None:
    DEPTH_PICTURES.probe(path)
    DEPTH_PICTURES.read(path, STREAM)


def exercise_picture(path: Path) -> None:
    """Damage that no checksum of the archive sees, as the picture was damaged before it was packed."""
    with zipfile.ZipFile(path.with_suffix(".zip"), "w") as archive:
        archive.writestr("a.png", path.read_bytes())
        archive.writestr("b.png", _GOOD)
        archive.writestr("timestamps.csv", _listing(["a.png", "b.png"], [1, 2]))
    DEPTH_PICTURES.read(path.with_suffix(".zip"), STREAM)


def exercise_video(path: Path) -> None:
    DEPTH_VIDEO.probe(path)
    DEPTH_VIDEO.read(path, STREAM)


_GOOD = _png(_picture())


def _seeds(folder: Path) -> dict[str, list[Path]]:
    (folder / "a.png").write_bytes(_GOOD)
    packed = [
        _archive(folder, count=3, method=method).rename(folder / f"{name}.zip")
        for name, method in {"stored": zipfile.ZIP_STORED, "deflated": zipfile.ZIP_DEFLATED}.items()
    ]
    return {"picture": [folder / "a.png"], "archive": packed, "video": [_video(folder / "a.mkv", count=3)]}


@pytest.mark.parametrize(
    ("exercise", "seeds", "count"),
    [(exercise_archive, "archive", 2000), (exercise_video, "video", 2000), (exercise_picture, "picture", 500)],
)
def test_thousands_of_damaged_files_end_in_a_stream_or_a_refusal(
    tmp_path: Path,
    survive_mutations: Callable[..., dict[str, int]],
    exercise: Callable[[Path], None],
    seeds: str,
    count: int,
) -> None:
    survive_mutations(exercise, _seeds(tmp_path)[seeds], count)


@pytest.mark.fuzz
@pytest.mark.parametrize(
    ("exercise", "seeds"), [(exercise_archive, "archive"), (exercise_picture, "picture"), (exercise_video, "video")]
)
def test_fifty_thousand_damaged_files_end_in_a_stream_or_a_refusal(
    tmp_path: Path, survive_mutations: Callable[..., dict[str, int]], exercise: Callable[[Path], None], seeds: str
) -> None:
    survive_mutations(exercise, _seeds(tmp_path)[seeds], 50_000)
