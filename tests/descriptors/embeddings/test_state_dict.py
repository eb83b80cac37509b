"""Torch files: what torch itself wrote, files built byte by byte, and every kind of file that must be refused."""

from __future__ import annotations

import os
import pickle
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emreel.descriptors.embeddings.errors import ChipsError
from emreel.descriptors.embeddings.state_dict import read_state_dict


@pytest.mark.parametrize("name", ["resnet_tiny.pth.tar", "resnet_tiny_old.pth.tar"])
def test_both_layouts_as_torch_writes_them(torch_files, name):
    """Written by torch: ``python benchmarks/resnet_reference.py``."""
    got = read_state_dict(torch_files.data / name)
    with np.load(torch_files.data / "resnet_tiny.npz") as reference:
        first = got["module.encoder.conv1.weight"]
        np.testing.assert_array_equal(first, reference["conv1"])
    assert first.dtype == np.float32
    assert got["module.encoder.layer2.1.conv2.weight"].shape == (2, 2, 3, 3)
    assert got["module.encoder.bn1.num_batches_tracked"].dtype == np.int64
    assert "epoch" not in got


def test_both_layouts_hold_the_same(torch_files):
    new, old = (read_state_dict(torch_files.data / f"resnet_tiny{end}.pth.tar") for end in ("", "_old"))
    assert list(new) == list(old) and len(new) > 100
    for name, value in new.items():
        np.testing.assert_array_equal(value, old[name])


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_tensors_come_back_as_they_were(torch_files, tmp_path_factory, data):
    path = tmp_path_factory.mktemp("weights") / "net.pth"
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    tensors = {}
    for i in range(data.draw(st.integers(1, 5))):
        shape = tuple(data.draw(st.lists(st.integers(0, 4), max_size=4)))
        dtype = data.draw(st.sampled_from(["float32", "float64", "float16", "int64", "uint8", "bool"]))
        tensors[f"layer{i}.é"] = (rng.normal(size=shape) * 100).astype(dtype)
    got = read_state_dict(
        torch_files.write_state_dict(path, tensors, wrap=data.draw(st.sampled_from([None, "state_dict"])))
    )
    assert set(got) == set(tensors)
    for name, value in tensors.items():
        assert got[name].dtype == value.dtype and got[name].shape == value.shape
        np.testing.assert_array_equal(got[name], value)


def test_views_share_a_storage(torch_files, tmp_path):
    raw = np.arange(12, dtype=np.float32)
    program = torch_files.dict_of(
        {
            "turned": torch_files.tensor("0", raw, shape=(4, 3), strides=(1, 4)),
            "tail": torch_files.tensor("0", raw, shape=(5,), offset=7),
        }
    )
    got = read_state_dict(torch_files.write_zip(tmp_path / "net.pth", program, {"0": raw.tobytes()}))
    np.testing.assert_array_equal(got["turned"], raw.reshape(3, 4).T)
    np.testing.assert_array_equal(got["tail"], raw[7:])


# ------------------------------------------------------------------------------------------- what is refused


def refuse(path, match):
    with pytest.raises(ChipsError, match=match):
        read_state_dict(path)


@pytest.mark.parametrize("name", ["resnet_tiny.pth.tar", "resnet_tiny_old.pth.tar"])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file(torch_files, tmp_path, name, share):
    raw = (torch_files.data / name).read_bytes()
    path = tmp_path / name
    path.write_bytes(raw[: int(len(raw) * share)])
    refuse(path, "no whole file of torch weights")


def test_a_flipped_bit(torch_files, tmp_path):
    raw = bytearray((torch_files.data / "resnet_tiny.pth.tar").read_bytes())
    with zipfile.ZipFile(torch_files.data / "resnet_tiny.pth.tar") as archive:
        entry = max(archive.infolist(), key=lambda one: one.file_size if "/data/" in one.filename else 0)
    at = entry.header_offset + 30 + len(entry.filename)
    extra = int.from_bytes(raw[entry.header_offset + 28 : entry.header_offset + 30], "little")
    raw[at + extra + 5] ^= 1
    path = tmp_path / "net.pth"
    path.write_bytes(raw)
    refuse(path, "CRC")


