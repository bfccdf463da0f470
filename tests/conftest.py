"""What every test shares: an environment of its own, so that no test reads a developer's settings or instance."""

import os
from pathlib import Path

import pytest

# Before any Dagster module is imported: tests must neither write into a developer's instance nor report usage.
os.environ.pop("DAGSTER_HOME", None)
os.environ["DAGSTER_DISABLE_TELEMETRY"] = "yes"
for name in [name for name in os.environ if name.startswith("HARCHIVE_") and name != "HARCHIVE_REALDATA"]:
    del os.environ[name]
os.environ["HARCHIVE_PSEUDONYM_KEY"] = "only-for-the-tests-0123456789"


@pytest.fixture(scope="session")
def realdata() -> Path:
    """The folder of real recordings; skips where there is none."""
    folder = Path(os.environ.get("HARCHIVE_REALDATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real recordings in {folder}")
    return folder
