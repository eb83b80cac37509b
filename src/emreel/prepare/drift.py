"""Sub-pixel drift of the specimen, frame by frame, against a running reference."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import fft, ndimage

from emreel.descriptors.base import Frame, Mask

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

#: Local means below this share of the frame's mean count as that much (vacuum), so that its noise stays small.
LEAST_MEAN = 0.05
#: Steps in which a tile's correlation is sampled before the peak's parabola, px, and how far it is looked for.
TILE_STEP_PX, TILE_REACH_PX = 0.25, 3.0
#: Disorder that resting tiles are allowed: their shifts are never trusted beyond it, px.
DISORDER_PX = 0.15
#: Scales from which the consensus is narrowed down, px.
SCALES_PX = (1.0, 0.5, 0.25, 0.15)
#: Tiles of lower correlation than so many of its standard deviations without any likeness say nothing.
LEAST_SIGMAS = 3.0
#: Rotation against the reference that is taken as likely, radians.
TURN_SIGMA = 0.0087


@dataclass(frozen=True, kw_only=True)
class DriftReport:
    """Where the specimen stands in a frame.

    drift_yx_px : shift (y, x) against the first good frame, px: what was at r then is seen at r + drift.
    sigma_px : standard error of it, px. agreement : share of the resting layer that moved with it, 0 to 1.
    ok : whether it was measured; otherwise it repeats the last one that was.
    """

    drift_yx_px: tuple[float, float]
    sigma_px: float
    agreement: float
    ok: bool


@dataclass(frozen=True, eq=False, kw_only=True)
class DriftState:
    """What the next frame needs; arrays in the specimen's coordinates, whose first pixel is at ``origin_yx``.

    reference, count : shape (y, x), mean of the aligned views, and how many went in.
    rest : shape (tile,), how far each tile belongs to the resting layer, 0 to 1.
    """

    reference: Floats
    count: Floats
    origin_yx: tuple[int, int]
    drift_yx_px: tuple[float, float]
    velocity_yx_px: tuple[float, float]
    rest: Doubles
    missed: int


@dataclass(frozen=True, kw_only=True)
class DriftTracker:
    """proto"""

    fine_px: float = 0.8
    coarse_px: float = 8.0
    tile_px: int = 64
    reach_px: int = 24
    memory_frames: int = 16
    step_px: float = 1.0
    continuity: float = 2.0

    def view(self, frame: npt.NDArray[Any], valid: Mask, mean: float) -> Floats:
        weight = valid.astype(np.float32)
        counts = np.where(valid, frame, 0).astype(np.float32)
        total, cover = _running_mean(counts, self.coarse_px), _running_mean(weight, self.coarse_px)
        local = np.divide(total, cover, out=np.full_like(total, mean), where=cover > 1e-3)
        z = np.where(valid, (counts - local) / np.sqrt(np.maximum(local, LEAST_MEAN * mean)), np.float32(0))
        return np.asarray(ndimage.gaussian_filter(z, self.fine_px, mode="constant", truncate=3), np.float32)

    def start(self, view: Floats) -> DriftState:
        starts = self._tiles(view.shape)
        return DriftState(
            reference=view,
            count=np.ones(view.shape, np.float32),
            origin_yx=(0, 0),
            drift_yx_px=(0.0, 0.0),
            velocity_yx_px=(0.0, 0.0),
            rest=np.ones(len(starts)),
            missed=0,
        )

    def _tile_side(self, shape_yx):
        return min(self.tile_px, max(min(shape_yx) // 4 * 2, 16), *shape_yx)

    def _tiles(self, shape_yx) -> npt.NDArray[np.intp]:
        side = self._tile_side(shape_yx)
        axes = [np.round(np.linspace(0, n - side, max(2 * n // side - 1, 1))).astype(np.intp) for n in shape_yx]
        return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)

    def step(self, state: DriftState | None, view: Floats):
        if state is None:
            return self.start(view), DriftReport(drift_yx_px=(0.0, 0.0), sigma_px=0.0, agreement=1.0, ok=True)
        origin = np.array(state.origin_yx)
        expected = np.array(state.drift_yx_px) + state.velocity_yx_px - origin
        near = self._coarse(state, view, expected)
        found = self._tile_shifts(state, view, near)
        shift, turn, sigma, agree, wsum = self._consensus(state, found)
        total = near + shift
        ok = bool(sigma < 0.3)
        self.debug = (near, shift, turn, sigma, agree, found)
        if not ok:
            return replace(state, missed=state.missed + 1), DriftReport(drift_yx_px=state.drift_yx_px, sigma_px=sigma, agreement=wsum, ok=False)
        drift = total + origin
        step = drift - state.drift_yx_px
        velocity = 0.8 * np.array(state.velocity_yx_px) + 0.2 * step
        rest = state.rest.copy()
        inside = found["inside"]
        rest[inside] += np.where(agree > rest[inside], 0.05, 0.15) * (agree - rest[inside])
        rest = np.maximum(rest, 0.02)
        new = replace(state, drift_yx_px=tuple(drift.tolist()), velocity_yx_px=tuple(velocity.tolist()), rest=rest, missed=0)
        new = self._update(new, view, total)
        return new, DriftReport(drift_yx_px=new.drift_yx_px, sigma_px=float(sigma), agreement=float(wsum), ok=True)

    def _coarse(self, state, view, expected):
        shape = view.shape
        window = _hann(shape[0])[:, None] * _hann(shape[1])[None, :]
        rest = self._rest_map(state, shape)
        moved = _shifted_integer(rest, np.rint(expected).astype(int), 0.0)
        a = fft.rfft2(view * window * moved)
        b = fft.rfft2(state.reference * window * rest)
        ky, kx = fft.fftfreq(shape[0])[:, None], fft.rfftfreq(shape[1])[None, :]
        k2 = ky**2 + kx**2
        h2 = np.exp(-4 * np.pi**2 * self.fine_px**2 * k2).astype(np.float32)
        size = np.abs(a) * np.abs(b) / h2
        noise = np.median((np.abs(a) ** 2 / h2)[(k2 > 0.3**2) & (k2 < 0.45**2)])
        g = a * np.conj(b) / np.maximum(size + noise, 1e-30)
        g[0, 0] = 0
        double = np.full(shape[1] // 2 + 1, 2.0, np.float32); double[0] = 1
        norm = float((np.abs(g) * double).sum()) / (shape[0] * shape[1])
        n_modes = float((np.abs(g) * double).sum()) ** 2 / float((np.abs(g) ** 2 * double).sum()) / 2 / 2.25
        reach = min(self.reach_px, min(shape) // 4)
        offs = np.arange(-2 * reach, 2 * reach + 1) / 2
        sy, sx = expected[0] + offs, expected[1] + offs
        ey = np.exp(2j * np.pi * sy[:, None] * ky.T).astype(np.complex64)
        ex = (double[:, None] * np.exp(2j * np.pi * kx.T * sx[None, :])).astype(np.complex64)
        surface = (ey @ g @ ex).real / (shape[0] * shape[1]) / max(norm, 1e-30)
        d2 = offs[:, None] ** 2 + offs[None, :] ** 2
        evidence = -n_modes * np.log1p(-np.clip(surface, 0, 0.999) ** 2)
        score = evidence - self.continuity * np.log1p(d2 / self.step_px**2)
        i, j = np.unravel_index(score.argmax(), score.shape)
        self.surface = surface, score
        return np.rint([sy[i], sx[j]]).astype(int)

    def _rest_map(self, state, shape):
        side = self._tile_side(shape)
        ny = max(2 * shape[0] // side - 1, 1); nx = max(2 * shape[1] // side - 1, 1)
        grid = state.rest.reshape(ny, nx).astype(np.float32)
        y = np.clip((np.arange(shape[0]) - side / 2) / max(shape[0] - side, 1) * (ny - 1), 0, ny - 1)
        x = np.clip((np.arange(shape[1]) - side / 2) / max(shape[1] - side, 1) * (nx - 1), 0, nx - 1)
        return _bilinear(grid, y, x)

    def _tile_shifts(self, state, view, near):
        shape = view.shape
        side = self._tile_side(shape)
        starts = self._tiles(shape)
        inside = np.all((starts + near >= 0) & (starts + near + side <= shape), axis=1)
        # reference coverage
        idx = np.flatnonzero(inside)
        windows_r = np.lib.stride_tricks.sliding_window_view(state.reference, (side, side))
        windows_v = np.lib.stride_tricks.sliding_window_view(view, (side, side))
        cover = np.lib.stride_tricks.sliding_window_view(state.count, (side, side))
        s = starts[idx]
        hann = (_hann(side)[:, None] * _hann(side)[None, :]).astype(np.float32)
        r = windows_r[s[:, 0], s[:, 1]] * hann
        v = windows_v[s[:, 0] + near[0], s[:, 1] + near[1]] * hann
        keep = (cover[s[:, 0], s[:, 1]] > 0).mean(axis=(1, 2)) > 0.9
        idx, r, v, s = idx[keep], r[keep], v[keep], s[keep]
        inside = np.zeros(len(starts), bool); inside[idx] = True
        norm = np.sqrt((r**2).sum((1, 2)) * (v**2).sum((1, 2)))
        cross = fft.rfft2(v) * np.conj(fft.rfft2(r))
        cross[:, :, 1 : (side + 1) // 2] *= 2
        n = round(TILE_REACH_PX / TILE_STEP_PX)
        delta = np.arange(-n, n + 1) * TILE_STEP_PX
        ey = np.exp(2j * np.pi * delta[:, None] * fft.fftfreq(side)[None, :]).astype(np.complex64)
        ex = np.exp(2j * np.pi * fft.rfftfreq(side)[:, None] * delta[None, :]).astype(np.complex64)
        surf = (ey @ cross @ ex).real / side**2 / np.maximum(norm, 1e-30)[:, None, None]
        taper = 1 - 0.3 * (delta[:, None] ** 2 + delta[None, :] ** 2) / (2 * TILE_REACH_PX**2)
        flat = (surf * taper).reshape(len(surf), -1).argmax(1)
        i, j = np.divmod(flat, len(delta))
        interior = (i > 0) & (i < 2 * n) & (j > 0) & (j < 2 * n)
        i, j = np.clip(i, 1, 2 * n - 1), np.clip(j, 1, 2 * n - 1)
        t = np.arange(len(surf))
        p = surf[t, i, j].astype(float)
        dy = (surf[t, i + 1, j] - surf[t, i - 1, j]) / 2
        dx = (surf[t, i, j + 1] - surf[t, i, j - 1]) / 2
        yy = surf[t, i + 1, j] - 2 * p + surf[t, i - 1, j]
        xx = surf[t, i, j + 1] - 2 * p + surf[t, i, j - 1]
        xy = (surf[t, i + 1, j + 1] - surf[t, i + 1, j - 1] - surf[t, i - 1, j + 1] + surf[t, i - 1, j - 1]) / 4
        H = -np.stack([np.stack([yy, xy], -1), np.stack([xy, xx], -1)], -2).astype(float)
        det = H[:, 0, 0] * H[:, 1, 1] - H[:, 0, 1] ** 2
        good = interior & (det > 1e-12) & (H[:, 0, 0] > 0)
        H[~good] = np.eye(2)
        off = np.linalg.solve(H, np.stack([dy, dx], -1)[..., None].astype(float))[..., 0]
        good &= np.all(np.abs(off) <= 1, axis=1)
        shift = np.stack([delta[i], delta[j]], -1) + np.clip(off, -1, 1) * TILE_STEP_PX
        n_eff = 0.264 * side**2 / (4 * np.pi * self.fine_px**2)
        cov = np.linalg.inv(H / TILE_STEP_PX**2) * ((1 - np.clip(p, 0, 0.999) ** 2) / n_eff / np.maximum(p, 1e-3))[:, None, None]
        least = LEAST_SIGMAS / np.sqrt(n_eff)
        trust = np.clip((p - least) / least, 0, 1) * good
        centre = s + (side - 1) / 2 + np.array(state.origin_yx) * 0
        return dict(inside=inside, shift=shift, cov=cov, trust=trust, peak=p, where=centre)

    def _consensus(self, state, found):
        shape = state.reference.shape
        mid = (np.array(shape) - 1) / 2
        arm = found["where"] - mid
        rest = state.rest[found["inside"]]
        n = len(arm)
        A = np.zeros((n, 2, 3)); A[:, 0, 0] = 1; A[:, 1, 1] = 1
        A[:, 0, 2] = arm[:, 1]; A[:, 1, 2] = -arm[:, 0]
        x = np.zeros(3)
        P0 = np.diag([1e-6, 1e-6, 1 / TURN_SIGMA**2])
        weight = found["trust"] * rest
        for scale in SCALES_PX:
            M = np.linalg.inv(found["cov"] + scale**2 * np.eye(2))
            for _ in range(3):
                res = found["shift"] - A @ x
                e2 = np.einsum("ni,nij,nj->n", res, M, res)
                w = weight / (1 + e2 / 4) ** 2
                WM = M * w[:, None, None]
                N = P0 + np.einsum("nia,nij,njb->ab", A, WM, A)
                b = np.einsum("nia,nij,nj->a", A, WM, found["shift"])
                x = np.linalg.solve(N, b)
        res = found["shift"] - A @ x
        e2 = np.einsum("ni,nij,nj->n", res, M, res)
        agree = found["trust"] / (1 + e2 / 4) ** 2
        sigma = float(np.sqrt(np.linalg.eigvalsh(np.linalg.inv(N)[:2, :2])[-1]))
        return x[:2], x[2], sigma, agree, float((agree * rest).sum() / max(rest.sum(), 1e-9))

    def _update(self, state, view, total):
        whole = np.rint(total).astype(int)
        frac = total - whole
        moved = _shifted_fraction(view, -frac)
        aligned = _shifted_integer(moved, -whole, 0.0)
        cover = _shifted_integer(np.ones(view.shape, np.float32), -whole, 0.0)
        count = np.minimum(state.count + cover, self.memory_frames)
        gain = np.where(cover > 0, 1 / np.maximum(count, 1), 0).astype(np.float32)
        return replace(state, reference=state.reference + gain * (aligned - state.reference), count=count)


def _running_mean(image, sigma):
    width = max(int(round(np.sqrt(4 * sigma**2 + 1))) // 2 * 2 + 1, 3)
    for _ in range(3):
        image = ndimage.uniform_filter(image, width, mode="constant")
    return image


def _hann(n):
    return (np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 2).astype(np.float32)


def _power(s, shape):
    p = np.abs(s) ** 2
    return (2 * p.sum() - p[:, 0].sum() - (p[:, -1].sum() if shape[1] % 2 == 0 else 0)) / (shape[0] * shape[1])


def _bilinear(grid, y, x):
    y0 = np.minimum(y.astype(int), max(grid.shape[0] - 2, 0)); x0 = np.minimum(x.astype(int), max(grid.shape[1] - 2, 0))
    y1 = np.minimum(y0 + 1, grid.shape[0] - 1); x1 = np.minimum(x0 + 1, grid.shape[1] - 1)
    fy = (y - y0).astype(np.float32)[:, None]; fx = (x - x0).astype(np.float32)[None]
    rows = grid[y0] * (1 - fy) + grid[y1] * fy
    return rows[:, x0] * (1 - fx) + rows[:, x1] * fx


def _shifted_integer(a, by, fill):
    out = np.full_like(a, fill)
    h, w = a.shape
    dy, dx = int(by[0]), int(by[1])
    if abs(dy) >= h or abs(dx) >= w:
        return out
    out[max(dy, 0) : h + min(dy, 0), max(dx, 0) : w + min(dx, 0)] = a[max(-dy, 0) : h + min(-dy, 0), max(-dx, 0) : w + min(-dx, 0)]
    return out


def _shifted_fraction(a, by):
    for axis in (0, 1):
        t = by[axis]
        # Keys cubic convolution, value at x - t
        taps = np.array([_keys(-1 + k - 0 + t if False else (k - 1) + t) for k in range(3)])
        taps = [_keys(k + t) for k in (-2, -1, 0, 1, 2)]
        a = ndimage.correlate1d(a, np.array(taps), axis=axis, mode="nearest")
    return a


def _keys(x):
    x = abs(x)
    if x < 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    if x < 2:
        return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return 0.0
