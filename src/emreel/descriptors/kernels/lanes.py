"""Three inner loops of the polar kernels, written out in vectors, for what the compiler does not find by itself.

A sample is a sum of 16 streams, and products of rings keep four to ten sums at once. Plain loops over so many arrays
are not vectorised (nothing tells the compiler that they do not overlap), and cut into parts they spend more time
between loops than in them. Here the vectors are named: LANES positions at a time, in two vectors of 16 floats, which
the compiler cuts to what the processor has. Multiply and add may become one instruction, as in all our kernels; every
lane is computed alike, so that a position's result does not depend on its place in a row.

They read and write whole groups of LANES elements: arrays must reach that far.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

#: Positions of one step; lengths of scratch arrays are multiples of it.
LANES = 32
#: Operations whose products are summed at once.
TOGETHER = 5
WIDTH = 16
VECTOR = ir.VectorType(ir.FloatType(), WIDTH)
INDEX = ir.IntType(64)


class _Writer:
    """Writes vector code for one intrinsic."""

    def __init__(self, context: Any, builder: Any, signature: Any, arguments: Any) -> None:
        self.builder = builder
        self.values = []
        for kind, value in zip(signature.args, arguments, strict=True):
            if isinstance(kind, types.Array):
                self.values.append(make_array(kind)(context, builder, value).data)  # type: ignore[no-untyped-call]
            elif isinstance(kind, types.Integer):
                self.values.append(context.cast(builder, value, kind, types.int64))
            else:
                self.values.append(context.cast(builder, value, kind, types.float32))

    def number(self, value: int) -> Any:
        return ir.Constant(INDEX, value)

    def plus(self, *terms: Any) -> Any:
        total = terms[0]
        for term in terms[1:]:
            total = self.builder.add(total, term)
        return total

    def times(self, a: Any, factor: int) -> Any:
        return self.builder.mul(a, self.number(factor))

    def element(self, array: Any, index: Any) -> Any:
        return self.builder.load(self.builder.gep(array, [index]))

    def _vector_at(self, array: Any, index: Any) -> Any:
        return self.builder.bitcast(self.builder.gep(array, [index]), VECTOR.as_pointer())

    def load(self, array: Any, index: Any) -> Any:
        return self.builder.load(self._vector_at(array, index), align=4)

    def store(self, vector: Any, array: Any, index: Any) -> None:
        self.builder.store(vector, self._vector_at(array, index), align=4)

    def spread(self, scalar: Any) -> Any:
        empty = ir.Constant(VECTOR, ir.Undefined)
        first = self.builder.insert_element(empty, scalar, ir.Constant(ir.IntType(32), 0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), [0] * WIDTH)
        return self.builder.shuffle_vector(first, empty, zeros)

    def keep(self, vector: Any) -> Any:
        """A place for a vector that changes from turn to turn; the compiler makes it a register."""
        return cgutils.alloca_once_value(self.builder, vector)  # type: ignore[no-untyped-call]

    def multiply_add(self, a: Any, b: Any, c: Any) -> Any:
        product = self.builder.fmul(a, b, flags=("contract",))
        return self.builder.fadd(product, c, flags=("contract",))


def _sample(
    typing: Any, out: Any, out_at: Any, norm: Any, level: Any, factor: Any, c: Any, at: Any, taps: Any, weights: Any,
    k: Any, n_groups: Any,
) -> Any:  # fmt: skip
    signature = types.void(out, out_at, norm, level, factor, c, at, taps, weights, k, n_groups)

    def generate(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
        w = _Writer(context, builder, sig, arguments)
        out, out_at, norm, level, factor, c, at, taps, weights, k, n_groups = w.values
        first = w.times(k, 16)
        shares = [w.spread(w.element(weights, w.plus(first, w.number(t)))) for t in range(16)]
        starts = [w.plus(at, w.element(taps, w.plus(first, w.number(t)))) for t in range(16)]
        spread = w.spread(factor)
        zero = ir.Constant(VECTOR, None)
        with cgutils.for_range(builder, n_groups, intp=INDEX) as loop:
            e = w.times(loop.index, LANES)
            halves = [e, w.plus(e, w.number(WIDTH))]
            sums = [w.multiply_add(spread, w.load(level, half), zero) for half in halves]
            for share, start in zip(shares, starts, strict=True):
                for h, half in enumerate(halves):
                    sums[h] = w.multiply_add(share, w.load(c, w.plus(start, half)), sums[h])
            for total, half in zip(sums, halves, strict=True):
                w.store(total, out, w.plus(out_at, half))
                w.store(w.multiply_add(total, total, w.load(norm, half)), norm, half)
        return context.get_dummy_value()

    return signature, generate


def _add_products(typing: Any, sums: Any, sums_at: Any, ring: Any, partners: Any, k: Any, n: Any, n_groups: Any) -> Any:
    signature = types.void(sums, sums_at, ring, partners, k, n, n_groups)

    def generate(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
        w = _Writer(context, builder, sig, arguments)
        sums, sums_at, ring, partners, k, n, n_groups = w.values
        pitch = w.times(n_groups, LANES)
        first = w.times(builder.mul(k, n), TOGETHER)
        with cgutils.for_range(builder, n_groups, intp=INDEX) as loop:
            halves = [w.plus(w.times(loop.index, LANES), w.number(h * WIDTH)) for h in range(2)]
            places = [
                w.plus(sums_at, builder.mul(pitch, w.number(o)), half) for o in range(TOGETHER) for half in halves
            ]
            kept = [w.keep(w.load(sums, place)) for place in places]
            with cgutils.for_range(builder, n, intp=INDEX) as over:
                own = [w.load(ring, w.plus(builder.mul(over.index, pitch), half)) for half in halves]
                row = w.plus(first, w.times(over.index, TOGETHER))
                for o in range(TOGETHER):
                    other = builder.mul(w.element(partners, w.plus(row, w.number(o))), pitch)
                    for h, half in enumerate(halves):
                        slot = kept[2 * o + h]
                        product = w.multiply_add(own[h], w.load(ring, w.plus(other, half)), builder.load(slot))
                        builder.store(product, slot)
            for place, slot in zip(places, kept, strict=True):
                w.store(builder.load(slot), sums, place)
        return context.get_dummy_value()

    return signature, generate


def _add_joint(
    typing: Any, sums: Any, sums_at: Any, joint: Any, partners: Any, k: Any, o: Any, n: Any, n_groups: Any
) -> Any:
    signature = types.void(sums, sums_at, joint, partners, k, o, n, n_groups)

    def generate(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
        w = _Writer(context, builder, sig, arguments)
        sums, sums_at, joint, partners, k, o, n, n_groups = w.values
        pitch = w.times(n_groups, LANES)
        first = w.plus(w.times(builder.mul(k, n), TOGETHER), o)
        with cgutils.for_range(builder, n_groups, intp=INDEX) as loop:
            for h in range(2):
                half = w.plus(w.times(loop.index, LANES), w.number(h * WIDTH))
                places = [w.plus(sums_at, w.times(pitch, row), half) for row in range(4)]
                kept = [w.keep(w.load(sums, place)) for place in places]
                with cgutils.for_range(builder, n, intp=INDEX) as over:
                    partner = w.element(partners, w.plus(first, w.times(over.index, TOGETHER)))
                    starts = [w.plus(builder.mul(w.times(m, 3), pitch), half) for m in (over.index, partner)]
                    a, b = ([w.load(joint, w.plus(start, w.times(pitch, row))) for row in range(3)] for start in starts)
                    pairs = [(a[0], b[0]), (a[1], b[2]), (a[2], b[1]), (a[2], b[2])]
                    for slot, pair in zip(kept, pairs, strict=True):
                        builder.store(w.multiply_add(*pair, builder.load(slot)), slot)
                for place, slot in zip(places, kept, strict=True):
                    w.store(builder.load(slot), sums, place)
        return context.get_dummy_value()

    return signature, generate


#: ``sample(out, out_at, norm, level, factor, c, at, taps, weights, k, n_groups)``: for the first n_groups LANES
#: positions e, out[out_at + e] = factor level[e] + sum over t of weights[k, t] c[at + taps[k, t] + e], and its square
#: is added to norm[e]. All arrays are taken as flat, float32; taps int64, 16 a sample.
sample: Any = intrinsic(_sample)

#: ``add_products(sums, sums_at, ring, partners, k, n, n_groups)``: with rows of n_groups LANES elements,
#: sums[sums_at + row o] += sum over m < n of ring[row m] ring[row partners[k, m, o]], for o < TOGETHER.
add_products: Any = intrinsic(_add_products)

#: ``add_joint(sums, sums_at, joint, partners, k, o, n, n_groups)``: with rows of n_groups LANES elements, of which a
#: sample has three (value, power, weight) and a sum four, adds over m < n, for sample m and its partner: value value,
#: power weight, weight power, weight weight.
add_joint: Any = intrinsic(_add_joint)