class Runs:
    """Pickles into a call that makes a folder."""

    def __init__(self, call, *arguments):
        self.call, self.arguments = call, arguments

    def __reduce__(self):
        return self.call, self.arguments


@pytest.mark.parametrize("protocol", [0, 1, 2, 4, 5])
@pytest.mark.parametrize("call", [os.mkdir, eval, exec, getattr], ids=lambda call: call.__name__)
def test_pickled_code_is_refused_and_never_run(torch_files, tmp_path, protocol, call):
    trap = tmp_path / "trap"
    arguments = (str(trap),) if call is os.mkdir else (f"__import__('os').mkdir({str(trap)!r})",)
    program = pickle.dumps({"state_dict": Runs(call, *arguments)}, protocol)
    plain, archive = tmp_path / "plain.pth", tmp_path / "archive.pth"
    plain.write_bytes(program)
    archive.write_bytes(torch_files.zip_bytes({"net/data.pkl": program, "net/version": "3"}))
    wanted = "refused|neither" if protocol < 2 else "asks to run code"
    refuse(plain, wanted)
    refuse(archive, "refused")
    assert not trap.exists()


def test_a_whole_model_is_refused(torch_files, tmp_path):
    program = b"c__main__\nNet\n)\x81}b"
    refuse(torch_files.write_zip(tmp_path / "model.pth", program, {}), "__main__.Net.*save model.state_dict")


@pytest.mark.parametrize(
    "change",
    [
        {"shape": (100,)},
        {"offset": 5},
        {"offset": -1},
        {"strides": (9,)},
        {"shape": (2**40,), "strides": (0,)},
        {"n": 2**31 - 1},
    ],
    ids=str,
)
def test_tensors_beyond_their_storage(torch_files, tmp_path, change):
    raw = np.arange(8, dtype=np.float32)
    if change.get("shape") == (2**40,):
        big = b"\x8a\x08" + (2**40).to_bytes(8, "little")
        program = torch_files.dict_of({"w": torch_files.tensor("0", raw, shape=(7,), strides=(0,))})
        program = program.replace(torch_files.tuple_of(torch_files.number(7)), b"(" + big + b"t")
    else:
        program = torch_files.dict_of({"w": torch_files.tensor("0", raw, **change)})
    refuse(torch_files.write_zip(tmp_path / "net.pth", program, {"0": raw.tobytes()}), "no whole file")


def test_other_files(torch_files, tmp_path):
    cases = {
        "empty.pth": b"",
        "text.pth": b"weights go here",
        "zip.pth": torch_files.zip_bytes({"readme.txt": "hello"}),
        "numbers.pth": pickle.dumps([1, 2, 3], 2),
        "cycle.pth": torch_files.zip_bytes({"net/data.pkl": b"\x80\x02}q\x00X\x01\x00\x00\x00ah\x00s."}),
        "stack.pth": torch_files.zip_bytes({"net/data.pkl": b"\x80\x02t."}),
    }
    for name, raw in cases.items():
        (tmp_path / name).write_bytes(raw)
        refuse(tmp_path / name, "no whole file|no state dict")
    refuse(tmp_path / "absent.pth", "cannot read the weights")
    raw = np.zeros(4, np.float32)
    program = torch_files.dict_of({"w": torch_files.tensor("0", raw)})
    squeezed = torch_files.write_zip(
        tmp_path / "squeezed.pth", program, {"0": raw.tobytes()}, compression=zipfile.ZIP_DEFLATED
    )
    refuse(squeezed, "compressed")


def test_no_tensor_in_it(torch_files, tmp_path):
    nothing = torch_files.write_zip(tmp_path / "net.pth", torch_files.dict_of({"epoch": torch_files.number(1)}), {})
    refuse(nothing, "no state dict")
