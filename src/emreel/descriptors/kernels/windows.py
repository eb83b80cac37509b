"""Sums over windows of neighbours, along a row and down the rows, in float32 or float64.

A window is always the same tree of additions, wherever it lies (sums of 4, 16, ... neighbours, no running sums), so a
tile gives the same bits as the whole frame. Elements that count nothing may be left out or be 0: the bits are the same.
"""

from __future__ import annotations

from emreel.descriptors.kernels.flat import Array, kernel
from emreel.descriptors.kernels.vectors import LANES, load, splat, store


def n_window_levels(length: int) -> int:
    """Levels of sums that windows of this length are made of."""
    return max(1, (length.bit_length() + 1) // 2)


@kernel
def list_terms(levels: Array, places: Array, length: int) -> int:
    """The sums that make up a window: the base-4 digits of its length. Returns how many.

    Level 0 are single elements, level 1 sums of 4 neighbours, level 2 of 16, and so on.
    """
    n_terms, position, width, level = 0, 0, 1, 0
    while length > 0:
        for _ in range(length % 4):
            levels[n_terms] = level
            places[n_terms] = position
            n_terms += 1
            position += width
        length, width, level = length // 4, 4 * width, level + 1
    return n_terms


@kernel
def sum_across(
    ring: Array, at_ring: int, sums: Array, at: int, width: int, length: int, at_tail: int, n: int,
    levels: Array, places: Array, n_terms: int, terms: Array,
) -> None:  # fmt: skip
    """Windows along a row of ``sums``, into ``ring``; the element behind each window comes from ``at_tail`` on."""
    reach, level = 1, 0
    while 4 * reach <= length:
        for e in range(at + level * width, at + level * width + n + length - 4 * reach, LANES):
            first = load(sums, e) + load(sums, e + reach)
            second = load(sums, e + 2 * reach) + load(sums, e + 3 * reach)
            store(sums, e + width, first + second)
        reach, level = 4 * reach, level + 1
    zero = splat(sums.dtype.type(0))
    for k in range(n_terms):
        terms[k] = at + levels[k] * width + places[k]
    for e in range(0, n, LANES):
        total = load(sums, terms[0] + e) if n_terms > 0 else zero
        for k in range(1, n_terms):
            total = total + load(sums, terms[k] + e)
        if at_tail >= 0:
            total = total + load(sums, at_tail + e)
        store(ring, at_ring + e, total)


@kernel
def sum_down(
    out: Array, at_out: int, ring: Array, at: int, row: int, n_ring: int, pitch: int, length: int, with_tail: bool,
    n: int, levels: Array, places: Array, n_terms: int, at_tails: int, terms: Array,
) -> None:  # fmt: skip
    """Take grid row ``row`` of bands, which is in the ring, into the levels; and sum the windows that it completes.

    The ring holds the last ``n_ring`` (a power of two) rows of every level, and of the tails.
    """
    mask, depth = n_ring - 1, n_ring * pitch
    reach, level = 1, 0
    while 4 * reach <= length:
        first = row - 4 * reach + 1
        if first >= 0:
            here = at + level * depth
            a, b = here + (first & mask) * pitch, here + ((first + reach) & mask) * pitch
            c, d = here + ((first + 2 * reach) & mask) * pitch, here + ((first + 3 * reach) & mask) * pitch
            to = here + depth + (first & mask) * pitch
            for e in range(0, n, LANES):
                store(ring, to + e, (load(ring, a + e) + load(ring, b + e)) + (load(ring, c + e) + load(ring, d + e)))
        reach, level = 4 * reach, level + 1
    first = row - length + (0 if with_tail else 1)
    if first < 0:
        return
    zero = splat(ring.dtype.type(0))
    for k in range(n_terms):
        terms[k] = at + levels[k] * depth + ((first + places[k]) & mask) * pitch
    tail = at_tails + (row & mask) * pitch
    for e in range(0, n, LANES):
        total = load(ring, terms[0] + e) if n_terms > 0 else zero
        for k in range(1, n_terms):
            total = total + load(ring, terms[k] + e)
        if with_tail:
            total = total + load(ring, tail + e)
        store(out, at_out + e, total)
