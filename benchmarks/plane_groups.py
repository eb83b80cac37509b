"""Which descriptor tells which plane groups apart: python -m benchmarks.plane_groups [NAME ...] [--turned]

Every pair of the 17 groups (136) is put before every descriptor twice, as held-out nearest centres of grid points:

- crystals: one crystal each; learned from one picture, tried on another of the same crystal, elsewhere in its
  cell and with other noise. What matters for segmenting a movie.
- symmetry: learned from several crystals of each group, tried on crystals never seen. Only a descriptor that sees
  the symmetry itself, not the particular spots or atoms, can do this.

All crystals lie at one angle; with --turned, those of the second trial lie each at another one. Noise is 0.3 of the
pattern's standard deviation.

What to expect: the power spectrum and the correlation with shifted copies are each other's Fourier transform, so both
see the Laue class (the symmetry with a centre of inversion added) and extinctions (the mark of centred cells and of
glides), but never what else tells two groups of one Laue class apart, such as p1 and p2.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from emreel.descriptors.base import Descriptor
from emreel.descriptors.registry import build_descriptor, descriptor_names
from emreel.synthetic.plane_groups import GROUPS, PlanePattern

Features = npt.NDArray[np.float32]  # (point, feature)
PAIRS = tuple(combinations(GROUPS, 2))
#: A pair counts as told apart from this share of right points on.
TOLD_APART = 0.9
PERIOD_PX, NOISE = 20.0, 0.3
POINTS_A_SIDE, STRIDE = 6, 10
LEARNED_CRYSTALS, TRIED_CRYSTALS = 8, 4
ANGLE_DEG, GOLDEN_ANGLE = 23.0, 137.508


def half_vectors() -> tuple[tuple[float, float], ...]:
    """Half of both vectors of the square cell, (dy, dx) in px: the shifts of its glides."""
    vectors = PlanePattern(period_px=PERIOD_PX, angle_deg=ANGLE_DEG).vectors_yx / 2
    return tuple((float(dy), float(dx)) for dy, dx in vectors)


PATCHES = {"radius_px": 16, "window_px": 10, "step_px": 2}
#: Fields for a period of 20 px; what is not listed is the descriptor's own default. Patterns with many columns in a
#: cell need finer steps and more planes than simple lattices; the glides are those that a square lattice allows.
FIELDS: dict[str, dict[str, Any]] = {
    "translation": {"window_px": 20, "patch_px": 20},
    "spectrum": {"window_px": 30, "highest_frequency": 0.2, "floor_power": 4e5},
    "rotation": PATCHES,
    "reflection": PATCHES | {"planes": 36},
    "glide": PATCHES | {"glides": half_vectors()},
}


def symmetry_descriptors(names: Iterable[str] = FIELDS) -> dict[str, Descriptor]:
    """The symmetry descriptors that are there, by name."""
    known = set(descriptor_names())
    return {name: build_descriptor(name, {"stride": STRIDE, **FIELDS[name]}) for name in names if name in known}


@dataclass(frozen=True)
class Samples:
    """Features of every group: of points to learn from, and of points to try."""

    learned: dict[str, Features]
    tried: dict[str, Features]

    def accuracy(self, first: str, second: str) -> float:
        """Share of the tried points of two groups that lie nearer to their own group's centre; mean of the two."""
        centres = np.stack([self.learned[group].mean(axis=0, dtype=np.float64) for group in (first, second)])
        right = []
        for own, group in enumerate((first, second)):
            distance = ((self.tried[group][:, None] - centres) ** 2).sum(axis=2)
            right.append(float(np.mean(distance[:, own] < distance[:, 1 - own])))
        return sum(right) / 2


def describe(descriptor: Descriptor, pattern: PlanePattern, noise_seed: int = 0) -> Features:
    """Features of a few points inside one picture of a pattern; no edge is seen."""
    side = (POINTS_A_SIDE - 1) * STRIDE + 1 + 2 * descriptor.halo
    features = descriptor(pattern.frame((side, side), noise=NOISE, noise_seed=noise_seed))
    return features.reshape(-1, features.shape[2])


