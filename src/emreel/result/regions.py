"""Identities of regions, added to a result that was labelled without them.

RESULT/movie.zarr/labels/regions is built beside its place, frame by frame, and put there in one step; the metadata of
the groups above are written last, so that a reader sees the result with the regions or without them. The ledger knows
nothing of them: they are made again from the labels. In a result that grows they are one chunk a frame, and frames that
come later have none until they are tracked again.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

from emreel.result import ome
from emreel.result.errors import ResultError, explain_os_error
from emreel.result.files import partial_path, write_file
from emreel.result.layout import ArraySpec, Layout
from emreel.result.store import STORE, read_facts

#: Where the identities lie in the zarr.
GROUP = "labels/regions"
_NODE = "zarr.json"


def has_regions(path: str | os.PathLike[str]) -> bool:
    """Whether a result holds identities of regions, whoever wrote them, and tells of them."""
    store = Path(path) / STORE
    if not (store / GROUP / "region" / _NODE).is_file():
        return False
    told = json.loads((store / _NODE).read_bytes()).get("consolidated_metadata", {}).get("metadata", {})
    return f"{GROUP}/region" in told


def stored_arrays(path: str | os.PathLike[str], layout: Layout) -> dict[str, ArraySpec]:
    """Every array of a result by name: those that its blocks write, and identities that were tracked afterwards."""
    return (replace(layout, with_regions=True) if has_regions(path) else layout).arrays()


class RegionWriter:
    """Writes the identities of a whole movie, in order. Only for who holds the result's lock.

    Raises
    ------
    ResultError : the result was labelled with regions. StorageError : the disk refuses.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._store = Path(path) / STORE
        self._layout = Layout.from_dict(read_facts(path)["layout"])
        if self._layout.with_regions:
            raise ResultError(f"{os.fspath(path)} has its regions already: they were followed while it was labelled.")
        self._spec = replace(self._layout, with_regions=True).arrays()["region"]
        self._partial = partial_path(self._store / GROUP)
        self._waiting: list[npt.NDArray[np.uint32]] = []
        self._n_written = 0

    def __enter__(self) -> RegionWriter:
        try:
            self._array = self._create()
        except OSError as error:
            raise explain_os_error(error, self._partial) from error
        return self

    def append(self, region: npt.NDArray[np.uint32]) -> None:
        """The next frame, shape (y, x)."""
        self._waiting.append(region)
        if len(self._waiting) == self._spec.shards[0]:
            self._flush()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._flush()
                self._place()
        except OSError as error:
            raise explain_os_error(error, self._store / GROUP) from error
        finally:
            shutil.rmtree(self._partial, ignore_errors=True)

    def _create(self) -> Any:
        attributes: Any = zarr.open_group(self._store, path="labels/segments", mode="r").attrs.asdict()
        segments = attributes["ome"]
        image = dict(segments["multiscales"][0]) | {"name": "regions"}
        image["datasets"] = [dict(image["datasets"][0]) | {"path": "region"}]
        metadata = {"version": ome.OME_VERSION, "multiscales": [image], "image-label": {"source": {"image": "../../"}}}
        group = zarr.create_group(self._partial, zarr_format=3, attributes={"ome": metadata})
        for name in ("time", "y", "x"):
            shutil.copytree(self._store / "labels" / "segments" / name, self._partial / name)
        spec = self._spec
        return group.create_array(
            "region",
            shape=spec.shape,
            chunks=spec.chunks,
            shards=spec.zarr_shards,
            dtype=spec.dtype,
            compressors=ome.COMPRESSORS,
            fill_value=0,
            dimension_names=spec.dims,
            attributes={"long_name": "region", "units": "1"},
        )

    def _flush(self) -> None:
        if self._waiting:
            stop = self._n_written + len(self._waiting)
            self._array[self._n_written : stop] = np.stack(self._waiting)
            self._n_written = stop
            self._waiting.clear()

    def _place(self) -> None:
        """Put the group in its place, then tell of it."""
        target = self._store / GROUP
        if target.is_dir():
            old = partial_path(target)
            os.rename(target, old)
            shutil.rmtree(old, ignore_errors=True)
        os.rename(self._partial, target)
        nodes = {str(file.relative_to(self._store)): json.loads(file.read_bytes()) for file in self._store.rglob(_NODE)}
        nodes = {key: node for key, node in nodes.items() if ".partial" not in key}
        for node in nodes.values():
            node.pop("consolidated_metadata", None)
        nodes[f"labels/{_NODE}"]["attributes"]["ome"]["labels"] = ["segments", "regions"]
        files = ome.consolidate({key: json.dumps(node).encode() for key, node in sorted(nodes.items())})
        for key in sorted((key for key in files if nodes[key]["node_type"] == "group"), key=lambda key: key == _NODE):
            write_file(self._store / key, files[key])
