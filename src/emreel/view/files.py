"""Writing a copy so that it is there whole or not at all, and never over something else unasked."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from emreel.result.errors import explain_os_error
from emreel.result.files import partial_path
from emreel.view.errors import ExportError


@contextmanager
def replacing(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """A name to write to, beside ``path``; renamed to ``path`` at the end, removed when anything fails.

    What is written may be a file or a folder. A folder that is there already is never replaced.

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
        raise explain_os_error(error, path) from error
    finally:
        if partial.is_dir():
            shutil.rmtree(partial, ignore_errors=True)
        else:
            partial.unlink(missing_ok=True)


def check_free(path: Path, *, overwrite: bool) -> None:
    """Raises ExportError when ``path`` may not be written."""
    if path.is_dir():
        raise ExportError(f"{path} is a folder, wanted the name of a file. Give {path / 'NAME'}.")
    if path.exists() and not overwrite:
        raise ExportError(f"{path} exists and was left as it is. Choose another name, or ask to overwrite it.")
