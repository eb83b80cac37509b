"""The alarm of a movie that leaves what its model knows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from emreel.fit import fit_model
from emreel.label import label_movie
from emreel.movie import make_movie
from emreel.progress import Note
from emreel.recipe import Recipe, SampleStep
from emreel.result.alarm import find_alarm
from emreel.result.store import UNKNOWN
from emreel.synthetic import TwinLamella


def fractions(unknown: Sequence[float]) -> pd.DataFrame:
    rows = [(frame, label, share) for frame, u in enumerate(unknown) for label, share in ((1, 1 - u), (UNKNOWN, u))]
    return pd.DataFrame(rows, columns=["frame", "label", "fraction"])


@pytest.mark.parametrize(
    ("unknown", "first"),
    [
        ([0.0] * 20, None),
        ([0.004] * 10 + [0.009] * 10, None),
        ([0.0] * 10 + [0.5, 0.5, 0.0] * 3, None),
        ([0.0] * 10 + [0.02] * 3 + [0.0], 10),
        ([0.02] * 10 + [0.05] * 10, None),
        ([0.02] * 10 + [0.07] * 10, 10),
        ([0.0] * 12 + [np.nan, 0.4, 0.4, 0.4], 13),
        ([], None),
    ],
)
def test_it_needs_much_for_long(unknown: list[float], first: int | None) -> None:
    alarm = find_alarm(fractions(unknown))
    assert (alarm is None) == (first is None)
    assert alarm is None or alarm.startswith(f"from frame {first} on")


def test_a_phase_that_the_fit_never_saw_is_told(tmp_path: Path) -> None:
    scene = TwinLamella(shape_yx=(192, 192), n_frames=24, seed=4)
    chosen = (20, 21, 22, 23, 20, 21, 22, 23, 0, 1, 2, 3)
    frames = np.stack([scene.frame(i) for i in chosen])
    labels = np.stack([scene.truth(i).labels for i in chosen])
    assert not (labels[:8] == 2).any() and (labels[8:] == 2).mean() > 0.05
    model = fit_model(make_movie(frames[:4]), Recipe(sample=SampleStep(frames=4)).with_clusters(2))
    told: list[object] = []
    result = label_movie(make_movie(frames), model, tmp_path / "r", progress=told.append)
    unknown = np.asarray(result.label) == UNKNOWN
    assert unknown[8:][labels[8:] == 2].mean() > 0.7 and unknown[:8].mean() < 0.001
    assert [note.text for note in told if isinstance(note, Note) and "from frame 8 on" in note.text]
