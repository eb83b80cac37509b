"""Is the number of phases found? On generated movies, on recordings of one phase, and on the movies with truth.

    python -m benchmarks.phases                # ten movies a kind, half an hour
    python -m benchmarks.phases decahedron one --movies 4

Nothing is given but the movie. A line a kind: how many were right, and what was found where it was not. Ends with 1
when fewer than nine in ten of a kind, or not all of the recordings of one phase, are right.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence

import numpy as np
import xarray as xr

from benchmarks.ablation import KINDS, Generated
from benchmarks.data import DATA
from benchmarks.score import MOVIES
from emreel.fit import fit_model
from emreel.io import open_movie
from emreel.movie import make_movie
from emreel.synthetic import make_scene

#: Side and frames of the generated movies: as long as the rarest twin needs to be seen.
SIDE_PX, FRAMES = 384, 24
#: First seed of the movies, so that others are asked here than in the ablation.
FIRST_SEED = 500
#: Recordings of one phase.
ONE_PHASE = ("srtio3_haadf.jpg", "sto_haadf_tia.tif", "snse_673k_haadf.tif", "raw_16_STOimage_1.ser")
#: Share of the movies of a kind that must be right.
WANTED = 0.9
Question = tuple[str, xr.DataArray, int]  # what it is, the movie, how many phases it has


def generated(kind: str, n_movies: int) -> Iterator[Question]:
    for seed in range(FIRST_SEED, FIRST_SEED + n_movies):
        movie = Generated.of(KINDS[kind], seed, SIDE_PX, FRAMES)
        yield f"seed {seed}", make_movie(movie.frames), len(np.unique(movie.labels))


def one_phase() -> Iterator[Question]:
    """Films, substrates and amorphous layers alone, noise, noise that is lit from a side, and real lattices."""
    for seed, dose in ((1, 4.0), (2, 40.0), (3, 400.0)):
        yield from _layers(seed, dose)
    rng = np.random.default_rng(0)
    slope = np.linspace(0.6, 1.4, 256)[:, None]
    for name, mean in (("noise of 1 count", 1.0), ("noise of 20 counts", 20.0), ("noise, lit from a side", 20 * slope)):
        yield name, make_movie(rng.poisson(mean, (8, 256, 256)).astype(np.uint16)), 1
    if DATA.is_dir():
        for name in ONE_PHASE:
            yield name, open_movie(DATA / "real" / name), 1


def _layers(seed: int, dose: float) -> Iterator[Question]:
    """What lies well inside one layer of a movie with a front, in frames where it is there."""
    scene = make_scene("front", shape_yx=(640, 384), n_frames=16, seed=seed, dose=dose, dtype="uint16")
    frames = np.stack([scene.frame(i) for i in range(16)])
    labels = np.stack([scene.truth(i).labels for i in range(16)])
    for name, layer, chosen in (
        ("amorphous", 1, np.s_[13:]),
        ("film", 2, np.s_[:2]),
        ("one frame of film", 2, np.s_[:1]),
        ("substrate", 3, np.s_[:]),
    ):
        rows = np.flatnonzero(np.all(labels[chosen] == layer, axis=(0, 2)))
        yield f"{name}, dose {dose:g}", make_movie(frames[chosen, rows[0] + 8 : rows[-1] - 7]), 1


def given() -> Iterator[Question]:
    for name, n_phases in MOVIES.items():
        if n_phases is not None:
            yield name, open_movie(DATA / name / "movie.npz"), n_phases


def ask(name: str, questions: Iterator[Question]) -> float:
    """Print a line; returns the share that is right."""
    right, wrong = 0, []
    for what, movie, n_phases in questions:
        found = fit_model(movie).n_clusters
        right += found == n_phases
        wrong += [f"{what}: {found} of {n_phases}"] if found != n_phases else []
    n = right + len(wrong)
    print(f"{name:26} {right:3d} of {n:3d} right   {'; '.join(wrong)}", flush=True)
    return right / n


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", help=f"parts of: {', '.join([*KINDS, 'one phase', 'given movies'])}")
    parser.add_argument("--movies", type=int, default=10, help="generated movies a kind")
    options = parser.parse_args(arguments)
    sources = {kind: (generated(kind, options.movies), WANTED) for kind in KINDS}
    sources["one phase"] = (one_phase(), 1.0)
    if DATA.is_dir():
        sources["given movies"] = (given(), 1.0)
    asked = {name: it for name, it in sources.items() if not options.kinds or any(p in name for p in options.kinds)}
    missed = [name for name, (questions, wanted) in asked.items() if ask(name, questions) < wanted]
    if missed:
        sys.exit(f"the number of phases is not found often enough: {', '.join(missed)}")


if __name__ == "__main__":
    main()
