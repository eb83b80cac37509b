"""Reads the tensors of a file that torch saved, without torch and without running anything in it.

A torch file is a small pickle, which says how tensors lie in raw storages, and the storages. A pickle is a program for
a stack machine; it can name any function and call it. The reader here is that stack machine with every door
shut: it knows plain values, ``OrderedDict`` and the tensors of `_TENSOR_MAKERS`; it imports nothing and calls nothing.
Any other name in the file (a class, a function) ends the reading with an error, as ``torch.load(weights_only=True)``
does, and so does a file that is cut short or whose checksums fail.

Both layouts are read: the zip archive that torch writes since 1.6, and the plain stream from before.

This costs no dependency: torch's default package brings gigabytes of GPU libraries for what is 100 MB of numbers.
"""

from __future__ import annotations

import io
import math
import os
import pickletools
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from emreel.descriptors.embeddings.errors import ChipsError

Tensors = dict[str, npt.NDArray[Any]]

_DTYPES = {
    "FloatStorage": "f4",
    "DoubleStorage": "f8",
    "HalfStorage": "f2",
    "BFloat16Storage": "u2",  # the upper half of a float32
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}
_TENSOR_MAKERS = ("torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter")
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_MARK = object()


def read_state_dict(path: str | os.PathLike[str]) -> Tensors:
    """The tensors of a state dict, by name; ``{"state_dict": ...}`` around them is taken off.

    Raises
    ------
    ChipsError : no such file, not a torch file, cut short or damaged, or one that names code.
    """
    where = os.fspath(path)
    try:
        found = _read_zip(where) if zipfile.is_zipfile(where) else _read_stream(where)
    except OSError as error:
        raise ChipsError(f"cannot read the weights {where}: {error}.") from None
    except (
        zipfile.BadZipFile,
        _BadFileError,
        KeyError,
        IndexError,
        TypeError,
        ValueError,
        EOFError,
        AttributeError,
        RecursionError,
    ) as error:
        if isinstance(error, ChipsError):
            raise
        raise ChipsError(
            f"{where} is no whole file of torch weights ({error}). Download it again, or save it with torch.save."
        ) from None
    if isinstance(found, dict) and isinstance(found.get("state_dict"), dict):
        found = found["state_dict"]
    if not isinstance(found, dict) or not any(isinstance(value, np.ndarray) for value in found.values()):
        raise ChipsError(f"{where} holds no state dict. Save model.state_dict(), not the model.")
    return {str(name): value for name, value in found.items() if isinstance(value, np.ndarray)}


class _BadFileError(Exception):
    """The file is not what it should be."""


@dataclass(frozen=True)
class _Name:
    """A name that a file asks for: "module name"."""

    text: str


@dataclass(frozen=True)
class _Storage:
    """Raw numbers that tensors look into; the old layout delivers them after the tensors are made."""

    key: str
    kind: str
    n: int


@dataclass(frozen=True)
class _Tensor:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _read_zip(where: str) -> Any:
    with zipfile.ZipFile(where) as archive:
        programs = [name for name in archive.namelist() if name.count("/") == 1 and name.endswith("/data.pkl")]
        if len(programs) != 1:
            raise _BadFileError("it is a zip archive without one data.pkl")
        folder = programs[0].removesuffix("data.pkl")
        for entry in archive.infolist():
            if entry.compress_type != zipfile.ZIP_STORED:
                raise _BadFileError(f"its part {entry.filename} is compressed, which torch never does")
        order = archive.read(folder + "byteorder").strip() if folder + "byteorder" in archive.namelist() else b"little"
        made = _run(io.BytesIO(archive.read(programs[0])), where)
        return _with_numbers(made, lambda key: archive.read(f"{folder}data/{key}"), "<" if order == b"little" else ">")


def _read_stream(where: str) -> Any:
    stream = io.BytesIO(Path(where).read_bytes())
    if not stream.getvalue().startswith(b"\x80"):
        raise _BadFileError("it is neither a zip archive nor a stream of pickles")
    if _run(stream, where) != _LEGACY_MAGIC:
        raise _BadFileError("it does not begin as torch files do")
    _run(stream, where)  # the version of the layout
    system = _run(stream, where)
    made = _run(stream, where)
    little = bool(system.get("little_endian", True))
    raw = {}
    sizes = {storage.key: storage for storage in _storages(made)}
    for key in _run(stream, where):
        n = int.from_bytes(stream.read(8), "little" if little else "big")
        if key not in sizes or n != sizes[key].n:
            raise _BadFileError(f"its storage {key} has {n} numbers, wanted another number")
        raw[key] = stream.read(n * np.dtype(_DTYPES[sizes[key].kind]).itemsize)
    return _with_numbers(made, raw.__getitem__, "<" if little else ">")


# ------------------------------------------------------------------------------------ numbers into tensors


def _storages(value: Any) -> list[_Storage]:
    if isinstance(value, _Tensor):
        return [value.storage]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return [storage for item in inner for storage in _storages(item)]


def _with_numbers(value: Any, fetch: Callable[[str], bytes], order: str) -> Any:
    """The same value with an array in place of every tensor."""
    held: dict[str, npt.NDArray[Any]] = {}

    def convert(item: Any) -> Any:
        if isinstance(item, _Tensor):
            if item.storage.key not in held:
                held[item.storage.key] = _numbers(item.storage, fetch(item.storage.key), order)
            return _view(item, held[item.storage.key])
        if isinstance(item, Mapping):
            return {key: convert(inner) for key, inner in item.items()}
        return item

    return convert(value)


