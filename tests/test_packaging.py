"""The wheel holds what is no Python and is needed all the same."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_wheel_is_whole(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        names = set(wheel.namelist())
        points = wheel.read(next(name for name in names if name.endswith("entry_points.txt"))).decode()
    scripts = {path.name for path in (ROOT / "src/emreel/view/dashboard/scripts").glob("*.js")}
    assert len(scripts) >= 5
    wanted = {f"emreel/view/dashboard/scripts/{name}" for name in scripts}
    assert wanted | {"emreel/hyperspy_extension.yaml", "emreel/data_catalog.yaml"} <= names
    assert "[hyperspy.extensions]\nemreel = emreel" in points
