"""ResNet encoders (He et al., CVPR 2016) from torch state dicts, as ONNX graphs.

The keys are torchvision's, flat, as MicroNet's files have them (Stuckner et al., npj Comput. Mater. 8 (2022) 200):
``conv1.weight``, ``bn1.*``, ``layer{1..4}.{i}.conv{1..3}.weight``, ``layer{1..4}.{i}.bn{1..3}.*``,
``layer{1..4}.0.downsample.{0,1}.*``; ``fc.*`` is dropped, and so are the prefixes ``module.`` and ``encoder.``.
Every other key must be there, with its shape, and none more: a network that misses a block is another network.

Each batch normalisation is folded into its convolution, w' = w g / sqrt(v + 1e-5), b' = b - m g / sqrt(v + 1e-5). The
stride of a block is at its 3 x 3 convolution, as in torchvision ("v1.5"). The last feature maps are averaged: a chip
becomes 32 width numbers, 2048 for ResNet-50 (width 64, blocks 3, 4, 6, 3).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from emreel.descriptors.embeddings.errors import ChipsError
from emreel.descriptors.embeddings.onnx_file import encode_model, encode_node, encode_tensor

#: ResNet-50.
BLOCKS = (3, 4, 6, 3)
WIDTH = 64
EXPANSION = 4
_BN_EPSILON = 1e-5
_PREFIXES = ("module.", "encoder.")


def n_outputs(width: int) -> int:
    """Numbers that the network gives for a chip."""
    return width * 8 * EXPANSION


def expected_shapes(blocks: Sequence[int] = BLOCKS, width: int = WIDTH) -> dict[str, tuple[int, ...]]:
    """Key and shape of every tensor that the encoder needs.

    >>> shapes = expected_shapes()
    >>> len(shapes), shapes["layer4.2.conv3.weight"]
    (265, (2048, 512, 1, 1))
    """
    return dict(_shapes(blocks, width))


def _shapes(blocks: Sequence[int], width: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield from _unit("conv1", "bn1", (width, 3, 7, 7))
    n_in = width
    for layer, n_blocks in enumerate(blocks, start=1):
        n_mid = width * 2 ** (layer - 1)
        for block in range(n_blocks):
            at = f"layer{layer}.{block}"
            yield from _unit(f"{at}.conv1", f"{at}.bn1", (n_mid, n_in, 1, 1))
            yield from _unit(f"{at}.conv2", f"{at}.bn2", (n_mid, n_mid, 3, 3))
            yield from _unit(f"{at}.conv3", f"{at}.bn3", (n_mid * EXPANSION, n_mid, 1, 1))
            if block == 0:
                yield from _unit(f"{at}.downsample.0", f"{at}.downsample.1", (n_mid * EXPANSION, n_in, 1, 1))
            n_in = n_mid * EXPANSION


def _unit(conv: str, norm: str, shape: tuple[int, ...]) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{conv}.weight", shape
    for name in ("weight", "bias", "running_mean", "running_var"):
        yield f"{norm}.{name}", shape[:1]


def clean_names(tensors: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    """The tensors without wrappers' prefixes, the classifier, and the counters of batches."""
    cleaned = {}
    for key, value in tensors.items():
        name = key
        while name.startswith(_PREFIXES):
            name = name.partition(".")[2]
        if not name.startswith("fc.") and not name.endswith(".num_batches_tracked"):
            cleaned[name] = value
    return cleaned


def build_resnet(
    tensors: Mapping[str, npt.NDArray[Any]],
    *,
    blocks: Sequence[int] = BLOCKS,
    width: int = WIDTH,
    source: str = "the state dict",
) -> bytes:
    """The encoder as an ONNX file: (chip, 3, y, x) float32 in, (chip, 32 width) out.

    Raises
    ------
    ChipsError : a tensor is missing, is one too many, or has another shape; numbers that are not finite.
    """
    weights = clean_names(tensors)
    wanted = expected_shapes(blocks, width)
    _check(weights, wanted, source)
    graph = _Graph(weights)
    out = graph.convolve("chips", "conv1", "bn1", stride=2)
    out = graph.add("MaxPool", [out], "pool", {"kernel_shape": (3, 3), "strides": (2, 2), "pads": (1, 1, 1, 1)})
    for layer, n_blocks in enumerate(blocks, start=1):
        for block in range(n_blocks):
            out = graph.bottleneck(out, f"layer{layer}.{block}", stride=2 if layer > 1 and block == 0 else 1)
    out = graph.add("GlobalAveragePool", [out], "mean")
    graph.add("Flatten", [out], "embedding", {"axis": 1})
    return encode_model(
        graph.nodes,
        graph.tensors,
        source=("chips", ("chip", 3, "y", "x")),
        result=("embedding", ("chip", n_outputs(width))),
    )


