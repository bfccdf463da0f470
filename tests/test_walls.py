"""The walls of the house: who may import whom, and how big rooms may grow."""

import ast
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "harchive_dagster"
LIBRARY = sorted(path for path in PACKAGE.glob("*/**/*.py"))
EVERYTHING = sorted([*PACKAGE.rglob("*.py"), *(ROOT / "assets").rglob("*.py")])
HEAVY = (
    "dagster",
    "great_expectations",
    "cv2",
    "av",
    "onnxruntime",
    "onnx",
    "matplotlib",
    "ahrs",
    "skimage",
    "deltalake",
    "obstore",
    "mcap",
    "mcap_ros2",
    "projectaria_tools",
)


def imports_of(path: Path, *, only_at_load: bool = False) -> set[str]:
    """Top-level names a module imports; with `only_at_load`, not those inside functions or for type checkers."""
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        if only_at_load and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            return
        if only_at_load and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if isinstance(node, ast.Import):
            found.update(alias.name.split(".")[0] for alias in node.names)
        if isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text()))
    return found


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: str(path.relative_to(ROOT)))
def test_library_rooms_know_neither_dagster_nor_assets(path):
    assert not imports_of(path) & {"dagster", "assets"}


def test_only_definitions_imports_assets():
    importers = {str(path.relative_to(ROOT)) for path in PACKAGE.rglob("*.py") if "assets" in imports_of(path)}
    assert importers == {"harchive_dagster/definitions.py"}


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: str(path.relative_to(ROOT)))
def test_heavy_imports_wait_inside_functions(path):
    assert not imports_of(path, only_at_load=True) & set(HEAVY)


def test_importing_the_package_loads_nothing_heavy():
    code = "import sys, harchive_dagster; print(' '.join(sys.modules))"
    loaded = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )
    assert not loaded & {*HEAVY, "pandas", "pyarrow", "numpy"}


def test_asking_the_command_line_for_help_loads_nothing_heavy():
    code = (
        "import sys\nfrom click.testing import CliRunner\nfrom harchive_dagster.cli import cli\n"
        "assert CliRunner().invoke(cli, ['demo', '--help']).exit_code == 0\nprint(' '.join(sys.modules))"
    )
    loaded = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )
    assert not loaded & set(HEAVY)


@pytest.mark.parametrize("path", EVERYTHING, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_says_what_belongs_in_it(path):
    assert ast.get_docstring(ast.parse(path.read_text()))


@pytest.mark.parametrize("path", EVERYTHING, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_room_is_larger_than_one_can_overlook(path):
    assert len(path.read_text().splitlines()) <= 400


@pytest.mark.parametrize("path", EVERYTHING, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_room_has_a_name_that_says_nothing(path):
    assert not {"utils", "util", "helpers", "common", "misc"} & set(path.with_suffix("").parts)


def test_assets_is_ours():
    import assets

    assert Path(assets.__file__).parent == ROOT / "assets"


def test_exactly_one_opencv_is_installed():
    names = {(dist.metadata["Name"] or "").lower() for dist in metadata.distributions()}
    assert {name for name in names if name.startswith("opencv")} == {"opencv-python"}


@pytest.mark.parametrize("path", sorted((ROOT / "assets").glob("*.py")), ids=lambda path: path.name)
def test_asset_bodies_are_glue(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            statements = node.end_lineno - node.body[0].lineno
            assert statements <= 70, f"{node.name} has {statements} lines: library code belongs in the library"