def _numbers(storage: _Storage, raw: bytes, order: str) -> npt.NDArray[Any]:
    dtype = np.dtype(_DTYPES[storage.kind]).newbyteorder("<" if order == "<" else ">")
    if len(raw) != storage.n * dtype.itemsize:
        raise _BadFileError(f"its storage {storage.key} has {len(raw)} bytes, wanted {storage.n * dtype.itemsize}")
    numbers = np.frombuffer(raw, dtype)
    if storage.kind == "BFloat16Storage":
        return (numbers.astype(np.uint32) << 16).view(np.float32)
    return numbers.astype(dtype.newbyteorder("="))


def _view(tensor: _Tensor, numbers: npt.NDArray[Any]) -> npt.NDArray[Any]:
    shape, strides = tensor.shape, tensor.strides
    last = tensor.offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    size = math.prod(shape)
    if min(tensor.offset, *shape, *strides, 0) < 0 or size > len(numbers) or (size and last >= len(numbers)):
        raise _BadFileError(f"a tensor of shape {shape} reaches beyond its storage")
    if size == 0:
        return np.zeros(shape, numbers.dtype)
    steps = [step * numbers.itemsize for step in strides]
    return np.lib.stride_tricks.as_strided(numbers[tensor.offset :], shape, steps, writeable=False).copy()


# ---------------------------------------------------------------------------------------- the stack machine


def _run(stream: io.BytesIO, where: str) -> Any:
    """What one pickle of the stream makes, of plain values, storages and tensors only."""
    stack: list[Any] = []
    memo: dict[Any, Any] = {}
    argument: Any
    for opcode, argument, _ in pickletools.genops(stream):
        name = opcode.name
        if name in _PUSHED:
            stack.append(argument)
        elif name in _MADE:
            stack.append(_MADE[name]())
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            text = argument if name == "GLOBAL" else " ".join(reversed([stack.pop(), stack.pop()]))
            stack.append(_allowed(text, where))
        elif name in ("BINPUT", "LONG_BINPUT", "MEMOIZE"):
            memo[len(memo) if name == "MEMOIZE" else argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif name in _STEPS:
            _STEPS[name](stack)
        elif name == "STOP":
            return stack.pop()
        elif name not in ("PROTO", "FRAME"):
            raise ChipsError(f"{where} uses the pickle instruction {name}, which no state dict needs. It is refused.")
    raise _BadFileError("its pickle ends too early")


def _allowed(text: str, where: str) -> _Name:
    module, _, name = text.partition(" ")
    known = text in _TENSOR_MAKERS or text == "collections OrderedDict" or (module == "torch" and name in _DTYPES)
    if not known:
        raise ChipsError(
            f"{where} asks to run code ({module}.{name}) and is refused. "
            "A file of weights holds tensors only: save model.state_dict(), not the model."
        )
    return _Name(text)


def _until_mark(stack: list[Any]) -> list[Any]:
    items = []
    while (item := stack.pop()) is not _MARK:
        items.append(item)
    return items[::-1]


def _set_items(stack: list[Any]) -> None:
    items = _until_mark(stack)
    stack[-1].update(zip(items[::2], items[1::2], strict=True))


def _set_item(stack: list[Any]) -> None:
    value, key = stack.pop(), stack.pop()
    stack[-1][key] = value


def _append(stack: list[Any]) -> None:
    value = stack.pop()
    stack[-1].append(value)


def _take_tuple(n: int) -> Callable[[list[Any]], None]:
    def take(stack: list[Any]) -> None:
        items = tuple(stack[-n:])
        del stack[-n:]
        stack.append(items)

    return take


def _build(stack: list[Any]) -> None:
    """Attributes of an ordered dict (torch keeps versions there): dropped."""
    stack.pop()
    if not isinstance(stack[-1], dict):
        raise _BadFileError("it sets attributes of something that is not a dict")


def _reduce(stack: list[Any]) -> None:
    arguments, name = stack.pop(), stack.pop()
    text = name.text if isinstance(name, _Name) else ""
    if text == "collections OrderedDict":
        stack.append(dict(*arguments))
    elif text == _TENSOR_MAKERS[0]:
        storage, offset, shape, strides = arguments[:4]
        if not isinstance(storage, _Storage):
            raise _BadFileError("a tensor without a storage")
        stack.append(_Tensor(storage, int(offset), tuple(map(int, shape)), tuple(map(int, strides))))
    elif text == _TENSOR_MAKERS[1] and isinstance(arguments[0], _Tensor):
        stack.append(arguments[0])
    else:
        raise _BadFileError("it calls something that is no maker of tensors")


def _load_storage(stack: list[Any]) -> None:
    tag, kind, key, _, n = stack.pop()[:5]
    if tag != "storage" or not isinstance(kind, _Name):
        raise _BadFileError("a reference that is no storage")
    stack.append(_Storage(str(key), kind.text.removeprefix("torch "), int(n)))


_PUSHED = {
    *("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "INT", "BINFLOAT"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "SHORT_BINSTRING", "BINSTRING"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
}
_MADE: dict[str, Callable[[], Any]] = {
    "MARK": lambda: _MARK,
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
}
_STEPS: dict[str, Callable[[list[Any]], None]] = {
    "TUPLE": lambda stack: stack.append(tuple(_until_mark(stack))),
    "TUPLE1": _take_tuple(1),
    "TUPLE2": _take_tuple(2),
    "TUPLE3": _take_tuple(3),
    "APPEND": _append,
    "APPENDS": lambda stack: _extend(stack),
    "SETITEM": _set_item,
    "SETITEMS": _set_items,
    "BUILD": _build,
    "REDUCE": _reduce,
    "BINPERSID": _load_storage,
}


def _extend(stack: list[Any]) -> None:
    items = _until_mark(stack)
    stack[-1].extend(items)
