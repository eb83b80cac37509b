"""Fitting while watching: a phase that comes late gets its own label, and the others keep theirs through versions."""

from __future__ import annotations

import threading
from concurrent.futures import wait
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emreel.model import FrameLabels, Model, ModelError
from emreel.movie import make_movie
from emreel.recipe import DescriptorStep, Recipe, TimeStep
from emreel.result import ResultError, open_result, read_ledger, verify_result
from emreel.stream import Fitting, PushedFrames, Replay, StreamError, Watching, watch
from emreel.stream.fitting import FittingSource
from emreel.stream.repair import repair_watched
from emreel.stream.versions import MOST_LABELS, Version, first_version, load_versions, match_classes, save_versions

N_FRAMES, LATE, SIDE = 44, 14, 128
FIT = Fitting(recipe=Recipe(descriptor=DescriptorStep(name="lattice", fields={"stride": 4})), first_frames=6)


def truth(index: int) -> np.ndarray:
    """1 and 2 are crystals from the beginning; 3, amorphous and so the first in any model's order, comes late."""
    y, x = np.mgrid[:SIDE, :SIDE]
    phases = np.where(x < 48, 1, 2)
    radius = min(8 + 4 * (index - LATE), 34) if index >= LATE else 0
    return np.where((x - 88) ** 2 + (y - 64) ** 2 < radius**2, 3, phases)


def frame(index: int) -> np.ndarray:
    y, x = np.mgrid[:SIDE, :SIDE]

    def lattice(period_px: float, angle: float) -> np.ndarray:
        u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        return np.cos(2 * np.pi * u / period_px) + np.cos(2 * np.pi * v / period_px)

    phase = truth(index)
    counts = np.choose(phase - 1, [40 + 12 * lattice(8, 0.2), 40 + 12 * lattice(5.5, 0.7), np.full((SIDE, SIDE), 46.0)])
    return np.random.default_rng(index).poisson(counts).astype(np.uint16)


@pytest.fixture(scope="module")
def movie_frames() -> list[np.ndarray]:
    return [frame(index) for index in range(N_FRAMES)]


def play(movie_frames: list[np.ndarray]) -> Replay:
    return Replay(make_movie(np.stack(movie_frames)), speed=float("inf"))


