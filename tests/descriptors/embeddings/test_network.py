"""Networks as encoders: pictures made of chips, ONNX files of every shape, and files that are refused."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emreel.descriptors.embeddings.errors import ChipsError
from emreel.descriptors.embeddings.network import (
    STATISTICS,
    check_sha256,
    count_features,
    file_sha256,
    open_encoder,
    paint_chips,
)
from emreel.descriptors.embeddings.onnx_file import encode_model, encode_node, encode_tensor
from emreel.descriptors.embeddings.resnet import build_resnet

TINY = ((1, 1, 1, 1), 4)


def write_onnx(path, *, channels=1, side="y", batch="chip", pool=True, seed=0):
    """An encoder of one convolution of 5 maps, pooled or not."""
    kernel = np.random.default_rng(seed).normal(size=(5, channels, 3, 3)).astype(np.float32)
    nodes = [
        encode_node("Conv", ["in", "w"], "maps", {"kernel_shape": (3, 3), "pads": (1, 1, 1, 1)}),
        encode_node("Relu", ["maps"], "cut"),
    ]
    if pool:
        nodes += [encode_node("GlobalAveragePool", ["cut"], "mean"), encode_node("Flatten", ["mean"], "out")]
    else:
        nodes.append(encode_node("Identity", ["cut"], "out"))
    shape = (batch, channels, side, side if isinstance(side, int) else "x")
    out = (batch, 5) if pool else (batch, 5, "h", "w")
    path.write_bytes(encode_model(nodes, [encode_tensor("w", kernel)], source=("in", shape), result=("out", out)))
    return str(path), kernel


def open_file(path, input_px=None):
    return open_encoder(path, file_sha256(path), (3, 4, 6, 3), 64, input_px)


@pytest.mark.parametrize("pool", [True, False])
@pytest.mark.parametrize("batch", ["chip", 1, 4])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_encoder_gives_the_mean_of_its_maps(onnxruntime, tmp_path, pool, batch, channels):
    path, kernel = write_onnx(tmp_path / "net.onnx", channels=channels, batch=batch, pool=pool)
    encoder = open_file(path, 32)
    pictures = np.random.default_rng(1).normal(size=(6, channels, 32, 32)).astype(np.float32)
    wide = np.pad(pictures.astype(np.float64), ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(wide, (3, 3), axis=(2, 3))
    expected = np.maximum(np.einsum("ncyxij,ocij->noyx", windows, kernel), 0).mean(axis=(2, 3))
    got = encoder(pictures)
    assert (encoder.n_features, encoder.channels, encoder.input_px) == (5, channels, 32)
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_a_chip_does_not_see_its_neighbours(onnxruntime, torch_files, tmp_path):
    path = tmp_path / "net.pth"
    torch_files.write_state_dict(path, torch_files.random_resnet())
    encoder = open_encoder(str(path), file_sha256(str(path)), *TINY, None)
    pictures = np.random.default_rng(1).normal(size=(21, 3, 64, 64)).astype(np.float32)
    together = encoder(pictures)
    alone = np.concatenate([encoder(pictures[i : i + 1]) for i in range(21)])
    np.testing.assert_array_equal(together, alone)


def test_a_state_dict_and_its_onnx_export_are_one_encoder(onnxruntime, torch_files, tmp_path):
    weights = torch_files.random_resnet(3)
    path, export = tmp_path / "net.pth", tmp_path / "net.onnx"
    torch_files.write_state_dict(path, weights)
    export.write_bytes(build_resnet(weights, blocks=TINY[0], width=TINY[1]))
    pictures = np.random.default_rng(1).normal(size=(3, 3, 64, 64)).astype(np.float32)
    ways = [open_encoder(str(p), file_sha256(str(p)), *TINY, None)(pictures) for p in (path, export)]
    np.testing.assert_array_equal(*ways)
    assert count_features(str(path), file_sha256(str(path)), *TINY, None) == ways[0].shape[1] == 128
    assert count_features(str(export), file_sha256(str(export)), *TINY, None) == 128


def test_the_input_has_the_networks_own_side(onnxruntime, tmp_path):
    fixed, _ = write_onnx(tmp_path / "fixed.onnx", side=48)
    free, _ = write_onnx(tmp_path / "free.onnx")
    assert open_file(fixed).input_px == 48
    assert open_file(fixed, 48).input_px == 48
    assert (open_file(free).input_px, open_file(free, 96).input_px) == (224, 96)
    with pytest.raises(ChipsError, match="wanted 1 or 3 channels and a square of 64 px"):
        open_file(fixed, 64)


def test_what_is_no_encoder_is_refused(onnxruntime, tmp_path):
    path, _ = write_onnx(tmp_path / "net.onnx")
    for share in (0.0, 0.3, 0.9):
        cut = tmp_path / f"cut{share}.onnx"
        raw = (tmp_path / "net.onnx").read_bytes()
        cut.write_bytes(raw[: int(len(raw) * share)])
        with pytest.raises(ChipsError, match="no whole ONNX network"):
            open_file(str(cut))
    colours, _ = write_onnx(tmp_path / "colours.onnx", channels=4)
    with pytest.raises(ChipsError, match="wanted 1 or 3 channels"):
        open_file(colours)
    flat = tmp_path / "flat.onnx"
    node = [encode_node("Relu", ["in"], "out")]
    flat.write_bytes(encode_model(node, [], source=("in", ("n", 7)), result=("out", ("n", 7))))
    with pytest.raises(ChipsError, match="wanted one input of float pictures"):
        open_file(str(flat))
    assert open_file(path).n_features == 5


def test_another_file_is_refused(tmp_path):
    path, _ = write_onnx(tmp_path / "net.onnx")
    before = file_sha256(path)
    check_sha256(path, before)
    write_onnx(tmp_path / "net.onnx", seed=1, side=64)
    assert file_sha256(path) != before
    with pytest.raises(ChipsError, match="another network than the one that was fitted with"):
        check_sha256(path, before)
    with pytest.raises(ChipsError, match="another network"):
        open_encoder(path, before, (3, 4, 6, 3), 64, None)
    with pytest.raises(ChipsError, match="cannot read the network"):
        file_sha256(str(tmp_path / "absent.onnx"))


def test_without_onnxruntime_the_extra_is_named(monkeypatch, tmp_path):
    path, _ = write_onnx(tmp_path / "net.onnx", seed=5)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ChipsError, match=r'pip install "emreel\[chips\]"'):
        open_file(path, 40)


# ---------------------------------------------------------------------------------------------- pictures


def test_counts_become_what_the_network_was_trained_on():
    chips = np.array([[[10.0, 20.0], [30.0, 60.0]]], np.float32)
    for name, (mean, deviation) in STATISTICS.items():
        got = paint_chips(chips, input_px=2, channels=3, statistics=name, pixel_range=(20.0, 40.0))
        shown = np.array([[0.0, 0.0], [0.5, 1.0]])
        expected = [(shown - m) / s for m, s in zip(mean, deviation, strict=True)]
        np.testing.assert_allclose(got[0], expected, atol=1e-6)
    assert STATISTICS["micronet"] == ((0.4723, 0.4599, 0.4468), (0.1684, 0.1575, 0.1675))
    grey = paint_chips(chips, input_px=2, channels=1, statistics="imagenet", pixel_range=(20.0, 40.0))
    assert grey.shape == (1, 1, 2, 2) and grey.dtype == np.float32


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.1, 1e4), st.floats(-1e3, 1e5))
def test_without_a_range_each_chip_is_stretched_by_itself(seed, gain, offset):
    chips = np.random.default_rng(seed).normal(0, 1, (3, 20, 20)).astype(np.float32)
    options = {"input_px": 32, "channels": 1, "statistics": "imagenet", "pixel_range": None}
    before = paint_chips(chips, **options)
    after = paint_chips((chips * gain + offset).astype(np.float32), **options)
    np.testing.assert_allclose(after, before, atol=1e-3 * (1 + abs(offset) / gain / 100))


@pytest.mark.parametrize("side", [7, 24, 33, 80])
def test_resizing_keeps_slopes_and_means(side):
    """Against skimage, and a slope stays the slope."""
    from skimage.transform import resize

    y, x = np.mgrid[:side, :side]
    slope = ((x + 2 * y) / (3 * side)).astype(np.float32)[None]
    noise = np.random.default_rng(0).random((1, side, side)).astype(np.float32)
    for chip in (slope, noise):
        got = paint_chips(chip, input_px=48, channels=1, statistics="imagenet", pixel_range=(0.0, 1.0))[0, 0]
        mean, deviation = (np.mean(values) for values in STATISTICS["imagenet"])
        shown = got * deviation + mean
        assert shown.mean() == pytest.approx(chip.mean(), abs=5e-3)
        if side <= 48:
            expected = resize(chip[0], (48, 48), order=1, mode="edge", anti_aliasing=False)
            np.testing.assert_allclose(shown, expected, atol=1e-5)


def test_flat_chips_are_finite():
    for level in (0.0, 500.0):
        chips = np.full((2, 9, 9), level, np.float32)
        for pixel_range in (None, (0.0, 100.0)):
            got = paint_chips(chips, input_px=32, channels=3, statistics="micronet", pixel_range=pixel_range)
            assert np.isfinite(got).all()
