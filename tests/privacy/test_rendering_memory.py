"""How much memory a long recording takes, in whatever groups it comes."""

import os
import subprocess
import sys

import numpy as np
import pytest

PROGRAM = """
import resource, sys
from pathlib import Path
from harchive_dagster.privacy.redaction import Redaction
from harchive_dagster.privacy.rendering import render_anonymized

hidden = [Redaction(f, 1, "face", 20.0, 20.0, 40.0, 50.0, "detected", 0.9) for f in range(0, int(sys.argv[3]), 600)]
report = render_anonymized(Path(sys.argv[1]), Path(sys.argv[2]), hidden, processes=1)
print(report.frame_count, report.copied_fraction, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("keyint", "is_copied"), [(30, True), (100_000, False)], ids=["many groups", "one group"])
def test_twenty_minutes_take_little_more_memory_than_two(tmp_path, write_clip, keyint, is_copied):
    peaks_mb = []
    for minutes in (2, 20):
        frame_count = minutes * 60 * 30
        source, target = tmp_path / f"{minutes}.mp4", tmp_path / "out.mp4"
        random = np.random.default_rng(0)
        pictures = [random.integers(0, 255, (128, 160, 3)).astype(np.uint8) for _ in range(5)]
        options = {"preset": "ultrafast", "crf": "40", "x264-params": f"keyint={keyint}:min-keyint=30:scenecut=0"}
        write_clip(source, [pictures[place % 5] for place in range(frame_count)], options=options)
        told = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(source), str(target), str(frame_count)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        assert int(told[0]) == frame_count
        assert (float(told[1]) > 0.9) == is_copied
        peaks_mb.append(float(told[2]))
    # 18 minutes of these pictures are 1 GB, their packets 40 MB; the index takes 100 bytes a frame.
    assert peaks_mb[1] - peaks_mb[0] < 40
