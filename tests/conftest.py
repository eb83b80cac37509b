"""Fixtures for every test, and the rule on tests that need the data beside the checkout."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

DATA = Path(os.environ.get("EMREEL_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Movies with truth and real micrographs; outside CI a test that needs them is skipped when they are absent."""
    if not DATA.is_dir():
        message = f"no test data at {DATA}; set EMREEL_DATA"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return DATA
