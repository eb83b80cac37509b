"""Chips: overlapping squares of a frame, each told by one embedding, as in Ter-Petrosyan et al. (arXiv:2311.08585)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from emreel.descriptors.base import Feature, FeatureMap, Fold, Frame, Mask
from emreel.descriptors.embeddings.errors import ChipsError
from emreel.descriptors.embeddings.network import (
    STATISTICS,
    check_sha256,
    count_features,
    file_sha256,
    open_encoder,
    paint_chips,
)
from emreel.descriptors.embeddings.own import embed_own, own_features
from emreel.descriptors.embeddings.resnet import BLOCKS, WIDTH
from emreel.descriptors.geometry import grid_length
from emreel.descriptors.peaks import learn_peaks

Squares = npt.NDArray[np.float32]  # (chip, y, x), counts

#: Lattice periods along a chip's side.
CELLS_A_SIDE = 4
#: Longer periods are taken for it.
LONGEST_PERIOD_PX = 128.0
#: Chips worked on at once: pixels of them all, and enlarged ones.
BATCH_PX = 1 << 20
PICTURES_AT_ONCE = 64
#: The encoder that needs no file.
OWN = "own"
#: Shares of the chips' means, and of the pixels, that lie beyond each end of a range of counts.
BRIGHTNESS_TAIL, PIXEL_TAIL = 0.01, 0.005
MOST_LEVELS = 16_384


def cut_chips(padded: Frame, valid: Mask | None, chip_px: int, stride: int) -> Iterator[tuple[slice, Squares]]:
    """Chips around the grid points, in batches of whole grid rows.

    padded : shape (h + 2 halo, w + 2 halo) with halo = 2 (chip_px // 2), counts. Yields rows of the grid and their
    chips, shape (chip, chip_px, chip_px).

    A chip is whole where the frame allows it: rows and columns at its rim that are invalid from end to end (beyond the
    frame) make it move away from them. What is still invalid in it (dead pixels) shows what lies opposite, through the
    chip's vertical middle line, its horizontal one, or its middle, or else its mean: nothing comes from invalid pixels.
    """
    good = np.isfinite(padded) if valid is None else valid & np.isfinite(padded)
    half, halo = chip_px // 2, 2 * (chip_px // 2)
    n_rows, n_cols = (grid_length(n - 2 * halo, stride) for n in padded.shape)
    squares = np.lib.stride_tricks.sliding_window_view(padded, (chip_px, chip_px))
    masks = np.lib.stride_tricks.sliding_window_view(good, (chip_px, chip_px))
    holes = _holes(good, chip_px)[half::stride, half::stride][:n_rows, :n_cols]
    columns = half + stride * np.arange(n_cols)
    step = max(1, BATCH_PX // (n_cols * chip_px**2))
    for first in range(0, n_rows, step):
        rows = np.arange(first, min(first + step, n_rows))
        y, x = np.meshgrid(half + stride * rows, columns, indexing="ij")
        chips = squares[y, x].reshape(-1, chip_px, chip_px)
        torn = np.flatnonzero(holes[rows])
        if torn.size:
            y, x = y.ravel()[torn], x.ravel()[torn]
            dy, dx = _way_in(masks[y, x])
            chips[torn] = _filled(squares[y + dy, x + dx], masks[y + dy, x + dx])
        yield slice(first, first + len(rows)), chips


def _holes(good: Mask, chip_px: int) -> npt.NDArray[np.bool_]:
    """Which squares of the frame hold an invalid pixel."""
    counts = np.pad((~good).astype(np.int32).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    n = chip_px
    return np.asarray(counts[n:, n:] - counts[:-n, n:] - counts[n:, :-n] + counts[:-n, :-n] > 0)


def _way_in(masks: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """How far to move each chip, px along y and x, to leave invalid rims behind: at most half a side."""
    half = masks.shape[1] // 2
    moves = []
    for axis in (1, 2):
        seen: npt.NDArray[np.bool_] = np.any(masks, axis=3 - axis)
        before, after = seen.argmax(axis=1), seen[:, ::-1].argmax(axis=1)
        move = np.where(seen.any(axis=1) & ((before == 0) | (after == 0)), before - after, 0)
        moves.append(np.clip(move, -half, half))
    return moves[0], moves[1]


def _filled(chips: Squares, seen: npt.NDArray[np.bool_]) -> Squares:
    """Chips whose unseen pixels show what lies opposite, or else the mean of the seen ones."""
    part, mask = np.where(seen, chips, np.float32(0)), seen.copy()
    mean = part.sum(axis=(1, 2), dtype=np.float64) / np.maximum(seen.sum(axis=(1, 2)), 1)
    shown = part.copy()
    for flip in (np.s_[:, :, ::-1], np.s_[:, ::-1, :], np.s_[:, ::-1, ::-1]):
        take = ~mask & seen[flip]
        shown[take] = part[flip][take]
        mask |= take
    return np.asarray(np.where(mask, shown, mean[:, None, None].astype(np.float32)))


@dataclass(frozen=True, kw_only=True)
class Chips:
    """Chips: squares of four by four lattice cells, overlapping by half, each told by one embedding.

    The descriptor of the method of Ter-Petrosyan et al., "Unsupervised segmentation of irradiation-induced
    order-disorder phase transitions in electron microscopy", arXiv:2311.08585 (2023), whose clustering is
    `emreel.cluster.communities.CommunityClusters`. A frame is cut into squares that are large enough to show the
    lattice and what is wrong with it; an encoder turns each into a vector; vectors of like matter point the same way.

    **Formula.** The chip at a grid point r is the square of ``chip_px`` around it, c(r). Its features are

        e(r) = E(c(r)) / |E(c(r))|

    with E the encoder and, as every row has length 1 (``unit``), the cosine similarity of two chips is
    ``e . e' = 1 - |e - e'|^2 / 2``: distances tell it, also after a mean was taken away, and k-means, Ward and Louvain
    on these rows all work with cosines.

    **Encoders** (``embedding``):

    ======================  ===========================================================================================
    ``"own"``               emreel's own measures (`emreel.descriptors.embeddings.own`): radially averaged spectrum,
                            translation and rotation symmetry, contrast, brightness; about 64 numbers.
                            No network, no download, 0.03 ms a chip of 33 px. The default.
    a path ``*.onnx``       any encoder exported to ONNX: pictures (chip, 1 or 3, y, x) in, vectors or maps out.
    any other path          a torch state dict of a ResNet with torchvision's flat keys, such as MicroNet's
                            ``resnet50_pretrained_microscopynet_v1.1.pth.tar`` (sha256 866d7484...7402; Stuckner et al.,
                            npj Comput. Mater. 8 (2022) 200), the paper's encoder: 2048 numbers from the global average
                            pool. It is read without torch and without running anything in it (`embeddings.state_dict`),
                            must hold every tensor of the network and no other, and runs in onnxruntime
                            (``pip install "emreel[chips]"``), about 80 ms a chip of 224 px on one core.
    ======================  ===========================================================================================

    **Parameters**

    embedding : "own", or the path of a network; see above.
    weights_sha256 : of the network's file, hexadecimal. Filled in from the file; where it is given (a saved model) the
        file must be that one, so that no model is ever applied with another network.
    chip_px : side of a chip, px. Suggested: four lattice periods. stride : px between chips. Suggested: half a side
        (50 % overlap); smaller is finer at boundaries and slower.
    unit : divide every embedding by its length.
    brightness_range : counts of the darkest and the brightest chip, for "own" (None: brightness is left out).
        Suggested: the 1 % and 99 % quantiles of the chips' means.
    pixel_range : counts that a network sees as black and white (None: each chip by itself). Suggested: the 0.5 % and
        99.5 % quantiles of the pixels.
    statistics : "imagenet" or "micronet", mean and deviation of the network's input channels.
    input_px : side that chips are enlarged to for a network, px (None: the network's own, or 224).
    blocks, width : blocks in each of the four layers, and channels of the first; a state dict must match. ResNet-50 by
        default.

    **When to use it.** Atomic-resolution images with a few large regions (film, substrate, amorphous, cap) and no idea
    of how many; features that no formula describes, with a network. Every chip at the frame's edge is whole (it moves
    in by up to half a side), so there is no rim.

    **When it fails.** A chip blurs boundaries by half its side: layers under about four periods, and twin lamellae near
    their end, are lost (use `Lattice`). Orientation: the own embedding's rotation part does not turn with the lattice,
    its translation part does, and a network has no rule for it, so grains in many orientations come out by accident
    (use `GaborBank`). Networks see focus, contrast and contamination as well as the phase.

    >>> import numpy as np
    >>> from emreel.descriptors.geometry import pad_frame
    >>> y, x = np.mgrid[:96, :96]
    >>> lattice = np.where(x < 48, np.cos(x * 0.8) * np.cos(y * 0.8), 0.0)
    >>> frame = (100 + 30 * lattice + np.random.default_rng(0).normal(0, 5, x.shape)).astype(np.float32)
    >>> chips = Chips(chip_px=31, stride=16)
    >>> e = chips(*pad_frame(frame, chips.halo))
    >>> e.shape, bool(e[2, 0] @ e[4, 1] > 0.99), bool(e[2, 0] @ e[2, 5] < 0.95)  # the same side, across
    ((6, 6, 63), True, True)
    """

    name: ClassVar[str] = "chips"
    clusterer: ClassVar[str] = "communities"
    unprojected: ClassVar[bool] = True
    embedding: str = OWN
    weights_sha256: str = ""
    chip_px: int = 33
    stride: int = 16
    unit: bool = True
    brightness_range: tuple[float, float] | None = None
    pixel_range: tuple[float, float] | None = None
    statistics: str = "imagenet"
    input_px: int | None = None
    blocks: tuple[int, ...] = BLOCKS
    width: int = WIDTH

    def __post_init__(self) -> None:
        for name in ("brightness_range", "pixel_range"):
            object.__setattr__(self, name, _parse_range(name, getattr(self, name)))
        object.__setattr__(self, "blocks", tuple(self.blocks))
        self._check_fields()
        if self.embedding == OWN:
            if self.weights_sha256:
                raise ChipsError('got weights_sha256 for embedding = "own", which has no weights. Leave it out.')
        elif self.weights_sha256:
            check_sha256(self.embedding, self.weights_sha256)
        else:
            object.__setattr__(self, "weights_sha256", file_sha256(self.embedding))

    @classmethod
    def suggest(cls, given: Mapping[str, Any], fold: Fold) -> Self:
        """Take what is left out from the movie: side and stride from the lattice, the range of counts from a sample."""
        fields = dict(given)
        if "chip_px" not in fields:
            period = learn_peaks(fold).period_px
            if period is not None:
                fields["chip_px"] = 2 * round(min(period, LONGEST_PERIOD_PX) * CELLS_A_SIDE / 2) + 1
        chip_px = fields.get("chip_px", cls.chip_px)
        fields.setdefault("stride", max(1, chip_px // 2))
        own = fields.get("embedding", OWN) == OWN
        wanted = "brightness_range" if own else "pixel_range"
        if wanted not in fields:
            sample = fold(partial(LevelSample.of, side_px=chip_px if own else 1))
            low, high = sample.quantiles(BRIGHTNESS_TAIL if own else PIXEL_TAIL)
            fields[wanted] = (low, high) if high > low else None
        return cls(**fields)

    @property
    def halo(self) -> int:
        return 2 * (self.chip_px // 2)

    @property
    def smallest_frame_px(self) -> int:
        """A frame must hold a whole chip."""
        return self.chip_px

    @property
    def features(self) -> tuple[Feature, ...]:
        if self.embedding == OWN:
            return own_features(self.chip_px)
        n = count_features(self.embedding, self.weights_sha256, self.blocks, self.width, self.input_px)
        return tuple(Feature(f"embedding {i}") for i in range(n))

    def __call__(self, padded: Frame, valid: Mask | None = None) -> FeatureMap:
        """Embeddings of the chips around the grid points, shape (y_grid, x_grid, feature).

        Raises
        ------
        ChipsError : a frame that is not larger than its padding, another network than the one fitted with, or one that
            cannot be read.
        """
        height, width = (n - 2 * self.halo for n in padded.shape)
        if min(height, width) < 1:
            raise ChipsError(
                f"got a padded frame of {padded.shape[0]} x {padded.shape[1]} px, wanted more than twice the halo "
                f"({self.halo} px) along each axis. Pad it with emreel.descriptors.geometry.pad_frame."
            )
        grid = grid_length(height, self.stride), grid_length(width, self.stride)
        out = np.empty((*grid, len(self.features)), np.float32)
        for rows, chips in cut_chips(padded, valid, self.chip_px, self.stride):
            out[rows] = self._embed(chips).reshape(-1, grid[1], out.shape[2])
        return out

    def _embed(self, chips: Squares) -> npt.NDArray[np.float32]:
        if self.embedding == OWN:
            return embed_own(chips, brightness_range=self.brightness_range)  # of length 1 as they are
        encoder = open_encoder(self.embedding, self.weights_sha256, self.blocks, self.width, self.input_px)
        out = np.empty((len(chips), encoder.n_features), np.float32)
        for first in range(0, len(chips), PICTURES_AT_ONCE):
            part = slice(first, first + PICTURES_AT_ONCE)
            pictures = paint_chips(
                chips[part],
                input_px=encoder.input_px,
                channels=encoder.channels,
                statistics=self.statistics,
                pixel_range=self.pixel_range,
            )
            out[part] = encoder(pictures)
        return _to_unit(out) if self.unit else out

    def _check_fields(self) -> None:
        if not self.embedding or not isinstance(self.embedding, str):
            raise ChipsError(f'got embedding = {self.embedding!r}, wanted "own" or the path of a network.')
        lengths = {"chip_px": (self.chip_px, 8), "stride": (self.stride, 1), "width": (self.width, 1)}
        if self.input_px is not None:
            lengths["input_px"] = (self.input_px, 32)
        for name, (value, least) in lengths.items():
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ChipsError(f"got {name} = {value!r}, wanted a whole number of at least {least}.")
        if len(self.blocks) != 4 or not all(isinstance(n, int) and n >= 1 for n in self.blocks):
            raise ChipsError(f"got blocks = {self.blocks}, wanted four whole numbers such as (3, 4, 6, 3).")
        if self.statistics not in STATISTICS:
            raise ChipsError(f"got statistics = {self.statistics!r}, wanted one of {', '.join(STATISTICS)}.")


def _to_unit(rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Rows divided by their length; a row of zeros stays one."""
    length = np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    return np.asarray(rows / np.where(length > 0, length, 1.0), np.float32)


def _parse_range(name: str, value: Any) -> tuple[float, float] | None:
    if value is None:
        return None
    try:
        low, high = (float(number) for number in value)
    except (TypeError, ValueError):
        low, high = 0.0, 0.0
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ChipsError(f"got {name} = {value!r}, wanted two counts, the lower first.")
    return low, high


@dataclass(frozen=True, eq=False)
class LevelSample:
    """Mean counts of squares of sample frames: a mergeable partial. levels : shape (n,), counts."""

    levels: npt.NDArray[np.float64]

    @classmethod
    def of(cls, frame: Frame, valid: Mask, side_px: int) -> Self:
        """Means over squares of this side that do not overlap, at most 16 384 of them, for the most part valid."""
        side = min(side_px, *frame.shape)
        rows, cols = frame.shape[0] // side, frame.shape[1] // side
        step = math.ceil(math.sqrt(rows * cols / MOST_LEVELS))
        cut = np.s_[: rows * side, : cols * side]
        squares = np.where(valid, frame, 0)[cut].reshape(rows, side, cols, side)[::step, :, ::step]
        n_valid = valid[cut].reshape(rows, side, cols, side)[::step, :, ::step].sum(axis=(1, 3))
        enough = n_valid > side * side // 2
        sums = squares.sum(axis=(1, 3), dtype=np.float64)
        return cls(sums[enough] / n_valid[enough])

    def __add__(self, other: Self, /) -> Self:
        return type(self)(np.concatenate((self.levels, other.levels)))

    def quantiles(self, tail: float) -> tuple[float, float]:
        """Counts below and above which lies this share of the squares; 0, 0 where there are none."""
        if not self.levels.size:
            return 0.0, 0.0
        low, high = np.quantile(self.levels, [tail, 1 - tail])
        return float(low), float(high)
