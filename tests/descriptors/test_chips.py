"""Chips: where they lie, how they meet the frame's edge and dead pixels, what is learned from a movie, networks."""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import json
import operator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emreel.descriptors.chips import Chips, LevelSample, cut_chips
from emreel.descriptors.embeddings.errors import ChipsError
from emreel.descriptors.embeddings.own import embed_own
from emreel.descriptors.geometry import pad_frame
from emreel.descriptors.registry import build_descriptor, describe_descriptor, suggest_descriptor
from emreel.testing import check_descriptor

few = settings(max_examples=20, deadline=None)
TINY = {"blocks": (1, 1, 1, 1), "width": 2, "input_px": 32}


def beside(name):
    """The helpers of a neighbouring folder's conftest."""
    spec = importlib.util.spec_from_file_location("embedding_files", Path(__file__).parent / "embeddings" / name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


FILES = beside("conftest.py")
onnxruntime = FILES.onnxruntime


@pytest.fixture
def weights(tmp_path):
    """The path of a small ResNet in MicroNet's key format."""
    return str(FILES.write_state_dict(tmp_path / "net.pth.tar", FILES.random_resnet(0, TINY["blocks"], TINY["width"])))


def lattice(shape=(96, 90), period=8.0, seed=0, noise=6.0):
    y, x = np.mgrid[: shape[0], : shape[1]]
    wave = np.cos(2 * np.pi * x / period) + np.cos(2 * np.pi * y / period)
    return (100 + 20 * wave + np.random.default_rng(seed).normal(0, noise, shape)).astype(np.float32)


def fold_over(frames, valid=None):
    def fold(of):
        masks = [np.ones(frame.shape, bool) for frame in frames] if valid is None else valid
        return functools.reduce(operator.add, [of(frame, mask) for frame, mask in zip(frames, masks, strict=True)])

    return fold


# ------------------------------------------------------------------------------------------- conformance


@pytest.mark.parametrize(("chip_px", "stride"), [(9, 3), (12, 4), (13, 7)])
def test_conforms(chip_px, stride):
    frame = lattice((61, 53), period=4.5)
    check_descriptor(Chips(chip_px=chip_px, stride=stride, brightness_range=(60.0, 150.0)), frame, tolerance=1e-5)


def test_networks_conform(onnxruntime, weights):
    chips = Chips(embedding=weights, chip_px=9, stride=5, pixel_range=(40.0, 160.0), **TINY)
    check_descriptor(chips, lattice((31, 27), period=4.5), tolerance=1e-5, tile_px=16)


# ------------------------------------------------------------------------------------------ where chips lie


@few
@given(st.integers(4, 11), st.integers(1, 9), st.integers(1, 40), st.integers(1, 40), st.integers(0, 99))
def test_inside_a_frame_a_chip_is_the_square_around_its_pixel(chip_px, stride, height, width, seed):
    halo = 2 * (chip_px // 2)
    padded = np.random.default_rng(seed).normal(size=(height + 2 * halo, width + 2 * halo)).astype(np.float32)
    n_cols = -(-width // stride)
    for rows, chips in cut_chips(padded, None, chip_px, stride):
        for n, chip in enumerate(chips):
            i, j = rows.start + n // n_cols, n % n_cols
            y, x = i * stride + halo - chip_px // 2, j * stride + halo - chip_px // 2
            np.testing.assert_array_equal(chip, padded[y : y + chip_px, x : x + chip_px])


@few
@given(st.integers(4, 11), st.integers(1, 5), st.integers(0, 99))
def test_at_the_edge_a_chip_moves_into_the_frame(chip_px, stride, seed):
    rng = np.random.default_rng(seed)
    frame = rng.normal(size=(chip_px + rng.integers(0, 20), chip_px + rng.integers(0, 20))).astype(np.float32)
    padded, valid = pad_frame(frame, 2 * (chip_px // 2))
    n_cols = -(-frame.shape[1] // stride)
    for rows, chips in cut_chips(padded, valid, chip_px, stride):
        for n, chip in enumerate(chips):
            corner = [
                min(max(at * stride - chip_px // 2, 0), size - chip_px)
                for at, size in zip((rows.start + n // n_cols, n % n_cols), frame.shape, strict=True)
            ]
            expected = frame[corner[0] : corner[0] + chip_px, corner[1] : corner[1] + chip_px]
            np.testing.assert_array_equal(chip, expected)


def test_dead_pixels_show_what_lies_opposite():
    chip_px, halo = 9, 8
    padded = np.random.default_rng(0).normal(100, 10, (9 + 2 * halo, 9 + 2 * halo)).astype(np.float32)
    valid = np.ones(padded.shape, bool)
    y, x = halo, halo  # the chip of pixel (4, 4) has its corner there
    valid[y + 2, x + 1] = False  # opposite through the vertical middle line: valid
    valid[y + 5, x + 4] = False  # on that line: through the horizontal one
    valid[y + 4, x + 4] = False  # in the middle: the mean
    ((_, chips),) = list(cut_chips(padded, valid, chip_px, 4))
    chip, whole = chips[4].astype(np.float64), padded[y : y + 9, x : x + 9].astype(np.float64)
    mask = valid[y : y + 9, x : x + 9]
    np.testing.assert_array_equal(chip[mask], whole[mask])
    assert chip[2, 1] == whole[2, 7] and chip[5, 4] == whole[3, 4]
    assert chip[4, 4] == pytest.approx(whole[mask].mean(), rel=1e-6)


def test_there_is_no_rim():
    """On one crystal, chips at the frame's edge and corners are like those in the middle."""
    chips = Chips(chip_px=33, stride=8, brightness_range=(60.0, 140.0))
    rows = chips(*pad_frame(lattice((160, 150)), chips.halo)).astype(np.float64)
    middle = rows[8:12, 8:12].reshape(-1, rows.shape[2])
    assert (rows.reshape(-1, rows.shape[2]) @ middle.T).min() > 0.985


def test_a_chip_is_embedded_as_it_is():
    chips = Chips(chip_px=21, stride=10, brightness_range=(50.0, 150.0))
    frame = lattice()
    got = chips(*pad_frame(frame, chips.halo))
    expected = embed_own(frame[None, 30 - 10 : 30 + 11, 40 - 10 : 40 + 11], brightness_range=(50.0, 150.0))[0]
    np.testing.assert_allclose(got[3, 4], expected, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(got, axis=2), 1, atol=1e-6)


def test_cosine_survives_the_mean():
    chips = Chips(chip_px=21, stride=10)
    rows = chips(*pad_frame(lattice(noise=30), chips.halo)).reshape(-1, len(chips.features)).astype(np.float64)
    centred = rows - rows.mean(axis=0)
    squared = ((centred[:, None] - centred[None]) ** 2).sum(axis=2)
    np.testing.assert_allclose(1 - squared / 2, rows @ rows.T, atol=1e-6)


# ------------------------------------------------------------------------------------------- what is learned


@pytest.mark.parametrize("period", [6.0, 8.0, 13.0])
def test_side_and_stride_follow_the_lattice(period):
    frames = [lattice((200, 200), period, seed) for seed in range(3)]
    found = Chips.suggest({}, fold_over(frames))
    assert abs(found.chip_px - 4 * period) <= 1.5 and found.chip_px % 2 == 1
    assert found.stride == found.chip_px // 2 and found.halo == found.chip_px - 1
    assert Chips.suggest({"stride": 3}, fold_over(frames)) == dataclasses.replace(found, stride=3)


def test_a_movie_without_a_lattice_gets_the_usual_side():
    rng = np.random.default_rng(0)
    frames = [rng.normal(100, 10, (160, 160)).astype(np.float32) for _ in range(2)]
    found = Chips.suggest({}, fold_over(frames))
    assert (found.chip_px, found.stride) == (33, 16)


def test_the_range_of_brightness_is_that_of_the_chips():
    ramp = np.linspace(50, 150, 200)[:, None] * np.ones((1, 100))
    noise = np.random.default_rng(0).normal(0, 40, ramp.shape)
    found = Chips.suggest({"chip_px": 10, "stride": 5}, fold_over([(ramp + noise).astype(np.float32)]))
    np.testing.assert_allclose(found.brightness_range, (53, 147), atol=10)
    assert found.pixel_range is None
    flat = [np.full((60, 60), 7.0, np.float32)]
    assert Chips.suggest({"chip_px": 10}, fold_over(flat)).brightness_range is None


def test_a_network_learns_the_range_of_pixels(weights):
    frame = np.random.default_rng(0).uniform(20, 80, (100, 100)).astype(np.float32)
    found = Chips.suggest({"embedding": weights, "chip_px": 10, **TINY}, fold_over([frame]))
    np.testing.assert_allclose(found.pixel_range, (20.3, 79.7), atol=0.5)
    assert found.brightness_range is None


def test_levels_leave_out_what_is_invalid():
    frame = np.full((40, 40), 5.0, np.float32)
    frame[:20] = np.nan
    valid = np.isfinite(frame)
    sample = LevelSample.of(np.where(valid, frame, 1e9).astype(np.float32), valid, 10)
    assert sample.quantiles(0.0) == (5.0, 5.0)
    none = LevelSample.of(frame, np.zeros(frame.shape, bool), 10)
    assert none.quantiles(0.1) == (0.0, 0.0)
    assert len((sample + none + sample).levels) == 2 * len(sample.levels)
    assert len(LevelSample.of(np.zeros((1000, 1000), np.float32), np.ones((1000, 1000), bool), 1).levels) <= 16_384


# ------------------------------------------------------------------------------------------------ networks


def test_a_network_describes(onnxruntime, weights):
    chips = Chips(embedding=weights, chip_px=21, stride=10, **TINY)
    got = chips(*pad_frame(lattice(), chips.halo))
    assert got.shape == (10, 9, 64) == (10, 9, len(chips.features))
    np.testing.assert_allclose(np.linalg.norm(got, axis=2), 1, atol=1e-5)
    raw = dataclasses.replace(chips, unit=False)(*pad_frame(lattice(), chips.halo))
    np.testing.assert_allclose(raw / np.linalg.norm(raw, axis=2, keepdims=True), got, atol=1e-5)
    other = dataclasses.replace(chips, statistics="micronet")(*pad_frame(lattice(), chips.halo))
    assert np.abs(other - got).max() > 1e-3


def test_the_description_holds_path_and_sha256(weights):
    chips = suggest_descriptor("chips", {"embedding": weights, "chip_px": 15, **TINY}, fold_over([lattice()]))
    described = json.loads(json.dumps(describe_descriptor(chips)))
    assert described["embedding"] == weights
    assert len(described["weights_sha256"]) == 64
    name = described.pop("name")
    assert build_descriptor(name, described) == chips


def test_another_network_is_refused_when_a_model_is_built_and_when_it_labels(onnxruntime, weights):
    chips = Chips(embedding=weights, chip_px=15, **TINY)
    described = describe_descriptor(chips)
    name = described.pop("name")
    FILES.write_state_dict(Path(weights), FILES.random_resnet(1, TINY["blocks"], TINY["width"]))
    with pytest.raises(ChipsError, match="another network than the one that was fitted with"):
        build_descriptor(name, described)
    with pytest.raises(ChipsError, match="another network"):
        chips(*pad_frame(lattice(), chips.halo))
    Path(weights).unlink()
    with pytest.raises(ChipsError, match="cannot read the network"):
        build_descriptor(name, described)


def test_the_network_of_another_size_is_refused(onnxruntime, weights):
    chips = Chips(embedding=weights, chip_px=15)  # says ResNet-50
    with pytest.raises(ChipsError, match="is not the ResNet that was asked for"):
        chips(*pad_frame(lattice(), chips.halo))


# -------------------------------------------------------------------------------------------------- nonsense


@pytest.mark.parametrize(
    "fields",
    [
        {"chip_px": 7},
        {"chip_px": 20.0},
        {"stride": 0},
        {"brightness_range": (5.0, 5.0)},
        {"brightness_range": (1.0,)},
        {"pixel_range": (0.0, float("nan"))},
        {"statistics": "coco"},
        {"blocks": (1, 2, 3)},
        {"width": 0},
        {"input_px": 8},
        {"embedding": ""},
        {"weights_sha256": "abc"},
    ],
    ids=str,
)
def test_nonsense_is_refused(fields):
    with pytest.raises(ChipsError, match="got"):
        Chips(**fields)


def test_an_absent_file_is_named(tmp_path):
    with pytest.raises(ChipsError, match=r"absent.onnx.*Give the path"):
        Chips(embedding=str(tmp_path / "absent.onnx"))


def test_a_frame_that_is_all_padding_is_refused():
    with pytest.raises(ChipsError, match="got a padded frame"):
        Chips()(np.zeros((64, 80), np.float32))


def test_values_survive_a_round_trip_as_data():
    chips = Chips(brightness_range=[1, 2], blocks=[1, 1, 1, 1])  # as a recipe gives them
    assert chips == Chips(**dataclasses.asdict(chips))
    assert hash(chips) == hash(dataclasses.replace(chips))
    described = json.loads(json.dumps(describe_descriptor(chips)))
    assert build_descriptor(described.pop("name"), described) == chips
