"""Imports point down only, and importing emreel is quick and quiet."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src" / "emreel"
#: From the face to the ground; a module may import its own layer and those below.
LAYERS = [
    {"cli", "__main__"},
    {"view", "stream", "hyperspy", "accessor"},
    {"track", "fit", "label"},
    {"recipe", "io", "result", "model"},
    {"prepare", "synthetic", "engine"},
    {
        "movie",
        "names",
        "descriptors",
        "cluster",
        "reduce",
        "refine",
        "orientation",
        "polycrystal",
        "provenance",
        "progress",
        "testing",
    },
    {"_version"},
]
#: The only rooms that know Dask.
DASK_ROOMS = {"engine", "io"}


def room_of(path: Path) -> str:
    first = path.relative_to(SRC).parts[0]
    return first.removesuffix(".py")


def imports_of(path: Path) -> set[str]:
    """Every module that a file imports, nested imports included."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            module = node.module or ""
            found.add(module)
            if module == "emreel":
                found |= {f"emreel.{alias.name}" for alias in node.names}
    return found


MODULES = sorted(p for p in SRC.rglob("*.py") if p != SRC / "__init__.py")


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SRC)))
def test_imports_point_down(path: Path) -> None:
    level = next((i for i, layer in enumerate(LAYERS) if room_of(path) in layer), None)
    assert level is not None, f"{room_of(path)} has no place in the architecture"
    allowed = set().union(*LAYERS[level:])
    for module in imports_of(path):
        parts = module.split(".")
        if parts[0] == "emreel" and len(parts) > 1 and parts[1] not in ("__version__",):
            assert parts[1] in allowed, f"{path.name} imports {module}, which lies above it"
        if parts[0] in ("dask", "distributed"):
            assert room_of(path) in DASK_ROOMS, f"{path.name} imports {module}"
        assert parts[0] not in ("pickle", "joblib", "dill", "cloudpickle"), f"{path.name} imports {module}"


def test_import_is_quick_and_quiet() -> None:
    code = (
        "import sys, time; start = time.perf_counter(); import emreel; took = time.perf_counter() - start;"
        "heavy = {'numpy', 'dask', 'xarray', 'zarr', 'numba', 'scipy', 'pandas', 'matplotlib'} & set(sys.modules);"
        "print(sorted(heavy), took < 0.3)"
    )
    run = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[] True"
    assert run.stderr == ""


def test_every_public_name_is_there() -> None:
    import emreel

    for name in emreel.__all__:
        assert getattr(emreel, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'fit_modle'"):
        emreel.fit_modle  # noqa: B018
