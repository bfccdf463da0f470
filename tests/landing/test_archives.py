import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harchive_dagster.errors import LandingError
from harchive_dagster.landing import archives
from harchive_dagster.landing.archives import looks_like_zip, open_archive
from harchive_dagster.reasons import Reason

FUZZ = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def _nothing(infos: list[zipfile.ZipInfo]) -> None:
    pass


def _pack(
    path: Path,
    members: dict[str, bytes] | None = None,
    *,
    method: int = zipfile.ZIP_DEFLATED,
    tamper: Callable[[list[zipfile.ZipInfo]], object] = _nothing,
) -> Path:
    """A zip archive; `tamper` changes what its directory says, after the members were written."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in (members or {"a.csv": b"1,2\n" * 50, "b/c.csv": b"3,4\n"}).items():
            archive.writestr(name, content)
        tamper(archive.filelist)
    return path


def _contents(path: Path) -> dict[str, bytes]:
    with open_archive(path) as archive:
        return {name: archive.open(name).read() for name in archive.sizes}


def _as_link(infos: list[zipfile.ZipInfo]) -> None:
    infos[0].external_attr = (stat.S_IFLNK | 0o777) << 16


def _set(**values: object) -> Callable[[list[zipfile.ZipInfo]], None]:
    def tamper(infos: list[zipfile.ZipInfo]) -> None:
        for name, value in values.items():
            setattr(infos[0], name, value)

    return tamper


def _over_another(infos: list[zipfile.ZipInfo]) -> None:
    infos[1].header_offset = infos[0].header_offset
    infos[1].compress_size = infos[0].compress_size
    infos[1].file_size = infos[0].file_size


def _name_twice(infos: list[zipfile.ZipInfo]) -> None:
    infos[1].filename = infos[0].filename


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_members_are_read_as_packed_and_folders_passed_over(tmp_path: Path, method: int) -> None:
    members = {"a.csv": b"x" * 100_000, "folder/": b"", "folder/b.csv": b"", "ü.csv": bytes(range(256))}
    read = _contents(_pack(tmp_path / "good.zip", members, method=method))
    assert read == {name: content for name, content in members.items() if not name.endswith("/")}


def test_an_archive_without_members_is_an_empty_one(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    assert looks_like_zip(tmp_path / "empty.zip")
    assert _contents(tmp_path / "empty.zip") == {}


@FUZZ
@given(
    members=st.dictionaries(st.from_regex(r"[a-z]{1,8}(/[a-z]{1,8})?\.csv", fullmatch=True), st.binary(max_size=3000)),
    method=st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]),
)
def test_whatever_was_packed_comes_out(tmp_path: Path, members: dict[str, bytes], method: int) -> None:
    members = members or {"only.csv": b""}
    assert _contents(_pack(tmp_path / "good.zip", members, method=method)) == members


@pytest.mark.parametrize(
    ("name", "expected"),
    [("data.csv", "data.csv"), ("DATA.csv", "data.csv"), ("other.csv", None), ("deep.csv", None), ("c.csv", "b/c.csv")],
)
def test_a_file_is_found_at_the_top_or_in_a_folder_there(tmp_path: Path, name: str, expected: str | None) -> None:
    path = _pack(tmp_path / "good.zip", {"data.csv": b"1", "x/data.csv": b"2", "b/c.csv": b"3", "b/c/deep.csv": b"4"})
    with open_archive(path) as archive:
        assert archive.find(name) == expected


@pytest.mark.parametrize(
    ("members", "tamper", "problem"),
    [
        ({"../a.csv": b""}, _nothing, "below the archive's own folder"),
        ({"a/../../b.csv": b""}, _nothing, "below the archive's own folder"),
        ({"..\\a.csv": b""}, _nothing, "below the archive's own folder"),
        ({"/etc/passwd": b""}, _nothing, "below the archive's own folder"),
        ({"\\\\server\\a.csv": b""}, _nothing, "below the archive's own folder"),
        ({"C:\\a.csv": b""}, _nothing, "below the archive's own folder"),
        ({"a\nb.csv": b""}, _nothing, "below the archive's own folder"),
        (None, _set(filename="a.csv\0.png"), "below the archive's own folder"),
        (None, _set(filename=""), "below the archive's own folder"),
        (None, _as_link, "is a link or a device"),
        (None, _set(external_attr=stat.S_IFIFO << 16), "is a link or a device"),
        (None, _set(flag_bits=0x1), "is encrypted"),
        (None, _set(flag_bits=0x41), "is encrypted"),
        (None, _set(compress_type=zipfile.ZIP_LZMA), "is packed by method 14"),
        (None, _set(compress_type=99), "is packed by method 99"),
        ({"inner.zip": b"PK\x03\x04"}, _nothing, "is an archive itself"),
        ({"a/inner.tar.GZ": b""}, _nothing, "is an archive itself"),
        ({"bomb.csv": bytes(20_000_000)}, _nothing, "claims to unpack from 194.. to 20000000 bytes"),
        (None, _set(file_size=2**40), f"claims to unpack from .* to {2**40} bytes"),
        (None, _name_twice, "is there twice"),
        (None, _over_another, "lies over another member"),
        (None, _set(compress_size=10_000), "lies over another member"),
    ],
)
def test_an_archive_that_is_unsafe_to_read_is_refused_before_anything_is_unpacked(
    tmp_path: Path,
    members: dict[str, bytes] | None,
    tamper: Callable[[list[zipfile.ZipInfo]], object],
    problem: str,
) -> None:
    path = _pack(tmp_path / "bad.zip", members, tamper=tamper)
    with pytest.raises(LandingError, match=problem) as caught, open_archive(path):
        pass
    assert caught.value.reason is Reason.ARCHIVE_UNSAFE


@pytest.mark.parametrize(
    ("limit", "value", "problem"),
    [
        ("MAX_MEMBERS", 1, "has 2 members, at most 1"),
        ("MAX_UNPACKED_BYTES", 203, "unpacks to 204 bytes, at most 203"),
        ("_MAX_DIRECTORY_BYTES", 100, "has a list of members of 104 bytes"),
    ],
)
def test_an_archive_beyond_the_limits_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: int, problem: str
) -> None:
    path = _pack(tmp_path / "large.zip")
    assert len(_contents(path)) == 2
    monkeypatch.setattr(archives, limit, value)
    with pytest.raises(LandingError, match=problem) as caught, open_archive(path):
        pass
    assert caught.value.reason is Reason.ARCHIVE_UNSAFE


def test_a_list_of_members_that_claims_four_gigabytes_is_never_read(tmp_path: Path) -> None:
    path = _pack(tmp_path / "bad.zip")
    raw = bytearray(path.read_bytes())
    end = raw.rindex(b"PK\x05\x06")
    raw[end + 12 : end + 16] = b"\xfe\xff\xff\xff"
    path.write_bytes(raw)
    with pytest.raises(LandingError, match=r"is not a whole zip archive|has a list of members"), open_archive(path):
        pass


def test_a_small_member_is_not_read_when_it_is_large(tmp_path: Path) -> None:
    with open_archive(_pack(tmp_path / "good.zip")) as archive:
        assert archive.read("b/c.csv", at_most_bytes=4) == b"3,4\n"
        with pytest.raises(LandingError, match=r"holds 'a.csv' of 200 bytes, 4 are plenty") as caught:
            archive.read("a.csv", at_most_bytes=4)
    assert caught.value.reason is Reason.ARCHIVE_UNSAFE


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("size", [1, 199, 201, 100_000])
def test_a_member_that_is_larger_or_smaller_than_it_says_is_damaged(tmp_path: Path, method: int, size: int) -> None:
    path = _pack(tmp_path / "bad.zip", method=method, tamper=_set(file_size=size))
    with open_archive(path) as archive, pytest.raises(LandingError, match=r"Bad CRC|bytes early") as caught:
        archive.open("a.csv").read()
    assert caught.value.reason is Reason.SENSOR_UNREADABLE


def test_a_member_that_unpacks_to_far_more_than_it_says_gives_no_more_than_that(tmp_path: Path) -> None:
    path = _pack(tmp_path / "bad.zip", {"a.csv": bytes(50_000_000)}, tamper=_set(file_size=1000))
    with open_archive(path) as archive, archive.open("a.csv") as member, pytest.raises(LandingError, match="Bad CRC"):
        member.read()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "not a whole zip"),
        (b"PK\x03\x04", "not a whole zip"),
        (b"PK\x03\x04" + bytes(100), "not a whole zip"),
        (b"\x1f\x8b\x08 gzip", "not a whole zip"),
    ],
)
def test_what_is_no_whole_archive_is_unreadable(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "bad.zip"
    path.write_bytes(content)
    with pytest.raises(LandingError, match=problem) as caught, open_archive(path):
        pass
    assert caught.value.reason is Reason.SENSOR_UNREADABLE


@pytest.mark.parametrize("kept", [0.2, 0.6, 0.99])
def test_an_upload_that_broke_off_is_unreadable(tmp_path: Path, kept: float) -> None:
    path = _pack(tmp_path / "short.zip")
    raw = path.read_bytes()
    path.write_bytes(raw[: int(kept * len(raw))])
    with pytest.raises(LandingError, match="not a whole zip"), open_archive(path):
        pass


def test_a_missing_archive_is_unreadable_and_its_folder_is_not_told(tmp_path: Path) -> None:
    for path in (tmp_path / "gone.zip", tmp_path):
        with pytest.raises(LandingError, match="cannot be opened") as caught, open_archive(path):
            pass
        assert str(tmp_path.parent) not in str(caught.value)
        assert not looks_like_zip(path)


@FUZZ
@given(place=st.floats(0, 1, exclude_max=True), junk=st.binary(min_size=1, max_size=6), is_cut=st.booleans())
def test_a_damaged_archive_gives_what_was_packed_or_a_refusal(
    tmp_path: Path, place: float, junk: bytes, is_cut: bool
) -> None:
    path = _pack(tmp_path / "bad.zip")
    packed = _contents(path)
    raw = path.read_bytes()
    at = int(place * len(raw))
    path.write_bytes(raw[:at] + junk + (b"" if is_cut else raw[at + len(junk) :]))
    try:
        is_sound = set(_contents(path).values()) <= set(packed.values())
    except LandingError as error:
        is_sound = error.reason in {Reason.ARCHIVE_UNSAFE, Reason.SENSOR_UNREADABLE}
    assert is_sound
