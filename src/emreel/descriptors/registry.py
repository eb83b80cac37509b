"""Descriptors by name: how recipes and saved models find them. Nothing is imported before it is asked for."""

from __future__ import annotations

import dataclasses
import difflib
import importlib
from collections.abc import Iterable, Mapping
from importlib.metadata import entry_points
from typing import Any

from emreel.descriptors.base import Descriptor, Fold
from emreel.movie import EmreelError

BUILT_IN = {
    "lattice": "emreel.descriptors.lattice:Lattice",
    "gabor": "emreel.descriptors.gabor:GaborBank",
    "translation": "emreel.descriptors.translation:TranslationSymmetry",
    "preselected": "emreel.descriptors.translation:PreselectedTranslations",
}
ENTRY_POINTS = "emreel.descriptors"


class DescriptorError(EmreelError, ValueError):
    """A descriptor that is not known, or fields that it does not have."""


def descriptor_names() -> tuple[str, ...]:
    """Every name that a recipe may use: ours and those of installed plug-ins."""
    return (*BUILT_IN, *sorted(point.name for point in entry_points(group=ENTRY_POINTS) if point.name not in BUILT_IN))


def descriptor_class(name: str) -> type[Any]:
    """The class behind a name; plug-ins register under the entry point group ``emreel.descriptors``."""
    if name in BUILT_IN:
        module, _, attribute = BUILT_IN[name].partition(":")
        found: type[Any] = getattr(importlib.import_module(module), attribute)
        return found
    for point in entry_points(group=ENTRY_POINTS):
        if point.name == name:
            loaded: type[Any] = point.load()
            return loaded
    raise DescriptorError(f"unknown descriptor '{name}'{did_you_mean(name, descriptor_names())}")


def build_descriptor(name: str, fields: Mapping[str, Any]) -> Descriptor:
    """A descriptor from its name and fields (lists become tuples); the reverse of `describe_descriptor`."""
    cls = descriptor_class(name)
    built: Descriptor = cls(**_checked_fields(cls, name, fields))
    return built


def suggest_descriptor(name: str, given: Mapping[str, Any], fold: Fold) -> Descriptor:
    """A descriptor with what is not given learned from the movie, if its class can."""
    cls = descriptor_class(name)
    fields = _checked_fields(cls, name, given)
    if hasattr(cls, "suggest"):
        suggested: Descriptor = cls.suggest(fields, fold)
        return suggested
    return build_descriptor(name, fields)


def describe_descriptor(descriptor: Descriptor) -> dict[str, Any]:
    """Name and fields as plain JSON values."""
    fields = dataclasses.asdict(descriptor)  # type: ignore[call-overload]
    return {"name": descriptor.name, **{key: _plain(value) for key, value in fields.items()}}


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``; did you mean 'x'?`` or the list of what is known."""
    known = list(known)
    close = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean '{close[0]}'?" if close else f". Known: {', '.join(known)}."


def _checked_fields(cls: type[Any], name: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    known = [field.name for field in dataclasses.fields(cls) if field.init]
    for key in fields:
        if key not in known:
            raise DescriptorError(f"unknown key '{key}' of descriptor '{name}'{did_you_mean(key, known)}")
    return {key: _frozen(value) for key, value in fields.items()}


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list | tuple) else value


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.item() if hasattr(value, "item") else value
