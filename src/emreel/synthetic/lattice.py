"""Crystals in projection, drawn pixel by pixel from a table of one unit cell.

No loop over atoms: each pixel asks where it lies in the lattice, reads the cell's image there, and
knows the column nearest to it (for occupancy, composition, and whole columns at a rim).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from emreel.synthetic.optics import Optics
from emreel.synthetic.streams import Stream, random_stream
from emreel.synthetic.texture import Image

#: The cell's table has this many points along each lattice vector (a power of two).
CELL_POINTS = 128
_SHIFT = CELL_POINTS.bit_length() - 1
_TABLE_SIDE = 256

Ticks = npt.NDArray[np.int32]  # lattice coordinate in units of 1/CELL_POINTS, shape (y, x)
Positions = npt.NDArray[np.floating]  # any shape that broadcasts to (y, x), px


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A two-dimensional lattice with its columns.

    Parameters
    ----------
    vectors_yx : the two lattice vectors ((y, x), (y, x)), px, before rotation.
    columns : (first coordinate, second coordinate, weight) of each column, coordinates in units of the vectors.
    """

    vectors_yx: tuple[tuple[float, float], tuple[float, float]]
    columns: tuple[tuple[float, float, float], ...] = ((0.0, 0.0, 1.0),)

    def rotated_vectors(self, angle_deg: float) -> npt.NDArray[np.float64]:
        """Lattice vectors as rows (y, x), turned from the x axis towards the y axis by `angle_deg`."""
        turn = np.deg2rad(angle_deg)
        c, s = np.cos(turn), np.sin(turn)
        return np.asarray(np.array(self.vectors_yx) @ np.array([[c, -s], [s, c]]), dtype=np.float64)


@dataclass(frozen=True, kw_only=True)
class Crystal:
    """A cell laid into the specimen: turned by `angle_deg`, with a lattice point at `origin_yx` px."""

    cell: Cell
    angle_deg: float
    origin_yx: tuple[float, float] = (0.0, 0.0)

    def ticks(self, y_px: Positions, x_px: Positions) -> tuple[Ticks, Ticks]:
        """Lattice coordinates of specimen positions, in 1/CELL_POINTS of each vector."""
        to_cell = np.linalg.inv(self.cell.rotated_vectors(self.angle_deg)) * CELL_POINTS
        start = -np.array(self.origin_yx) @ to_cell
        out = []
        for k in range(2):
            along_y = (y_px * to_cell[0, k] + start[k]).astype(np.float32)
            along_x = (x_px * to_cell[1, k]).astype(np.float32)
            coordinate = along_y + along_x
            out.append(np.rint(coordinate, out=coordinate).astype(np.int32))
        return out[0], out[1]

    def column_positions(self, i: Ticks, j: Ticks) -> tuple[Image, Image]:
        """Specimen position (y, x) of the columns (i, j), px."""
        first, second = self.cell.rotated_vectors(self.angle_deg).astype(np.float32)
        y0, x0 = np.float32(self.origin_yx[0]), np.float32(self.origin_yx[1])
        return i * first[0] + j * second[0] + y0, i * first[1] + j * second[1] + x0


def nearest_column(cell: Cell, ticks: tuple[Ticks, Ticks]) -> tuple[Ticks, Ticks]:
    """Lattice point (i, j) to which each position belongs: cells are bricks in rows along the first vector."""
    first, second = np.array(cell.vectors_yx)
    shear = round(1024 * float(first @ second) / float(first @ first))
    half = CELL_POINTS // 2
    j = (ticks[1] + half) >> _SHIFT
    if not shear:
        return (ticks[0] + half) >> _SHIFT, j
    beside = ((ticks[1] - (j << _SHIFT)) * shear) >> 10
    return (ticks[0] + beside + half) >> _SHIFT, j


def read_cell(table: Image, ticks: tuple[Ticks, Ticks], level: npt.NDArray[np.int32] | None = None) -> Image:
    """Intensity of the lattice at the given lattice coordinates.

    Parameters
    ----------
    table : shape (level, CELL_POINTS, CELL_POINTS), from `cell_table`.
    level : focus level, anything that broadcasts to the ticks' shape; None: level 0.
    """
    mask = CELL_POINTS - 1
    address = (ticks[0] & mask) << _SHIFT
    address += ticks[1] & mask
    if level is not None:
        address += level << (2 * _SHIFT)
    return np.take(table.reshape(-1), address)


@lru_cache(maxsize=16)
def cell_table(cell: Cell, optics: Optics, pixel_size_nm: float, probe_sigma_nm: float) -> Image:
    """Image of one unit cell at every focus level, float32, shape (level, CELL_POINTS, CELL_POINTS).

    HAADF and SEM: mean 1. HRTEM: mean 0, and root mean square 1 if the transfer were perfect.
    """
    order = np.fft.fftfreq(CELL_POINTS, 1 / CELL_POINTS)
    h, k = np.meshgrid(order, order, indexing="ij")
    structure = np.zeros(h.shape, dtype=np.complex128)
    for first, second, weight in cell.columns:
        structure += weight * np.exp(-2j * np.pi * (h * first + k * second))
    structure /= sum(weight for *_, weight in cell.columns)
    reciprocal = np.linalg.inv(np.array(cell.vectors_yx)).T
    frequency = np.hypot(*(h[..., None] * reciprocal[0] + k[..., None] * reciprocal[1]).transpose(2, 0, 1))
    levels = []
    for level in range(optics.n_levels):
        transfer = optics.transfer(frequency / pixel_size_nm, level, probe_sigma_nm)
        levels.append(np.fft.ifft2(structure * transfer).real * CELL_POINTS**2)
    table = np.stack(levels)
    if optics.modality == "hrtem":
        perfect = np.abs(structure) * np.exp(-2 * np.pi**2 * (probe_sigma_nm * frequency / pixel_size_nm) ** 2)
        perfect[0, 0] = 0.0
        table = (table - table.mean(axis=(1, 2), keepdims=True)) / np.sqrt((perfect**2).sum())
    out: Image = np.ascontiguousarray(table, dtype=np.float32)
    out.setflags(write=False)
    return out


def column_noise(i: Ticks, j: Ticks, *, seed: int) -> Image:
    """A standard normal number that belongs to the column (i, j) in every frame; repeats after 256 columns."""
    address = (i & (_TABLE_SIDE - 1)) * _TABLE_SIDE
    address += j & (_TABLE_SIDE - 1)
    return np.take(_noise_table(seed), address)


@lru_cache(maxsize=8)
def _noise_table(seed: int) -> Image:
    table = random_stream(seed, Stream.COLUMNS).standard_normal(_TABLE_SIDE**2).astype(np.float32)
    table.setflags(write=False)
    return table


def square_cell(period_px: float, centre_weight: float = 0.0) -> Cell:
    """Square cell of side `period_px`; `centre_weight` adds a column in its middle."""
    columns = ((0.0, 0.0, 1.0), (0.5, 0.5, centre_weight)) if centre_weight else ((0.0, 0.0, 1.0),)
    return Cell(vectors_yx=((0.0, period_px), (period_px, 0.0)), columns=columns)


def hexagonal_cell(period_px: float) -> Cell:
    """Hexagonal cell with nearest neighbours `period_px` apart."""
    return Cell(vectors_yx=((0.0, period_px), (period_px * 3**0.5 / 2, period_px / 2)))


def rectangular_cell(period_px: float) -> Cell:
    """Rows of columns `period_px` apart along x, the rows 1.6 times as far apart along y."""
    return Cell(vectors_yx=((0.0, period_px), (1.6 * period_px, 0.0)))
