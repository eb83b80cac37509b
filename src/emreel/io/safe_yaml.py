"""YAML from strangers: plain values only, of bounded size and depth.

Refused before anything is built: tags (a tag can name code), anchors and aliases (nine lines of them unfold into
gigabytes), repeated keys, several documents, documents above 1 MiB or 16 levels.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from emreel.io.errors import CatalogError

MAX_BYTES = 2**20
MAX_DEPTH = 16


class _StrictLoader(yaml.SafeLoader):
    """SafeLoader that does not let a key be given twice."""


def _construct_mapping(loader: _StrictLoader, node: yaml.MappingNode) -> dict[str, Any]:
    mapping: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str):
            raise CatalogError(f"line {key_node.start_mark.line + 1}: the key {key!r} is no text. Put it in quotes.")
        if key in mapping:
            raise CatalogError(f"line {key_node.start_mark.line + 1}: the key {key!r} is there twice. Keep one.")
        mapping[key] = loader.construct_object(value_node, deep=True)
    return mapping


_StrictLoader.add_constructor("tag:yaml.org,2002:map", _construct_mapping)


def read_yaml(path: Path) -> Any:
    """Parse one document.

    Raises
    ------
    CatalogError : not readable, not YAML, or one of the things that are refused; names the file and the line.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise CatalogError(f"{path} cannot be read: {error.strerror or error}. Check the path.") from error
    if len(data) > MAX_BYTES:
        raise CatalogError(f"{path} is larger than {MAX_BYTES} bytes, which no catalog is.")
    try:
        text = data.decode("utf-8")
        _check_events(text)
        return yaml.load(text, _StrictLoader)  # noqa: S506 - a SafeLoader
    except UnicodeDecodeError as error:
        raise CatalogError(f"{path} is not UTF-8 text: {error.reason} at byte {error.start}.") from error
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise CatalogError(f"{path} is not YAML that can be read: {reason}.") from error
    except (CatalogError, ValueError) as error:
        raise CatalogError(f"{path}, {error}") from error


def _check_events(text: str) -> None:
    """Walk the stream of tokens, which unfolds nothing."""
    depth = documents = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        line = event.start_mark.line + 1 if event.start_mark else 0
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise CatalogError(f"line {line}: anchors and aliases are not read. Write the values out.")
        tag = getattr(event, "tag", None)
        if tag:
            raise CatalogError(f"line {line}: the tag {tag!r} is not read. Write plain values.")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise CatalogError(f"line {line}: nested deeper than {MAX_DEPTH} levels.")
        depth -= isinstance(event, yaml.CollectionEndEvent)
        documents += isinstance(event, yaml.DocumentStartEvent)
        if documents > 1:
            raise CatalogError(f"line {line}: a second document begins. Keep one.")
