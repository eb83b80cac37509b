"""How often faults are tried, and how that is told to `make faults`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from emreel.fit import fit_model
from emreel.model import Model
from emreel.movie import make_movie
from emreel.synthetic import AmorphousFront, Detector


@pytest.fixture
def times(record_property: Callable[[str, object], None]) -> Callable[[int], int]:
    """``times(n)``: how often to try, all n with FULL=1, a tenth in `make faults`, and less among all other tests."""

    def count(n: int) -> int:
        tries = n if os.environ.get("FULL") == "1" else max(1, n // (10 if os.environ.get("FAULTS") == "1" else 50))
        record_property("tries", tries)
        return tries

    return count


@pytest.fixture(scope="session")
def small_frames() -> np.ndarray:
    """Thirty frames, quick to label."""
    scene = AmorphousFront(shape_yx=(128, 144), n_frames=6, detector=Detector(dose=60.0), seed=8)
    return np.concatenate([np.stack([scene.frame(i) for i in range(6)])] * 5)


@pytest.fixture(scope="session")
def small_model(small_frames: np.ndarray) -> Model:
    return fit_model(make_movie(small_frames[:6]), n_clusters=3)


@pytest.fixture
def one_frame_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    from emreel.label import layout as label_layout

    monkeypatch.setattr(label_layout, "MOST_FRAMES_PER_BLOCK", 1)


@pytest.fixture
def files_of() -> Callable[[Path], dict[str, bytes]]:
    """The files of a result that do not depend on the order in which blocks were done."""

    def read(path: Path) -> dict[str, bytes]:
        files = (file for file in path.rglob("*") if file.is_file() and file.name not in ("ledger.jsonl", "lock"))
        return {str(file.relative_to(path)): file.read_bytes() for file in files}

    return read
