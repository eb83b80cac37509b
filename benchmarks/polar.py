"""Rotation and reflection symmetry against pySTEM as shipped: scores and their pooling, at the published settings.

``python benchmarks/polar.py tests/data/pystem_polar.npz`` writes pySTEM's scores and features of a small frame, so
that the tests can hold emreel against them without building pySTEM.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import numpy.typing as npt
from harness import Contest, in_process, item
from peers import HERE, PeerProcess, pystem_python
from translation import lattice_frame

from emreel.descriptors.reflection import ReflectionSymmetry
from emreel.descriptors.rotation import RotationSymmetry

Array = npt.NDArray[Any]
SETTINGS = {"radius_px": 20, "window_px": 20, "step_px": 5, "radii": 20, "angles": 60, "largest": 10}
#: Of the small frame for the tests.
SMALL = {"radius_px": 9, "window_px": 8, "step_px": 4, "radii": 9, "angles": 60, "largest": 10}


def both(settings: dict[str, int]) -> tuple[RotationSymmetry, ReflectionSymmetry]:
    """Our two descriptors at these settings; grid points lie on every position, as in pySTEM."""
    return (
        RotationSymmetry(stride=settings["step_px"], **settings),
        ReflectionSymmetry(stride=settings["step_px"], **settings),
    )


def cut_for_pystem(frame: Array, settings: dict[str, int]) -> Array:
    """The part of a padded frame that pySTEM needs for the same grid: it reads no further than radius and window."""
    extra = both(settings)[0].halo - settings["radius_px"] - settings["window_px"]
    return frame[extra:-extra, extra:-extra]


def as_ours(features: Array, largest: int) -> Array:
    """pySTEM's features (rank by operation, for rotation and then reflection) in our order (operation by rank)."""
    n_turned = 4 * largest
    parts = (features[..., :n_turned], features[..., n_turned:])
    turned = [part.reshape(*part.shape[:2], largest, -1).swapaxes(2, 3) for part in parts]
    return np.concatenate([part.reshape(*part.shape[:2], -1) for part in turned], axis=-1)


@item("polar_pystem")
def polar_pystem(tiny: bool) -> Contest:
    """Rotation and reflection, 140 features a grid point; the error is that of the scores before pooling."""
    rotation, reflection = both(SETTINGS)
    frame = lattice_frame((24 if tiny else 256) + 2 * rotation.halo)
    cut = cut_for_pystem(frame, SETTINGS)
    peer = PeerProcess(pystem_python(), HERE / "pystem_polar_worker.py")
    _, scores = peer.ask(cut, method="scores", **SETTINGS)

    def error(ours: Array, theirs: Array) -> float:
        found = np.concatenate([rotation.scores(frame), reflection.scores(frame)], axis=1).swapaxes(1, 2)
        n_y, n_x = found.shape[:2]
        pooled = np.abs(ours - as_ours(theirs, SETTINGS["largest"])).max()
        return float(max(np.abs(found - scores[:n_y, :n_x]).max(), pooled))

    def ours() -> Array:
        return np.concatenate([rotation(frame), reflection(frame)], axis=-1)

    return Contest(
        ours=in_process(ours),
        peer=lambda: peer.ask(cut, method="features", **SETTINGS),
        n_outputs=int(np.prod(ours().shape)),
        error=error,
        peer_name="pystem 0.0.26",
        close=peer.close,
    )


def main() -> None:
    """Ask pySTEM about a small frame and write the file named on the command line."""
    frame = lattice_frame(2 * both(SMALL)[0].halo + 14)[:, :-4]
    peer = PeerProcess(pystem_python(), HERE / "pystem_polar_worker.py")
    try:
        cut = cut_for_pystem(frame, SMALL)
        _, scores = peer.ask(cut, method="scores", **SMALL)
        _, features = peer.ask(cut, method="features", **SMALL)
    finally:
        peer.close()
    np.savez_compressed(
        sys.argv[1],
        frame=frame,
        scores=scores.astype(np.float32),
        features=as_ours(features, SMALL["largest"]).astype(np.float32),
        **SMALL,
    )


if __name__ == "__main__":
    main()
