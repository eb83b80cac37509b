"""A result in napari's own viewer model: layers, colours, places and names. In a process of its own: napari's imports
warn of many things that are none of ours."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from emreel.label import label_movie
from emreel.model import Model
from emreel.result.appearance import write_appearance

LOOK = """
import json, sys
import numpy as np
from napari.components import ViewerModel
from emreel.result import open_result
from emreel.view.napari import add_layers
viewer = ViewerModel()
result = open_result(sys.argv[1])
layers = add_layers(viewer, result)
labels = layers[1]
viewer.dims.set_current_step(0, 4)
print(json.dumps({
    "names": [layer.name for layer in layers],
    "kinds": [type(layer).__name__ for layer in layers],
    "scale": labels.scale.tolist(),
    "soft_scale": layers[2].scale.tolist(),
    "units": [str(unit) for unit in labels.units],
    "lazy": [hasattr(layer.data, "dask") for layer in layers],
    "color": labels.colormap.map(np.array([1, 0], np.uint8)).tolist(),
    "shown": int(np.asarray(labels.data[4]).sum()),
    "status": labels.get_status((4.0, 0.1, 0.1), world=True)["value"],
    "extent": [layer.extent.world.tolist() for layer in layers[:2]],
}))
"""


def test_layers_lie_on_one_another(front_movie: xr.DataArray, front_model: Model, tmp_path: Path) -> None:
    result = label_movie(front_movie, front_model, tmp_path / "run")
    write_appearance(result.path, ["cap", "glass", "film", "base"], [(255, 0, 0), (0, 255, 0), (0, 0, 255), (9, 9, 9)])
    run = subprocess.run([sys.executable, "-c", LOOK, str(result.path)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    seen = json.loads(run.stdout.splitlines()[-1])
    assert seen["names"] == ["run", "run: labels", "run: cap", "run: glass", "run: film", "run: base"]
    assert seen["kinds"] == ["Image", "Labels"] + ["Image"] * 4
    assert all(seen["lazy"])
    np.testing.assert_allclose(seen["scale"], (1.0, 0.04, 0.04))
    np.testing.assert_allclose(seen["soft_scale"], (1.0, 0.16, 0.16))
    assert seen["units"] == ["second", "nanometer", "nanometer"]
    np.testing.assert_allclose(seen["color"], [[1, 0, 0, 1], [0, 0, 0, 0]])
    assert seen["shown"] == int(result.label[4].values.astype(int).sum())
    assert "cap" in seen["status"] or "glass" in seen["status"]
    np.testing.assert_allclose(*seen["extent"])


def test_without_napari_the_line_to_type_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    from emreel.view.errors import ViewError
    from emreel.view.napari import show_napari

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ViewError, match=r'pip install "napari\[all\]"'):
        show_napari(None)  # type: ignore[arg-type]
