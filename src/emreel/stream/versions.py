"""Models that follow one another while a movie is being taken, and labels that keep their meaning through them.

A later model has its own classes in its own order. Each is matched to a label that the result has already, by the
pixels that both have; a class that matches none is a new phase and takes the next number. No number is used twice.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from emreel.model import FrameLabels, Model, ModelError
from emreel.result.files import write_file

#: A result has room for so many phases, those that are not there yet included.
MOST_LABELS = 12
#: A class is a phase of before when they share so much of the pixels that either of them has.
SAME_PHASE = 0.2
_FILE, _FOLDER = "versions.json", "versions"


@dataclass(frozen=True, eq=False)
class Version:
    """A model and the label that each of its classes has in the result: class i is ``labels[i]``, from 1 on."""

    number: int
    model: Model
    labels: tuple[int, ...]
    known: int = field(default=0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "known", max(self.known, *self.labels))

    def renumber(self, found: FrameLabels) -> FrameLabels:
        """What the model says of a frame, in labels of the result; memberships of absent phases are 0."""
        numbers = np.arange(256, dtype=np.uint8)
        numbers[1 : len(self.labels) + 1] = self.labels
        membership = np.zeros((MOST_LABELS, *found.membership.shape[1:]), np.uint8)
        membership[np.array(self.labels) - 1] = found.membership
        return replace(found, label=numbers[found.label], membership=membership)

    def follow(self, model: Model, frames: Iterable[npt.NDArray[Any]]) -> Version:
        """The next version: the classes of ``model`` under labels that keep their meaning on ``frames``, (y, x) each.

        Raises
        ------
        ModelError : there are more phases than a result has room for.
        """
        shared = np.zeros((model.n_clusters, self.known), np.int64)
        new_px, old_px = np.zeros(model.n_clusters, np.int64), np.zeros(self.known, np.int64)
        to_label = np.zeros(256, np.int64)
        to_label[1 : len(self.labels) + 1] = self.labels
        for frame in frames:
            new, old = model.label(frame), to_label[self.model.label(frame)]
            ours = new <= model.n_clusters
            pairs = np.bincount(new[ours].astype(np.int64) * (self.known + 1) + old[ours])
            counts = np.zeros((model.n_clusters + 1) * (self.known + 1), np.int64)
            counts[: pairs.size] = pairs
            table = counts.reshape(model.n_clusters + 1, self.known + 1)[1:]
            shared += table[:, 1:]
            new_px += table.sum(axis=1)
            old_px += np.bincount(old.ravel(), minlength=self.known + 1)[1:]
        labels = match_classes(shared, new_px, old_px)
        if max(labels) > MOST_LABELS:
            raise ModelError(f"{max(labels)} phases have been seen, and a watched result has room for {MOST_LABELS}.")
        return Version(self.number + 1, model, labels, self.known)


def match_classes(
    shared: npt.NDArray[np.int64], new_px: npt.NDArray[np.int64], old_px: npt.NDArray[np.int64]
) -> tuple[int, ...]:
    """The label of each new class: an old one, or the next that is free.

    shared : shape (new class, old label), px that both have; ``new_px``, ``old_px`` : px of each. The pairing is the
    one whose shared parts of the union add up to the most (Kuhn, Naval Research Logistics Quarterly 2 (1955) 83).

    >>> match_classes(np.array([[0, 90], [5, 5], [100, 0]]), np.array([90, 60, 100]), np.array([105, 95]))
    (2, 3, 1)
    """
    from scipy.optimize import linear_sum_assignment

    union = new_px[:, None] + old_px[None, :] - shared
    alike = shared / np.maximum(union, 1)
    of_class = {
        int(new): int(old) + 1 for new, old in zip(*linear_sum_assignment(-alike), strict=True)
        if alike[new, old] >= SAME_PHASE
    }  # fmt: skip
    labels, next_free = [], len(old_px) + 1
    for new in range(len(new_px)):
        if new in of_class:
            labels.append(of_class[new])
        else:
            labels.append(next_free)
            next_free += 1
    return tuple(labels)


def save_versions(path: str | os.PathLike[str], versions: Sequence[Version]) -> None:
    """Keep the versions of a result; the first one's model is the result's ``model.zarr``. Raises StorageError."""
    for version in versions[1:]:
        place = _model_of(path, version.number)
        if not place.exists():
            version.model.save(place)
    listed = [
        {"version": one.number, "digest": one.model.digest, "labels": one.labels, "known": one.known}
        for one in versions
    ]  # fmt: skip
    write_file(Path(path) / _FILE, json.dumps(listed, indent=1).encode())


def load_versions(path: str | os.PathLike[str]) -> list[Version]:
    """The versions of a result, the last is the one to go on with.

    Raises
    ------
    ModelError : missing or damaged.
    """
    first = Model.load(_model_of(path, 1))
    file = Path(path) / _FILE
    if not file.exists():  # stopped before it was written
        return [first_version(first)]
    try:
        return [_version_of(one, path, first) for one in json.loads(file.read_text("utf-8"))]
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{file} is damaged ({error}). Watch into another folder.") from error


def _version_of(listed: Mapping[str, Any], path: str | os.PathLike[str], first: Model) -> Version:
    number, labels = int(listed["version"]), tuple(int(label) for label in listed["labels"])
    model = first if number == 1 else Model.load(_model_of(path, number))
    if len(labels) != model.n_clusters or not all(1 <= label <= MOST_LABELS for label in labels):
        raise ValueError(f"version {number} has {model.n_clusters} classes and the labels {labels}")
    return Version(number, model, labels, int(listed["known"]))


def first_version(model: Model) -> Version:
    """A first model, whose labels are its own."""
    return Version(1, model, tuple(range(1, model.n_clusters + 1)))


def _model_of(path: str | os.PathLike[str], number: int) -> Path:
    return Path(path) / ("model.zarr" if number == 1 else f"{_FOLDER}/{number}.zarr")
