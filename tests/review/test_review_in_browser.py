"""The page as a person uses it: in a browser, from disk, with mouse and keys."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from headless_browser import BROWSER, Page
from numpy.typing import NDArray
from review_pages import FRAMES, NAME, frame_ns, labels, make_clip, make_day

from harchive_dagster.review.gathering import Aside
from harchive_dagster.review.lanes import Lane, Span
from harchive_dagster.review.page import write_page
from harchive_dagster.review.traces import Curve, drawn_track

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")

VIDEO = "document.querySelector('video')"
CURSOR = "Number.parseFloat(document.querySelector('.cursor line').getAttribute('x1'))"
HOSTILE = (
    '"><script>document.title = "taken over"</script>',
    "<img src=x onerror=\"document.title = 'taken over'\">",
    "</title></svg><script>document.title = 'taken over'</script>",
    "{{ 7 * 7 }}{% raw %}",
    "' onmouseover='document.title=1",
)
LANES = (
    Lane("episode", "episodes", (Span(frame_ns(30), frame_ns(290), "outcome success", "quality 0.90"),)),
    labels(120),
    labels(100, kind="annotation", who="a-bbbb"),
    Lane("annotation", "object: a-bbbb", tuple(Span(0, frame_ns(200), word) for word in HOSTILE), "object"),
    labels(4, layer="step", who="worker's presses"),
    Lane("flag", "dark", (Span(0, frame_ns(20), "dark"),)),
)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    return write_page(make_day(make_clip(folder / "clip.mp4"), LANES), folder / "day")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with Page(tmp_path_factory.mktemp("profile")) as one:
        yield one


@pytest.fixture
def opened(browser: Page, page: Path) -> Page:
    browser.complaints.clear()
    browser.open(page)
    return browser


def shown_frame(browser: Page, fps: Fraction = Fraction(30_000, 1001)) -> float:
    """Which picture is on screen, by the time that the player gives it."""
    browser.wait_for(f"!{VIDEO}.seeking")
    time_s = browser.run(
        f"new Promise((done) => {{ {VIDEO}.requestVideoFrameCallback((_, frame) => done(frame.mediaTime));"
        f" {VIDEO}.currentTime += 1e-6; }})"
    )
    return float(time_s * fps)


def test_the_page_loads_without_a_complaint_and_nothing_that_a_label_says_runs(opened: Page):
    assert opened.complaints == []
    assert opened.run("document.title") == "2026-03-02 · p-aaaabbbbccccddddeeee"
    assert opened.run("document.querySelectorAll('script, img').length") == 1
    written = opened.run(
        "[...document.querySelectorAll('[aria-label=\"object: a-bbbb\"] text')].map((one) => one.textContent)"
    )
    assert written == list(HOSTILE)


def test_every_lane_has_as_many_spans_as_were_given(opened: Page):
    counts = opened.run(
        "Object.fromEntries([...document.querySelectorAll('.lane')]"
        ".map((lane) => [lane.getAttribute('aria-label'), lane.querySelectorAll('.span').length]))"
    )
    assert counts == {lane.name: len(lane.spans) for lane in LANES}
    assert opened.run("document.querySelectorAll('tbody tr').length") == sum(
        len(one.spans) for one in LANES if one.layer
    )


@pytest.mark.parametrize("place", [0, 1, 57, 119])
def test_a_click_on_a_label_shows_its_first_frame(opened: Page, place: int):
    opened.click(f"[data-kind=segment] .span:nth-of-type({place + 1}) rect")
    start = FRAMES * place // 120
    opened.wait_for(f"Math.abs({VIDEO}.currentTime - {frame_ns(start) / 1e9}) < 0.01")
    assert shown_frame(opened) == pytest.approx(start, abs=0.01)
    assert opened.run(CURSOR) == pytest.approx(100 * start / FRAMES, abs=0.1)
    assert opened.run(f"{VIDEO}.paused")
    assert opened.complaints == []


def test_a_second_click_on_the_same_label_jumps_again(opened: Page):
    for _ in range(2):
        opened.click("[data-kind=segment] .span:nth-of-type(31) rect")
        opened.wait_for(f"Math.abs({VIDEO}.currentTime - {frame_ns(75) / 1e9}) < 0.01")
        opened.run(f"{VIDEO}.currentTime = 0")


def test_the_address_of_a_place_opens_the_page_there(browser: Page, page: Path):
    browser.open(page, f"#{NAME}@4.2")
    browser.wait_for(f"Math.abs({VIDEO}.currentTime - 4.2) < 0.01")


@pytest.mark.parametrize("hash_", ["#s-nobody@4.2", f"#{NAME}@", "#@@@", f"#{NAME}@1e9999", "#%00"])
def test_an_address_of_no_place_is_passed_over(browser: Page, page: Path, hash_: str):
    browser.complaints.clear()
    browser.open(page, hash_)
    assert browser.run(f"{VIDEO}.currentTime") == 0
    assert browser.complaints == []


def test_a_click_beside_the_labels_moves_the_video_there(opened: Page):
    opened.click(".trace .track")
    opened.wait_for(f"Math.abs({VIDEO}.currentTime - {frame_ns(FRAMES) / 2e9}) < 0.05")


def test_keys_do_what_the_page_says_they_do(opened: Page):
    opened.press("n")
    assert opened.run(f"{VIDEO}.currentTime") == pytest.approx(frame_ns(2) / 1e9, abs=0.005)  # labels begin at 0, 2, 3
    opened.press("n")
    assert opened.run(f"{VIDEO}.currentTime") == pytest.approx(frame_ns(3) / 1e9, abs=0.005)
    opened.press("p")
    assert opened.run(f"{VIDEO}.currentTime") == pytest.approx(frame_ns(2) / 1e9, abs=0.005)
    opened.press("ArrowRight")
    assert opened.run(f"{VIDEO}.currentTime") == pytest.approx(1 + frame_ns(2) / 1e9, abs=0.005)
    before = shown_frame(opened)
    opened.press(".")
    assert shown_frame(opened) == pytest.approx(before + 1, abs=0.01)
    opened.press(",")
    assert shown_frame(opened) == pytest.approx(before, abs=0.01)
    opened.press(" ")
    opened.wait_for(f"!{VIDEO}.paused")
    opened.press(" ")
    opened.wait_for(f"{VIDEO}.paused")


def test_a_label_is_reached_and_opened_by_keys_alone(opened: Page):
    opened.run("document.querySelector('[data-kind=segment] .span:nth-of-type(41)').focus()")
    opened.press("Enter")
    opened.wait_for(f"Math.abs({VIDEO}.currentTime - {frame_ns(100) / 1e9}) < 0.01")


def test_the_list_shows_only_labels_with_the_letters_that_are_typed(opened: Page):
    opened.run("document.querySelector('details').open = true")
    opened.run("document.querySelector('input').focus()")
    for key in "label 7":
        opened.press(key)
    opened.wait_for("document.querySelectorAll('tbody tr:not([hidden])').length < 50")
    shown = opened.run(
        "[...document.querySelectorAll('tbody tr:not([hidden]) td:nth-child(4)')].map((one) => one.textContent)"
    )
    assert set(shown) == {"label 7"}
    assert opened.run(f"{VIDEO}.currentTime") == 0  # letters that are typed are no keys of the page


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_seen(opened: Page, scheme: str):
    opened.prefer(scheme)
    picture = cv2.imdecode(np.frombuffer(opened.screenshot(), np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert picture.shape == (1000, 1400, 3)
    assert (np.median(picture) > 128) == (scheme == "light")
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 100


def test_labels_of_two_hours_can_be_zoomed_to_and_clicked(browser: Page, tmp_path: Path):
    duration_ns = 7200 * 10**9
    spans = tuple(Span(k * 24 * 10**9, (k * 24 + 2) * 10**9, f"label {k % 11}") for k in range(300))
    t_ns = np.arange(7200 * 30, dtype=np.int64) * (10**9 // 30)
    walk = np.cumsum(np.random.default_rng(0).normal(size=len(t_ns)))
    day = make_day(
        make_clip(tmp_path / "long.mp4", count=7200, fps=Fraction(1), width_px=64, height_px=48),
        [Lane("segment", "action: merged", spans, "action")],
        duration_ns=duration_ns,
        tracks=(drawn_track("turning", "rad/s", [Curve("seen", t_ns, walk)], duration_ns),),
    )
    page = write_page(day, tmp_path / "day")
    assert page.stat().st_size < 600_000
    browser.complaints.clear()
    browser.open(page)
    wide = "document.querySelector('.span:nth-of-type(200) rect').getBoundingClientRect().width"
    assert browser.run(wide) < 2
    browser.run(f"{VIDEO}.currentTime = 4776")
    for _ in range(7):
        browser.press("+")
    assert browser.run(wide) > 24
    browser.click(".span:nth-of-type(200) rect")
    browser.wait_for(f"Math.abs({VIDEO}.currentTime - 4776) < 0.01")
    line, box = (
        browser.run(f"['x', 'right'].map((side) => document.querySelector('{of}').getBoundingClientRect()[side])")
        for of in (".cursor line", ".scroller")
    )
    assert box[0] < line[0] < box[1]
    pictures = (
        "[...document.querySelectorAll('.film a')].filter((one) => one.getAttribute('display') !== 'none').length"
    )
    assert browser.run(pictures) == 128
    browser.press("0")
    assert browser.run(pictures) < 20
    assert browser.complaints == []


def test_a_span_is_seen_however_short_it_is_and_wherever_it_lies(browser: Page, tmp_path: Path):
    duration_ns = 7200 * 10**9
    starts_ns = [0, duration_ns // 4, duration_ns // 2, duration_ns - 10**7]
    lanes = [
        Lane("segment", "action: merged", tuple(Span(t, t + 10**7, "jolt") for t in starts_ns), "action"),
        Lane("rejected", "no episode", tuple(Span(t, t, "no_frame") for t in starts_ns)),
        Lane("flag", "dark", tuple(Span(t, t + 10**7, "dark") for t in starts_ns)),
    ]
    clip = make_clip(tmp_path / "clip.mp4", count=60, fps=Fraction(1), width_px=64, height_px=48)
    browser.open(write_page(make_day(clip, lanes, duration_ns=duration_ns), tmp_path / "day"))
    browser.prefer("light")
    browser.run("document.querySelector('.cursor').remove()")  # it lies on the first
    for lane in lanes:
        x, y, width, height = browser.run(
            f"(() => {{ const lane = document.querySelector('[data-kind={lane.kind}]'); "
            "lane.scrollIntoView({block: 'center'}); const box = lane.getBoundingClientRect(); "
            "return [box.x, box.y, box.width, box.height].map(Math.round); })()"
        )
        screen = cv2.imdecode(np.frombuffer(browser.screenshot(), np.uint8), cv2.IMREAD_COLOR)
        assert screen is not None
        line = screen[y + height // 2, x : x + width]
        (coloured,) = np.nonzero((line != 255).any(axis=1))
        seen = np.split(coloured, np.flatnonzero(np.diff(coloured) > 4) + 1)
        assert [group.mean() for group in seen] == pytest.approx([width * t / duration_ns for t in starts_ns], abs=2)


@pytest.mark.parametrize("width_px", [320, 768])
def test_a_narrow_window_is_scrolled_down_only_and_every_button_is_in_it(page: Path, tmp_path: Path, width_px: int):
    aside = Aside(f"{NAME} (ses-1)", "uploads", "checksum_mismatch", "a file differs", "upload again", "0f" * 200)
    day = make_day(page.parent.parent / "clip.mp4", LANES, asides=(aside,), session_id="ses-1")
    with Page(tmp_path / "profile", width_px=width_px, height_px=700) as narrow:
        narrow.open(write_page(replace(day, asides=(aside,), worker_id="w" * 40), tmp_path / "day"))
        narrow.run("document.querySelector('details').open = true")
        assert narrow.run("document.documentElement.scrollWidth") <= width_px
        edges = narrow.run(
            "[...document.querySelectorAll('section > *, button')].map((one) => one.getBoundingClientRect().right)"
        )
        assert max(edges) <= width_px


def test_on_paper_nothing_is_cut_off(browser: Page, page: Path, tmp_path: Path):
    attempts = tuple(Span(frame_ns(k), frame_ns(k + 1), "outcome success", "quality 0.90") for k in range(60))
    day = make_day(page.parent.parent / "clip.mp4", [Lane("episode", "episodes", attempts)])
    browser.open(write_page(day, tmp_path / "day"))
    cut = "(({scrollHeight, clientHeight}) => scrollHeight - clientHeight)(document.querySelector('.facts'))"
    assert browser.run(cut) > 0
    browser.print_like()
    assert browser.run(cut) == 0
    browser.prefer("light")


@pytest.mark.parametrize("rotation", [0, 90, 180, -90])
def test_small_pictures_stand_as_the_video_does(browser: Page, tmp_path: Path, rotation: int):
    page = write_page(make_day(make_clip(tmp_path / "clip.mp4", count=60, rotation=rotation)), tmp_path / "day")
    browser.open(page)
    browser.run(f"{VIDEO}.controls = false")
    browser.wait_for(f"{VIDEO}.readyState >= 2")
    x, y, width, height = browser.run(
        f"['x', 'y', 'width', 'height'].map((one) => Math.round({VIDEO}.getBoundingClientRect()[one]))"
    )
    screen = cv2.imdecode(np.frombuffer(browser.screenshot(), np.uint8), cv2.IMREAD_COLOR)
    small = cv2.imread(str(next(page.parent.glob("media/*-0.jpg"))))
    assert screen is not None
    assert small is not None
    assert red_quarter(screen[y : y + height, x : x + width]) == red_quarter(small)


def red_quarter(picture: NDArray[np.uint8]) -> tuple[bool, bool]:
    """Whether the red of the clip is in the upper half, and in the left."""
    rows, columns = np.nonzero((picture[..., 2] > 180) & (picture[..., 1] < 90))
    height, width = picture.shape[:2]
    return bool(rows.mean() < height / 2), bool(columns.mean() < width / 2)
