"""What ships works without the source tree."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    return next(out.glob("*.whl"))


def test_the_wheel_holds_both_packages_and_their_data(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"harchive_dagster", "assets"}
    assert {"harchive_dagster/labels/tasks.yaml", "harchive_dagster/labels/taxonomy.yaml"} <= set(names)
    assert {f"harchive_dagster/review/page.{kind}" for kind in ("html", "css", "js")} <= set(names)


def test_the_code_location_loads_from_the_wheel_alone(wheel, tmp_path):
    unpacked = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(unpacked)
    code = (
        "import sys; sys.path[:] = [p for p in sys.path if p != sys.argv[2]]; sys.path.insert(0, sys.argv[1])\n"
        "from harchive_dagster.definitions import defs\nimport assets, harchive_dagster\n"
        "from harchive_dagster.labels.task_catalog import load_task_catalog\n"
        "assert load_task_catalog().tasks\n"
        "assert harchive_dagster.__file__.startswith(sys.argv[1]) and assets.__file__.startswith(sys.argv[1])\n"
        "made = [spec for asset in defs.assets if hasattr(asset, 'specs') for spec in asset.specs]\n"
        "print(sum(s.partitions_def is not None for s in made), sum(s.partitions_def is None for s in made))"
    )
    command = [sys.executable, "-c", code, str(unpacked), str(ROOT)]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "11 4"
