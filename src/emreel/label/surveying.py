"""What is found in every frame of a movie before it is labelled, kept as a table of the result."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import xarray as xr

from emreel.model import Model
from emreel.prepare.measure import survey_movie
from emreel.prepare.survey import Survey
from emreel.progress import Note, Progress, StageStarted, StepsDone
from emreel.result import drift_of, read_survey, write_survey


@dataclass(frozen=True, eq=False)
class Surveyed:
    """drift_yx_px : where the specimen stands in every frame, shape (time, 2), px. unread : frames nobody can read."""

    drift_yx_px: npt.NDArray[np.float64] | None = None
    unread: frozenset[int] = frozenset()


def survey_for_labels(movie: xr.DataArray, model: Model, path: str | os.PathLike[str], progress: Progress) -> Surveyed:
    """What labelling needs to know of frames beforehand; nothing for a model that does not survey.

    What is found is a table of the result, written when it is whole: a run that goes on reads it back.
    """
    if not model.survey:
        return Surveyed()
    n_frames = movie.sizes["time"]
    table = read_survey(path, n_frames)
    if table is None or "unreadable" in set(table["status"]):  # perhaps they can be read now
        progress(StageStarted("survey", n_frames))
        survey = Survey(reference_mean=model.prepare.reference_mean)
        rows = survey_movie(movie, survey, lambda n: progress(StepsDone("survey", n, n_frames)))
        table = write_survey(path, rows)
        odd = [f"{n} {status}" for status, n in table["status"].value_counts().items() if status != "good"]
        if odd:
            progress(Note(f"of {n_frames} frames {', '.join(odd)}: see the table 'quality'"))
    unread = np.flatnonzero(table["status"] == "unreadable")
    return Surveyed(drift_of(table), frozenset(unread.tolist()))
