"""Translation symmetry against pySTEM as shipped, and against scipy done well."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from harness import Contest, in_process, item, largest_difference
from peers import HERE, PeerProcess, pystem_python
from scipy.ndimage import uniform_filter

from emreel.descriptors.translation import PreselectedTranslations, original_shifts

Array = npt.NDArray[Any]
PATCH_PX, STRIDE = 20, 4
#: Side of the pieces scipy works on, px of frame without halo: the fastest of 64, 128, 256 where this was written.
PIECE_PX = 128


def lattice_frame(side_px: int) -> Array:
    """A turned square lattice in noise, shape (side_px, side_px), counts."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:side_px, :side_px]
    wave = np.cos(2 * np.pi * (0.98 * x + 0.2 * y) / 11.3) + np.cos(2 * np.pi * (0.98 * y - 0.2 * x) / 11.3)
    return (100 + 20 * wave + rng.normal(0, 10, (side_px, side_px))).astype(np.float32)


def ours(window_px: int, max_shifts: int) -> PreselectedTranslations:
    """All the shifts of the original method, both of each pair: the same outputs as the peers."""
    shifts = original_shifts(window_px, max_shifts)
    return PreselectedTranslations(shifts=shifts, patch_px=PATCH_PX, stride=STRIDE)


def error_to_float64(descriptor: PreselectedTranslations, frame: Array) -> Callable[[Any, Any], float]:
    """Largest error of our output at some points, against plain float64 sums."""

    def error(got: Array, _: Array) -> float:
        wide, worst = frame.astype(np.float64), 0.0
        for i, j in np.random.default_rng(1).integers(0, got.shape[:2], size=(200, 2)):
            y, x = i * STRIDE + descriptor.halo, j * STRIDE + descriptor.halo
            here = wide[y - PATCH_PX : y + PATCH_PX + 1, x - PATCH_PX : x + PATCH_PX + 1].ravel()
            for k, (dy, dx) in enumerate(descriptor.shifts):
                y1, x1 = y + dy - PATCH_PX, x + dx - PATCH_PX
                there = wide[y1 : y1 + 2 * PATCH_PX + 1, x1 : x1 + 2 * PATCH_PX + 1].ravel()
                worst = max(worst, abs(np.corrcoef(here, there)[0, 1] - float(got[i, j, k])))
        return worst

    return error


def against_pystem(window_px: int, max_shifts: int, methods: tuple[str, ...], tiny: bool) -> Contest:
    """The same frame, shifts and grid of centres; the peer uses the method that took it less time once."""
    descriptor = ours(window_px, max_shifts)
    frame = lattice_frame((32 if tiny else 512) + 2 * descriptor.halo)
    peer = PeerProcess(pystem_python(), HERE / "pystem_worker.py")
    options = {"patch_px": PATCH_PX, "window_px": window_px, "max_shifts": max_shifts, "stride": STRIDE}
    times = {method: min(peer.ask(frame, method=method, **options)[0] for _ in range(2)) for method in methods}
    method = min(times, key=times.__getitem__)
    grid = descriptor(frame).shape
    return Contest(
        ours=in_process(lambda: descriptor(frame)),
        peer=lambda: peer.ask(frame, method=method, **options),
        n_outputs=int(np.prod(grid)),
        error=largest_difference if method == "fft" else error_to_float64(descriptor, frame),
        peer_name=f"pystem 0.0.26, {method}",
        close=peer.close,
    )


@item("translation_stride4_pystem")
def translation_stride4_pystem(tiny: bool) -> Contest:
    """81 shifts at stride 4; pySTEM's better method."""
    return against_pystem(20, 100, ("fft", "direct"), tiny)


@item("translation_dense_pystem")
def translation_dense_pystem(tiny: bool) -> Contest:
    """484 shifts at stride 4; pySTEM's fft, whose time does not grow with their number."""
    return against_pystem(21, 484, ("fft",), tiny)


def correlate_by_scipy(frame: Array, shifts: Array, halo: int) -> Array:
    """Correlation maps by `uniform_filter`, one product a shift, in pieces that stay in the cache."""
    side = 2 * PATCH_PX + 1
    n = frame.shape[0] - 2 * halo
    out = np.empty((-(-n // STRIDE), -(-n // STRIDE), len(shifts)), np.float32)
    for y in range(0, n, PIECE_PX):
        for x in range(0, n, PIECE_PX):
            piece = frame[y : y + PIECE_PX + 2 * halo, x : x + PIECE_PX + 2 * halo]
            piece = piece - piece.mean()
            mean = uniform_filter(piece, side)
            scale = 1 / np.sqrt(uniform_filter(piece * piece, side) - mean * mean)
            rows, cols = min(PIECE_PX, n - y), min(PIECE_PX, n - x)
            here = np.s_[halo : halo + rows : STRIDE, halo : halo + cols : STRIDE]
            wide = np.s_[halo - PATCH_PX : halo + rows + PATCH_PX, halo - PATCH_PX : halo + cols + PATCH_PX]
            inner = np.s_[PATCH_PX : PATCH_PX + rows : STRIDE, PATCH_PX : PATCH_PX + cols : STRIDE]
            maps = np.s_[y // STRIDE : -(-(y + rows) // STRIDE), x // STRIDE : -(-(x + cols) // STRIDE)]
            for k, (dy, dx) in enumerate(shifts):
                moved_wide = np.s_[wide[0].start + dy : wide[0].stop + dy, wide[1].start + dx : wide[1].stop + dx]
                there = np.s_[halo + dy : halo + dy + rows : STRIDE, halo + dx : halo + dx + cols : STRIDE]
                product = uniform_filter(piece[wide] * piece[moved_wide], side)[inner]
                out[(*maps, k)] = (product - mean[here] * mean[there]) * scale[here] * scale[there]
    return out


@item("translation_stride4_scipy")
def translation_stride4_scipy(tiny: bool) -> Contest:
    """81 shifts at stride 4; scipy's running means in cache-sized pieces."""
    descriptor = ours(20, 100)
    frame = lattice_frame((64 if tiny else 1024) + 2 * descriptor.halo)
    shifts = np.array(descriptor.shifts)
    return Contest(
        ours=in_process(lambda: descriptor(frame)),
        peer=in_process(lambda: correlate_by_scipy(frame, shifts, descriptor.halo)),
        n_outputs=int(np.prod(descriptor(frame).shape)),
        error=error_to_float64(descriptor, frame),
        peer_name=f"scipy uniform_filter, pieces of {PIECE_PX} px",
    )
