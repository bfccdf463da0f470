import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harchive_dagster.errors import LabelError
from harchive_dagster.labels.annotation_files import Annotation
from harchive_dagster.labels.formats.protocol import Drawn, Job
from harchive_dagster.labels.formats.proxy import Proxy
from harchive_dagster.labels.formats.registry import FORMATS
from harchive_dagster.labels.layers import SPAN_LAYERS
from harchive_dagster.recording import container

TOOLS = [one.name for one in FORMATS]
RATES = ["23.976", "25", "29.97", "30", "50", "59.94", "varying"]
SESSION = "s-abcdefghij234567klmn"
SETS = 30
"""Of each tool at each rate: 210 a tool."""

_ROUNDING_NS = {"csv": 0, "elan": 500_000, "epic": 5_000_000}
_SHORTEST_NS = {"csv": 1, "elan": 1_000_000, "epic": 10_000_000}
_VERBS = ("fold", "Pick Up", "juggle", "தொடு", "a & <b>", 'say "no"', "tip-toe, twice")
_NOUNS = ("", "shirt", "Dosa", "stack; of=things", "über-cloth")


def _labels(seed: int, proxy: Proxy, *, is_on_frames: bool) -> tuple[Drawn, ...]:
    dice = np.random.default_rng(seed)
    labels = []
    for number in range(int(dice.integers(1, 13))):
        first, after = sorted(dice.choice(proxy.frame_count + 1, size=2, replace=False).tolist())
        span = [int(proxy.boundaries_ns[first]), int(proxy.boundaries_ns[after])]
        if not is_on_frames:
            span = sorted(dice.choice(proxy.end_ns, size=2, replace=False).tolist())
        labels.append(
            Drawn(
                annotation_id=f"n{number}",
                annotator="asha",
                layer=SPAN_LAYERS[int(dice.integers(4))],
                start_ns=span[0],
                end_ns=span[1],
                verb=str(dice.choice(_VERBS)),
                noun=str(dice.choice(_NOUNS)),
                text=f"no. {number}, <seen> & heard",
            )
        )
    return tuple(labels)


def _there_and_back(annotations: Any, job: Job, tool: str) -> dict[str, Annotation]:
    """By text, which every format keeps."""
    shutil.rmtree(annotations.root, ignore_errors=True)
    annotations.know(job.proxy)
    annotations.drop_job(job, tool)
    return {str(label.text): label for label in annotations.read(job.proxy.end_ns)}


def _written(label: Annotation, word: str) -> str:
    known: Mapping[str, Any] = json.loads(label.attributes)
    return known.get(f"{word}_as_written") or getattr(label, word) or ""


