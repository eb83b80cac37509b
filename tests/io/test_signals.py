"""What HyperSpy loads is, as a movie, what emreel opens: reader by reader."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import hyperspy.api as hs
import numpy as np
import pytest

from emreel.hyperspy import HyperSpyError, from_signal
from emreel.io import open_movie
from emreel.movie import frame_times_s, pixel_size_nm


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # some readers leave files open
@pytest.mark.parametrize("name", ["hspy", "mrc", "blockfile", "emd_ncem", "tiff", "ripple", "tvips", "mib"])
@pytest.mark.parametrize("lazy", [False, True])
def test_a_signal_of_every_reader(name: str, lazy: bool, tmp_path: Path, writers: Any) -> None:
    """HyperSpy's reader and ours see the same pixels, and the same calibration where both see one."""
    frames = (
        np.random.default_rng(1).integers(0, 200, (7, 16, 16)).astype(np.uint8 if name == "blockfile" else np.uint16)
    )
    path = getattr(writers, f"write_{name}")(tmp_path, frames)
    signal = hs.load(path, lazy=lazy)
    if signal.axes_manager.signal_dimension != 2:  # as the error tells
        with pytest.raises(HyperSpyError, match=r"signal.transpose\(signal_axes=2\)"):
            from_signal(signal)
        signal = signal.transpose(signal_axes=2)
    theirs, ours = from_signal(signal), open_movie(path)
    np.testing.assert_array_equal(theirs.values, ours.values)
    for tell in (pixel_size_nm, frame_times_s):
        if tell(theirs) is not None and tell(ours) is not None:
            np.testing.assert_allclose(tell(theirs), tell(ours), rtol=1e-5)
    del signal, theirs
    gc.collect()