def sample_crystals(descriptor: Descriptor, groups: Sequence[str] = GROUPS, angle_deg: float = ANGLE_DEG) -> Samples:
    """One crystal of each group, learned and tried at different places and with different noise."""
    crystals = {group: PlanePattern(group=group, period_px=PERIOD_PX, angle_deg=angle_deg) for group in groups}
    return Samples(
        {group: describe(descriptor, crystal) for group, crystal in crystals.items()},
        {
            group: describe(descriptor, replace(crystal, origin_yx=(7.3, 4.1)), noise_seed=1)
            for group, crystal in crystals.items()
        },
    )


def sample_symmetry(
    descriptor: Descriptor,
    groups: Sequence[str] = GROUPS,
    angle_deg: float = ANGLE_DEG,
    *,
    turned: bool = False,
    learned: int = LEARNED_CRYSTALS,
    tried: int = TRIED_CRYSTALS,
) -> Samples:
    """Several crystals of each group to learn from, others to try; ``turned``: each at another angle."""

    def several(group: str, seeds: range) -> Features:
        step = GOLDEN_ANGLE if turned else 0.0
        crystals = [
            PlanePattern(group=group, period_px=PERIOD_PX, angle_deg=angle_deg + step * seed, seed=seed)
            for seed in seeds
        ]
        return np.concatenate([describe(descriptor, crystal) for crystal in crystals])

    return Samples(
        {group: several(group, range(learned)) for group in groups},
        {group: several(group, range(learned, learned + tried)) for group in groups},
    )


def table(samples: Samples) -> dict[tuple[str, str], float]:
    """Accuracy of every pair of groups."""
    return {pair: samples.accuracy(*pair) for pair in PAIRS}


def show(name: str, crystals: dict[tuple[str, str], float], symmetry: dict[tuple[str, str], float]) -> None:
    """Print one descriptor's table: crystals above the diagonal, symmetry below, in percent."""
    told = [sum(value >= TOLD_APART for value in one.values()) for one in (crystals, symmetry)]
    print(f"\n{name}: crystals told apart {told[0]} of {len(PAIRS)} pairs, symmetry {told[1]} of {len(PAIRS)}")
    print("symmetry \\ crystals " + "".join(f"{group:>6}" for group in GROUPS))
    for i, row in enumerate(GROUPS):
        cells = []
        for j, column in enumerate(GROUPS):
            value = crystals.get((row, column)) if i < j else symmetry.get((column, row))
            cells.append(f"{'':>6}" if value is None else f"{100 * value:>6.0f}")
        print(f"{row:>20}" + "".join(cells))


def untold(tables: Iterable[Mapping[tuple[str, str], float]]) -> list[tuple[str, str]]:
    """Pairs whose symmetry none of the descriptors tells apart."""
    every = list(tables)
    return [pair for pair in PAIRS if max(one[pair] for one in every) < TOLD_APART]


def main() -> None:
    """Print the table of every symmetry descriptor, or of those named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(FIELDS)}; default: all there are")
    parser.add_argument("--turned", action="store_true", help="symmetry: every crystal at another angle")
    options = parser.parse_args()
    for name in options.names:
        if name not in FIELDS:
            parser.error(f"unknown descriptor {name!r}; there are {', '.join(FIELDS)}")
    found = {}
    for name, descriptor in symmetry_descriptors(options.names or FIELDS).items():
        found[name] = table(sample_symmetry(descriptor, turned=options.turned))
        show(name, table(sample_crystals(descriptor)), found[name])
    pairs = untold(found.values())
    print(f"\nsymmetry told apart by none of {', '.join(found)}: {len(pairs)} of {len(PAIRS)} pairs")
    print("  " + ", ".join(f"{a}-{b}" for a, b in pairs))


if __name__ == "__main__":
    main()
