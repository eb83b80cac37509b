"""Accuracy on the movies with truth: each goes through the command line, given K alone; prints tables.

    python -m benchmarks.score                          # every movie, the default recipe
    python -m benchmarks.score --recipe translation front_lfo_sto
    python -m benchmarks.score --auto                   # K is not given either
    python -m benchmarks.score --methods                # every published method beside the default, one table
    python -m benchmarks.score --reliability            # and of the points said to be .8 right, how many are?

Only the scorer of the data folder reads a truth file.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.data import ROOT, require_data
from benchmarks.in_time import BINS
from emreel.recipe import DescriptorStep, Recipe
from emreel.result import open_result

#: Movies, and the number of phases that the user gives. None: grains are identities, told by name and not by class.
MOVIES: dict[str, int | None] = {
    "front_lfo_sto": 4,
    "nasty_front": 4,
    "twin_lamella": 3,
    "order_disorder": 2,
    "decahedron_axis": 6,
    "grain_growth": None,
}
#: What is asked for: accuracy, front rms px, IDF1.
WANTED: dict[str, tuple[float, float | None, float | None]] = {
    "front_lfo_sto": (0.975, 2.0, None),
    "nasty_front": (0.95, 2.8, None),
    "twin_lamella": (0.97, None, None),
    "decahedron_axis": (0.97, None, None),
    "order_disorder": (0.98, None, None),
    "grain_growth": (0.85, None, 0.90),
}
N_VOID_LABELS = 997
#: How much less is asked for when K is not given.
WITHOUT_K = 0.02

#: The published methods, each with its own clusterer; and with brightness beside it, since two layers without a
#: lattice differ in nothing else. Chips are told by brightness already.
PUBLISHED = ("translation", "rotation", "reflection", "glide", "spectrum", "gabor", "radon")


def _beside_intensity(name: str) -> Recipe:
    parts = [{"name": name}, {"name": "intensity"}]
    return Recipe(descriptor=DescriptorStep(name="combined", fields={"parts": parts}))


RECIPES = {name: Recipe(descriptor=DescriptorStep(name=name)) for name in ("lattice", "intensity", *PUBLISHED, "chips")}
RECIPES |= {f"{name}+intensity": _beside_intensity(name) for name in PUBLISHED}
#: What plain k-means on plain features reaches (the study's baseline).
BASELINE = {
    "front_lfo_sto": 0.92,
    "nasty_front": 0.69,
    "twin_lamella": 0.77,
    "order_disorder": 0.90,
    "decahedron_axis": 0.38,
}


def run_movie(data: Path, name: str, recipe: str, folder: Path, *, auto: bool) -> tuple[dict[str, Any], float]:
    """Label one movie by the command line and score it; returns the scores and the seconds that it took."""
    place = folder / recipe / name
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(place, ignore_errors=True)
    RECIPES[recipe].save(place.parent / "recipe.toml")
    pixel = json.loads((data / name / "meta.json").read_text())["pixel_nm"]
    command = [sys.executable, "-m", "emreel", "run", str(data / name / "movie.npz"), "-o", str(place)]
    command += ["--recipe", str(place.parent / "recipe.toml"), "--pixel-size-nm", str(pixel)]
    if not auto and MOVIES[name] is not None:
        command += ["-k", str(MOVIES[name])]
    start = time.perf_counter()
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    took = time.perf_counter() - start
    result = open_result(place)
    # a pixel of no class counts as wrong: void for the scorer
    label = result.label.values.astype(np.int32)
    void = label >= 254
    if result.layout.with_regions:
        label = result.region.values.astype(np.int32)
    labels = np.where(void, -1, label)
    scores = _scored(data, name, place, labels, tracks=label if result.layout.with_regions else None)
    return scores | {"n_clusters": len(result.label_names)}, took


def _scored(
    data: Path, name: str, place: Path, labels: npt.NDArray[np.int32], tracks: npt.NDArray[np.int32] | None = None
) -> dict[str, Any]:
    """What the scorer says of labels, shape (time, y, x), -1 where there are none."""
    prediction = place.parent / f"{name}.npz"
    arrays = {} if tracks is None else {"tracks": tracks}
    arrays["valid"] = open_result(place).table("quality")["status"].to_numpy() != "blank"
    np.savez_compressed(prediction, labels=labels, **arrays)
    score = [sys.executable, str(data / "score.py"), "--truth", str(data / name), "--pred", str(prediction)]
    if tracks is not None:
        score += ["--tracks", "tracks"]
    out = subprocess.run([*score, "--valid", "valid"], check=True, capture_output=True, text=True).stdout
    scores: dict[str, Any] = json.loads(out)
    return scores


def reliability(data: Path, name: str, folder: Path) -> list[float]:
    """Of the grid points of a labelled movie that are said to be so sure (`BINS`), the share that is right.

    The scorer tells how many are right of all those from an edge of the bins on. All other pixels are void: they have
    many labels, so that none of these stands for a class.
    """
    place = folder / "lattice" / name
    result = open_result(place)
    step = round(result.label.sizes["y"] / result.membership.sizes["y_grid"])
    label = result.label.values[:, ::step, ::step]
    sure = np.where(label < 254, result.membership.values.max(axis=1), 0)
    void = 1000 + np.arange(result.label.size, dtype=np.int32).reshape(result.label.shape) % N_VOID_LABELS
    right, said = [], []
    for edge in (*BINS[:-1], 2.0):
        pixels = void.copy()
        pixels[:, ::step, ::step] = np.where(sure >= edge, label, void[:, ::step, ::step])
        said.append(int((sure >= edge).sum()))
        scores = _scored(data, name, place, pixels)
        right.append(scores["accuracy"] * scores["frames"] * void[0].size)
    parts, n = -np.diff(right), -np.diff(said)
    return [float(part / max(count, 1)) for part, count in zip(parts, n, strict=True)]


def row_of(name: str, scores: dict[str, Any], took: float) -> dict[str, Any]:
    front = scores.get("front", {})
    return {
        "movie": name,
        "k": scores["n_clusters"],
        "accuracy": scores["accuracy"],
        "macro_f1": scores["macro_f1"],
        "front_rms_px": front.get("front_rmse_px"),
        "front_bias_px": front.get("front_bias_px"),
        "idf1": scores.get("tracks", {}).get("idf1"),
        "id_switches": scores.get("tracks", {}).get("id_switches"),
        "swapped_frames": len(scores["temporal"]["swapped_frames"]),
        "seconds": took,
    }


def is_met(row: dict[str, Any], *, auto: bool = False) -> str:
    """ "yes" or "NO"."""
    accuracy, front, idf1 = WANTED[row["movie"]]
    good = row["accuracy"] >= accuracy - WITHOUT_K * auto and row["swapped_frames"] == 0
    good &= front is None or row["front_rms_px"] <= front
    return "yes" if good and (idf1 is None or row["idf1"] >= idf1) else "NO"


def print_table(recipe: str, rows: list[dict[str, Any]], *, auto: bool) -> None:
    print(f"\n{recipe} recipe")
    print("movie             K accuracy macro-F1 front px  bias px swapped      s  met")
    for row in rows:
        front = "" if row["front_rms_px"] is None else f"{row['front_rms_px']:.2f}"
        bias = "" if row["front_bias_px"] is None else f"{row['front_bias_px']:+.2f}"
        numbers = f"{row['accuracy']:8.3f} {row['macro_f1']:8.3f} {front:>8} {bias:>8} {row['swapped_frames']:7d}"
        met = is_met(row, auto=auto) if recipe == "lattice" else ""
        grains = "" if row["idf1"] is None else f"IDF1 {row['idf1']:.3f}, {row['id_switches']} identity switches"
        print(f"{row['movie']:16} {row['k']:2d} {numbers} {row['seconds']:6.1f}  {met} {grains}", flush=True)


def print_methods(everything: dict[str, list[dict[str, Any]]], movies: list[str]) -> None:
    """Accuracy, one line a method; a star where it is below the plain baseline."""
    print(f"\n{'accuracy':22}" + "".join(f"{movie:>17}" for movie in movies))
    for recipe, rows in everything.items():
        rows = [row for row in rows if row["movie"] in movies]
        cells = [f"{row['accuracy']:.3f}{'*' if row['accuracy'] < BASELINE[row['movie']] else ' '}" for row in rows]
        print(f"{recipe:22}" + "".join(f"{cell:>17}" for cell in cells), flush=True)
    print(f"{'plain baseline':22}" + "".join(f"{BASELINE[movie]:>16.2f} " for movie in movies))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("movies", nargs="*", default=list(MOVIES), help=f"of {', '.join(MOVIES)}")
    parser.add_argument("--recipe", choices=[*RECIPES], action="append", help="default: lattice")
    parser.add_argument("--methods", action="store_true", help="every recipe, in one table")
    parser.add_argument("--auto", action="store_true", help="do not give K")
    parser.add_argument("--reliability", action="store_true", help="how often labels are right that are said to be so")
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "score", help="folder for results and scores.json")
    options = parser.parse_args()
    data = require_data()
    everything: dict[str, list[dict[str, Any]]] = {}
    for recipe in RECIPES if options.methods else options.recipe or ["lattice"]:
        movies = [movie for movie in options.movies if recipe == "lattice" or MOVIES[movie] is not None]
        scored = [run_movie(data, movie, recipe, options.output, auto=options.auto) for movie in movies]
        everything[recipe] = [row_of(movie, *one) for movie, one in zip(movies, scored, strict=True)]
        print_table(recipe, everything[recipe], auto=options.auto)
        (options.output / "scores.json").write_text(json.dumps(everything, indent=1))
    if options.reliability:
        print(f"\n{'right where sure to be':22}" + "".join(f"{edge:6.1f}" for edge in BINS[:-1]))
        for movie in [name for name in options.movies if MOVIES[name] is not None]:
            shares = reliability(data, movie, options.output)
            print(f"{movie:22}" + "".join(f"{share:6.2f}" for share in shares), flush=True)
    if len(everything) > 1:
        print_methods(everything, [movie for movie in options.movies if MOVIES[movie] is not None])
    if any(is_met(row, auto=options.auto) == "NO" for row in everything.get("lattice", [])):
        sys.exit("a figure that is asked for is not met")


if __name__ == "__main__":
    main()
