"""Embeds chips by a network: any ONNX encoder, or a ResNet's state dict, both run by onnxruntime.

A state dict becomes an ONNX graph in memory (`resnet`), so there is one way to run a network, it needs 24 MB
of onnxruntime instead of gigabytes of torch, and it runs on one thread beside the other workers. A file is known
by its sha256: a model that was fitted with one file is never applied with another.
"""

from __future__ import annotations

import hashlib
import importlib
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from emreel.descriptors.embeddings.errors import ChipsError
from emreel.descriptors.embeddings.resnet import build_resnet, n_outputs
from emreel.descriptors.embeddings.state_dict import read_state_dict

Chips = npt.NDArray[np.float32]  # (chip, y, x), counts
Embeddings = npt.NDArray[np.float32]  # (chip, feature)

#: Mean and standard deviation of red, green and blue in 0..1, by the pictures that a network was trained on.
STATISTICS = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "micronet": ((0.4723, 0.4599, 0.4468), (0.1684, 0.1575, 0.1675)),
}
#: Side that chips are brought to where a network takes any, px.
INPUT_PX = 224
#: Without a range of counts a chip's own mean plus and minus so many standard deviations become black and white.
DEVIATIONS = 2.0
BATCH = 16
_HASH_PIECE = 1 << 20


def file_sha256(path: str) -> str:
    """sha256 of a file, hexadecimal; read once as long as its size and time stay.

    Raises
    ------
    ChipsError : the file cannot be read.
    """
    try:
        stat = os.stat(path)
        return _sha256(path, stat.st_size, stat.st_mtime_ns)
    except OSError as error:
        raise ChipsError(
            f"cannot read the network {path}: {error.strerror}. Give the path of an ONNX file or a torch state dict, "
            'or embedding = "own", which needs none.'
        ) from None


@lru_cache(maxsize=16)
def _sha256(path: str, _size: int, _mtime_ns: int) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(_HASH_PIECE):
            digest.update(piece)
    return digest.hexdigest()


def check_sha256(path: str, wanted: str) -> None:
    """Refuse a file that is not the one wanted.

    Raises
    ------
    ChipsError : another file, or none.
    """
    found = file_sha256(path)
    if found != wanted:
        raise ChipsError(
            f"{path} is another network than the one that was fitted with: sha256 {found[:16]}..., wanted "
            f"{wanted[:16]}.... Put the right file there, or fit again."
        )


@dataclass(frozen=True, eq=False)
class Encoder:
    """A network ready to run. n_features : numbers for a chip. input_px : the side it takes. channels : 1 or 3."""

    session: Any
    n_features: int
    input_px: int
    channels: int
    batch: int | None

    def __call__(self, pictures: npt.NDArray[np.float32]) -> Embeddings:
        """Embeddings of pictures, shape (chip, channel, y, x); feature maps are averaged over the picture."""
        size = self.batch or BATCH
        out = np.empty((len(pictures), self.n_features), np.float32)
        name = self.session.get_inputs()[0].name
        for first in range(0, len(pictures), size):
            part = pictures[first : first + size]
            given = part
            if self.batch is not None and len(part) < self.batch:
                given = np.concatenate([part, np.zeros((self.batch - len(part), *part.shape[1:]), np.float32)])
            got = self.session.run(None, {name: given})[0][: len(part)]
            out[first : first + len(part)] = got.reshape(*got.shape[:2], -1).mean(axis=2)
        return out


