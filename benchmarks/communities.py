"""Chips and communities on real micrographs and a movie: the pictures of the published method, one page each.

python -m benchmarks.communities [NAME ...] [-o communities] [--embedding PATH]

Each page holds the frame, the similarities of its chips with the three thresholds, the graph above the median, and the
communities above the mean, the median and the mode: coarser to finer. Movies: communities are learned on chips from
frames spread over the movie, their centres kept, and frames are labelled by the nearest centre.
"""

from __future__ import annotations

import argparse
import functools
import operator
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.data import ROOT, require_data
from emreel.cluster.communities import CommunityClusters
from emreel.cluster.sampling import hash_indices
from emreel.descriptors.chips import Chips
from emreel.descriptors.geometry import Tile, pad_frame
from emreel.io import open_movie
from emreel.prepare import Prepare
from emreel.prepare.measure import measure_frames
from emreel.view.communities import community_map, show_communities, show_graph, show_similarities
from emreel.view.figures import FONT_PT, new_figure

Frames = list[tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]]
THRESHOLDS = ("mean", "median", "mode")


@dataclass(frozen=True)
class Page:
    """A recording, what is given of its descriptor, and what is right."""

    file: str
    shows: str
    fields: dict[str, Any] = field(default_factory=dict)
    n_clusters: int = 2
    frames: int = 8


PAGES = {
    "front_lfo_sto": Page(
        "front_lfo_sto/movie.npz", "cap, amorphous, film, substrate; none split left from right", {}, 4
    ),
    "sto_ge": Page("real/sto_ge_haadf.jpg", "cap to 15 %, STO to 61 % of the height, Ge below", {}, 3),
    "perovskite": Page(
        "real/perovskite_interface_adf.jpg", "two layers, interface at 70 % of the height", {"stride": 36}
    ),
    "order_disorder": Page("order_disorder/movie.npz", "ordered domains grow in a disordered matrix"),
    "hrtem_holes": Page("real/hrtem_holes_screenshot.tif", "two smooth ovals against crystal"),
}


def read_frames(path: Path, wanted: int) -> Frames:
    """Prepared frames spread over a movie, each with its mask."""
    movie = open_movie(str(path))
    chosen = np.unique(np.linspace(0, movie.sizes["time"] - 1, wanted).round().astype(int))
    reports = measure_frames(movie, [int(i) for i in chosen])
    usable = [(int(i), report) for i, report in zip(chosen, reports, strict=True) if report.usable]
    prepare = Prepare(reference_mean=float(np.median([report.mean for _, report in usable])))
    out = []
    for index, report in usable:
        pixels = np.asarray(movie[index].values)
        out.append(prepare(pixels, Tile(0, pixels.shape[0], 0, pixels.shape[1]), report))
    return out


def describe(frames: Frames, chips: Chips) -> npt.NDArray[np.float32]:
    """Embeddings, shape (frame, y_grid, x_grid, feature)."""
    return np.stack([chips(*pad_frame(frame, chips.halo, valid)) for frame, valid in frames])


def draw_page(name: str, page: Page, frames: Frames, chips: Chips, output: Path) -> None:
    """Fit and draw one page; prints what was found."""
    embedded = describe(frames, chips)
    rows = embedded.reshape(-1, embedded.shape[-1])
    order = np.argsort(hash_indices(np.arange(len(rows)), 0), kind="stable")
    shown = len(frames) // 2
    figure = new_figure()
    figure.set_size_inches(14, 7.6)
    axes = figure.subplots(2, 4)
    figure.subplots_adjust(0.02, 0.02, 0.98, 0.92, wspace=0.12, hspace=0.24)
    gray = _gray(frames[shown][0])
    axes[0, 0].imshow(gray, cmap="gray")
    axes[0, 0].set_axis_off()
    fits: dict[str, CommunityClusters] = {}
    for column, threshold in enumerate((*THRESHOLDS, None)):
        start = time.perf_counter()
        n_clusters = None if threshold else page.n_clusters
        fitted = CommunityClusters(n_clusters, threshold=threshold).fit(rows[order])  # type: ignore[arg-type]
        fits[threshold or "given"] = fitted
        labels = fitted.predict(embedded[shown].reshape(-1, rows.shape[1])).reshape(embedded.shape[1:3])
        title = f"{threshold}: {len(fitted.counts_)}" if threshold else f"K = {n_clusters} given"
        label = community_map(labels, chips.stride, gray.shape)
        show_communities(axes[1, column], gray, label, width_in=3.2)
        axes[1, column].set_title(title, fontsize=FONT_PT)
        print(
            f"{name:<15} {title:<12} communities, with masked {fitted.n_communities_:>4}, "
            f"edges {fitted.graph_.nnz // 2:>8}, largest {fitted.counts_[:6].tolist()}, "
            f"{time.perf_counter() - start:.1f} s",
            flush=True,
        )
    show_similarities(axes[0, 1], fits["median"].similarities_)
    axes[0, 1].set_ylabel("")
    axes[0, 1].set_yticks([])
    show_graph(axes[0, 2], fits["median"].graph_, fits["median"].labels_)
    show_graph(axes[0, 3], fits["given"].graph_, fits["given"].labels_)
    figure.suptitle(f"{name}: {page.shows} (chips of {chips.chip_px} px every {chips.stride} px)", fontsize=FONT_PT + 1)
    figure.savefig(output / f"{name}.png", dpi=110)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(PAGES), help=f"of {', '.join(PAGES)}")
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "communities")
    parser.add_argument("--embedding", default="own", help="'own', an ONNX encoder, or a ResNet-50's torch state dict")
    options = parser.parse_args(arguments)
    data = require_data()
    options.output.mkdir(parents=True, exist_ok=True)
    for name in options.names:
        page = PAGES[name]
        frames = read_frames(data / page.file, page.frames)
        chips = Chips.suggest({"embedding": options.embedding, **page.fields}, functools.partial(_fold, frames))
        draw_page(name, page, frames, chips, options.output)
        print(f"{name}: {options.output / name}.png", flush=True)


def _fold(frames: Frames, of: Any) -> Any:
    return functools.reduce(operator.add, [of(frame, valid) for frame, valid in frames])


def _gray(frame: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    low, high = np.percentile(frame, [0.5, 99.5])
    return np.clip((frame - low) / (high - low) * 255, 0, 255).astype(np.uint8)


if __name__ == "__main__":
    main()
