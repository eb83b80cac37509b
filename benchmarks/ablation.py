"""What each step of the default recipe is worth, on generated movies: accuracy with the step switched off.

    python -m benchmarks.ablation                     # every kind, every step, ten minutes
    python -m benchmarks.ablation front decahedron --seeds 5

Every movie is fitted and labelled anew without the step, given K alone. The table holds, per kind, the mean over the
movies of (whole recipe - without the step), plus or minus its standard error over the movies; a step's effect is
named only when it exceeds twice that error. Movies differ in seed, dose, tilt, turn of the lattice, illumination.
"""

from __future__ import annotations

import argparse
import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from emreel.fit import fit_model
from emreel.label import label_stream
from emreel.movie import make_movie
from emreel.recipe import DescriptorStep, Recipe, SampleStep
from emreel.synthetic import Scene, make_scene

Frames = npt.NDArray[Any]


def _without_field(recipe: Recipe) -> Recipe:
    return replace(recipe, cluster=replace(recipe.cluster, intensity_field=False))


def _unseparated(recipe: Recipe) -> Recipe:
    return replace(recipe, cluster=replace(recipe.cluster, separate=False))


def _plain_kmeans(recipe: Recipe) -> Recipe:
    return replace(recipe, cluster=replace(recipe.cluster, name="kmeans", separate=False))


def _separated_kmeans(recipe: Recipe) -> Recipe:
    return replace(recipe, cluster=replace(recipe.cluster, name="kmeans", separate=True))


def _alone(recipe: Recipe) -> Recipe:
    return replace(recipe, refine=replace(recipe.refine, neighbours=False))


def _nearest(recipe: Recipe) -> Recipe:
    return replace(recipe, refine=replace(recipe.refine, upsample="nearest"))


def _frame_by_frame(recipe: Recipe) -> Recipe:
    return replace(recipe, time=replace(recipe.time, steady=False))


def _knowing_all(recipe: Recipe) -> Recipe:
    return replace(recipe, refine=replace(recipe.refine, novelty=False))


def _with_lattice(recipe: Recipe, **fields: float) -> Recipe:
    return replace(recipe, descriptor=DescriptorStep(name="lattice", fields=fields))


def _hardly_bright(recipe: Recipe) -> Recipe:
    return _with_lattice(recipe, intensity_share=0.01)


def _with_any_contrast(recipe: Recipe) -> Recipe:
    return _with_lattice(recipe, contrast_floor=100.0)


#: Steps of the recipe, and how each is switched off.
STEPS: dict[str, Callable[[Recipe], Recipe]] = {
    "intensity channel": _hardly_bright,
    "local contrast": _with_any_contrast,
    "intensity fields": _without_field,
    "merge and split": _unseparated,
    "cores, but k-means": _plain_kmeans,
    "cores, but k-means merged and split": _separated_kmeans,
    "neighbours": _alone,
    "linear upsampling": _nearest,
    "neighbours in time": _frame_by_frame,
    "unknown phases": _knowing_all,
}


@dataclass(frozen=True, kw_only=True)
class Kind:
    """Generated movies of one kind: the scene, its variants (one is drawn per seed), and what disturbs the counts."""

    scene: str
    n_clusters: int
    variants: Sequence[Mapping[str, Any]]
    illumination: float = 0.0
    contamination: float = 0.0


_DOSES = ({"dose": 40.0}, {"dose": 4.0}, {"dose": 400.0, "dtype": "uint16"}, {"dose": 12.0})
_FRONTS = tuple(
    {**dose, **turn} for dose, turn in zip(_DOSES, ({}, {"angle_deg": 3.0}, {"tilt_deg": 6.0}, {}), strict=True)
)
KINDS = {
    "front": Kind(scene="front", n_clusters=4, variants=_FRONTS),
    "front, lit from a side": Kind(scene="front", n_clusters=4, variants=_FRONTS, illumination=0.35),
    "front, contaminated": Kind(scene="front", n_clusters=4, variants=_FRONTS, contamination=0.5),
    "twin": Kind(scene="twin_lamella", n_clusters=3, variants=_DOSES),
    "ordering": Kind(scene="order_disorder", n_clusters=2, variants=_DOSES),
    "decahedron": Kind(
        scene="decahedron",
        n_clusters=6,
        variants=({"dose": 40.0}, {"dose": 10.0}, {"dose": 60.0, "modality": "haadf"}, {"dose": 100.0}),
    ),
}


@dataclass(frozen=True, kw_only=True)
class Generated:
    """A movie and its truth, shapes (time, y, x); the first crystalline row of each column, (time, x), or None."""

    frames: Frames
    labels: Frames
    front_row: Frames | None
    n_clusters: int

    @classmethod
    def of(cls, kind: Kind, seed: int, side_px: int, n_frames: int) -> Generated:
        variant = kind.variants[seed % len(kind.variants)]
        scene: Scene = make_scene(kind.scene, shape_yx=(side_px, side_px), n_frames=n_frames, seed=seed, **variant)
        truth = [scene.truth(i) for i in range(n_frames)]
        rows = [one.front_row for one in truth]
        frames = np.stack([scene.frame(i) for i in range(n_frames)])
        return cls(
            frames=_disturbed(frames, kind, seed),
            labels=np.stack([one.labels for one in truth]),
            front_row=None if rows[0] is None else np.stack([row for row in rows if row is not None]),
            n_clusters=kind.n_clusters,
        )


