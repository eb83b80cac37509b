"""Real micrographs and a real sequence, segmented by `emreel run`; one picture each, and a page of all.

python -m benchmarks.gallery [NAME ...] [-o gallery]
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.data import ROOT, require_data


@dataclass(frozen=True)
class Picture:
    """A real recording, the number of phases that a microscopist would give, and what is right."""

    file: str
    k: int
    shows: str
    recipe: str = ""


def _method(descriptor: str) -> str:
    return f'[descriptor]\nname = "{descriptor}"\n'


_CU, _ALLOY = "cu_grain_boundary_nb.png", "high_entropy_alloy.npy"
PICTURES = {
    "lptem_seq": Picture("lptem_seq", 2, "particle against background"),
    "sto_image": Picture("raw_16_STOimage_1.ser", 1, "one crystal, one class"),
    "cu_boundary": Picture(_CU, 2, "two grains, boundary vertical at 48 % of the width"),
    "sto_ge": Picture("sto_ge_haadf.jpg", 3, "cap to 15 %, STO to 61 % of the height, Ge below"),
    "high_entropy_alloy": Picture(_ALLOY, 4, "plates, lattice-fringe patch upper left, matrix in two tones"),
    "perovskite": Picture("perovskite_interface_adf.jpg", 2, "two layers, interface at 70 % of the height"),
    "hrtem_holes": Picture("hrtem_holes_screenshot.tif", 2, "two smooth ovals against crystal"),
    "cu_video_frame": Picture("cu_video_frame0_nb.png", 2, "an inclined plate against the matrix"),
    "cu_boundary_rotation": Picture(_CU, 2, "boundary core against both grains", _method("rotation")),
    "cu_boundary_reflection": Picture(_CU, 2, "the two grains", _method("reflection")),
    "alloy_reflection": Picture(_ALLOY, 2, "three clean stripes", _method("reflection")),
    "alloy_spectrum": Picture(_ALLOY, 3, "stripes, fringe patch, matrix", _method("spectrum")),
    "alloy_translation": Picture(_ALLOY, 2, "stripes and fringe patch, matrix", _method("translation")),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(PICTURES), help=f"of {', '.join(PICTURES)}")
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "gallery")
    options = parser.parse_args()
    data = require_data() / "real"
    options.output.mkdir(parents=True, exist_ok=True)
    for name in options.names:
        picture = PICTURES[name]
        result = options.output / name
        shutil.rmtree(result, ignore_errors=True)
        command = [sys.executable, "-m", "emreel", "run", str(data / picture.file), "-o", str(result)]
        if picture.recipe:
            recipe = options.output / f"{name}.toml"
            recipe.write_text(picture.recipe)
            command += ["--recipe", str(recipe)]
        run = subprocess.run([*command, "-k", str(picture.k)], capture_output=True, text=True)
        if run.returncode:
            print(f"{name}: FAILED\n{run.stderr}", flush=True)
            continue
        shutil.copy(result / "overview.png", options.output / f"{name}.png")
        print(f"{name}: {options.output / name}.png  (right: {picture.shows})", flush=True)


if __name__ == "__main__":
    main()
