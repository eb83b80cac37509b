"""How far accuracy goes: against dose, pixel size and drift, on generated movies, as curves -> docs/robustness.png.

    python -m benchmarks.robustness                  # three kinds, three seeds a point, half an hour
    python -m benchmarks.robustness twin --seeds 2

Only K is given; everything else is found from the movie. One thing is changed at a time; a point is the mean over the
seeds, its bar from the worst to the best. Accuracy counts every pixel, edges included.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.data import ROOT
from benchmarks.in_time import accuracy_of
from emreel.synthetic import make_scene

SIDE_PX, FRAMES = 320, 8
FIRST_SEED = 1300
#: What is varied: the values, and what a scene is told for each.
DOSES = (1.0, 2.0, 4.0, 12.0, 40.0, 120.0, 400.0)
PIXELS = (0.5, 0.7, 1.0, 1.4, 2.0)
DRIFTS = (0.0, 0.5, 1.0, 2.0, 4.0)


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A scene and the number of its phases. pixel_size_nm : of the middle of the curve."""

    scene: str
    n_clusters: int
    pixel_size_nm: float


KINDS = {
    "front": Kind(scene="front", n_clusters=4, pixel_size_nm=0.04),
    "twin": Kind(scene="twin_lamella", n_clusters=3, pixel_size_nm=0.03),
    "decahedron": Kind(scene="decahedron", n_clusters=6, pixel_size_nm=0.03),
}


def curves(kind: Kind) -> dict[str, dict[float, Mapping[str, Any]]]:
    """For each axis of the picture, what a scene is told at each value."""
    return {
        "dose, electrons a pixel": {dose: {"dose": dose} for dose in DOSES},
        "pixel size, relative": {size: {"dose": 40.0, "pixel_size_nm": size * kind.pixel_size_nm} for size in PIXELS},
        "drift, pixels a frame": {
            drift: {"dose": 40.0, "drift_px_per_frame": (0.6 * drift, 0.8 * drift)} for drift in DRIFTS
        },
    }


def measure(kind: Kind, told: Mapping[str, Any], seeds: Sequence[int]) -> list[float]:
    """The accuracy of each seed's movie."""
    found = []
    for seed in seeds:
        wide = {"dtype": "uint16", **told}
        scene = make_scene(kind.scene, shape_yx=(SIDE_PX, SIDE_PX), n_frames=FRAMES, seed=seed, **wide)
        frames = np.stack([scene.frame(i) for i in range(FRAMES)])
        labels = np.stack([scene.truth(i).labels for i in range(FRAMES)])
        found.append(accuracy_of(frames, labels, kind.n_clusters))
    return found


def draw(everything: Mapping[str, Mapping[str, Mapping[float, Sequence[float]]]], path: Path) -> None:
    """One panel an axis, one line a kind."""
    import matplotlib.pyplot as plt

    axes_of = list(next(iter(everything.values())))
    figure, axes = plt.subplots(1, len(axes_of), figsize=(3.6 * len(axes_of), 3.0), sharey=True, layout="constrained")
    for axis, title in zip(np.atleast_1d(axes), axes_of, strict=True):
        for (name, found), marker in zip(everything.items(), "osD^v", strict=False):
            x = list(found[title])
            mean = np.array([np.mean(values) for values in found[title].values()])
            low, high = (np.array([end(values) for values in found[title].values()]) for end in (min, max))
            axis.errorbar(x, mean, yerr=[mean - low, high - mean], marker=marker, ms=4, lw=1.2, capsize=2, label=name)
        axis.set_xlabel(title)
        if "drift" not in title:
            axis.set_xscale("log")
            axis.set_xticks(x, [f"{value:g}" for value in x], minor=False)
            axis.minorticks_off()
        axis.grid(alpha=0.3)
    np.atleast_1d(axes)[0].set_ylabel("accuracy")
    np.atleast_1d(axes)[0].legend(frameon=False, fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", help=f"parts of: {', '.join(KINDS)}")
    parser.add_argument("--seeds", type=int, default=3, help="movies a point")
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/robustness.png"))
    options = parser.parse_args(arguments)
    seeds = range(FIRST_SEED, FIRST_SEED + options.seeds)
    everything: dict[str, dict[str, dict[float, list[float]]]] = {}
    for name, kind in KINDS.items():
        if options.kinds and not any(part in name for part in options.kinds):
            continue
        everything[name] = {}
        for title, points in curves(kind).items():
            row = {value: measure(kind, told, seeds) for value, told in points.items()}
            everything[name][title] = row
            cells = "  ".join(f"{value:g}: {np.mean(found):.3f} ({min(found):.3f})" for value, found in row.items())
            print(f"{name}, {title}, mean (worst):  {cells}", flush=True)
    draw(everything, options.output)
    (ROOT / "benchmarks" / "robustness.json").write_text(json.dumps(everything, indent=1) + "\n")
    return everything


if __name__ == "__main__":
    main()
