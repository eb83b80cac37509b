"""Labels through time, on generated movies: how still they keep, how sure they are, what is unknown.

    python -m benchmarks.in_time                     # every kind, some minutes
    python -m benchmarks.in_time front twin --movies 6

One line a kind, the mean over its movies, K given:

accuracy, alone     of the whole recipe, and of each frame by itself
flicker, raw        labels of one frame alone: those before and after agree, and the truth changes in none of the three;
                    per thousand pixels; raw: with neither the neighbours in space nor those in time in mind
at rest, raw        the same where the specimen rests: the truth changes in none of the three in all of the square that
                    a point's features average (`Lattice.resolution_px`)
unknown             share of pixels that fit no class, per thousand
swapped             frames whose labels mean something else than the movie's

Then the reliability table: of the grid points said to be so sure of their label (steps of a tenth), the share that is
right, over all movies of a kind. And last, a phase that the fit never saw: what share of it is unknown, and what share
of the rest.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.optimize import linear_sum_assignment

from benchmarks.ablation import KINDS, Frames, Generated
from emreel.descriptors.lattice import Lattice
from emreel.fit import fit_model
from emreel.label import label_stream
from emreel.model import UNKNOWN, Model
from emreel.movie import make_movie
from emreel.recipe import Recipe, SampleStep
from emreel.synthetic import make_scene

SIDE_PX, FRAMES = 256, 16
#: First seed, so that no movie is asked elsewhere.
FIRST_SEED = 900
#: Frames of 32 in which a hidden phase is looked for.
SHOWN = (0, 1, 2, 3, 6, 10, 14, 20, 27, 28, 29, 30, 31)
#: Electrons a pixel of a movie that stands for what is free of noise; labels of a front's film, and of order in it.
BRIGHT, FILM, ORDERED = 2e4, 2, 4
#: Edges of the reliability table, between 0.5 and 1.
BINS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


@dataclass(frozen=True, kw_only=True)
class Through:
    """One movie, labelled."""

    accuracy: float
    alone: float
    flicker: tuple[float, float]
    flicker_at_rest: tuple[float, float]
    unknown: float
    swapped: int
    #: Points and right ones by bin, shape (bin,) each.
    said: npt.NDArray[np.int64]
    right: npt.NDArray[np.int64]


def look_through(movie: Generated) -> Through:
    """Fit on a movie, label it with and without its neighbours in time, compare with the truth."""
    recipe = Recipe(sample=SampleStep(frames=FRAMES, points=40_000)).with_clusters(movie.n_clusters)
    model = fit_model(make_movie(movie.frames), recipe)
    label, soft = _label(model, movie.frames)
    alone, _ = _label(replace(model, steady=None), movie.frames)
    raw, _ = _label(replace(model, steady=None, potts=None), movie.frames)
    meaning = _meaning(label, movie.labels)
    classes = meaning[label]
    sure = soft.max(axis=1) / 255
    is_right = meaning[soft.argmax(axis=1) + 1] == movie.labels[:, :: model.stride, :: model.stride]
    assert isinstance(model.descriptor, Lattice)
    seen_px = model.descriptor.resolution_px
    place = np.digitize(sure, BINS[1:-1])
    counts = [np.bincount(place[chosen], minlength=len(BINS) - 1) for chosen in (sure >= 0.5, (sure >= 0.5) & is_right)]
    return Through(
        accuracy=float((classes == movie.labels).mean()),
        alone=float((_meaning(alone, movie.labels)[alone] == movie.labels).mean()),
        flicker=(_flicker(label, movie.labels), _flicker(raw, movie.labels)),
        flicker_at_rest=(_flicker(label, movie.labels, seen_px), _flicker(raw, movie.labels, seen_px)),
        unknown=float((label == UNKNOWN).mean()),
        swapped=sum(_is_swapped(one, truth, meaning) for one, truth in zip(label, movie.labels, strict=True)),
        said=counts[0],
        right=counts[1],
    )


def accuracy_of(frames: Frames, labels: Frames, n_clusters: int) -> float:
    """Share of the pixels that are right, under the best naming; fitted and labelled as a whole, K given."""
    recipe = Recipe(sample=SampleStep(frames=len(frames), points=40_000)).with_clusters(n_clusters)
    label, _ = _label(fit_model(make_movie(frames), recipe), frames)
    return float((_meaning(label, labels)[label] == labels).mean())


def _label(model: Model, frames: npt.NDArray[Any]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    found = list(label_stream(frames, model))
    return np.stack([one.label for one in found]), np.stack([one.membership for one in found])


def _meaning(label: npt.NDArray[np.uint8], truth: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """The class that each label stands for, shape (256,); -1: none."""
    n = int(truth.max()) + 1
    table = np.zeros((254, n), np.int64)
    known = label < 254
    np.add.at(table, (label[known], truth[known]), 1)
    mine, theirs = linear_sum_assignment(-table)
    meaning = np.full(256, -1, np.int64)
    meaning[mine] = theirs
    return meaning


def _flicker(label: npt.NDArray[np.uint8], truth: npt.NDArray[Any], seen_px: float = 1.0) -> float:
    """Of pixels around which the truth rests in a square of ``seen_px``, the share of single frames' labels."""
    rests = (truth[1:-1] == truth[:-2]) & (truth[1:-1] == truth[2:])
    rests = ndimage.minimum_filter(rests, (1, *2 * (int(seen_px) // 2 * 2 + 1,)))
    return float(((label[1:-1] != label[:-2]) & (label[:-2] == label[2:]))[rests].mean())


def _is_swapped(label: npt.NDArray[np.uint8], truth: npt.NDArray[Any], meaning: npt.NDArray[np.int64]) -> bool:
    """Whether another naming of this frame's labels fits it better by a twentieth of its pixels."""
    own = float((_meaning(label, truth)[label] == truth).mean())
    return own - float((meaning[label] == truth).mean()) > 0.05


def print_kind(name: str, found: Sequence[Through]) -> bool:
    """One line; whether nothing is swapped, and next to nothing unknown."""
    mean = {key: float(np.mean([getattr(one, key) for one in found])) for key in ("accuracy", "alone", "unknown")}
    flicker, at_rest = (
        1000 * np.mean([getattr(one, key) for one in found], axis=0) for key in ("flicker", "flicker_at_rest")
    )
    swapped = sum(one.swapped for one in found)
    print(
        f"{name:24} {mean['accuracy']:.4f} {mean['alone']:.4f} {flicker[0]:7.2f} {flicker[1]:6.2f}"
        f"{at_rest[0]:7.3f} {at_rest[1]:6.2f} {1000 * mean['unknown']:9.2f} {swapped:8d}   {_shares(found)}",
        flush=True,
    )
    return swapped == 0 and mean["unknown"] < 0.001


def _shares(found: Sequence[Through]) -> str:
    """Of the points said to be so sure, the share that is right."""
    said, right = (np.sum([getattr(one, key) for one in found], axis=0) for key in ("said", "right"))
    return "  ".join(f"{r / s:.2f}" if s >= 30 else "   -" for r, s in zip(right, said, strict=True))


# ------------------------------------------------------------------------------------- a hidden phase


def hidden_phases() -> Iterator[tuple[str, float, float]]:
    """What is unknown of a phase that the fit never saw, because it came later or lay elsewhere, and of all else."""
    for seed, dose in ((1, 40.0), (2, 4.0), (3, 400.0)):
        frames, labels = _movie("front", (384, 256), seed, dose)
        yield f"substrate, dose {dose:g}", *_fit_and_find(_filled(frames, labels, 3), frames, labels, 3)
        shown, truth = frames[::-1], labels[::-1]  # amorphous matter that comes, where there was none
        without = ~(truth == 1).any(axis=(1, 2))
        if without.any():
            yield f"amorphous, dose {dose:g}", *_fit_and_find(shown[without], shown, truth, 1)
    for seed, dose in ((4, 40.0), (5, 4.0), (6, 400.0)):
        frames, labels = _movie("twin_lamella", (256, 256), seed, dose)
        without = ~(labels == 2).any(axis=(1, 2))
        yield f"twin, dose {dose:g}", *_fit_and_find(frames[without], frames, labels, 2)
        frames, labels = _movie("order_disorder", (256, 256), seed, dose)
        early = (labels == 1).mean(axis=(1, 2)) < 0.002
        yield f"order, dose {dose:g}", *_fit_and_find(frames[early], frames, labels, 1)
    for seed, dose in ((7, 40.0), (8, 4.0), (9, 400.0)):
        plain, frames, labels = _film_that_orders(seed, dose)
        yield f"order in a film, dose {dose:g}", *_fit_and_find(plain, frames, labels, ORDERED)


def _movie(kind: str, shape_yx: tuple[int, int], seed: int, dose: float) -> tuple[Frames, Frames]:
    scene = make_scene(kind, shape_yx=shape_yx, n_frames=32, seed=seed, dose=dose, dtype="uint16")
    return np.stack([scene.frame(i) for i in SHOWN]), np.stack([scene.truth(i).labels for i in SHOWN])


def _film_that_orders(seed: int, dose: float) -> tuple[Frames, Frames, Frames]:
    """Frames of a front; the same with a disc of its film whose cell is doubled both ways; labels of the latter."""
    bright, labels = _movie("front", (384, 256), seed, BRIGHT)
    scene = make_scene("front", shape_yx=(384, 256), seed=seed)
    assert scene.angle_deg == 0
    y, x = np.mgrid[:384, :256]
    half_turns = np.pi * scene.pixel_size_nm / scene.lattice_nm
    waves = np.cos(half_turns * (y + x)) + np.cos(half_turns * (y - x))
    ordered = bright.astype(np.float64)
    for frame, label in zip(ordered, labels, strict=True):
        film = label == FILM
        disc = film & (np.hypot(y - y[film].mean(), x - x[film].mean()) < 48)
        # the two waves have a quarter of the energy of the film's own
        frame += 0.5 * frame[film].std() * waves * ndimage.gaussian_filter(disc.astype(np.float64), 3)
        label[disc] = ORDERED
    rng = np.random.default_rng(seed)
    plain, ordered = (rng.poisson(np.maximum(one, 0) * dose / BRIGHT).astype(np.uint16) for one in (bright, ordered))
    return plain, ordered, labels


def _filled(frames: Frames, labels: Frames, phase: int) -> Frames:
    """The frames with the lowest layer replaced by the mirror image of what lies above it."""
    first = int(np.flatnonzero((labels == phase).any(axis=(0, 2)))[0])
    n = frames.shape[1] - first
    return np.concatenate([frames[:, :first], frames[:, first - n : first][:, ::-1]], axis=1)


def _fit_and_find(known: Frames, frames: Frames, labels: Frames, phase: int) -> tuple[float, float]:
    """Fit on frames that never show the phase, label others."""
    n_known = len(np.unique(labels)) - 1
    recipe = Recipe(sample=SampleStep(frames=len(known), points=40_000)).with_clusters(n_known)
    model = fit_model(make_movie(known), recipe)
    label, _ = _label(model, frames)
    unknown, hidden = label == UNKNOWN, labels == phase
    return float(unknown[hidden].mean()), float(unknown[~hidden].mean())


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", help=f"parts of: {', '.join(KINDS)}, hidden")
    parser.add_argument("--movies", type=int, default=4, help="movies a kind")
    options = parser.parse_args(arguments)
    chosen = [name for name in KINDS if not options.kinds or any(part in name for part in options.kinds)]
    print(f"{'per thousand:':40}   flicker       at rest     unknown  swapped  right where sure to be")
    print(f"{'kind':24} accuracy  alone labels    raw labels    raw{'':19} .5    .6    .7    .8    .9")
    good, everything = True, []
    for name in chosen:
        seeds = range(FIRST_SEED, FIRST_SEED + options.movies)
        found = [look_through(Generated.of(KINDS[name], s, SIDE_PX, FRAMES)) for s in seeds]
        good &= print_kind(name, found)
        everything += found
    if len(chosen) > 1:
        print(f"{'all of them':88} {_shares(everything)}", flush=True)
    if not options.kinds or "hidden" in options.kinds:
        print("\na phase that the fit never saw: share of it that is unknown, and of all else")
        for name, share, false in hidden_phases():
            print(f"{name:44} {share:6.3f} {false:8.4f}", flush=True)
    sys.exit(not good)


if __name__ == "__main__":
    main()
