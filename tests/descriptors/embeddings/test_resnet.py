"""ResNet encoders: against torch's own numbers, against plain float64 sums, and what is no such network."""

from __future__ import annotations

import numpy as np
import pytest

from emreel.descriptors.embeddings.errors import ChipsError
from emreel.descriptors.embeddings.network import file_sha256, open_encoder
from emreel.descriptors.embeddings.resnet import build_resnet, clean_names, expected_shapes, fold_norm, n_outputs
from emreel.descriptors.embeddings.state_dict import read_state_dict


def convolve(x, kernel, stride):
    """Oracle: (channel, y, x), zero padding of half the kernel, float64."""
    side = kernel.shape[2]
    wide = np.pad(x, ((0, 0), (side // 2,) * 2, (side // 2,) * 2))
    windows = np.lib.stride_tricks.sliding_window_view(wide, (side, side), axis=(1, 2))[:, ::stride, ::stride]
    return np.einsum("cyxij,ocij->oyx", windows, kernel.astype(np.float64))


def normalise(x, weights, at):
    gain, bias, mean, var = (
        weights[f"{at}.{name}"].astype(np.float64)[:, None, None]
        for name in ("weight", "bias", "running_mean", "running_var")
    )
    return (x - mean) / np.sqrt(var + 1e-5) * gain + bias


def pool(x):
    wide = np.pad(x, ((0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    return np.lib.stride_tricks.sliding_window_view(wide, (3, 3), axis=(1, 2))[:, ::2, ::2].max(axis=(3, 4))


def plain_resnet(picture, weights, blocks):
    """Oracle: the network of He et al. as torchvision lays it out, one picture, float64, nothing folded."""

    def unit(x, conv, norm, stride=1):
        return normalise(convolve(x, weights[f"{conv}.weight"], stride), weights, norm)

    x = pool(np.maximum(unit(picture.astype(np.float64), "conv1", "bn1", 2), 0))
    for layer, n_blocks in enumerate(blocks, start=1):
        for block in range(n_blocks):
            at, stride = f"layer{layer}.{block}", 2 if layer > 1 and block == 0 else 1
            y = np.maximum(unit(x, f"{at}.conv1", f"{at}.bn1"), 0)
            y = np.maximum(unit(y, f"{at}.conv2", f"{at}.bn2", stride), 0)
            y = unit(y, f"{at}.conv3", f"{at}.bn3")
            short = unit(x, f"{at}.downsample.0", f"{at}.downsample.1", stride) if block == 0 else x
            x = np.maximum(y + short, 0)
    return x.mean(axis=(1, 2))


@pytest.mark.parametrize(("blocks", "width"), [((1, 1, 1, 1), 4), ((2, 1, 3, 1), 2)])
def test_equals_plain_float64_sums(onnxruntime, torch_files, tmp_path, blocks, width):
    weights = torch_files.random_resnet(1, blocks, width)
    path = str(torch_files.write_state_dict(tmp_path / "net.pth", weights))
    encoder = open_encoder(path, file_sha256(path), blocks, width, None)
    pictures = np.random.default_rng(0).normal(size=(3, 3, 53, 47)).astype(np.float32)
    got = encoder(pictures)
    expected = np.stack([plain_resnet(picture, clean_names(weights), blocks) for picture in pictures])
    assert got.shape == (3, n_outputs(width)) == expected.shape
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    assert np.ptp(expected, axis=0).max() > 1e-2 * np.abs(expected).max()


@pytest.mark.parametrize("name", ["resnet_tiny.pth.tar", "resnet_tiny_old.pth.tar"])
def test_equals_torch(onnxruntime, torch_files, name):
    """The same network in torch.nn, its file and its numbers: ``python benchmarks/resnet_reference.py``."""
    path = str(torch_files.data / name)
    encoder = open_encoder(path, file_sha256(path), (1, 2, 1, 1), 1, None)
    with np.load(torch_files.data / "resnet_tiny.npz") as reference:
        got, expected = encoder(reference["pictures"].astype(np.float32)), reference["embedded"]
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-6 * np.abs(expected).max())


def test_resnet_50_has_the_keys_of_torchvision():
    shapes = expected_shapes()
    assert n_outputs(64) == 2048
    assert sum(int(np.prod(shape)) for name, shape in shapes.items() if "running" not in name) == 23_508_032
    assert shapes["conv1.weight"] == (64, 3, 7, 7)
    assert shapes["layer1.0.downsample.0.weight"] == (256, 64, 1, 1)
    assert shapes["layer3.5.conv2.weight"] == (256, 256, 3, 3)
    assert "layer3.6.conv1.weight" not in shapes and "layer2.1.downsample.0.weight" not in shapes


def test_prefixes_classifier_and_counters_are_taken_off():
    one = np.zeros(1)
    names = clean_names(
        {f"{p}conv1.weight": one for p in ("module.", "encoder.", "module.encoder.", "")}
        | {"module.fc.weight": one, "fc.bias": one, "bn1.num_batches_tracked": one, "module.bn1.bias": one}
    )
    assert sorted(names) == ["bn1.bias", "conv1.weight"]


def test_a_folded_convolution_is_convolution_then_norm(torch_files):
    weights = clean_names(torch_files.random_resnet(2))
    x = np.random.default_rng(0).normal(size=(3, 20, 20))
    kernel, bias = fold_norm(weights, "conv1", "bn1")
    apart = normalise(convolve(x, weights["conv1.weight"], 2), weights, "bn1")
    np.testing.assert_allclose(convolve(x, kernel, 2) + bias[:, None, None], apart, atol=1e-5)


def change_drop(weights):
    del weights["module.encoder.layer3.0.bn2.running_var"]


def change_last_block(weights):
    for name in [name for name in weights if ".layer4.0.conv3" in name]:
        del weights[name]


def change_add(weights):
    weights["module.decoder.conv.weight"] = np.zeros((2, 2), np.float32)


def change_extra_block(weights):
    weights["module.encoder.layer2.1.conv1.weight"] = np.zeros((8, 32, 1, 1), np.float32)


def change_shape(weights):
    weights["module.encoder.conv1.weight"] = np.zeros((4, 1, 7, 7), np.float32)


def change_nan(weights):
    weights["module.encoder.conv1.weight"][0, 0, 0, 0] = np.nan


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (change_drop, r"1 tensors missing \(layer3.0.bn2.running_var\)"),
        (change_last_block, "missing"),
        (change_add, r"1 tensors too many \(decoder.conv.weight\)"),
        (change_extra_block, "too many"),
        (change_shape, "has shape"),
        (change_nan, "not finite"),
    ],
)
def test_another_network_is_refused(torch_files, tmp_path, change, match):
    weights = torch_files.random_resnet()
    change(weights)
    path = torch_files.write_state_dict(tmp_path / "net.pth", weights)
    with pytest.raises(ChipsError, match=match):
        build_resnet(read_state_dict(path), blocks=(1, 1, 1, 1), width=4)


def test_other_blocks_or_width_are_refused(torch_files):
    weights = torch_files.random_resnet()
    for blocks, width in (((1, 1, 1, 2), 4), ((1, 1, 1, 1), 8), ((3, 4, 6, 3), 64)):
        with pytest.raises(ChipsError, match="missing|has shape"):
            build_resnet(weights, blocks=blocks, width=width)