def _tolerances_ns(tool: str, proxy: Proxy, label: Drawn, *, is_on_frames: bool) -> tuple[int, int]:
    """How far start and end may move: the format's rounding, or half of the frame that each lies in."""
    if tool in _ROUNDING_NS:
        is_short = label.end_ns - label.start_ns < _SHORTEST_NS[tool]
        return _ROUNDING_NS[tool], _ROUNDING_NS[tool] + is_short * _SHORTEST_NS[tool]
    is_clocked = tool == "label-studio" and len(set(np.diff(proxy.boundaries_ns, 2).tolist())) > 3
    if is_clocked:  # its frames are points of a clock: half a nominal frame, then the boundary nearest to that
        longest_ns = int(np.diff(proxy.boundaries_ns).max())
        return (round(1e9 / proxy.fps) + longest_ns // 2,) * 2
    if is_on_frames:
        return 0, 0
    frame_ns = int(np.diff(proxy.boundaries_ns).max())
    is_short = label.end_ns - label.start_ns < frame_ns
    return frame_ns // 2 + 1 + is_short * frame_ns, frame_ns // 2 + 1 + is_short * frame_ns


def _require_same(annotations: Any, job: Job, tool: str, *, is_on_frames: bool) -> None:
    back = _there_and_back(annotations, job, tool)
    assert back.keys() == {label.text for label in job.labels}
    for label in job.labels:
        got = back[label.text]
        start_ns, end_ns = _tolerances_ns(tool, job.proxy, label, is_on_frames=is_on_frames)
        assert abs(got.start_ns - label.start_ns) <= start_ns
        assert abs(got.end_ns - label.end_ns) <= end_ns
        assert (got.layer, got.annotator) == (label.layer, "asha")
        if tool != "egoverse":  # one text, no words
            assert (_written(got, "verb"), _written(got, "noun")) == (label.verb, label.noun)


@pytest.mark.parametrize("is_on_frames", [True, False], ids=["on frames", "anywhere"])
@pytest.mark.parametrize("fps", RATES)
@pytest.mark.parametrize("tool", TOOLS)
def test_labels_come_back_as_they_went(
    annotations: Any,
    make_proxy: Callable[..., Proxy],
    make_job: Callable[..., Job],
    tool: str,
    fps: str,
    *,
    is_on_frames: bool,
) -> None:
    proxy = make_proxy(fps)
    for seed in range(SETS // 2):
        labels = _labels(seed, proxy, is_on_frames=is_on_frames)
        _require_same(annotations, make_job(*labels, proxy=proxy), tool, is_on_frames=is_on_frames)


@pytest.mark.slow
@pytest.mark.parametrize("fps", RATES)
@pytest.mark.parametrize("tool", TOOLS)
def test_two_hundred_sets_of_labels_come_back_as_they_went(
    annotations: Any, make_proxy: Callable[..., Proxy], make_job: Callable[..., Job], tool: str, fps: str
) -> None:
    proxy = make_proxy(fps)
    for seed in range(1000, 1200):
        is_on_frames = seed % 2 == 0
        labels = _labels(seed, proxy, is_on_frames=is_on_frames)
        _require_same(annotations, make_job(*labels, proxy=proxy), tool, is_on_frames=is_on_frames)


@pytest.mark.parametrize("tool", TOOLS)
def test_a_label_without_text_comes_back_with_its_words(
    annotations: Any, make_job: Callable[..., Job], tool: str
) -> None:
    label = Drawn("n1", "asha", "action", 0, 2_000_000_000, verb="fold", noun="shirt")
    (got,) = _there_and_back(annotations, make_job(label), tool).values()
    assert (got.verb, got.noun, got.start_ns, got.end_ns) == ("fold", "shirt", 0, 2_000_000_000)


@pytest.mark.parametrize("tool", TOOLS)
def test_words_that_nobody_knows_are_not_lost(annotations: Any, make_job: Callable[..., Job], tool: str) -> None:
    label = Drawn("n1", "asha", "action", 0, 2_000_000_000, verb="juggle", noun="Dosa")
    (got,) = _there_and_back(annotations, make_job(label), tool).values()
    assert (got.verb, got.noun, got.text) in [("juggle", "Dosa", None), (None, None, "juggle Dosa")]
    assert json.loads(got.attributes).get("is_known_verb", False) is False


@pytest.mark.parametrize(
    ("layer", "text"),
    [("activity", "idle"), ("activity", "head_turn"), ("episode", "success"), ("episode", "failure")],
)
@pytest.mark.parametrize("tool", TOOLS)
def test_an_activity_and_an_outcome_are_texts_and_no_verbs(
    annotations: Any, make_job: Callable[..., Job], tool: str, layer: str, text: str
) -> None:
    label = Drawn("n1", "asha", layer, 0, 2_000_000_000, text=text)
    (got,) = _there_and_back(annotations, make_job(label), tool).values()
    assert (got.layer, got.text) == (layer, text)
    if tool != "egoverse":
        assert got.verb is None


@pytest.mark.parametrize("tool", [tool for tool in TOOLS if tool != "csv"])
def test_a_label_says_which_video_it_was_drawn_on(annotations: Any, make_job: Callable[..., Job], tool: str) -> None:
    job = make_job(Drawn("n1", "asha", "action", 0, 2_000_000_000, verb="fold"))
    (got,) = _there_and_back(annotations, job, tool).values()
    attributes = json.loads(got.attributes)
    assert attributes["proxy_sha256"] == job.proxy.sha256
    assert attributes["proxy_fps"] == pytest.approx(30, rel=1e-9)


@pytest.mark.parametrize("tool", TOOLS)
def test_labels_on_another_session_s_video_are_refused_or_passed_over(
    annotations: Any, make_proxy: Callable[..., Proxy], make_job: Callable[..., Job], tool: str
) -> None:
    other = make_proxy(session="s-zzzzzzzzzzzzzzzzzzzz")
    job = make_job(Drawn("n1", "asha", "action", 0, 2_000_000_000, verb="fold"), proxy=other)
    annotations.know(make_proxy())
    annotations.drop_job(job, tool)
    with pytest.raises(LabelError, match=r"another session|0 tasks|0 videos"):
        annotations.read()


@pytest.mark.parametrize("tool", [tool for tool in TOOLS if tool != "csv"])
def test_labels_on_a_video_that_is_no_proxy_are_refused(
    annotations: Any, make_proxy: Callable[..., Proxy], make_job: Callable[..., Job], tool: str
) -> None:
    annotations.know(make_proxy())
    job = make_job(Drawn("n1", "asha", "action", 0, 10**9, verb="fold"), proxy=make_proxy(digest="cd"))
    annotations.drop_job(job, tool)
    with pytest.raises(LabelError, match=r"digest cdcdcdcdcdcdcdcd…, the proxies known are abababababababab"):
        annotations.read()


@pytest.mark.parametrize("tool", ["label-studio", "cvat", "epic", "egoverse"])
def test_labels_that_were_counted_at_another_frame_rate_are_refused(
    annotations: Any, make_proxy: Callable[..., Proxy], make_job: Callable[..., Job], tool: str
) -> None:
    annotations.know(make_proxy("25", frame_count=750))
    labels = [Drawn("n1", "asha", "action", 20 * 10**9, 29 * 10**9, verb="fold")]
    job = make_job(*labels, proxy=replace(make_proxy("30"), sha256="ab" * 32))
    annotations.drop_job(job, tool)
    with pytest.raises(LabelError, match=r"frames a second|frame rate"):
        annotations.read()


@pytest.mark.realdata
@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("clip", ["egocentric_two_faces.mp4", "gopro_max_walk.mp4", "street_one_person.mp4"])
def test_labels_on_a_real_recording_s_frames_come_back_as_they_went(
    annotations: Any, make_job: Callable[..., Job], realdata: Path, clip: str, tool: str
) -> None:
    with container.open_video(realdata / clip) as video:
        packets = container._read_packets(video, container.video_stream(video, clip), clip)
    end_ns = int(packets.pts_ns[-1]) + packets.last_duration_ns
    proxy = Proxy(SESSION, "ab" * 32, packets.pts_ns, end_ns, 1280, 720)
    for seed in range(20):
        labels = _labels(seed, proxy, is_on_frames=True)
        _require_same(annotations, make_job(*labels, proxy=proxy), tool, is_on_frames=True)
