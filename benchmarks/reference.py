"""Writes pySTEM's numbers on a small frame: ``python benchmarks/reference.py tests/data/pystem_translation.npz``.

The file holds the frame, its settings and pySTEM's features (method fft), so that the tests can hold emreel against
them without building pySTEM.
"""

from __future__ import annotations

import sys

import numpy as np
from peers import HERE, PeerProcess, pystem_python
from translation import lattice_frame

SETTINGS = {"patch_px": 6, "window_px": 8, "max_shifts": 100, "stride": 3}


def main() -> None:
    """Ask pySTEM and write the file named on the command line."""
    frame = lattice_frame(64)[:, :60]
    peer = PeerProcess(pystem_python(), HERE / "pystem_worker.py")
    try:
        _, features = peer.ask(frame, method="fft", **SETTINGS)
    finally:
        peer.close()
    np.savez_compressed(sys.argv[1], frame=frame, features=features, **SETTINGS)


if __name__ == "__main__":
    main()
