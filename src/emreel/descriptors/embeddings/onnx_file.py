"""Writes networks as ONNX, the little that a ResNet needs, straight into the protocol-buffer wire format.

A message is a row of fields; a field is its number and kind (a varint), then a varint or a length and bytes. The
numbers are those of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto. So no package beside onnxruntime is needed,
which only reads ONNX.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

#: Version of the operators, and of the format: old enough for every onnxruntime of these years.
OPSET, IR_VERSION = 13, 8
_FLOAT = 1
_INT, _INTS = 2, 7  # kinds of attributes


def encode_tensor(name: str, values: npt.NDArray[np.float32]) -> bytes:
    """A constant of the graph."""
    dims = b"".join(_number(1, n) for n in values.shape)
    raw = np.ascontiguousarray(values, "<f4").tobytes()
    return dims + _number(2, _FLOAT) + _text(8, name) + _bytes(9, raw)


def encode_node(
    operator: str, inputs: Sequence[str], output: str, attributes: dict[str, int | Sequence[int]] | None = None
) -> bytes:
    """An operation of the graph; attributes are whole numbers or lists of them."""
    parts = [_text(1, name) for name in inputs] + [_text(2, output), _text(3, output), _text(4, operator)]
    for name, value in (attributes or {}).items():
        if isinstance(value, int):
            body = _text(1, name) + _number(3, value) + _number(20, _INT)
        else:
            body = _text(1, name) + b"".join(_number(8, n) for n in value) + _number(20, _INTS)
        parts.append(_bytes(5, body))
    return b"".join(parts)


def encode_model(
    nodes: Sequence[bytes],
    tensors: Sequence[bytes],
    *,
    source: tuple[str, Sequence[int | str]],
    result: tuple[str, Sequence[int | str]],
) -> bytes:
    """A whole file: nodes in order, constants, name and shape (numbers, or names where free) of input and output."""
    graph = b"".join(_bytes(1, node) for node in nodes) + _text(2, "emreel")
    graph += b"".join(_bytes(5, tensor) for tensor in tensors)
    graph += _bytes(11, _value_info(*source)) + _bytes(12, _value_info(*result))
    opset = _text(1, "") + _number(2, OPSET)
    return _number(1, IR_VERSION) + _text(2, "emreel") + _bytes(7, graph) + _bytes(8, opset)


def _value_info(name: str, shape: Sequence[int | str]) -> bytes:
    dims = [_number(1, n) if isinstance(n, int) else _text(2, n) for n in shape]
    tensor = _number(1, _FLOAT) + _bytes(2, b"".join(_bytes(1, dim) for dim in dims))
    return _text(1, name) + _bytes(2, _bytes(1, tensor))


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _text(field: int, value: str) -> bytes:
    return _bytes(field, value.encode())
