"""Real polycrystals, and frames of the grain growth movie, cut into grains: pictures, areas, tables.

python -m benchmarks.grains [NAME ...] [-o grains]

The published workflow on emreel's parts: data bar cropped, pores found, Radon variance curves, Ward clustering, grains.
K is nowhere given: Ward's tree is cut by what a merger costs.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.data import ROOT, require_data
from emreel.cluster import squared_distances
from emreel.cluster.ward import WardClusters
from emreel.descriptors.geometry import pad_frame, upsample_nearest
from emreel.descriptors.radon import LEAST_ORDER, RadonVariance, order_of
from emreel.io import open_movie
from emreel.movie import pixel_size_nm
from emreel.prepare.pores import Pores, crop_data_bar
from emreel.reduce import PCA, Moments
from emreel.refine import upsample_scores
from emreel.track.grains import GrainFinder, measure_grains, summarise_grains
from emreel.view.grains import draw_grain_sizes, draw_grains

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Subject:
    """A micrograph, what is known of it, and what a right segmentation shows."""

    file: str
    shows: str
    frame: int = 0
    pores: Mapping[str, Any] = field(default_factory=dict)  # fields of `Pores` that a user would give
    nm_per_px: float | None = None  # of files that do not tell it


SUBJECTS = {
    "hexagonal_monolayer": Subject(
        "real/nanocrystal_superlattice_hex.tif",
        "grains of hexagonal order between bright cracks; a hole at the lower right",
        pores={"bright": True, "levels": (168, 190)},  # particles of two heights: brightness alone does not tell holes
        nm_per_px=0.7,  # from its scale bar
    ),
    "block_copolymer": Subject("real/bcp_fingerprint_sem.tif", "lamellae: patches of one direction; data bar cropped"),
    "grain_growth_first": Subject("grain_growth/movie.npz", "26 grains and pores", nm_per_px=1.9),
    "grain_growth_last": Subject("grain_growth/movie.npz", "the grains left, and pores", frame=-1, nm_per_px=1.9),
}


def cut_into_grains(frame: Array, given_pores: Mapping[str, Any] | None = None) -> tuple[Array, Array, str]:
    """Labels and grains of one frame, shape (y, x) each, and a line that says what was chosen."""

    def fold(of: Any) -> Any:
        return of(frame, np.ones(frame.shape, bool))

    pores = Pores.suggest(given_pores or {}, fold)(frame)
    radon = RadonVariance.suggest({}, fold)
    features = radon(*pad_frame(frame, radon.halo, ~pores))
    rows = features.reshape(-1, features.shape[-1])
    ordered = order_of(features) >= LEAST_ORDER
    inside = ordered.ravel() & ~pores[:: radon.stride, :: radon.stride].ravel()
    pca = PCA(n_components=5).fit_moments(Moments.of(rows[inside]))
    projected = ((rows - pca.mean_) @ pca.components_.T).astype(np.float32)
    fair = np.random.default_rng(0).permutation(np.flatnonzero(inside))
    ward = WardClusters().fit(projected[fair])
    scores = -squared_distances(projected, ward.cluster_centers_).reshape(*features.shape[:2], -1)
    label = upsample_scores(scores, radon.stride, (frame.shape[0], frame.shape[1]))
    doubtful = ~upsample_nearest(ordered, radon.stride, label.shape)
    finder = GrainFinder(clean_px=radon.tile_px // 8, fill_px=radon.tile_px / 2)
    grains = finder(label, pores, doubtful=doubtful)
    n_classes, empty = len(ward.cluster_centers_), np.mean(grains == 0)
    told = f"tile {radon.tile_px} px every {radon.stride}, {n_classes} orientations, {empty:.1%} no grain"
    return label, grains, told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(SUBJECTS), help=f"of {', '.join(SUBJECTS)}")
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "grains")
    options = parser.parse_args()
    data = require_data()
    options.output.mkdir(parents=True, exist_ok=True)
    for name in options.names:
        subject = SUBJECTS[name]
        movie = open_movie(str(data / subject.file))
        frame = np.ascontiguousarray(crop_data_bar(movie[subject.frame].values), np.float32)
        label, grains, told = cut_into_grains(frame, subject.pores)
        size_nm = pixel_size_nm(movie) or subject.nm_per_px
        table = measure_grains(grains, pixel_size_nm=size_nm, label=label)
        draw_grains(frame, grains, pixel_size_nm=size_nm).savefig(options.output / f"{name}.png")
        draw_grain_sizes({name: table}).savefig(options.output / f"{name}_areas.png")
        table.to_csv(options.output / f"{name}.csv", index=False)
        row = summarise_grains(table).iloc[0]
        print(
            f"{name}: {int(row.n_grains)} grains, mean {row.mean_px:.0f} px ({row.mean_um2:.4g} um2), median "
            f"{row.median_px:.0f} px; {told}; right: {subject.shows}",
            flush=True,
        )


if __name__ == "__main__":
    main()
