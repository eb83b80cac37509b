"""Who writes what: planning is integers.

A movie of shape (time, y, x) is cut into *blocks* of whole frames or, when frames are too large for one worker,
of tiles of frames. One block is one task, and it writes exactly one whole shard of every array of the result, so
that no two tasks ever touch the same file. Everything here is arithmetic on integers; nothing is read or written.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from emreel.descriptors.geometry import Tile, grid_length
from emreel.result.errors import LayoutError

#: Viewers read what they show: no chunk and no preview is wider than this, px.
MAX_CHUNK_PX = 1024
#: Chunks of a tiled frame thinner than this make files of mostly index, px.
MIN_CHUNK_PX = 32
#: Labels are uint8; 0, 254 and 255 have a meaning of their own.
MAX_CLASSES = 253


@dataclass(frozen=True)
class Block:
    """One task's part of the movie: frames [t0, t1) of one tile."""

    index: int
    frames: tuple[int, int]
    tile: Tile

    @property
    def n_frames(self) -> int:
        return self.frames[1] - self.frames[0]


@dataclass(frozen=True)
class ArraySpec:
    """One array of the result: where it lies in movie.zarr, its shape and how it is cut.

    ``shards`` is what one file holds; in a result that grows a file is a plain chunk (``zarr_shards`` is None).
    """

    path: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    shards: tuple[int, ...]
    dtype: str = "uint8"
    is_sharded: bool = True

    @property
    def zarr_shards(self) -> tuple[int, ...] | None:
        """The shards as zarr is told of them."""
        return self.shards if self.is_sharded else None


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How a result is cut into blocks, shards and chunks. Checked on creation.

    ``shape_tyx`` is the movie's shape; ``tile_yx`` is a tile's size, px: along each axis the whole frame, or a
    multiple of ``chunk_yx``, which then is a multiple of the stride and of ``preview_factor``. ``with_regions``: blocks
    write the identity of every pixel's region, too; ``with_orientation``: the in-plane angle on the stride's grid.
    ``grows``: frames come one by one, and nobody knows how many; each is one chunk in a file of its own.

    Raises
    ------
    LayoutError : a shard would be written by two blocks, or a number is out of range.
    """

    shape_tyx: tuple[int, int, int]
    stride: int
    n_classes: int
    frames_per_shard: int
    tile_yx: tuple[int, int]
    chunk_yx: tuple[int, int]
    preview_factor: int
    with_membership: bool = True
    with_regions: bool = False
    with_orientation: bool = False
    grows: bool = False

    def __post_init__(self) -> None:
        _check_ranges(self)
        whole = self.shape_tyx[1:]
        if self.grows and (self.frames_per_shard, self.tile_yx, self.chunk_yx) != (1, whole, whole):
            raise LayoutError("a result that grows keeps one whole frame a chunk. Use plan_growing_layout.")
        for axis, side, tile, chunk in zip("yx", self.shape_tyx[1:], self.tile_yx, self.chunk_yx, strict=True):
            _check_axis(axis, side, tile, chunk, math.lcm(self.stride, self.preview_factor))

    @property
    def tiles_yx(self) -> tuple[int, int]:
        """Number of tiles along y and x."""
        return -(-self.shape_tyx[1] // self.tile_yx[0]), -(-self.shape_tyx[2] // self.tile_yx[1])

    @property
    def n_blocks(self) -> int:
        return -(-self.shape_tyx[0] // self.frames_per_shard) * math.prod(self.tiles_yx)

    def block(self, index: int) -> Block:
        """The block of this number; time runs slowest, then y, then x."""
        if not 0 <= index < self.n_blocks:
            raise LayoutError(f"got block {index}, wanted 0 to {self.n_blocks - 1}.")
        n_frames, height, width = self.shape_tyx
        in_time, in_frame = divmod(index, math.prod(self.tiles_yx))
        row, col = divmod(in_frame, self.tiles_yx[1])
        t0, y0, x0 = in_time * self.frames_per_shard, row * self.tile_yx[0], col * self.tile_yx[1]
        tile = Tile(y0, min(y0 + self.tile_yx[0], height), x0, min(x0 + self.tile_yx[1], width))
        return Block(index, (t0, min(t0 + self.frames_per_shard, n_frames)), tile)

    def blocks(self) -> Iterator[Block]:
        """Every block, time-major."""
        return map(self.block, range(self.n_blocks))

    def arrays(self) -> dict[str, ArraySpec]:
        """The arrays that blocks write, by name: label, preview and, where wanted, membership, region, angle."""
        specs = {
            "label": self._spec("labels/segments/label", ("time", "y", "x"), 1),
            "preview": self._spec("preview", ("time", "y", "x"), self.preview_factor),
        }
        if self.with_membership:
            dims = ("time", "class", "y_grid", "x_grid")
            specs["membership"] = self._spec("membership/membership", dims, self.stride, self.n_classes)
        if self.with_regions:
            spec = self._spec("labels/regions/region", ("time", "y", "x"), 1)
            specs["region"] = replace(spec, dtype="uint32")
        if self.with_orientation:
            spec = self._spec("orientation/angle", ("time", "y_grid", "x_grid"), self.stride)
            specs["angle"] = replace(spec, dtype="float32")
        return specs

    def region(self, name: str, block: Block) -> tuple[slice, ...]:
        """Where a block's data lie in the array ``name``."""
        t = slice(*block.frames)
        step = {"label": 1, "region": 1, "preview": self.preview_factor}.get(name, self.stride)
        space = block.tile.grid_slices(step)
        return (t, slice(0, self.n_classes), *space) if name == "membership" else (t, *space)

    def shard_key(self, name: str, block: Block) -> str:
        """The one file, relative to movie.zarr, that holds a block's part of the array ``name``."""
        spec = self.arrays()[name]
        at = (part.start // shard for part, shard in zip(self.region(name, block), spec.shards, strict=True))
        return "/".join([spec.path, "c", *map(str, at)])

    def to_dict(self) -> dict[str, Any]:
        """Integers, lists and booleans, ready for JSON."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        if not self.grows:
            values.pop("grows")
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Layout:
        """The layout that `to_dict` wrote.

        Raises
        ------
        LayoutError : a field is missing, unknown or of another type.
        """
        names = [field.name for field in fields(cls)]
        needed = {name for name in names if name not in ("with_regions", "with_orientation", "grows")}
        if not needed <= set(values) <= set(names):
            raise LayoutError(f"got a layout with the fields {sorted(values)}, wanted {sorted(names)}.")
        return cls(**{name: _tuple_of(value) for name, value in values.items()})

    def grown(self, n_frames: int) -> Layout:
        """The same layout with at least so many frames; only for results that grow."""
        if not self.grows:
            raise LayoutError(f"this result has {self.shape_tyx[0]} frames and does not grow.")
        return self if n_frames <= self.shape_tyx[0] else replace(self, shape_tyx=(n_frames, *self.shape_tyx[1:]))

    def _spec(self, path: str, dims: tuple[str, ...], step: int, *between: int) -> ArraySpec:
        shape = [grid_length(side, step) for side in self.shape_tyx[1:]]
        tiles = [grid_length(tile, step) for tile in self.tile_yx]
        chunks = list(self.chunk_yx)
        if self.grows:
            chunks = tiles
        elif step > 1:  # coarser arrays need no cutting where a tile of theirs is small enough
            cut = [grid_length(chunk, step) for chunk in self.chunk_yx]
            chunks = [tile if tile <= MAX_CHUNK_PX else chunk for tile, chunk in zip(tiles, cut, strict=True)]
        shards = [-(-tile // chunk) * chunk for tile, chunk in zip(tiles, chunks, strict=True)]
        return ArraySpec(
            path=path,
            dims=dims,
            shape=(self.shape_tyx[0], *between, *shape),
            chunks=(1, *between, *chunks),
            shards=(self.frames_per_shard, *between, *shards),
            is_sharded=not self.grows,
        )


def plan_layout(
    shape_tyx: tuple[int, int, int],
    stride: int,
    n_classes: int,
    *,
    frames_per_block: int,
    tile_yx: tuple[int, int] | None = None,
    with_membership: bool = True,
    with_regions: bool = False,
    with_orientation: bool = False,
) -> Layout:
    """Cut a movie into blocks.

    Parameters
    ----------
    shape_tyx : the movie's shape. ``stride`` : px between grid points of the membership.
    frames_per_block : frames that one task labels; also the length of a shard.
    tile_yx : px; ``None`` keeps frames whole. `fit_tile` finds a size that fits.

    Raises
    ------
    LayoutError : the tile does not lie on the grids of stride and preview; a size is not positive.
    """
    n_frames, height, width = (int(size) for size in shape_tyx)
    if min(n_frames, height, width, stride, frames_per_block) < 1:
        raise LayoutError(
            f"got shape {tuple(shape_tyx)}, stride {stride} and {frames_per_block} frames a block, "
            "wanted positive numbers."
        )
    tile = (height, width) if tile_yx is None else (min(tile_yx[0], height), min(tile_yx[1], width))
    tiled = tile != (height, width)
    factor = _preview_factor((height, width), stride if tiled else 1)
    unit = math.lcm(stride, factor)
    return Layout(
        shape_tyx=(n_frames, height, width),
        stride=stride,
        n_classes=n_classes,
        frames_per_shard=min(frames_per_block, n_frames),
        tile_yx=tile,
        chunk_yx=(_chunk_px(height, tile[0], unit), _chunk_px(width, tile[1], unit)),
        preview_factor=factor,
        with_membership=with_membership,
        with_regions=with_regions,
        with_orientation=with_orientation,
    )


def plan_growing_layout(
    shape_yx: tuple[int, int],
    stride: int,
    n_classes: int,
    *,
    with_membership: bool = True,
    with_regions: bool = False,
    with_orientation: bool = False,
) -> Layout:
    """The layout of frames that come one by one, see `Layout.grown`; at first there is one.

    Raises
    ------
    LayoutError : a size is not positive.
    """
    height, width = (int(size) for size in shape_yx)
    if min(height, width, stride) < 1:
        raise LayoutError(f"got frames of {height} x {width} px and stride {stride}, wanted positive numbers.")
    return Layout(
        shape_tyx=(1, height, width),
        stride=stride,
        n_classes=n_classes,
        frames_per_shard=1,
        tile_yx=(height, width),
        chunk_yx=(height, width),
        preview_factor=_preview_factor((height, width), 1),
        with_membership=with_membership,
        with_regions=with_regions,
        with_orientation=with_orientation,
        grows=True,
    )


def fit_tile(shape_yx: tuple[int, int], stride: int, wanted_yx: tuple[int, int]) -> tuple[int, int]:
    """The tile nearest below the wanted size, px, that `plan_layout` takes: whole chunks of whole grid cells.

    Never smaller than one grid cell; an axis that the wanted size covers stays whole.
    """
    unit = math.lcm(stride, _preview_factor(shape_yx, stride))
    sides = []
    for side, wanted in zip(shape_yx, wanted_yx, strict=True):
        chunk = max(min(wanted, MAX_CHUNK_PX) // unit, -(-MIN_CHUNK_PX // unit)) * unit
        sides.append(side if wanted >= side else min(max(wanted // chunk, 1) * chunk, side))
    return sides[0], sides[1]


def _preview_factor(shape_yx: tuple[int, int], stride: int) -> int:
    """Smallest factor that brings the preview under 1024 px and shares a cell of at most a chunk with the grid."""
    smallest = grid_length(max(shape_yx), MAX_CHUNK_PX)
    for factor in range(smallest, max(smallest, MAX_CHUNK_PX) + 1):
        if math.lcm(stride, factor) <= MAX_CHUNK_PX:
            return factor
    raise LayoutError(
        f"no preview of frames of {shape_yx[0]} x {shape_yx[1]} px lies on a grid of stride {stride} px. "
        "Use a smaller stride, or do not split the frames."
    )


def _chunk_px(side: int, tile: int, unit: int) -> int:
    if tile >= side:
        return grid_length(side, grid_length(side, MAX_CHUNK_PX))
    if tile % unit:
        raise LayoutError(
            f"tiles of {tile} px do not lie on the grid of {unit} px that stride and preview share. "
            f"Use a multiple of {unit} px (see fit_tile), or whole frames."
        )
    cells, most = tile // unit, MAX_CHUNK_PX // unit
    return unit * next(n for n in range(min(cells, most), 0, -1) if cells % n == 0)


def _check_ranges(layout: Layout) -> None:
    lengths = {"shape_tyx": 3, "tile_yx": 2, "chunk_yx": 2}
    for name, length in lengths.items():
        value = getattr(layout, name)
        if not isinstance(value, tuple) or len(value) != length:
            raise LayoutError(f"got {name} = {value!r}, wanted {length} whole numbers.")
    integers = (
        *layout.shape_tyx,
        layout.stride,
        layout.n_classes,
        layout.frames_per_shard,
        *layout.tile_yx,
        *layout.chunk_yx,
        layout.preview_factor,
    )
    if any(not isinstance(value, int) or isinstance(value, bool) or value < 1 for value in integers):
        raise LayoutError(f"got {layout.to_dict()}, wanted positive whole numbers.")
    if layout.n_classes > MAX_CLASSES:
        raise LayoutError(f"got {layout.n_classes} classes, wanted at most {MAX_CLASSES}: labels are stored as uint8.")
    if layout.frames_per_shard > layout.shape_tyx[0]:
        raise LayoutError(f"got {layout.frames_per_shard} frames a shard for {layout.shape_tyx[0]} frames.")


def _check_axis(axis: str, side: int, tile: int, chunk: int, unit: int) -> None:
    if tile > side or chunk > tile:
        raise LayoutError(
            f"along {axis}: got chunks of {chunk} px, tiles of {tile} px, frames of {side} px, wanted them to grow."
        )
    if tile == side:
        return
    if tile % chunk or chunk % unit:
        raise LayoutError(
            f"along {axis}: tiles of {tile} px, chunks of {chunk} px and the grid of {unit} px that stride and "
            f"preview share must divide one another, or two blocks would write one shard. See fit_tile."
        )
    if chunk < min(MIN_CHUNK_PX, tile):
        raise LayoutError(
            f"along {axis}: tiles of {tile} px leave chunks of only {chunk} px. "
            f"Use a multiple of {unit} px with more divisors (see fit_tile)."
        )


def _tuple_of(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
