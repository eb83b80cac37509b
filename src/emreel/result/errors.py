"""The error tree of results on disk.

::

    EmreelError
    └── ResultError        the folder is not what was wanted
        ├── LayoutError    shape, shards and blocks do not fit together (also a ValueError)
        ├── StorageError   the disk refused: full, read-only, failing
        ├── LedgerError    the record of finished blocks cannot be used
        └── LockError      somebody else writes to this result
"""

from __future__ import annotations

import errno
import os

from emreel.movie import EmreelError


class ResultError(EmreelError):
    """A result on disk is not what was wanted."""


class LayoutError(ResultError, ValueError):
    """Shape, shards and blocks do not fit together."""


class StorageError(ResultError):
    """The disk refused to take what was written."""


class LedgerError(ResultError):
    """The ledger cannot be used."""


class LockError(ResultError):
    """Somebody else writes to this result."""


_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EROFS, errno.EACCES, errno.EPERM}


def explain_os_error(error: OSError, path: str | os.PathLike[str]) -> StorageError:
    """What the operating system refused, in words that tell what to do."""
    where = os.fspath(path)
    if error.errno in _FULL:
        return StorageError(
            f"no space left to write {where} ({error.strerror}). "
            "Make space and run the same command again: finished blocks are kept."
        )
    if error.errno in _FORBIDDEN:
        return StorageError(f"may not write {where} ({error.strerror}). Choose a folder that you can write to.")
    return StorageError(f"could not write {where}: {error.strerror or error}. Check the disk, then run again.")
