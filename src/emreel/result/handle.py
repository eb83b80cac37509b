"""A result, opened: lazy arrays with coordinates in nm and s, and the tables beside them."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from emreel.result.appearance import read_appearance
from emreel.result.errors import ResultError
from emreel.result.layout import ArraySpec, Layout
from emreel.result.ledger import read_ledger
from emreel.result.quality import read_survey
from emreel.result.regions import stored_arrays
from emreel.result.store import STORE, read_facts
from emreel.result.tables import class_fraction_table, quality_table, read_table, region_table, write_table

logger = logging.getLogger(__name__)

_SHORT_UNITS = {"second": "s", "nanometer": "nm", "pixel": "px"}


@dataclass(frozen=True, eq=False)
class Result:
    """A result on disk, for looking at. Nothing is read before it is asked for.

    ``tree`` holds everything for xarray: the root is a Dataset on the full grid (``label``, ``region``), the nodes
    ``membership``, ``orientation`` and ``preview`` have grids of their own. ``tree.attrs["emreel"]`` tells where it
    came from.
    """

    path: Path
    tree: xr.DataTree
    layout: Layout
    facts: Mapping[str, Any]
    missing_blocks: tuple[int, ...]

    @property
    def dataset(self) -> xr.Dataset:
        """What lies on the movie's own grid: ``label``, dims (time, y, x)."""
        return self.tree.to_dataset()

    @property
    def label(self) -> xr.DataArray:
        """Labels, dims (time, y, x), uint8: 0 not computed, 1..K classes, 254 invalid, 255 unknown."""
        return self.dataset["label"]

    @property
    def membership(self) -> xr.DataArray:
        """Class memberships from 0 to 1, dims (time, class, y_grid, x_grid).

        Raises
        ------
        ResultError : the result was made without them.
        """
        if not self.layout.with_membership:
            raise ResultError(f"{self.path} has no memberships. Label the movie with memberships switched on.")
        return self.tree["membership"].to_dataset()["membership"]

    @property
    def region(self) -> xr.DataArray:
        """Identities of regions that last through the movie, dims (time, y, x), uint32, 0 = none.

        Raises
        ------
        ResultError : the result has none.
        """
        if "region" not in self.dataset:
            raise ResultError(f"{self.path} has no regions. Follow them: emreel track {self.path} regions")
        return self.dataset["region"]

    @property
    def orientation(self) -> xr.DataArray:
        """In-plane angle of the lattice, degrees, dims (time, y_grid, x_grid), NaN where there is none.

        Raises
        ------
        ResultError : the result has none.
        """
        if not self.layout.with_orientation:
            raise ResultError(f"{self.path} has no orientations. They are told for movies of polycrystals.")
        return self.tree["orientation"].to_dataset()["angle"]

    @property
    def preview(self) -> xr.DataArray:
        """The movie made small, dims (time, y_preview, x_preview), uint8."""
        return self.tree["preview"].to_dataset()["preview"]

    @property
    def arrays(self) -> dict[str, ArraySpec]:
        """Where every array lies in the zarr, by name."""
        return stored_arrays(self.path, self.layout)

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names of the classes 1..K; those that somebody gave them, where somebody did."""
        given = read_appearance(self.path, self.layout.n_classes)
        return tuple(self.facts["label_names"]) if given is None else given.names

    @property
    def pixel_size_nm(self) -> float | None:
        """nm per px, or None when the movie is not calibrated."""
        value = self.facts["pixel_size_nm"]
        return None if value is None else float(value)

    @property
    def times_s(self) -> npt.NDArray[np.float64] | None:
        """Frame times in s, shape (time,), or None when the movie only counts frames."""
        time = self.tree.coords["time"]
        return np.asarray(time.values, np.float64) if time.attrs.get("units") == "s" else None

    @property
    def is_complete(self) -> bool:
        return not self.missing_blocks

    def table(self, name: str) -> pd.DataFrame:
        """A table of the result by name, such as "quality". Raises ResultError when there is none."""
        return read_table(self.path, name)

    def _repr_html_(self) -> str:
        return str(self.tree._repr_html_())  # type: ignore[no-untyped-call]


def open_result(
    path: str | os.PathLike[str], *, chunks: Mapping[str, int] | Literal["shards"] | None = "shards"
) -> Result:
    """Open a result, finished or not; where nothing is computed yet, labels are 0.

    Parameters
    ----------
    chunks : what is read at once by dask: "shards" reads whole files, the fastest for work on the
        whole movie; a mapping of dims to lengths; ``None`` gives lazy arrays without dask that read just what
        is indexed, the fastest for looking at single frames.

    Raises
    ------
    ResultError : there is no result, it is damaged, or it is of another version.
    """
    folder = Path(path)
    facts = read_facts(folder)
    done, layout = read_ledger(folder).done, Layout.from_dict(facts["layout"])
    missing = tuple(block.index for block in layout.blocks() if block.index not in done)
    if missing:
        logger.warning("%s is not finished: %d of %d blocks are missing", folder, len(missing), layout.n_blocks)
    specs = stored_arrays(folder, layout)
    try:
        datasets = {name: _short_units(_open_array(folder, spec, layout, chunks)) for name, spec in specs.items()}
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ResultError(f"{folder} is damaged ({error}). Run 'emreel verify {folder}'.") from error
    if layout.grows:
        datasets = _at_one_moment(datasets, layout.shape_tyx[0])
    root = datasets.pop("label").assign_attrs(emreel=facts)
    if facts["pixel_size_nm"] is not None:
        root["label"].attrs["pixel_size_nm"] = facts["pixel_size_nm"]
    if "region" in datasets:
        root = root.merge(datasets.pop("region"), combine_attrs="override")
    if "angle" in datasets:
        datasets["orientation"] = datasets.pop("angle")
    datasets["preview"] = datasets["preview"].rename(y="y_preview", x="x_preview")
    tree = xr.DataTree.from_dict({"/": root} | {f"/{name}": dataset for name, dataset in datasets.items()})
    return Result(folder, tree, layout, facts, missing)


def write_frame_tables(path: str | os.PathLike[str]) -> None:
    """Write ``quality``, ``class_fraction`` and, where there are any, ``regions`` from the ledger's records."""
    result = open_result(path, chunks=None)
    records = list(read_ledger(path).done.values())
    survey = read_survey(path, result.layout.shape_tyx[0])
    write_table(path, "quality", quality_table(records, result.times_s, survey))
    fractions = class_fraction_table(
        records,
        result.times_s,
        label_names=result.label_names,
        shape_yx=result.layout.shape_tyx[1:],
        pixel_size_nm=result.pixel_size_nm,
    )
    write_table(path, "class_fraction", fractions)
    if result.layout.with_regions:
        regions = region_table(
            records, result.times_s, last_frame=result.layout.shape_tyx[0] - 1, pixel_size_nm=result.pixel_size_nm
        )
        write_table(path, "regions", regions)


