"""Grains from labels: connected pieces of one orientation class, cleaned, measured in physical units.

A class tells an orientation, not a grain: two grains far apart may share it. So each class is cleaned and cut into
its connected pieces. The steps are those of the published workflow (Paruchuri et al. 2025, "Post-processing the grain
index map", see `emreel.descriptors.radon`); its code loses the last class of an image without pores, and takes a
pixel's area from a rounded field of view.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import ndimage

from emreel.movie import EmreelError

Labels = npt.NDArray[np.integer[Any]]
GrainMap = npt.NDArray[np.int32]
Mask = npt.NDArray[np.bool_]

#: Labels from here on are not classes (254 invalid, 255 unknown).
FIRST_SPECIAL = 254
NM2_PER_UM2 = 1e6


class GrainError(EmreelError, ValueError):
    """Labels or options from which no grains can be made."""


@dataclass(frozen=True, kw_only=True)
class GrainFinder:
    """Makes a map of grains out of a map of classes.

    **How.** For every class: its pixels, without pores, are eroded and dilated again by ``clean_px`` (strips of a third
    class along the boundary of two grains vanish, as do bridges between grains), blurred (sigma ``blur_px``, over
    what is specimen only) and cut at one half (which smooths the outline), and the connected pieces of that are
    grains. Pieces smaller than ``min_area_px`` are dropped. What lies between is then given to the nearest grain
    (``fill_px``), so that areas add up to the specimen's; the paper leaves it out, which makes every grain too small.
    Pixels whose class is doubtful, as across a boundary, take no part but the last.

    **Source.** Paruchuri et al. 2025, "Post-processing the grain index map": denoising, morphology and a low-pass
    filter for every class, connected regions numbered anew, pores subtracted.

    Parameters
    ----------
    clean_px : radius of erosion and dilation, px. Tiles see both sides of a boundary within half a tile, so a quarter
        of the tile is a good start (`emreel.descriptors.radon.RadonVariance.tile_px`).
    blur_px : sigma, px; None: half of ``clean_px``.
    min_area_px : least area of a grain, px; None: four times the area of the eroding disc, at least 1.
    fill_px : specimen pixels that belong to no grain are given to the nearest one, up to so many px away; None: no
        limit; 0: leave them.

    Returns (when called)
    -------
    shape (y, x), int32: 0 where there is no grain (pore, invalid, unknown, a class that is no grain), then 1..n, the
    largest grain first (ties: the one whose first pixel comes first).

    **When it fails.** Grains narrower than twice ``clean_px`` vanish into their neighbours; two grains of one class
    that touch are one grain.

    >>> import numpy as np
    >>> label = np.ones((40, 60), np.uint8)
    >>> label[:, 20:40] = 2
    >>> label[:, 39:41] = 3  # tiles across the boundary look like a third orientation
    >>> GrainFinder(clean_px=3)(label)[20, ::10].tolist()
    [1, 1, 2, 2, 3, 3]
    """

    name: ClassVar[str] = "grains"
    clean_px: int = 8
    blur_px: float | None = None
    min_area_px: int | None = None
    fill_px: float | None = None

    def __post_init__(self) -> None:
        for field in ("clean_px", "blur_px", "min_area_px", "fill_px"):
            value = getattr(self, field)
            if value is not None and not 0 <= value < np.inf:
                raise GrainError(f"got {field} = {value}, wanted a number from 0 on.")

    def __call__(
        self,
        label: Labels,
        pores: Mask | None = None,
        *,
        doubtful: Mask | None = None,
        classes: Iterable[int] | None = None,
    ) -> GrainMap:
        """Find the grains of one frame.

        Parameters
        ----------
        label : shape (y, x), classes 1..K (0, 254 and 255 are none).
        pores : shape (y, x), True where there is no specimen.
        doubtful : shape (y, x), True where the label is not to be trusted, for example where tiles show little order
            (`emreel.descriptors.radon.order_of`); such pixels only fill up grains within ``fill_px``.
        classes : those that are grains; None: all of them. Leave out the class of pores or background here.

        Raises
        ------
        GrainError : shapes that do not fit.
        """
        label = np.asarray(label)
        masks = {"pores": pores, "doubtful": doubtful}
        for name, mask in masks.items():
            if label.ndim != 2 or (mask is not None and mask.shape != label.shape):
                shape = "none" if mask is None else mask.shape
                raise GrainError(
                    f"got a label map of shape {label.shape} and {name} {shape}, wanted (y, x), both alike."
                )
        wanted = np.unique(label) if classes is None else np.unique(np.fromiter(classes, np.int64))
        wanted = wanted[(wanted > 0) & (wanted < FIRST_SPECIAL)]
        specimen = np.isin(label, wanted)
        if pores is not None:
            specimen &= ~pores
        trusted = specimen if doubtful is None else specimen & ~doubtful
        pieces = np.zeros(label.shape, np.int32)
        n_found = 0
        for one in wanted:
            found, n = ndimage.label(self._cleaned((label == one) & trusted, trusted))
            pieces[found > 0] = found[found > 0] + n_found
            n_found += n
        return self._numbered(pieces, specimen)

    def _cleaned(self, mask: Mask, specimen: Mask) -> Mask:
        """One class, eroded, dilated, blurred and cut at one half."""
        radius, sigma = round(self.clean_px), self.clean_px / 2 if self.blur_px is None else self.blur_px
        if radius and mask.any():
            # what is no specimen neither erodes a grain nor is eroded
            depth = ndimage.distance_transform_edt(np.pad(mask | ~specimen, 1, mode="edge"))[1:-1, 1:-1]
            kept = (depth > radius) & mask
            mask = (ndimage.distance_transform_edt(~kept) <= radius) & mask if kept.any() else kept
        if sigma and mask.any():
            over = ndimage.gaussian_filter(mask.astype(np.float32), sigma, mode="nearest")
            under = ndimage.gaussian_filter(specimen.astype(np.float32), sigma, mode="nearest")
            mask = over > np.float32(0.5) * under
        return np.asarray(mask & specimen)

    def _numbered(self, pieces: GrainMap, specimen: Mask) -> GrainMap:
        """Pieces large enough, the rest of the specimen given to them, in the order of their size."""
        least = max(1, round(4 * np.pi * self.clean_px**2)) if self.min_area_px is None else self.min_area_px
        area = np.bincount(pieces.ravel())
        area[0] = 0
        pieces = np.where(area[pieces] >= max(least, 1), pieces, 0)
        if self.fill_px != 0 and pieces.any():
            far, nearest = ndimage.distance_transform_edt(pieces == 0, return_indices=True)
            filled = specimen if self.fill_px is None else specimen & (far <= self.fill_px)
            pieces = np.where(filled, pieces[tuple(nearest)], 0)
        there, first, area = np.unique(pieces, return_index=True, return_counts=True)
        first, area, there = first[there > 0], area[there > 0], there[there > 0]
        number = np.zeros(int(pieces.max()) + 1, np.int32)
        number[there[np.lexsort((first, -area))]] = np.arange(1, len(there) + 1)
        return np.asarray(number[pieces])


def measure_grains(
    grains: GrainMap, *, pixel_size_nm: float | None = None, label: Labels | None = None, frame: int = 0
) -> pd.DataFrame:
    """One row a grain: its size and place.

    Parameters
    ----------
    grains : shape (y, x), as `GrainFinder` makes it. pixel_size_nm : nm per px; areas in um^2 are NaN without it.
    label : shape (y, x), the classes that the grains were made of. frame : written into the table.

    Returns
    -------
    columns frame, grain, label (class of most of its pixels; 0 when not given), area_px, area_um2, diameter_nm (of the
    circle of that area), y_px, x_px (centroid), touches_edge (the grain goes on beyond the frame: its area is a part).

    >>> import numpy as np
    >>> grains = np.zeros((20, 30), np.int32)
    >>> grains[5:15, 5:15] = 1
    >>> measure_grains(grains, pixel_size_nm=50.0)[["area_px", "area_um2", "touches_edge"]].values.tolist()
    [[100, 0.25, False]]
    """
    n = int(grains.max(initial=0))
    area = np.bincount(grains.ravel(), minlength=n + 1)[1:]
    y, x = np.indices(grains.shape, dtype=np.float64)
    sums = [np.bincount(grains.ravel(), axis.ravel(), minlength=n + 1)[1:] for axis in (y, x)]
    at_edge = np.zeros(n + 1, bool)
    for side in (grains[0], grains[-1], grains[:, 0], grains[:, -1]):
        at_edge[side] = True
    pixel_nm2 = np.nan if pixel_size_nm is None else float(pixel_size_nm) ** 2
    with np.errstate(invalid="ignore"):
        centre_y, centre_x = (total / area for total in sums)
    return pd.DataFrame(
        {
            "frame": np.full(n, frame, np.int64),
            "grain": np.arange(1, n + 1),
            "label": _main_label(grains, label, n),
            "area_px": area,
            "area_um2": area * pixel_nm2 / NM2_PER_UM2,
            "diameter_nm": np.sqrt(4 * area * pixel_nm2 / np.pi),
            "y_px": centre_y,
            "x_px": centre_x,
            "touches_edge": at_edge[1:],
        }
    )


def summarise_grains(table: pd.DataFrame, *, whole_only: bool = False) -> pd.DataFrame:
    """Number, mean and median area of the grains of every frame of a table of `measure_grains`.

    whole_only : leave out grains that the frame's edge cuts. They are too small, but large grains meet the edge more
        often than small ones, so leaving them out makes the mean too small as well; the paper keeps them.

    Returns
    -------
    one row a frame: frame, n_grains, mean_um2, median_um2, mean_px, median_px.

    >>> import pandas as pd
    >>> table = pd.DataFrame({"frame": 0, "area_px": [1, 2, 6], "area_um2": [0.1, 0.2, 0.6], "touches_edge": False})
    >>> summarise_grains(table)[["n_grains", "mean_um2", "median_um2"]].round(3).values.tolist()
    [[3.0, 0.3, 0.2]]
    """
    kept = table[~table["touches_edge"]] if whole_only else table
    grouped = kept.groupby("frame", sort=True)
    return grouped.agg(
        n_grains=("area_px", "size"),
        mean_um2=("area_um2", "mean"),
        median_um2=("area_um2", "median"),
        mean_px=("area_px", "mean"),
        median_px=("area_px", "median"),
    ).reset_index()


def _main_label(grains: GrainMap, label: Labels | None, n: int) -> npt.NDArray[np.int64]:
    if label is None or n == 0:
        return np.zeros(n, np.int64)
    counts = np.zeros((n + 1, int(label.max()) + 1), np.int64)
    np.add.at(counts, (grains.ravel(), label.ravel()), 1)
    return np.asarray(counts[1:].argmax(axis=1))
