"""Items in time, each with those before and after it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

Item = TypeVar("Item")


def slide_windows(items: Iterable[Item], lag: int) -> Iterator[tuple[Sequence[Item], int]]:
    """For every item, in order: a window, and its own place in it; ``lag`` of them on either side, where there are.

    A window comes ``lag`` items after its own, the last ones when the items end. It is good until the next one.

    >>> [("".join(window), at) for window, at in slide_windows("abcd", 1)]
    [('ab', 0), ('abc', 1), ('bcd', 1), ('cd', 1)]
    """
    window: deque[Item] = deque()
    at = 0
    for item in items:
        window.append(item)
        if len(window) - at > lag:
            yield window, at
            at += 1
        if at > lag:
            window.popleft()
            at -= 1
    while at < len(window):
        yield window, at
        at += 1
        if at > lag:
            window.popleft()
            at -= 1