class _Graph:
    """Nodes and constants, as they come."""

    def __init__(self, weights: Mapping[str, npt.NDArray[Any]]) -> None:
        self.weights = weights
        self.nodes: list[bytes] = []
        self.tensors: list[bytes] = []

    def add(
        self,
        operator: str,
        inputs: Sequence[str],
        output: str,
        attributes: dict[str, int | Sequence[int]] | None = None,
    ) -> str:
        self.nodes.append(encode_node(operator, inputs, output, attributes))
        return output

    def convolve(self, source: str, conv: str, norm: str, *, stride: int = 1, relu: bool = True) -> str:
        """A convolution with its batch normalisation folded in, and what is negative cut off."""
        kernel, bias = fold_norm(self.weights, conv, norm)
        self.tensors += [encode_tensor(f"{conv}.w", kernel), encode_tensor(f"{conv}.b", bias)]
        side = kernel.shape[2]
        attributes: dict[str, int | Sequence[int]] = {
            "kernel_shape": (side, side),
            "strides": (stride, stride),
            "pads": (side // 2,) * 4,
        }
        out = self.add("Conv", [source, f"{conv}.w", f"{conv}.b"], f"{conv}.out", attributes)
        return self.add("Relu", [out], f"{conv}.relu") if relu else out

    def bottleneck(self, source: str, at: str, stride: int) -> str:
        """1 x 1, 3 x 3 and 1 x 1 convolutions, added to what went in."""
        out = self.convolve(source, f"{at}.conv1", f"{at}.bn1")
        out = self.convolve(out, f"{at}.conv2", f"{at}.bn2", stride=stride)
        out = self.convolve(out, f"{at}.conv3", f"{at}.bn3", relu=False)
        if f"{at}.downsample.0.weight" in self.weights:
            source = self.convolve(source, f"{at}.downsample.0", f"{at}.downsample.1", stride=stride, relu=False)
        return self.add("Relu", [self.add("Add", [out, source], f"{at}.sum")], f"{at}.out")


def fold_norm(
    weights: Mapping[str, npt.NDArray[Any]], conv: str, norm: str
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Kernel and bias of a convolution that does its batch normalisation too."""
    gain, bias, mean, variance = (
        weights[f"{norm}.{name}"].astype(np.float64) for name in ("weight", "bias", "running_mean", "running_var")
    )
    scale = gain / np.sqrt(variance + _BN_EPSILON)
    kernel = weights[f"{conv}.weight"].astype(np.float64) * scale[:, None, None, None]
    return kernel.astype(np.float32), (bias - mean * scale).astype(np.float32)


def _check(weights: Mapping[str, npt.NDArray[Any]], wanted: Mapping[str, tuple[int, ...]], source: str) -> None:
    missing = [name for name in wanted if name not in weights]
    strange = sorted(name for name in weights if name not in wanted)
    if missing or strange:
        tell = [f"{len(names)} {what} ({', '.join(names[:3])})" for what, names in _named(missing, strange) if names]
        raise ChipsError(
            f"{source} is not the ResNet that was asked for: {'; '.join(tell)}. "
            "Give the file of an encoder with torchvision's names, or its own blocks and width."
        )
    for name, shape in wanted.items():
        if weights[name].shape != shape:
            raise ChipsError(f"{source}: {name} has shape {weights[name].shape}, wanted {shape}. Give its own width.")
        if not np.isfinite(weights[name]).all():
            raise ChipsError(f"{source}: {name} has numbers that are not finite. Download the file again.")


def _named(missing: list[str], strange: list[str]) -> tuple[tuple[str, list[str]], tuple[str, list[str]]]:
    return ("tensors missing", missing), ("tensors too many", strange)
