"""A descriptor of another package: installed, it is known by its name to recipes, models and the command line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from emreel.synthetic import AmorphousFront

PLUGIN = Path(__file__).parent / "plugins" / "emreel_sharpness"
RECIPE = """
[descriptor]
name = "sharpness"
radius_px = 5
[cluster]
n_clusters = 2
[sample]
frames = 4
points = 2000
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a Python that finds the package, installed as a user would."""
    place = tmp_path_factory.mktemp("site")
    options = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", *options, "--target", str(place), str(PLUGIN)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    source = Path(__file__).parents[1] / "src"
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(place), str(source)])}


def python(code: str, environment: dict[str, str]) -> str:
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_it_keeps_the_protocol(installed: dict[str, str]) -> None:
    python(
        "from emreel.descriptors.registry import build_descriptor, descriptor_names\n"
        "from emreel.testing import check_descriptor\n"
        "assert 'sharpness' in descriptor_names()\n"
        "check_descriptor(build_descriptor('sharpness', {'radius_px': 3, 'stride': 2}))",
        installed,
    )


def test_the_command_line_runs_it(installed: dict[str, str], tmp_path: Path) -> None:
    scene = AmorphousFront(shape_yx=(96, 96), n_frames=4, seed=1)
    np.save(tmp_path / "movie.npy", np.stack([scene.frame(i) for i in range(4)]))
    (tmp_path / "recipe.toml").write_text(RECIPE)
    command = [sys.executable, "-m", "emreel", "run", "movie.npy", "-o", "result", "--recipe", "recipe.toml"]
    run = subprocess.run(command, cwd=tmp_path, env=installed, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    code = (
        "import emreel as er; result = er.open_result('result')\n"
        "print(sorted(set(result.label.values.ravel().tolist())))"
    )
    shown = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=installed, capture_output=True, text=True)
    assert shown.stdout.strip() == "[1, 2]"


def test_without_the_package_its_models_say_what_is_missing(installed: dict[str, str], tmp_path: Path) -> None:
    python(
        "import numpy as np, emreel as er\n"
        "from emreel.recipe import Recipe\n"
        f"recipe = Recipe.from_toml({RECIPE!r})\n"
        "frames = np.random.default_rng(0).poisson(9, (4, 64, 64)).astype(np.uint8)\n"
        f"er.fit_model(frames, recipe).save({str(tmp_path / 'model.zarr')!r})",
        installed,
    )
    from emreel.model import Model, ModelError

    with pytest.raises(ModelError, match="unknown descriptor 'sharpness'"):
        Model.load(tmp_path / "model.zarr")
