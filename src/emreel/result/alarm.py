"""Whether a movie leaves what its model knows: frames in which more and more fits no class."""

from __future__ import annotations

import numpy as np
import pandas as pd

from emreel.progress import Note, Progress
from emreel.result.handle import Result
from emreel.result.store import UNKNOWN

#: The share of a frame that may be unknown: so much, or so many times what the first frames have.
LEAST_SHARE, FACTOR, FIRST_FRAMES = 0.01, 3.0, 8
#: Frames, one after another, that make an alarm.
FRAMES = 3


def tell_alarm(result: Result, progress: Progress) -> None:
    """A note where a result's labels leave what its model knows."""
    alarm = find_alarm(result.table("class_fraction"))
    if alarm is not None:
        progress(Note(alarm))


def find_alarm(fractions: pd.DataFrame) -> str | None:
    """One sentence, or None: `FRAMES` frames one after another in which too much is unknown.

    fractions : the table ``class_fraction``.
    """
    share = fractions[fractions["label"] == UNKNOWN].set_index("frame")["fraction"].fillna(0.0)
    first = share.iloc[:FIRST_FRAMES]
    usual = float(np.median(first)) if len(first) else 0.0
    over = share > max(LEAST_SHARE, FACTOR * usual)
    runs = (over != over.shift()).cumsum()[over]
    long = [run.index for _, run in runs.groupby(runs) if len(run) >= FRAMES]
    if not long:
        return None
    worst = 100 * float(share[over].max())
    return (
        f"from frame {long[0][0]} on, up to {worst:.0f} % of a frame fits no class (label {UNKNOWN}): a phase that the "
        "fit never saw, or a contrast that changed. Fit with these frames as well, or let the classes follow slowly: "
        "[time] follow = 'slow'"
    )