@lru_cache(maxsize=4)
def open_encoder(path: str, sha256: str, blocks: tuple[int, ...], width: int, input_px: int | None) -> Encoder:
    """The network of a file, loaded once a process.

    Parameters
    ----------
    path : ends in ``.onnx``, or is a torch state dict of a ResNet with these blocks and width.
    sha256 : what the file must be.
    input_px : side that chips are brought to, px; None: what the network was exported for, or 224.

    Raises
    ------
    ChipsError : another file, no network, onnxruntime not installed, or inputs and outputs that are no encoder's.
    """
    check_sha256(path, sha256)
    if is_onnx(path):
        session = _open_session(Path(path).read_bytes(), path)
    else:
        session = _open_session(build_resnet(read_state_dict(path), blocks=blocks, width=width, source=path), path)
    inputs = session.get_inputs()
    if len(inputs) != 1 or inputs[0].type != "tensor(float)" or len(inputs[0].shape) != 4:
        got = [(one.type, one.shape) for one in inputs]
        raise ChipsError(f"{path} takes {got}, wanted one input of float pictures (chip, channel, y, x).")
    batch, channels, height, width_px = (n if isinstance(n, int) and n > 0 else None for n in inputs[0].shape)
    if (channels or 3) not in (1, 3) or height != width_px or (height and input_px and height != input_px):
        raise ChipsError(
            f"{path} takes pictures of shape {inputs[0].shape[1:]}, wanted 1 or 3 channels and a square of "
            f"{input_px or 'any'} px. Leave input_px out, or export the network for that size."
        )
    side = height or input_px or INPUT_PX
    n_features = _count_features(session, (batch or 1, channels or 3, side, side), path)
    return Encoder(session, n_features, side, channels or 3, batch)


def is_onnx(path: str) -> bool:
    """Whether a file's name says that it is ONNX."""
    return path.lower().endswith(".onnx")


def count_features(path: str, sha256: str, blocks: tuple[int, ...], width: int, input_px: int | None) -> int:
    """Numbers for a chip; a state dict is not opened for it."""
    return open_encoder(path, sha256, blocks, width, input_px).n_features if is_onnx(path) else n_outputs(width)


def paint_chips(
    chips: Chips, *, input_px: int, channels: int, statistics: str, pixel_range: tuple[float, float] | None
) -> npt.NDArray[np.float32]:
    """Chips as the pictures that a network was trained on, shape (chip, channel, input_px, input_px).

    Counts become 0..1 (``pixel_range``; without it, each chip's own mean -+ 2 standard deviations), the square is
    brought to the input's side (linear, averaging where it shrinks), and mean and deviation of each channel are set
    (``statistics``). One channel: the mean of the three.
    """
    resized = _resizing(chips.shape[1], input_px)
    if pixel_range is None:
        middle = chips.mean(axis=(1, 2), dtype=np.float64, keepdims=True)
        spread = chips.std(axis=(1, 2), dtype=np.float64, keepdims=True)
        low, width = middle - DEVIATIONS * spread, np.where(spread > 0, 2 * DEVIATIONS * spread, 1.0)
    else:
        low, width = np.asarray(pixel_range[0]), np.asarray(pixel_range[1] - pixel_range[0])
    shown = np.clip((chips - low) / width, 0, 1)
    shown = (resized @ shown @ resized.T)[:, None]
    mean, deviation = (np.array(values)[:, None, None] for values in STATISTICS[statistics])
    if channels == 1:
        mean, deviation = mean.mean(axis=0), deviation.mean(axis=0)
    return np.ascontiguousarray((shown - mean) / deviation, dtype=np.float32)


@lru_cache(maxsize=8)
def _resizing(n_in: int, n_out: int) -> npt.NDArray[np.float64]:
    """Weights of the pixels of a row in those of a row of another length: a triangle, as wide as the larger pixel."""
    scale = n_in / n_out
    centers = (np.arange(n_out) + 0.5) * scale - 0.5
    weights = np.maximum(1 - np.abs(np.arange(n_in)[None, :] - centers[:, None]) / max(scale, 1.0), 0)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _open_session(model: bytes, path: str) -> Any:
    try:
        onnxruntime: Any = importlib.import_module("onnxruntime")
    except ImportError:
        raise ChipsError(
            f'the network {path} needs onnxruntime. Run: pip install "emreel[chips]", or use embedding = "own".'
        ) from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 (onnxruntime has a class of its own for every way to fail)
        raise ChipsError(f"{path} is no whole ONNX network ({str(error).splitlines()[0]}). Export it again.") from None


def _count_features(session: Any, shape: tuple[int, ...], path: str) -> int:
    got = session.run(None, {session.get_inputs()[0].name: np.zeros(shape, np.float32)})[0]
    if got.ndim not in (2, 4) or got.dtype != np.float32:
        raise ChipsError(f"{path} gives {got.dtype} of shape {got.shape}, wanted float32 (chip, feature[, y, x]).")
    return int(got.shape[1])
