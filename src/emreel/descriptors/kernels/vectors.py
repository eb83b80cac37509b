"""Short vectors for kernels: 16 neighbouring numbers of a flat array in one variable.

A compiled loop over arrays is vectorised only while the compiler can prove that what it writes is not what it reads,
and it cannot beyond about eight arrays. Kernels that need more, or that keep sums in registers over many arrays, say
what they mean with these:

    total = splat(np.float32(0))
    for q in range(n):
        d = load(a, at_a[q] + e) - load(b, at_b[q] + e)
        total = multiply_add(d, d, total)
    store(out, e, total)

Every lane is worked on alone, so a result never depends on where in its vector it lies. The compiler splits the
vectors into what the processor has. Nothing checks bounds: arrays must be 16 numbers longer than what is asked for.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, overload, register_model

LANES = 16


def _intrinsic(function: Callable[..., Any]) -> Any:
    """Numba's decorator, which has no types."""
    return intrinsic(function)


class Vector(types.Type):
    """`LANES` numbers of one type: float32, float64, or the outcome of a comparison."""

    def __init__(self, element: Any) -> None:
        self.element = element
        super().__init__(name=f"Vector({element})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Vector) -> None:
        super().__init__(dmm, fe_type, _lowered(fe_type))  # type: ignore[no-untyped-call]


FLOATS = {types.float32: Vector(types.float32), types.float64: Vector(types.float64)}
MASK = Vector(types.boolean)
_LOWERED = {types.float32: ir.FloatType(), types.float64: ir.DoubleType(), types.boolean: ir.IntType(1)}


def _lowered(vector: Vector) -> Any:
    return ir.VectorType(_LOWERED[vector.element], LANES)


def _address(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    vector = ir.VectorType(_LOWERED[array_type.dtype], LANES)
    return builder.bitcast(builder.gep(data, [index]), vector.as_pointer())


@_intrinsic
def load(typing_context: Any, array: Any, index: Any) -> Any:
    """Elements [index, index + LANES) of a flat array."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        address = _address(context, builder, signature.args[0], *args)
        return builder.load(address, align=array.dtype.bitwidth // 8)

    return FLOATS[array.dtype](array, types.intp), generate


@_intrinsic
def store(typing_context: Any, array: Any, index: Any, value: Any) -> Any:
    """Write elements [index, index + LANES) of a flat array."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        address = _address(context, builder, signature.args[0], *args[:2])
        builder.store(args[2], address, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, FLOATS[array.dtype]), generate


@_intrinsic
def splat(typing_context: Any, value: Any) -> Any:
    """The same number in every lane."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = _lowered(signature.return_type)
        first = builder.insert_element(ir.Constant(vector, ir.Undefined), args[0], ir.IntType(32)(0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        return builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), zeros)

    return FLOATS[value](value), generate


def _two(name: str) -> Any:
    """An operation of two vectors of one type."""

    @_intrinsic
    def operation(typing_context: Any, a: Any, b: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return getattr(builder, name)(*args)

        return a(a, b), generate

    return operation


def _compared(relation: str) -> Any:
    @_intrinsic
    def operation(typing_context: Any, a: Any, b: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return builder.fcmp_ordered(relation, *args)

        return MASK(a, b), generate

    return operation


_add, _subtract, _multiply, _divide, _both = (_two(name) for name in ("fadd", "fsub", "fmul", "fdiv", "and_"))
_less, _equal = _compared("<"), _compared("==")


def _overload_operator(symbol: Any, operation: Any, wanted: Any) -> None:
    @overload(symbol)
    def of_vectors(a, b):  # type: ignore[no-untyped-def]  # numba compares the bare signatures
        if isinstance(a, Vector) and a == b and (a.element == types.boolean) == wanted:
            return lambda a, b: operation(a, b)
        return None


for _symbol, _operation, _on_masks in (
    (operator.add, _add, False),
    (operator.sub, _subtract, False),
    (operator.mul, _multiply, False),
    (operator.truediv, _divide, False),
    (operator.lt, _less, False),
    (operator.eq, _equal, False),
    (operator.and_, _both, True),
):
    _overload_operator(_symbol, _operation, _on_masks)


def _called(function: str, n_args: int) -> Any:
    """A function of the compiler's own, on vectors of one type."""

    @_intrinsic
    def one(typing_context: Any, a: Any) -> Any:
        return a(a), generate

    @_intrinsic
    def three(typing_context: Any, a: Any, b: Any, c: Any) -> Any:
        return a(a, b, c), generate

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = _lowered(signature.return_type)
        suffix = "f32" if signature.return_type.element == types.float32 else "f64"
        name = f"llvm.{function}.v{LANES}{suffix}"
        declared = builder.module.declare_intrinsic(name, (), ir.FunctionType(vector, [vector] * n_args))
        return builder.call(declared, args)

    return one if n_args == 1 else three


#: a * b + c, in one rounding where the processor can.
multiply_add = _called("fmuladd", 3)
sqrt = _called("sqrt", 1)
absolute = _called("fabs", 1)


@_intrinsic
def select(typing_context: Any, mask: Any, a: Any, b: Any) -> Any:
    """a where the mask holds, else b."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.select(*args)

    return a(mask, a, b), generate


@_intrinsic
def all_hold(typing_context: Any, mask: Any) -> Any:
    """Whether a comparison holds in every lane."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        bits = builder.bitcast(args[0], ir.IntType(LANES))
        return builder.icmp_signed("==", bits, ir.Constant(ir.IntType(LANES), -1))

    return types.boolean(mask), generate


@_intrinsic
def widen(typing_context: Any, a: Any) -> Any:
    """float32 to float64."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fpext(args[0], _lowered(signature.return_type))

    return FLOATS[types.float64](a), generate


@_intrinsic
def narrow(typing_context: Any, a: Any) -> Any:
    """float64 to float32, rounded."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fptrunc(args[0], _lowered(signature.return_type))

    return FLOATS[types.float32](a), generate
