"""What goes wrong between a file and a movie.

::

    EmreelError
    ├── ReaderError (also OSError)      the file cannot be read as a movie
    └── CatalogError (also ValueError)  the catalog, or an entry of it, is not to be trusted
"""

from __future__ import annotations

from emreel.movie import EmreelError


class ReaderError(EmreelError, OSError):
    """The file is missing, damaged, or holds something else than a movie."""


class CatalogError(EmreelError, ValueError):
    """The catalog is malformed, unsafe, or does not know the name."""
