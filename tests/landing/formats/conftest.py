"""What every format's tests share: damaged files by the thousand."""

import inspect
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

MUTATIONS = 2_000
"""Per format in every run; a `slow` test of each format asks for 50,000."""


@pytest.fixture
def survive_mutations(tmp_path: Path) -> Callable[..., dict[str, int]]:
    """Runs a module-level function of a test file on damaged copies of files; only SessionRejectedError may come out.

    Gives back how many were still read and how many refused; a check that nothing is ever refused, or that everything
    is, would prove little, so both must have happened.
    """

    def run(exercise: Callable[[Path], object], seeds: list[Path], count: int = MUTATIONS) -> dict[str, int]:
        task = {
            "source": inspect.getsourcefile(exercise),
            "name": exercise.__name__,
            "seeds": [str(seed) for seed in seeds],
            "suffix": seeds[0].suffix,
            "folder": str(tmp_path),
            "first": 0,
            "count": count,
        }
        child = subprocess.run(
            [sys.executable, str(Path(__file__).with_name("mutated_inputs.py"))],
            input=json.dumps(task),
            capture_output=True,
            text=True,
            check=False,
            timeout=3000,
        )
        current = tmp_path / "current"
        killer = current.read_text() if current.exists() else "before the first"
        assert child.returncode == 0, f"mutation {killer} ended with {child.returncode}:\n{child.stderr[-4000:]}"
        outcomes = json.loads(child.stdout.splitlines()[-1])
        assert all(outcomes.values()), outcomes
        return outcomes

    return run