def _open_array(folder: Path, spec: ArraySpec, layout: Layout, chunks: Mapping[str, int] | str | None) -> xr.Dataset:
    wanted: dict[Any, Any] | None = None
    if chunks == "shards":
        wanted = dict(zip(spec.dims, spec.shards, strict=True))
    elif isinstance(chunks, Mapping):
        wanted = {dim: length for dim, length in chunks.items() if dim in spec.dims}
    group = spec.path.rpartition("/")[0]
    # while a result grows, only the consolidated metadata show all arrays at one length
    dataset: xr.Dataset = xr.open_zarr(
        str(folder / STORE), group=group or None, chunks=wanted, consolidated=layout.grows
    )
    return dataset.drop_attrs(deep=False)


def _at_one_moment(datasets: Mapping[str, xr.Dataset], n_frames: int) -> dict[str, xr.Dataset]:
    """Groups that were opened one after another while frames came: as many frames as the result told at first."""
    cut = {name: dataset.isel(time=slice(0, n_frames)) for name, dataset in datasets.items()}
    return {name: dataset.assign_coords(time=cut["label"].coords["time"]) for name, dataset in cut.items()}


def _short_units(dataset: xr.Dataset) -> xr.Dataset:
    """OME wants units in full words; a movie of ours says s, nm, px."""
    for coord in dataset.coords.values():
        units = coord.attrs.get("units")
        if units in _SHORT_UNITS:
            coord.attrs["units"] = _SHORT_UNITS[units]
    return dataset
