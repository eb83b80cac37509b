"""Writing files so that a reader sees the old content or the new one, never a mixture.

All writes of a result pass through here. A file is written under a name ending in ``.partial``, flushed to the
disk (fsync) and renamed. What a power cut can still cost is the rename itself: then a finished file is missing
under its name, which `emreel.result.verify_result` names.
"""

from __future__ import annotations

import contextlib
import os
import uuid
from pathlib import Path

from emreel.result.errors import explain_os_error

PARTIAL = ".partial"


def partial_path(path: Path) -> Path:
    """A name beside ``path`` that nobody else uses."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}{PARTIAL}")


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """Write every byte, however many calls it takes. Raises OSError."""
    rest = memoryview(data).cast("B")
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def create_file(path: Path, data: bytes | memoryview, *, flush: bool = True) -> None:
    """Write a new file and flush it to the disk. Raises OSError."""
    _write(path, os.O_EXCL, data, flush=flush)


def write_file(path: Path, data: bytes | memoryview, *, flush: bool = True) -> None:
    """Put ``data`` at ``path``, replacing what was there in one step.

    Without ``flush`` a power cut may cost the new content: only for what can be told from other files.

    Raises
    ------
    StorageError : the disk is full or refuses; what was there is untouched.
    """
    partial = partial_path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        create_file(partial, data, flush=flush)
        os.replace(partial, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise explain_os_error(error, path) from error


def append_to(path: Path, data: bytes | memoryview, *, flush: bool = True) -> None:
    """Write ``data`` behind what the file has, which is made if it is missing; ``flush`` as in `write_file`.

    Raises
    ------
    StorageError : the disk is full or refuses; a part of ``data`` may be there.
    """
    try:
        _write(path, os.O_APPEND, data, flush=flush)
    except OSError as error:
        raise explain_os_error(error, path) from error


def _write(path: Path, how: int, data: bytes | memoryview, *, flush: bool) -> None:
    """Open a file, made if it is missing, with the flag ``how``, and write; `O_EXCL` refuses one that is there."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | how | getattr(os, "O_BINARY", 0), 0o666)
    try:
        write_all(descriptor, data)
        if flush:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Flush the names in a folder to the disk, where the system can do that."""
    if os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
