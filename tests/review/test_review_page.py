import base64
import errno
import hashlib
import os
import re
import shutil
from fractions import Fraction
from importlib.resources import files

import av
import cv2
import numpy as np
import pytest
from review_pages import FRAMES, NAME, VIDEO_NAME, frame_ns, labels, make_clip, make_day

from harchive_dagster.errors import LakeError, SettingsError
from harchive_dagster.review.page import write_page
from harchive_dagster.review.thumbnails import HEIGHT_PX, thumbnails


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return make_clip(tmp_path_factory.mktemp("clip") / "clip.mp4")


def picture_of(thumbnail):
    return cv2.imdecode(np.frombuffer(thumbnail.jpeg, np.uint8), cv2.IMREAD_COLOR)


def test_each_small_picture_is_of_the_stretch_that_it_stands_for(clip):
    found = thumbnails(clip, frame_ns(FRAMES))
    assert len(found) == 16
    assert [one.start_ns for one in found] == [frame_ns(FRAMES) * k // 16 for k in range(16)]
    for one in found:
        picture = picture_of(one)
        assert picture.shape == (HEIGHT_PX, one.width_px, 3)
        shown = (np.median(picture[-20:, -20:]) - 40) / 200
        half = (one.end_ns - one.start_ns) / 2 / frame_ns(FRAMES)
        assert abs(shown - one.start_ns / frame_ns(FRAMES)) <= half + 0.03


def test_long_recordings_have_more_pictures_and_not_without_end(tmp_path):
    long = make_clip(tmp_path / "long.mp4", count=1000, fps=Fraction(1), width_px=64, height_px=48)
    assert len(thumbnails(long, 1000 * 10**9)) == 128
    assert len(thumbnails(make_clip(tmp_path / "one.mp4", count=1), frame_ns(1))) >= 1


class Counting:
    """A container that counts what is decoded of it."""

    def __init__(self, container):
        self.container, self.count = container, 0
        self.streams, self.seek = container.streams, container.seek

    def decode(self, stream):
        for frame in self.container.decode(stream):
            self.count += 1
            yield frame

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.container.close()


@pytest.mark.parametrize(("gop", "most"), [(FRAMES, FRAMES), (10, 100)])
def test_no_picture_is_decoded_twice_and_few_where_keyframes_are_near(tmp_path, monkeypatch, gop, most):
    clip = make_clip(tmp_path / "clip.mp4", gop=gop)
    counting = Counting(av.open(clip))
    monkeypatch.setattr(av, "open", lambda _: counting)
    assert len(thumbnails(clip, frame_ns(FRAMES))) == 16
    assert counting.count <= most


@pytest.mark.parametrize(
    ("rotation", "red"), [(0, "upper left"), (90, "lower left"), (180, "lower right"), (-90, "upper right")]
)
def test_pictures_stand_upright_as_players_show_them(tmp_path, rotation, red):
    picture = picture_of(thumbnails(make_clip(tmp_path / "clip.mp4", count=20, rotation=rotation), frame_ns(20))[0])
    height, width = picture.shape[:2]
    assert (width > height) == (rotation in (0, 180))
    y, x = (height // 4 if "upper" in red else 3 * height // 4), (width // 4 if "left" in red else 3 * width // 4)
    blue, green, value = picture[y, x].astype(int)
    assert value > 180
    assert max(blue, green) < 80


def test_a_damaged_video_is_a_clear_error(tmp_path):
    (tmp_path / "clip.mp4").write_bytes(b"not a video" * 100)
    with pytest.raises(LakeError, match=r"clip\.mp4 cannot be decoded"):
        thumbnails(tmp_path / "clip.mp4", 10**9)


def luminance(colour):
    """Relative luminance of #rrggbb, as WCAG 2.2 has it."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    share = np.array([int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)])
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4) @ (0.2126, 0.7152, 0.0722)


def contrast(one, other):
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_every_word_can_be_read_in_light_and_dark_and_on_every_label():
    style = files("harchive_dagster.review").joinpath("page.css").read_text()
    schemes = [dict(re.findall(r"--([a-z]+): (#[0-9a-f]+)", block)) for block in re.findall(r":root {([^}]+)}", style)]
    light, dark = schemes[:2]
    for scheme in (light, dark):
        for ground in ("paper", "panel"):
            for word in ("ink", "dim", "link", "seen", "felt"):
                assert contrast(scheme[word], scheme[ground]) >= 4.5, (word, ground, scheme)
        assert contrast(scheme["flag"], scheme["paper"]) >= 3
    (letters,) = re.findall(r"\.span text { fill: (#[0-9a-f]+)", style)
    fills = re.findall(r"--fill: (#[0-9a-f]+)", style)
    assert len(fills) == 10
    assert min(contrast(letters, fill) for fill in fills) >= 7


def test_only_its_own_script_and_style_may_run_and_nothing_is_fetched(clip, tmp_path):
    page = write_page(make_day(clip, [labels(3)]), tmp_path / "day").read_text()
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page).group(1)
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    for tag in ("script", "style"):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert set(re.findall(r"https?://[^\s\"']+", page)) <= {"http://www.w3.org/2000/svg"}
    assert not re.search(r"\son[a-z]+=|\sstyle=", page)
    references = set(re.findall(r'(?:src|href)="([^"#][^"]*)"', page))
    assert {VIDEO_NAME, f"{VIDEO_NAME[:-4]}-0.jpg"} <= {one.removeprefix("media/") for one in references}
    assert all((tmp_path / "day" / one).is_file() for one in references)


def test_a_page_written_again_takes_out_what_is_no_longer_shown_and_nothing_else(clip, tmp_path):
    folder = tmp_path / "day"
    write_page(make_day(clip), folder)
    (folder / "media" / "holiday.mp4").write_bytes(b"mine")
    other = f"{NAME}-fedcba9876543210.mp4"
    write_page(make_day(clip, video_name=other), folder)
    names = {path.name for path in (folder / "media").iterdir()}
    assert {other, "holiday.mp4"} <= names
    assert not [name for name in names if name.startswith(VIDEO_NAME[:-4])]
    assert {path.name for path in folder.iterdir()} == {"index.html", "media"}


def test_a_page_that_is_somebody_elses_is_not_overwritten(clip, tmp_path):
    (tmp_path / "index.html").write_text("<h1>My garden</h1>")
    with pytest.raises(SettingsError, match="is no review page"):
        write_page(make_day(clip), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: folder.write_text("mine"), "cannot be read or written: Not a directory"),
        (lambda folder: (folder / "index.html").mkdir(parents=True), "is no review page"),
        (lambda folder: (folder.mkdir(), os.mkfifo(folder / "index.html")), "is no review page"),
        (lambda folder: (folder.mkdir(), (folder / "media").write_text("mine")), "media is there already"),
        (
            lambda folder: (folder.mkdir(), (folder.parent / "lake").mkdir(), (folder / "media").symlink_to("../lake")),
            "media is there already",
        ),
    ],
    ids=["file", "folder of the page's name", "pipe of the page's name", "file of the media's name", "linked media"],
)
def test_a_folder_that_cannot_hold_the_page_is_a_clear_error_and_stays_as_it_is(clip, tmp_path, make, message):
    make(tmp_path / "day")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SettingsError, match=message):
        write_page(make_day(clip), tmp_path / "day")
    assert sorted(tmp_path.rglob("*")) == before


def test_where_the_disk_is_full_the_folder_is_named_and_not_the_lakes_file(clip, tmp_path, monkeypatch):
    def fail(source, target):
        raise OSError(errno.ENOSPC, "No space left on device", str(source), None, str(target))

    monkeypatch.setattr(os, "link", fail)
    monkeypatch.setattr(shutil, "copyfile", fail)
    with pytest.raises(SettingsError, match=rf"^'{tmp_path}/day/media/\.{VIDEO_NAME}.draft' cannot be"):
        write_page(make_day(clip), tmp_path / "day")
    assert not (tmp_path / "day" / "index.html").exists()


@pytest.mark.parametrize("name", [f"media/{VIDEO_NAME[:-4]}-0.jpg", ".index.html.draft"])
def test_nothing_is_written_through_a_link(clip, tmp_path, name):
    (tmp_path / "diary").write_text("mine")
    (tmp_path / "day" / "media").mkdir(parents=True)
    (tmp_path / "day" / name).symlink_to(tmp_path / "diary")
    write_page(make_day(clip), tmp_path / "day")
    assert (tmp_path / "diary").read_text() == "mine"


def test_what_a_killed_run_left_of_another_video_is_removed(clip, tmp_path):
    left = tmp_path / "day" / "media" / f".{NAME}-fedcba9876543210.mp4.draft"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half a video")
    write_page(make_day(clip), tmp_path / "day")
    assert not left.exists()


def test_the_same_day_gives_the_same_page(clip, tmp_path):
    first, second = (write_page(make_day(clip, [labels(9)]), tmp_path / name) for name in ("one", "two"))
    assert first.read_bytes() == second.read_bytes()
