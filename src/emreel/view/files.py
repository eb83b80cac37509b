"""Writing a copy so that it is there whole or not at all, and never over something else unasked."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from emreel.result.errors import StorageError, explain_os_error
from emreel.result.files import partial_path
from emreel.view.errors import ExportError


@contextmanager
def replacing(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """A name to write to, beside ``path``; renamed to ``path`` at the end, removed when anything fails.

    Raises
    ------
    ExportError : ``path`` exists and ``overwrite`` is False, or it is a folder.
    emreel.result.StorageError : the disk refuses; what was there is untouched.
    """
    check_free(path, overwrite=overwrite)
    partial = partial_path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        os.replace(partial, path)
    except OSError as error:
        if error.errno is None:  # numpy tells only that fewer bytes were written than it was given
            raise StorageError(
                f"could not write {path}: {error}. Is the disk full? Make space and try again."
            ) from error
        raise explain_os_error(error, path) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def check_free(path: Path, *, overwrite: bool) -> None:
    """Raises ExportError when ``path`` may not be written."""
    if path.is_dir():
        raise ExportError(f"{path} is a folder, wanted the name of a file. Give {path / 'NAME'}.")
    if path.exists() and not overwrite:
        raise ExportError(f"{path} exists and was left as it is. Choose another name, or ask to overwrite it.")