def _disturbed(frames: Frames, kind: Kind, seed: int) -> Frames:
    """Uneven illumination takes electrons away (binomial, so counts stay Poisson's); contamination adds some."""
    rng = np.random.default_rng([seed, 7])
    y, x = np.mgrid[: frames.shape[1], : frames.shape[2]] / (frames.shape[1] - 1)
    turn = rng.uniform(0, 2 * np.pi)
    across = 0.5 + 0.5 * (np.cos(turn) * (2 * x - 1) + np.sin(turn) * (2 * y - 1)) / np.sqrt(2)
    if kind.illumination:
        frames = rng.binomial(frames, 1 - kind.illumination * across).astype(frames.dtype)
    if kind.contamination:
        added = rng.poisson(kind.contamination * frames.mean() * across**2, frames.shape)
        frames = np.minimum(frames + added, np.iinfo(frames.dtype).max).astype(frames.dtype)
    return frames


def score(movie: Generated, recipe: Recipe) -> dict[str, float]:
    """Accuracy under the best one-to-one naming of the labels, and the front's rms error, px."""
    model = fit_model(make_movie(movie.frames), recipe)
    found = list(label_stream(movie.frames, model))
    label = np.stack([one.label for one in found])
    n = max(movie.n_clusters, int(movie.labels.max()) + 1)
    table = np.zeros((n, n), np.int64)
    known = label <= movie.n_clusters
    np.add.at(table, (label[known] - 1, movie.labels[known]), 1)
    mine, theirs = linear_sum_assignment(-table)
    scores = {"accuracy": float(table[mine, theirs].sum() / label.size)}
    meaning = np.full(256, -1)
    meaning[mine + 1] = theirs
    soft = np.stack([one.membership for one in found]) / 255
    right = meaning[soft.argmax(axis=1) + 1] == movie.labels[:, :: model.stride, :: model.stride]
    said = np.abs(soft.max(axis=1) - 0.8) < 0.05
    scores["right_where_08"] = float(right[said].mean()) if said.any() else float("nan")
    if movie.front_row is not None:
        apart = [front_of(meaning[one]) - row for one, row in zip(label, movie.front_row, strict=True)]
        scores["front_rms_px"] = float(np.sqrt(np.mean(np.square(apart))))
    return scores


def front_of(classes: Frames) -> Frames:
    """Row of each column that best parts cap and amorphous (0, 1) above from film and substrate below."""
    above = np.cumsum(np.where(classes >= 2, -1, 1), axis=0)
    best: Frames = np.vstack([np.zeros((1, classes.shape[1]), int), above]).argmax(axis=0)
    return best


def measure(kind: Kind, seeds: Sequence[int], side_px: int, n_frames: int) -> Iterator[dict[str, Any]]:
    """One row a seed and recipe: the whole one first, then without each step."""
    whole = Recipe(sample=SampleStep(frames=n_frames, points=40_000)).with_clusters(kind.n_clusters)
    for seed in seeds:
        movie = Generated.of(kind, seed, side_px, n_frames)
        for name, recipe in {"": whole, **{step: off(whole) for step, off in STEPS.items()}}.items():
            yield {"seed": seed, "without": name, **score(movie, recipe)}


def summarise(rows: Sequence[Mapping[str, Any]], key: str) -> dict[str, tuple[float, float]]:
    """Per step: mean over the movies of (whole - without), and its standard error; "" is the whole recipe itself."""
    by = {(row["seed"], row["without"]): row[key] for row in rows if key in row}
    seeds = sorted({seed for seed, _ in by})
    summary = {}
    for step in ("", *STEPS):
        values = np.array([by[seed, ""] - (by[seed, step] if step else 0.0) for seed in seeds])
        error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.inf
        summary[step] = (float(values.mean()), float(error))
    return summary


def print_kind(name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    right = [row["right_where_08"] for row in rows if not row["without"]]
    print(f"{name}: of points said to be 0.8, right per movie: {', '.join(f'{value:.2f}' for value in right)}")
    for key, unit in (("accuracy", ""), ("front_rms_px", " px")):
        if not any(key in row for row in rows):
            continue
        summary = summarise(rows, key)
        mean, error = summary.pop("")
        print(f"{name}: {key} {mean:.4f}{unit}, standard error over movies {error:.4f}")
        for step, (effect, spread) in summary.items():
            claim = "" if abs(effect) > 2 * spread and abs(effect) > 5e-5 else "   (within its spread)"
            print(f"    {step:36} {effect:+.4f} +- {spread:.4f}{claim}", flush=True)


def main(arguments: Sequence[str] | None = None) -> dict[str, list[dict[str, Any]]]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", help=f"parts of: {', '.join(KINDS)}")
    parser.add_argument("--seeds", type=int, default=4, help="movies a kind")
    parser.add_argument("--side-px", type=int, default=256)
    parser.add_argument("--frames", type=int, default=10)
    parser.add_argument("-o", "--output", type=Path, help="file for every row, JSON")
    options = parser.parse_args(arguments)
    everything: dict[str, list[dict[str, Any]]] = {}
    for name, kind in KINDS.items():
        if options.kinds and not any(part in name for part in options.kinds):
            continue
        first = zlib.crc32(name.encode()) % 1000 * 4  # a multiple of the number of variants
        seeds = range(first, first + options.seeds)
        everything[name] = list(measure(kind, seeds, options.side_px, options.frames))
        print_kind(name, everything[name])
    if options.output:
        options.output.write_text(json.dumps(everything, indent=1))
    return everything


if __name__ == "__main__":
    main()
