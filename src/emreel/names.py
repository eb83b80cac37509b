"""Things that people name: what a name may be, what stands behind it, and what they may have meant."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any

from emreel.movie import EmreelError


@dataclass(frozen=True, kw_only=True)
class Registry:
    """Classes by name: ours, and those that installed plug-ins register under an entry point group.

    Nothing is imported before it is asked for. ``built_in`` maps a name to ``module:Class``; ``error`` is raised for
    names that are not known.
    """

    kind: str
    built_in: Mapping[str, str]
    group: str
    error: type[EmreelError]

    def names(self) -> tuple[str, ...]:
        """Every known name, ours first."""
        found = {point.name for point in entry_points(group=self.group)}
        return (*self.built_in, *sorted(found - set(self.built_in)))

    def find(self, name: str) -> type[Any]:
        """The class behind a name."""
        if name in self.built_in:
            module, _, attribute = self.built_in[name].partition(":")
            found: type[Any] = getattr(importlib.import_module(module), attribute)
            return found
        for point in entry_points(group=self.group):
            if point.name == name:
                loaded: type[Any] = point.load()
                return loaded
        raise self.error(f"unknown {self.kind} '{name}'{did_you_mean(name, self.names())}")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``; did you mean 'x'?`` or the list of what is known."""
    known = list(known)
    close = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean '{close[0]}'?" if close else f". Known: {', '.join(known)}."