@pytest.fixture(scope="module")
def watched(movie_frames: list[np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Watched with every fit waited for, so that versions begin at the same frames wherever this runs."""
    path, next_version = tmp_path_factory.mktemp("fitted") / "r", FittingSource.next_version

    def wait_for_version(fitting: FittingSource) -> Version | None:
        if fitting._running is not None:
            wait([fitting._running])
        return next_version(fitting)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FittingSource, "next_version", wait_for_version)
        watch(play(movie_frames), FIT, path)
    return path


def share_of(label: np.ndarray, where: np.ndarray, value: int) -> float:
    """Share of the pixels of ``where``, away from its rim, with a label."""
    from scipy.ndimage import binary_erosion

    return float(np.mean(label[binary_erosion(where, iterations=6, border_value=1)] == value))


def test_a_late_phase_gets_a_label_and_the_others_keep_theirs(watched: Path) -> None:
    result = open_result(watched)
    versions = result.facts["stream"]["versions"]
    assert len(versions) >= 2 and versions[0]["from_frame"] == 0 and versions[0]["labels"] == [1, 2]
    labels = result.label.values
    of_crystals = [int(np.bincount(labels[0][truth(0) == phase]).argmax()) for phase in (1, 2)]
    assert sorted(of_crystals) == [1, 2]
    for index in range(0, N_FRAMES, 6):
        for phase, value in zip((1, 2), of_crystals, strict=True):
            assert share_of(labels[index], truth(index) == phase, value) > 0.9, index
    last = labels[-1]
    assert share_of(last, truth(N_FRAMES - 1) == 3, 3) > 0.9
    assert not (labels[:LATE] == 3).any()


def test_versions_are_kept_and_marked(watched: Path) -> None:
    result, rows = open_result(watched), {}
    for record in read_ledger(watched).done.values():
        rows[record.rows[0]["frame"]] = record.rows[0]["version"]
    marks = [rows[index] for index in range(N_FRAMES)]
    assert marks == sorted(marks) and verify_result(watched) == []
    versions = load_versions(watched)
    for told in result.facts["stream"]["versions"]:
        version = versions[told["version"] - 1]
        assert told["model"] == version.model.digest and told["labels"] == list(version.labels)
        assert marks.index(told["version"]) == told["from_frame"]
    assert result.membership.sizes["class"] == MOST_LABELS


def test_each_frame_is_what_its_version_says(watched: Path, movie_frames: list[np.ndarray]) -> None:
    result, versions = open_result(watched), load_versions(watched)
    for record in list(read_ledger(watched).done.values())[::9]:
        index, version = record.rows[0]["frame"], versions[record.rows[0]["version"] - 1]
        said = version.renumber(
            version.model.label_frame(movie_frames[index], version.model.report(movie_frames[index]))
        )
        np.testing.assert_array_equal(result.label.values[index], said.label)
        np.testing.assert_array_equal(np.rint(result.membership.values[index] * 255), said.membership)


def test_it_goes_on_with_the_last_version_and_mends(watched: Path, movie_frames: list[np.ndarray]) -> None:
    before = open_result(watched).label.values
    chunk = next((watched / "movie.zarr" / "labels" / "segments" / "label" / "c" / "40").rglob("0"))
    chunk = chunk if chunk.is_file() else next(file for file in chunk.rglob("*") if file.is_file())
    chunk.write_bytes(b"damaged")
    assert repair_watched(play(movie_frames), watched) == 1
    last = load_versions(watched)[-1]
    np.testing.assert_array_equal(open_result(watched).label.values[:40], before[:40])
    assert read_ledger(watched).done[40].rows[0]["version"] == last.number


def test_frames_are_labelled_while_a_model_is_fitted(
    movie_frames: list[np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fit is held until more frames are labelled; those after it have the new version."""
    labelled, go_on, refit = [0], threading.Event(), FittingSource._refit

    def held(fitting: FittingSource, *args: Any) -> Version:
        assert go_on.wait(60)
        return refit(fitting, *args)

    def note(fitting: FittingSource, row: Any) -> None:
        labelled[0] += 1
        if labelled[0] == 20:
            go_on.set()
            wait([fitting._running])

    monkeypatch.setattr(FittingSource, "_refit", held)
    monkeypatch.setattr(FittingSource, "note", note)
    result = watch(play(movie_frames[:26]), FIT, tmp_path / "r")
    first, second = result.facts["stream"]["versions"][:2]
    assert first["from_frame"] == 0 and 20 <= second["from_frame"] < 26
    assert result.facts["stream"]["n_labelled"] == 26


def test_a_result_of_a_given_model_is_not_fitted_on(movie_frames: list[np.ndarray], watched: Path) -> None:
    model = load_versions(watched)[0].model
    with pytest.raises(ResultError, match="fitted while watching"):
        watch(play(movie_frames), model, watched)


def test_few_frames_make_a_model_as_well(movie_frames: list[np.ndarray], tmp_path: Path) -> None:
    source = PushedFrames()
    for one in movie_frames[:3]:
        source.push(one)
    source.close()
    result = watch(source, FIT, tmp_path / "r", how=Watching(idle_s=5.0))
    assert result.label.sizes["time"] == 3 and [v["version"] for v in result.facts["stream"]["versions"]] == [1]


def test_no_frame_and_no_sense(tmp_path: Path) -> None:
    source = PushedFrames()
    source.close()
    with pytest.raises(StreamError, match="no frame came"):
        watch(source, FIT, tmp_path / "r")
    assert not (tmp_path / "r" / "movie.zarr").exists()
    with pytest.raises(StreamError, match="first_frames=9"):
        Fitting(first_frames=9, most_frames=4)
    with pytest.raises(StreamError, match="follows frame by frame"):
        Fitting(recipe=Recipe(time=TimeStep(follow="step")))


# ------------------------------------------------------------------------------------------------ labels


@settings(max_examples=40)
@given(st.permutations(range(5)), st.integers(0, 5), st.integers(0, 2**32 - 1))
def test_classes_in_another_order_keep_their_labels(order: list[int], n_new: int, seed: int) -> None:
    """Classes of before, shuffled, with a few that were not there put in between."""
    shared = np.zeros((5 + n_new, 5), np.int64)
    places = np.random.default_rng(seed).permutation(5 + n_new)
    for new, old in zip(places, order, strict=False):
        shared[new, old] = 100
    labels = match_classes(shared, np.full(5 + n_new, 100), np.full(5, 100))
    assert [labels[place] for place in places[:5]] == [old + 1 for old in order]
    assert sorted(labels) == list(range(1, 6 + n_new))


def test_what_has_gone_is_not_used_again() -> None:
    assert match_classes(np.array([[80, 70]]), np.array([160]), np.array([80, 80])) == (1,)
    assert match_classes(np.array([[90, 0], [0, 0]]), np.array([90, 50]), np.array([100, 80])) == (1, 3)


def test_renumbered_labels_and_memberships(instant_model: Model, frames: np.ndarray) -> None:
    found = instant_model.label_frame(frames[0], instant_model.report(frames[0]))
    said = Version(2, instant_model, (5, 1, 3)).renumber(found)
    assert isinstance(said, FrameLabels) and said.membership.shape[0] == MOST_LABELS
    for own, label in zip((1, 2, 3), (5, 1, 3), strict=True):
        np.testing.assert_array_equal(said.label == label, found.label == own)
        np.testing.assert_array_equal(said.membership[label - 1], found.membership[own - 1])
    np.testing.assert_array_equal(said.label >= 254, found.label >= 254)
    assert said.membership.sum() == found.membership.sum()


def test_more_phases_than_there_is_room(instant_model: Model, frames: np.ndarray) -> None:
    crowded = Version(7, instant_model, (1, 2, 3), known=MOST_LABELS)
    assert crowded.follow(instant_model, frames[:1]).labels == (1, 2, 3)
    gone = Version(7, instant_model, (10, 11, 12))
    moved = Version(1, instant_model, (1, 2, 3))
    assert moved.follow(instant_model, frames[:2]).labels == (1, 2, 3) and gone.known == 12
    with pytest.raises(ModelError, match="room for 12"):
        gone.follow(instant_model, [np.zeros_like(frames[0])])


def test_damaged_versions_are_refused(instant_model: Model, tmp_path: Path) -> None:
    instant_model.save(tmp_path / "model.zarr")
    assert [version.labels for version in load_versions(tmp_path)] == [(1, 2, 3)]
    save_versions(tmp_path, [first_version(instant_model), Version(2, instant_model, (3, 1, 4))])
    assert [version.labels for version in load_versions(tmp_path)] == [(1, 2, 3), (3, 1, 4)]
    text = (tmp_path / "versions.json").read_text()
    for right, wrong in (("3,", "99,"), ("labels", "label"), ("[", "{")):
        (tmp_path / "versions.json").write_text(text.replace(right, wrong))
        with pytest.raises(ModelError, match="is damaged"):
            load_versions(tmp_path)
