"""A signal of the small movie, and no windows."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import pytest
import xarray as xr

from emreel.hyperspy import to_signal

mpl.use("Agg")


@pytest.fixture
def front_signal(front_movie: xr.DataArray) -> Any:
    return to_signal(front_movie)
