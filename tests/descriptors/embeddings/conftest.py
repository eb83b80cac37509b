"""Torch files written byte by byte (torch is not needed), random ResNets, and onnxruntime where it is installed."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from emreel.descriptors.embeddings.resnet import expected_shapes

DATA = Path(__file__).parents[2] / "data"
STORAGES = {
    "float32": "Float",
    "float64": "Double",
    "float16": "Half",
    "int64": "Long",
    "uint8": "Byte",
    "bool": "Bool",
}


def text(value):
    raw = value.encode()
    return b"X" + len(raw).to_bytes(4, "little") + raw


def number(value):
    return b"J" + int(value).to_bytes(4, "little", signed=True)


def tuple_of(*parts):
    return b"(" + b"".join(parts) + b"t"


def tensor(key, array, *, offset=0, shape=None, strides=None, n=None):
    """The pickle instructions that make a tensor look into a storage, as torch writes them."""
    shape = array.shape if shape is None else shape
    if strides is None:
        strides = [int(np.prod(shape[i + 1 :])) for i in range(len(shape))]
    storage = tuple_of(
        text("storage"),
        f"ctorch\n{STORAGES[array.dtype.name]}Storage\n".encode(),
        text(key),
        text("cpu"),
        number(array.size if n is None else n),
    )
    arguments = tuple_of(
        storage + b"Q",
        number(offset),
        tuple_of(*map(number, shape)),
        tuple_of(*map(number, strides)),
        b"\x89",
        b"ccollections\nOrderedDict\n)R",
    )
    return b"ctorch._utils\n_rebuild_tensor_v2\n" + arguments + b"R"


def dict_of(items):
    return b"ccollections\nOrderedDict\n)R(" + b"".join(text(key) + value for key, value in items.items()) + b"u"


def write_zip(path, program, storages, *, compression=zipfile.ZIP_STORED, folder="net"):
    """A torch zip archive of a pickle program (without its first and last instruction) and raw storages."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr(f"{folder}/data.pkl", b"\x80\x02" + program + b".")
        archive.writestr(f"{folder}/byteorder", "little")
        for key, raw in storages.items():
            archive.writestr(f"{folder}/data/{key}", raw)
        archive.writestr(f"{folder}/version", "3\n")
    return path


def write_state_dict(path, tensors, *, wrap="state_dict"):
    """Tensors as ``torch.save({"state_dict": tensors})`` lays them down."""
    items = {name: tensor(str(i), np.asarray(value)) for i, (name, value) in enumerate(tensors.items())}
    storages = {str(i): np.asarray(value).tobytes() for i, value in enumerate(tensors.values())}
    program = dict_of(items)
    return write_zip(path, dict_of({"epoch": number(3), wrap: program}) if wrap else program, storages)


def random_resnet(seed=0, blocks=(1, 1, 1, 1), width=4, prefix="module.encoder.", fc=True):
    """Random weights under MicroNet's keys, classifier and batch counters included."""
    rng = np.random.default_rng(seed)
    weights = {}
    for name, shape in expected_shapes(blocks, width).items():
        if name.endswith("running_var"):
            value = rng.uniform(0.5, 2, shape)
        elif len(shape) == 1:
            value = rng.uniform(0.1, 1.0, shape)
        else:
            value = rng.normal(size=shape) * np.sqrt(2 / np.prod(shape[1:]))
        weights[prefix + name] = value.astype(np.float32)
        if name.endswith("running_mean"):
            weights[prefix + name.replace("running_mean", "num_batches_tracked")] = np.array(9, np.int64)
    if fc:
        weights[prefix + "fc.weight"] = np.zeros((5, width * 32), np.float32)
        weights[prefix + "fc.bias"] = np.zeros(5, np.float32)
    return weights


def zip_bytes(files):
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for name, value in files.items():
            archive.writestr(name, value)
    return held.getvalue()


class TorchFiles:
    """What the tests build files with."""

    text, number, tuple_of, tensor, dict_of = map(staticmethod, (text, number, tuple_of, tensor, dict_of))
    write_zip, write_state_dict, random_resnet = map(staticmethod, (write_zip, write_state_dict, random_resnet))
    zip_bytes = staticmethod(zip_bytes)
    data = DATA


@pytest.fixture(scope="session")
def torch_files():
    return TorchFiles


@pytest.fixture(scope="session")
def onnxruntime():
    """The extra that runs networks; in CI it must be there."""
    try:
        import onnxruntime
    except ImportError:
        message = 'onnxruntime is not installed; run: pip install "emreel[chips]"'
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return onnxruntime
