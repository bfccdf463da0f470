"""Thousands of damaged files a format: labels, or a refusal that names the file, and nothing else."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harchive_dagster.labels.annotation_files import read_annotations
from harchive_dagster.labels.class_mapping import class_mapping_beside
from harchive_dagster.labels.formats.protocol import Box, Drawn, Job
from harchive_dagster.labels.formats.proxy import write_proxy
from harchive_dagster.labels.formats.registry import FORMATS, format_named

SESSION = "s-abcdefghij234567klmn"
TOOLS = [one.name for one in FORMATS]


def exercise(path: Path) -> None:
    """Reads a file where an annotator would drop it; the proxy lies beside it."""
    labels = path.parent / "annotations" / SESSION / f"asha.{SESSION}-abababababababab{path.suffix}"
    labels.write_bytes(path.read_bytes())
    for label in read_annotations(labels.parents[1], session_pseudonym=SESSION, duration_ns=3_000_000_000):
        assert 0 <= label.start_ns < label.end_ns <= 3_000_000_000


def _seed(folder: Path, job: Job, tool: str) -> Path:
    write_proxy(job.proxy, folder / "annotations" / SESSION)
    files = format_named(tool).write(job)
    name = next(name for name in files if not name.endswith((".label-config.xml", ".labels.json")))
    path = folder / f"seed{Path(name).suffix}"
    label_file = folder / "annotations" / SESSION / f"asha.{SESSION}-abababababababab{path.suffix}"
    class_mapping_beside(label_file).write_text(
        "kind,class_id,class_name,word\nverb,1,crease,fold\nnoun,2,dish,plate\n"
    )
    # Label Studio's annotations have the form of its predictions.
    path.write_bytes(files[name].replace(b'"predictions"', b'"annotations"'))
    return path


@pytest.fixture
def seed(tmp_path: Path, make_proxy: Any, make_job: Any) -> Callable[[str], Path]:
    boxes = (Box(3, 10, 20, 30, 40), Box(30, 12.5, 20, 30, 40), Box(40, 12.5, 20, 30, 40, is_visible=False))
    proxy = make_proxy(frame_count=90)
    labels = (
        Drawn("n1", "asha", "action", 0, 2_000_000_000, verb="fold", noun="shirt", text="slowly"),
        Drawn("n2", "asha", "step", 10**9, 3 * 10**9, text="step 2"),
        Drawn("n3", "asha", "object", *proxy.span_ns(3, 40), noun="plate", boxes=boxes),
    )
    return lambda tool: _seed(tmp_path, make_job(*labels, proxy=proxy), tool)


@pytest.mark.parametrize("tool", TOOLS)
def test_two_thousand_damaged_label_files_end_in_labels_or_a_refusal(
    seed: Callable[[str], Path], survive_mutations: Callable[..., dict[str, int]], tool: str
) -> None:
    survive_mutations(exercise, [seed(tool)])


@pytest.mark.fuzz
@pytest.mark.parametrize("tool", TOOLS)
def test_fifty_thousand_damaged_label_files_end_in_labels_or_a_refusal(
    seed: Callable[[str], Path], survive_mutations: Callable[..., dict[str, int]], tool: str
) -> None:
    survive_mutations(exercise, [seed(tool)], 50_000)
